//! `cargo xtask image`: the boot files of a board in a folder.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::artifacts::Artifacts;
use crate::progress::Progress;
use crate::setup;
use crate::workspace::{Workspace, write_if_changed};

/// Write the boot files of a target into a folder, to be copied onto the boot partition of an SD card.
///
/// The folder holds Image, bundle.bin, boot.scr and extlinux/extlinux.conf. The binaries are the same for every target: what differs
/// between machines comes from the device tree and from the target's manifest.
#[derive(clap::Args)]
pub struct Options {
    /// The profile under targets/
    #[arg(long, value_name = "NAME")]
    pub target: String,
    /// Where to [default: aios/<target>/sd in cargo's target folder]
    #[arg(long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let progress = Progress::new(false);
    setup::rust_targets(&progress)?;
    let artifacts = Artifacts::make(workspace, &options.target, &progress)?;
    let folder = options.output.clone().unwrap_or_else(|| artifacts.folder.join("sd"));
    let extlinux = workspace.root.join("boot/uboot/extlinux.conf");
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("can't read {}", path.display()));
    let files = [
        ("Image", read(&artifacts.image)?),
        ("bundle.bin", read(&artifacts.bundle)?),
        ("boot.scr", artifacts.boot_script.clone()),
        ("extlinux/extlinux.conf", read(&extlinux)?),
    ];
    for (name, bytes) in &files {
        write_if_changed(&folder.join(name), bytes)?;
    }
    println!("The boot files for {} are in {}:", options.target, folder.display());
    for (name, bytes) in &files {
        println!("  {name:<24}{:>10} bytes", bytes.len());
    }
    println!("Copy them onto the first partition (FAT, from 16 MiB on, marked bootable) of a card that has U-Boot in front of it.");
    Ok(())
}
