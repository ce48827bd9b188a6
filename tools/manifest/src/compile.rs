//! From TOML to the record: parse, check, number the names, encode.

use toml::Spanned;

use crate::check::{Checker, Provider, device_node};
use crate::error::Error;
use crate::rights::rights_of;
use crate::source::{self, Common, Text, parts};
use crate::types::{self, Class, Controls, Device, Entry, Manifest, Operations, Program, Server, Special, Targets, Use};

/// Default time for a server to stop, ms.
const STOP_GRACE_MS: u32 = 500;

/// Checks a manifest and returns the record for the bundle.
pub fn compile(toml: &str) -> Result<Vec<u8>, Error> {
    let parsed = parse(toml)?;
    let checker = Checker::new(toml, &parsed);
    checker.run()?;
    let services = checker.services()?;
    let servers = parsed
        .server
        .iter()
        .enumerate()
        .map(|(index, server)| Server {
            entry: entry(&checker, &server.common()),
            depends: checker.depends(index, &services).into_iter().map(|on| on as u16).collect(),
            offers: texts(&server.offers),
            devices: server.devices.iter().filter_map(|text| device(text.get_ref())).collect(),
            restart: server.restart.as_ref().map_or_else(Default::default, |policy| (*policy.get_ref()).into()),
            stop_grace_ms: server.stop_grace_ms.as_ref().map_or(STOP_GRACE_MS, |grace| *grace.get_ref()),
        })
        .collect();
    let manifest = Manifest {
        system: types::System {
            name: parsed.system.name.get_ref(),
            min_ram_mib: *parsed.system.min_ram_mib.get_ref(),
            epoch_us: *parsed.system.epoch_us.get_ref(),
            server_pools_kib: *parsed.system.server_pools_kib.get_ref(),
            program_pools_kib: *parsed.system.program_pools_kib.get_ref(),
        },
        servers,
        programs: parsed.program.iter().map(|program| Program { entry: entry(&checker, &program.common()) }).collect(),
    };
    types::encode(&manifest).map_err(|problem| Error::at(toml, 0..0, None, problem.to_string()))
}

/// The images that a manifest needs in the bundle, each once, in order. Init's own image is not among them: it is
/// needed always.
pub fn images(toml: &str) -> Result<Vec<String>, Error> {
    let parsed = parse(toml)?;
    Checker::new(toml, &parsed).run()?;
    let mut images: Vec<String> = Vec::new();
    for entry in parsed.entries() {
        if !images.contains(entry.image.get_ref()) {
            images.push(entry.image.get_ref().clone());
        }
    }
    Ok(images)
}

/// Refuses a manifest that names an image which is not among those built.
pub fn check_images(toml: &str, available: &[&str]) -> Result<(), Error> {
    let parsed = parse(toml)?;
    let checker = Checker::new(toml, &parsed);
    checker.run()?;
    for (index, entry) in parsed.entries().enumerate() {
        if !available.contains(&entry.image.get_ref().as_str()) {
            let problem = format!("missing image `{}`, built are: {}", entry.image.get_ref(), available.join(", "));
            return Err(Error::at(toml, entry.image.span(), Some(checker.label(index)), problem));
        }
    }
    Ok(())
}

/// Parses the TOML form; the rules are not checked yet.
pub(crate) fn parse(toml: &str) -> Result<source::Manifest, Error> {
    toml::from_str(toml).map_err(|error| Error::from_toml(toml, &error))
}

fn entry<'a>(checker: &Checker<'a>, from: &Common<'a>) -> Entry<'a> {
    Entry {
        name: from.name.get_ref(),
        image: from.image.get_ref(),
        class: class(from.class),
        pool_kib: *from.pool_kib.get_ref(),
        mailbox_pages: *from.mailbox_pages.get_ref(),
        uses: from.uses.iter().map(used).collect(),
        special: bits(&Special::NAMES, from.special).into_iter().fold(Special::default(), Special::with),
        controls: Controls {
            operations: bits(&Operations::NAMES, &from.controls.operations).into_iter().fold(Operations::default(), Operations::with),
            targets: targets(checker, &from.controls.targets),
        },
        spawns: targets(checker, from.spawns),
    }
}

fn used(from: &Text) -> Use<'_> {
    let (name, given) = parts(from);
    let known = rights_of(name);
    let given = given.unwrap_or_default();
    let named = known.iter().filter(|(right, _)| given.contains(right)).fold(0, |rights, (_, bit)| rights | (bit >> 16) as u16);
    Use { name, rights: if known.is_empty() { u16::MAX } else { named } }
}

fn class(from: &Spanned<source::Class>) -> Class {
    match *from.get_ref() {
        source::Class::Fair { weight } => Class::Fair { weight },
        source::Class::Edf { budget_us, period_us } => Class::Edf { budget_us, period_us },
    }
}

fn device(text: &str) -> Option<Device<'_>> {
    Some(match device_node(text)? {
        ("console", _) => Device::Console,
        (compatible, instance) => Device::Node { compatible, instance },
    })
}

fn texts(list: &[Text]) -> Vec<&str> {
    list.iter().map(|text| text.get_ref().as_str()).collect()
}

fn bits<T: Copy>(table: &[(&str, T)], list: &[Text]) -> Vec<T> {
    table.iter().filter(|(name, _)| list.iter().any(|text| text.get_ref() == name)).map(|(_, bit)| *bit).collect()
}

fn targets(checker: &Checker<'_>, list: &[Text]) -> Targets {
    match list {
        [] => Targets::None,
        [one] if one.get_ref() == "*" => Targets::All,
        list => Targets::List(list.iter().filter_map(|name| checker.entry_index(name.get_ref())).map(|index| index as u16).collect()),
    }
}

/// What [`crate::graph()`] draws: the parsed file and who offers what.
pub(crate) fn checked<T>(
    toml: &str,
    draw: impl FnOnce(&source::Manifest, &std::collections::HashMap<&str, Provider>) -> T,
) -> Result<T, Error> {
    let parsed = parse(toml)?;
    let checker = Checker::new(toml, &parsed);
    checker.run()?;
    Ok(draw(&parsed, &checker.services()?))
}
