//! `cargo xtask doc`: the documentation of every crate.

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Make the documentation of every crate of the workspace, without those of others.
#[derive(clap::Args)]
pub struct Options {
    /// Open it in a browser
    #[arg(long)]
    pub open: bool,
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    if options.open {
        cargo.arg("--open");
    }
    let status = cargo.status().context("can't run cargo")?;
    if !status.success() {
        bail!("cargo doc failed");
    }
    println!("{}", workspace.target_dir.join("doc").display());
    Ok(())
}
