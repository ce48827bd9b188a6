//! The suite "tidy": format, lints of the host and of the machine, and the checks of our own.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::{Context, Tally};
use crate::build::{self, KERNEL, STAGE0};
use crate::setup::{KERNEL_TRIPLE, USER_TRIPLE};
use crate::tidy as sources;

/// Runs all of them.
pub fn tidy(context: &Context<'_>, _filter: Option<&str>) -> Result<Tally> {
    let workspace = context.workspace;
    let mut tally = Tally::default();
    let step = context.progress.step("tidy", "sources");
    let findings = sources::look(workspace)?;
    tally.count("sources", if findings.errors.is_empty() { Ok(()) } else { Err(findings.errors.join("\n")) });
    step.done(&format!("{} sources, {} unsafe lines", findings.files, findings.unsafe_total()));

    let mut programs: Vec<String> = Vec::new();
    for target in workspace.targets() {
        let (path, manifest) = workspace.manifest(&target)?;
        let images = aios_manifest::images(&manifest).with_context(|| format!("in {}", path.display()))?;
        programs.extend(images.iter().map(|image| build::package(image)));
    }
    programs.extend([build::INIT, build::BENCH].map(build::package));
    programs.sort();
    programs.dedup();

    let clippy = |name, scope: &[&str], packages: &[String]| {
        let mut cargo = workspace.cargo();
        cargo.args(["clippy", "--quiet"]).args(scope);
        for package in packages {
            cargo.args(["--package", package]);
        }
        cargo.args(["--", "--deny", "warnings"]);
        (name, cargo)
    };
    let mut format = workspace.cargo();
    format.args(["fmt", "--all", "--check"]);
    let commands = [
        ("format", format),
        clippy("clippy, host", &["--workspace", "--all-targets"], &[]),
        clippy("clippy, instruction counter", &["--features", "plugin"], &[build::COUNTER.to_owned()]),
        clippy("clippy, kernel", &["--target", KERNEL_TRIPLE], &[KERNEL.to_owned(), STAGE0.to_owned()]),
        clippy("clippy, programs", &["--target", USER_TRIPLE], &programs),
    ];
    for (name, mut command) in commands {
        let step = context.progress.step("tidy", name);
        let outcome = quiet(&mut command)?;
        if outcome.is_ok() {
            step.done("");
        }
        tally.count(name, outcome);
    }
    Ok(tally)
}

/// Runs a command; what it said is the failure.
fn quiet(command: &mut Command) -> Result<Result<(), String>> {
    let output = command.stdin(Stdio::null()).output().context("can't run cargo")?;
    let said = [output.stdout, output.stderr].concat();
    Ok(if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) })
}
