//! `cargo xtask bench`: figures with goals, from the shipped release image, as a table or as JSON.
//!
//! A figure that can't be measured is an error with its reason, never a number.
//!
//! | module | what it does |
//! |---|---|
//! | [`operations`] | goals and anchors of what the bench program does |
//! | [`count`] | machines on which it runs, and what is counted there |
//! | [`stages`] | which part of the kernel the instructions are in |
//! | [`whole`] | figures of the system as a whole |
//! | [`show`] | tables and JSON |

pub mod count;
mod operations;
mod show;
mod stages;
mod whole;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::artifacts::Artifacts;
use crate::progress::Progress;
use crate::setup::{self, Tool};
use crate::table::grouped;
use crate::workspace::Workspace;

use count::{Counted, Method, SETTINGS, Setting, Stand};
use operations::{OPERATIONS, Operation};
use stages::Map;
use whole::FIGURES;

/// Measure the figures that have goals.
#[derive(clap::Args)]
pub struct Options {
    /// Print JSON: {"results": [{name, value, unit, goal, better, anchors, …}]}, and what could not be measured under "errors"
    #[arg(long)]
    pub json: bool,
    /// Show the functions of the kernel in which each operation's instructions are
    #[arg(long)]
    pub functions: bool,
    /// Only the figures whose names contain this
    pub name: Option<String>,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Better {
    Lower,
}

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Measured {
    name: String,
    /// The largest of `cores`, where there are several.
    value: u64,
    unit: &'static str,
    goal: Option<u64>,
    better: Better,
    anchors: BTreeMap<&'static str, u64>,
    /// How instructions were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    /// By processor.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    cores: BTreeMap<&'static str, u64>,
    /// Where they are: by stage, on the first processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stages: Vec<Stage>,
    #[serde(skip)]
    functions: Vec<stages::Part>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Stage {
    name: String,
    instructions: f64,
}

#[derive(Debug, Serialize)]
struct Failure {
    name: String,
    error: String,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    results: Vec<Measured>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Failure>,
}

impl Report {
    fn fail(&mut self, name: &str, error: &anyhow::Error) {
        self.errors.push(Failure { name: name.to_owned(), error: format!("{error:#}") });
    }
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let wanted = |name: &str| options.name.as_ref().is_none_or(|part| name.contains(part.as_str()));
    let operations: Vec<&Operation> =
        OPERATIONS.iter().filter(|operation| wanted(operation.name) || wanted(&guarded(operation.name))).collect();
    let figures: Vec<_> = FIGURES.iter().filter(|figure| wanted(figure.name)).collect();
    if figures.is_empty() && operations.is_empty() {
        let names = OPERATIONS.iter().map(|operation| operation.name).chain(FIGURES.iter().map(|figure| figure.name));
        bail!("no such figure (there are: {})", names.collect::<Vec<_>>().join(", "));
    }
    let progress = Progress::new(false);
    setup::rust_targets(&progress)?;
    setup::tools(&progress, &[Tool::Qemu])?;
    let artifacts = Artifacts::make(workspace, "qemu-virt", &progress)?;
    let mut report = Report::default();
    if !operations.is_empty() {
        let method = Method::find(workspace, &progress)?;
        let stand = Stand::new(workspace, &artifacts, method, &progress)?;
        let map = Map::open(&artifacts.programs.kernel)?;
        count_all(&stand, &map, &operations, &progress, &mut report);
        report.results.retain(|measured| wanted(&measured.name));
    }
    for figure in figures {
        let step = progress.step("bench", figure.name);
        match figure.measure(workspace, &artifacts) {
            Ok(measured) => {
                step.done(&format!("{} {}", grouped(measured.value), measured.unit));
                report.results.push(measured);
            }
            Err(error) => report.fail(figure.name, &error),
        }
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        show::tables(&report, options.functions);
    }
    let failed: Vec<String> = report.errors.iter().map(|failure| format!("{}: {}", failure.name, failure.error)).collect();
    if failed.is_empty() { Ok(()) } else { bail!("not measured: {}", failed.join("; ")) }
}

/// Measures every figure of the system as a whole that has a goal, and fails when one misses it.
pub fn goals_are_met(workspace: &Workspace, artifacts: &Artifacts) -> Result<()> {
    for figure in &FIGURES {
        let Measured { name, value, unit, goal, .. } =
            figure.measure(workspace, artifacts).with_context(|| format!("{} can't be measured", figure.name))?;
        if let Some(goal) = goal
            && value > goal
        {
            bail!("{name}: {} {unit}, the goal is at most {}", grouped(value), grouped(goal));
        }
    }
    Ok(())
}

/// The name of a figure with guarded vectors.
fn guarded(name: &str) -> String {
    format!("{name}_mitigated")
}

/// Counts operations on every machine that they need.
fn count_all(stand: &Stand<'_>, map: &Map, operations: &[&Operation], progress: &Progress, report: &mut Report) {
    let cores_of = |operation: &Operation| aios_bench::by_name(operation.name).map_or(1, |row| row.cores);
    let mut counted: Vec<(Setting, Counted)> = Vec::new();
    for setting in SETTINGS {
        for cores in [1, 2] {
            let here: Vec<_> = operations.iter().filter(|operation| cores_of(operation) == cores).collect();
            if here.is_empty() {
                continue;
            }
            let vectors = if setting.guarded { "guarded" } else { "plain" };
            let step = progress.step("bench", format!("{}, {vectors} vectors, {cores} core(s)", setting.cpu));
            let rows = match stand.count(setting, cores).with_context(|| format!("on {}, {vectors} vectors", setting.cpu)) {
                Ok(rows) => rows,
                Err(error) => {
                    here.iter().for_each(|operation| report.fail(operation.name, &error));
                    continue;
                }
            };
            step.done(&format!("{} operations", rows.len()));
            for (row, outcome) in rows {
                match outcome.with_context(|| format!("on {}, {vectors} vectors", setting.cpu)) {
                    Ok(row) => counted.push((setting, row)),
                    Err(error) if here.iter().any(|operation| operation.name == row.name) => report.fail(row.name, &error),
                    Err(_) => {}
                }
            }
        }
    }
    for mitigated in [false, true] {
        for operation in operations {
            let of = |(setting, counted): &&(Setting, Counted)| setting.guarded == mitigated && counted.row.name == operation.name;
            let all: Vec<&(Setting, Counted)> = counted.iter().filter(of).collect();
            let Some((_, first)) = all.first() else { continue };
            let cores: BTreeMap<&'static str, u64> = all.iter().map(|(setting, counted)| (setting.cpu, counted.value)).collect();
            report.results.push(Measured {
                name: if mitigated { guarded(operation.name) } else { operation.name.to_owned() },
                value: cores.values().copied().max().unwrap_or_default(),
                unit: "instructions",
                goal: (!mitigated).then_some(operation.goal),
                better: Better::Lower,
                anchors: if mitigated { BTreeMap::new() } else { operation.anchors() },
                method: Some(stand.method().name()),
                cores,
                stages: map.stages(first).into_iter().map(|(name, sum)| Stage { name, instructions: tenths(sum) }).collect(),
                functions: map.functions(first),
            });
        }
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
