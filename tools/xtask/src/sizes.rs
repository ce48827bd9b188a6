//! `cargo xtask sizes`: how large everything is that gets loaded.

use std::path::Path;

use aios_elf::Elf;
use anyhow::{Context, Result};

use crate::artifacts::Artifacts;
use crate::progress::Progress;
use crate::setup;
use crate::table::{Align, Table, grouped};
use crate::workspace::Workspace;

/// Show how large kernel, first stage and programs are.
#[derive(clap::Args)]
pub struct Options {
    /// The profile under targets/
    #[arg(long, value_name = "NAME", default_value = "qemu-virt")]
    pub target: String,
}

/// Bytes of a program in memory, by what may be done with them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Executable.
    pub text: u64,
    /// Readable only.
    pub rodata: u64,
    /// Writable, with content.
    pub data: u64,
    /// Writable, zero at the start.
    pub bss: u64,
}

impl Sizes {
    /// Reads them from an ELF file's segments.
    pub fn of(path: &Path) -> Result<Self> {
        let file = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        let elf = Elf::parse(&file).with_context(|| format!("in {}", path.display()))?;
        let mut sizes = Self::default();
        for segment in elf.segments() {
            let len = segment.data.len() as u64;
            if segment.flags.execute() {
                sizes.text += len;
            } else if segment.flags.write() {
                sizes.data += len;
                sizes.bss += segment.memsz - len;
            } else {
                sizes.rodata += len;
            }
        }
        Ok(sizes)
    }
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let progress = Progress::new(false);
    setup::rust_targets(&progress)?;
    let artifacts = Artifacts::make(workspace, &options.target, &progress)?;
    let mut table = Table::new(&[
        ("program", Align::Left),
        ("text", Align::Right),
        ("rodata", Align::Right),
        ("data", Align::Right),
        ("bss", Align::Right),
    ]);
    let programs = &artifacts.programs;
    let rows = [("kernel", &programs.kernel), ("stage0", &programs.stage0)].into_iter();
    for (name, path) in rows.chain(programs.images.iter().map(|(name, path)| (name.as_str(), path))) {
        let sizes = Sizes::of(path)?;
        table.row([name.to_owned(), grouped(sizes.text), grouped(sizes.rodata), grouped(sizes.data), grouped(sizes.bss)]);
    }
    for line in table.lines() {
        println!("{line}");
    }
    println!();
    for path in [&artifacts.image, &artifacts.bundle] {
        let len = path.metadata().with_context(|| format!("can't read {}", path.display()))?.len();
        println!("{:>12} bytes  {}", grouped(len), path.display());
    }
    Ok(())
}
