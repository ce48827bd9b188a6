//! `cargo xtask fuzz`: every fuzz target of `tests/fuzz`, for a while each.
//!
//! A target's body is in `tests/fuzzed`, which also replays the corpora with every test run. What is found stays in the target folder; what is worth
//! keeping is minimised (`cargo fuzz cmin`, `tmin`) and put into `tests/fuzz/corpus`.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::profile::names;
use crate::setup::in_path;
use crate::workspace::Workspace;

/// Inputs that are in the repository anyway, by target.
const SEEDS: [(&str, &str); 1] = [("device_tree", "hal/platform/tests/data")];

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
        // What is found goes into the first folder; the others are read.
        let found = workspace.target_dir.join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&found)?;
        let mut folders = vec![found, folder.join("corpus").join(target)];
        folders.extend(SEEDS.iter().filter(|(name, _)| name == target).map(|(_, seeds)| workspace.root.join(seeds)));
        let mut command = std::process::Command::new("rustup");
        command
            .args(["run", "nightly", "cargo", "fuzz", "run", "--sanitizer", "none", "--fuzz-dir", ".", target])
            .args(folders.iter().filter(|folder| folder.exists()));
        // No input takes as long as ten seconds, unless it leads around in a circle.
        command.args(["--", &format!("-max_total_time={seconds}"), "-timeout=10"]).current_dir(&folder);
        command.arg(format!("-artifact_prefix={}/", folders[0].display()));
        // The toolchain and cargo that run us are not the ones wanted.
        command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC");
        let status = command.env("CARGO_TARGET_DIR", workspace.target_dir.join("fuzz")).status()?;
        if !status.success() {
            failed.push(format!("{target} ({status} after {} s)", began.elapsed().as_secs()));
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("fuzz targets failed: {}", failed.join(", ")) }
}
