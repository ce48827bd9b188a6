//! The suite "system": the real image in QEMU, driven over its console.
//!
//! A case boots a machine of its own, so none depends on another. Simple ones are data ([`data`], files in `tests/system/`): commands, what
//! their output must and must not show, their status. Those that calculate, damage files or change the manifest are Rust ([`damage`],
//! [`authority`], [`servers`], [`load`], [`moves`], [`registers`], [`faults`], [`keys`], [`log`], [`dump`], [`trace`], [`command`], [`figures`]) and get a [`lab::Lab`]. To add one: a line in such a file.

mod authority;
mod command;
mod damage;
mod data;
mod dump;
mod faults;
mod figures;
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
mod trace;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::artifacts::Artifacts;
use crate::profile::Profile;
use crate::test::{Context, Tally};
use crate::workspace::Workspace;

use lab::Lab;

/// Machines at a time. More would leave none of them the host's time that it needs to keep to its own clock.
const LANES: usize = 2;
/// Cases that share files with each other, and measure: these run one by one.
const ALONE: &str = "command/";

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
const FULL: [&str; 3] = ["keys/noise-long", "load/floods-four-cores", "load/random-calls-millions"];

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
        &trace::CASES,
        &command::CASES,
        &figures::CASES,
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
    let (alone, together): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.name.starts_with(ALONE));
    let lanes = std::thread::available_parallelism().map_or(1, usize::from).min(LANES);
    let mut ends = play(context, &artifacts, &together, lanes);
    ends.extend(play(context, &artifacts, &alone, 1));
    let mut times: Vec<(Duration, &str)> = ends.iter().map(|end| (end.took, end.name.as_str())).collect();
    times.sort_unstable_by(|a, b| b.cmp(a));
    let slowest: Vec<String> = times.iter().take(6).map(|(took, name)| format!("{name} {:.1} s", took.as_secs_f64())).collect();
    context.progress.note(&format!("system: slowest: {}", slowest.join(", ")));
    for end in ends {
        tally.count(&end.name, end.outcome);
    }
    Ok(tally)
}

/// What a case came to.
struct End {
    name: String,
    outcome: Result<(), String>,
    took: Duration,
}

/// Runs cases, so many at a time.
fn play(context: &Context<'_>, artifacts: &[(String, Artifacts)], cases: &[Case], lanes: usize) -> Vec<End> {
    if cases.is_empty() {
        return Vec::new();
    }
    let step = context.progress.step("system", format!("{} cases, {lanes} at a time", cases.len()));
    let next = AtomicUsize::new(0);
    let ends = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let end = perform(context, artifacts, case);
                    let word = if end.outcome.is_ok() { "done" } else { "failed" };
                    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
                    ends.push(end);
                    let (count, took) = (ends.len(), ends.last().map_or(0.0, |end| end.took.as_secs_f64()));
                    step.detail(&format!("{count}/{}: {}: {word} in {took:.1} s", cases.len(), case.name), true);
                }
            });
        }
    });
    let mut ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
    ends.sort_by(|a, b| a.name.cmp(&b.name));
    let failed = ends.iter().filter(|end| end.outcome.is_err()).count();
    if failed == 0 {
        step.done("");
    }
    ends
}

/// Runs one case.
fn perform(context: &Context<'_>, artifacts: &[(String, Artifacts)], case: &Case) -> End {
    let began = Instant::now();
    let Some((_, artifacts)) = artifacts.iter().find(|(target, _)| *target == case.profile.target) else {
        let outcome = Err(format!("nothing was built for {}", case.profile.target));
        return End { name: case.name.clone(), outcome, took: began.elapsed() };
    };
    let mut lab = Lab::new(context.workspace, artifacts, &case.name, context.seed);
    let outcome = match &case.body {
        Body::Steps(steps) => data::play(&mut lab, &case.profile, steps),
        Body::Code(body) => body(&mut lab, &case.profile),
    };
    let took = began.elapsed();
    let outcome =
        outcome.map_err(|error| format!("{error:#}\nafter {:.1} s, seed {}\n{}", took.as_secs_f64(), context.seed, lab.consoles()));
    End { name: case.name.clone(), outcome, took }
}
