//! `cargo xtask fuzz`: every fuzz target of `tests/fuzz`, for a while each.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::profile::names;
use crate::setup::in_path;
use crate::workspace::Workspace;

/// Run the fuzz targets of tests/fuzz (with cargo-fuzz and a nightly toolchain), the time shared equally among them.
#[derive(clap::Args)]
pub struct Options {
    /// How long altogether
    #[arg(long, value_name = "MINUTES", default_value_t = 10)]
    pub minutes: u64,
    /// Only this target
    pub name: Option<String>,
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let folder = workspace.root.join("tests/fuzz");
    let mut targets = names(&folder.join("fuzz_targets"), "rs");
    if let Some(name) = &options.name {
        targets.retain(|target| target == name);
    }
    if targets.is_empty() {
        bail!("no fuzz target{} in tests/fuzz/fuzz_targets", options.name.as_ref().map(|name| format!(" '{name}'")).unwrap_or_default());
    }
    if in_path("cargo-fuzz").is_none() {
        bail!("cargo-fuzz is missing. Install it by typing:\n\n    cargo install cargo-fuzz\n");
    }
    let seconds = (options.minutes * 60 / targets.len() as u64).max(1);
    let mut failed = Vec::new();
    for target in &targets {
        println!("fuzz {target}: {seconds} s");
        let began = Instant::now();
        let status = std::process::Command::new("rustup")
            .args(["run", "nightly", "cargo", "fuzz", "run", target, "--", &format!("-max_total_time={seconds}")])
            .current_dir(&folder)
            .status()?;
        if !status.success() {
            failed.push(format!("{target} ({status} after {} s)", began.elapsed().as_secs()));
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("fuzz targets failed: {}", failed.join(", ")) }
}
