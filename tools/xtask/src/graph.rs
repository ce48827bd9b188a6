//! `cargo xtask graph`: who may call whom.

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// Draw a target's boot manifest: the servers in their order, and who may call whom.
#[derive(clap::Args)]
pub struct Options {
    /// The profile under targets/
    #[arg(long, value_name = "NAME", default_value = "qemu-virt")]
    pub target: String,
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let (path, manifest) = workspace.manifest(&options.target)?;
    print!("{}", aios_manifest::graph(&manifest).with_context(|| format!("in {}", path.display()))?);
    Ok(())
}
