//! The suite "system": the real image in QEMU, driven over its console.
//!
//! A case boots a machine of its own, so none depends on another. Simple ones are data ([`data`], files in `tests/system/`): commands, what
//! their output must and must not show, their status. Those that calculate, damage files or change the manifest are Rust ([`damage`],
//! [`authority`], [`servers`], [`load`], [`moves`], [`registers`], [`faults`], [`keys`], [`log`], [`dump`], [`command`]) and get a [`lab::Lab`]. To add one: a line in such a file.

mod authority;
mod command;
mod damage;
mod data;
mod dump;
mod faults;
mod keys;
pub mod lab;
mod load;
mod log;
mod manifest;
mod moves;
mod registers;
mod servers;
mod shell;
mod stub;

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::artifacts::Artifacts;
use crate::profile::Profile;
use crate::test::{Context, Tally};
use crate::workspace::Workspace;

use lab::Lab;

/// One test.
pub struct Case {
    /// Its name: what it shows, and where.
    pub name: String,
    /// The machine.
    pub profile: Profile,
    /// Only in full runs.
    pub full: bool,
    /// What is done.
    pub body: Body,
}

/// What a case does.
pub enum Body {
    /// Boots, runs commands, shuts down.
    Steps(Vec<data::Step>),
    /// Whatever a function does.
    Code(fn(&mut Lab<'_>, &Profile) -> Result<()>),
}

/// A case written in Rust: a name, a launch profile (`direct`, or `direct/smp1` for another number of cores), and what is done.
type CodeCase = (&'static str, &'static str, fn(&mut Lab<'_>, &Profile) -> Result<()>);

/// Cases in Rust that take a minute, and show the same as shorter ones do, only more of it.
const FULL: [&str; 2] = ["keys/noise-long", "load/floods-four-cores"];

fn code_cases(workspace: &Workspace) -> Result<Vec<Case>> {
    let all = [
        &damage::CASES[..],
        &authority::CASES,
        &servers::CASES,
        &load::CASES,
        &moves::CASES,
        &registers::CASES,
        &faults::CASES,
        &keys::CASES,
        &log::CASES,
        &dump::CASES,
        &command::CASES,
    ]
    .concat();
    all.into_iter()
        .map(|(name, machine, body)| {
            Ok(Case { name: name.to_owned(), profile: profile(workspace, machine)?, full: FULL.contains(&name), body: Body::Code(body) })
        })
        .collect()
}

/// The machine that a case in Rust names.
fn profile(workspace: &Workspace, machine: &str) -> Result<Profile> {
    let Some((name, smp)) = machine.split_once("/smp") else { return Profile::load(&workspace.root, machine) };
    let profile = Profile {
        smp: smp.parse().with_context(|| format!("no number of cores in `{machine}`"))?,
        ..Profile::load(&workspace.root, name)?
    };
    profile.check()?;
    Ok(profile)
}

fn cases(workspace: &Workspace) -> Result<Vec<Case>> {
    let mut cases = data::load(&workspace.root)?;
    cases.extend(code_cases(workspace)?);
    Ok(cases)
}

/// Whether a case has this in its name.
pub fn any_named(workspace: &Workspace, name: &str) -> Result<bool> {
    Ok(cases(workspace)?.iter().any(|case| case.name.contains(name)))
}

/// Runs the cases whose names contain the filter.
pub fn suite(context: &Context<'_>, filter: Option<&str>) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut cases = cases(context.workspace)?;
    cases.retain(|case| filter.is_none_or(|filter| case.name.contains(filter)));
    if !context.full && filter.is_none() {
        cases.retain(|case| !case.full);
    }
    let mut artifacts: Vec<(String, Artifacts)> = Vec::new();
    for case in &cases {
        if !artifacts.iter().any(|(target, _)| *target == case.profile.target) {
            artifacts.push((case.profile.target.clone(), Artifacts::make(context.workspace, &case.profile.target, &context.progress)?));
        }
    }
    context.progress.note(&format!("system: {} cases, seed {}", cases.len(), context.seed));
    for case in &cases {
        let Some((_, artifacts)) = artifacts.iter().find(|(target, _)| *target == case.profile.target) else { continue };
        let step = context.progress.step("system", &case.name);
        let began = Instant::now();
        let mut lab = Lab::new(context.workspace, artifacts, &case.name, context.seed);
        let outcome = match &case.body {
            Body::Steps(steps) => data::play(&mut lab, &case.profile, steps),
            Body::Code(body) => body(&mut lab, &case.profile),
        };
        let outcome = outcome
            .map_err(|error| format!("{error:#}\nafter {:.1} s, seed {}\n{}", began.elapsed().as_secs_f64(), context.seed, lab.consoles()));
        if outcome.is_ok() {
            step.done("");
        }
        tally.count(&case.name, outcome);
    }
    Ok(tally)
}
