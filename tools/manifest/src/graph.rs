//! A text picture of who may call whom, for `cargo xtask graph`.

use std::collections::HashMap;
use std::fmt::Write;

use crate::check::Provider;
use crate::compile::checked;
use crate::error::Error;
use crate::source::{Class, Common, Manifest, Text, parts};
use crate::types::INIT_SERVICES;

/// Draws a manifest. Calls go upwards only: each entry may call what stands above it.
pub fn graph(toml: &str) -> Result<String, Error> {
    checked(toml, draw)
}

fn draw(manifest: &Manifest, services: &HashMap<&str, Provider>) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("{}  (calls go upwards; init only receives)", manifest.system.name.get_ref()));
    line(&mut out, format_args!("init"));
    line(&mut out, format_args!("│     offers    {}", INIT_SERVICES.join(" ")));
    let programs = manifest.program.len();
    for (index, server) in manifest.server.iter().enumerate() {
        let last = index + 1 == manifest.server.len() && programs == 0;
        let bar = if last { ' ' } else { '│' };
        head(&mut out, if last { '└' } else { '├' }, &server.common(), "server");
        list(&mut out, bar, "offers", &server.offers);
        list(&mut out, bar, "devices", &server.devices);
        details(&mut out, bar, &server.common(), manifest, services);
    }
    for (index, program) in manifest.program.iter().enumerate() {
        let last = index + 1 == programs;
        head(&mut out, if last { '└' } else { '├' }, &program.common(), "on demand");
        details(&mut out, if last { ' ' } else { '│' }, &program.common(), manifest, services);
    }
    out
}

fn head(out: &mut String, corner: char, entry: &Common<'_>, kind: &str) {
    let class = match *entry.class.get_ref() {
        Class::Fair { weight } => format!("fair {weight}"),
        Class::Edf { budget_us, period_us } => format!("edf {budget_us}/{period_us} µs"),
    };
    let (name, pool) = (entry.name.get_ref(), entry.pool_kib.get_ref());
    line(out, format_args!("{corner}── {name}  ({kind}, {class}, {pool} KiB)"));
}

fn details(out: &mut String, bar: char, entry: &Common<'_>, manifest: &Manifest, services: &HashMap<&str, Provider>) {
    for name in entry.uses {
        let provider = match services.get(parts(name).0) {
            Some(Provider::Server(index)) => manifest.server[*index].name.get_ref().as_str(),
            _ => "init",
        };
        line(out, format_args!("{bar}     calls     {} → {provider}", name.get_ref()));
    }
    list(out, bar, "special", entry.special);
    if !entry.controls.operations.is_empty() {
        let targets = joined(&entry.controls.targets);
        line(out, format_args!("{bar}     controls  {} of {targets}", joined(&entry.controls.operations)));
    }
    list(out, bar, "spawns", entry.spawns);
}

fn list(out: &mut String, bar: char, what: &str, names: &[Text]) {
    if !names.is_empty() {
        line(out, format_args!("{bar}     {what:<9} {}", joined(names)));
    }
}

fn joined(names: &[Text]) -> String {
    names.iter().map(|name| name.get_ref().as_str()).collect::<Vec<_>>().join(" ")
}

/// Writing to a string can't fail, so the result carries nothing.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}
