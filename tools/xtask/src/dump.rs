//! `cargo xtask dump`: what the kernel knew, from a machine's memory.

mod render;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use aios_dump::kernel::is_described;
use aios_dump::{Image, Kernel, Program, State};
use anyhow::{Context, Result, bail};

use crate::build::KERNEL;
use crate::progress::Progress;
use crate::setup::{self, KERNEL_TRIPLE};
use crate::workspace::Workspace;

pub use render::object;

/// Show what the kernel knew, from a memory image: panic, cores, agents, capabilities, waiting messages, pools.
///
/// FILE is what `cargo xtask run --memory-file FILE` leaves, also while the machine runs, or a core file of QEMU's command
/// `dump-guest-memory`. The kernel's code in it must be that of the kernel's file, byte for byte.
#[derive(clap::Args)]
pub struct Options {
    /// The memory image
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The kernel that ran, as it was linked [default: the one that was built last]
    #[arg(long, value_name = "ELF")]
    pub kernel: Option<PathBuf>,
    /// One JSON object instead of tables
    #[arg(long)]
    pub json: bool,
}

/// What a memory image holds.
pub struct Report {
    /// Where the kernel lies, a physical address.
    pub kernel_at: u64,
    /// First physical address and bytes of each range of memory in the image.
    pub memory: Vec<(u64, u64)>,
    /// What the kernel knew.
    pub state: State,
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut image = open(&options.file)?;
    let progress = Progress::new(false);
    let program = program(workspace, options.kernel.as_deref(), &progress)?;
    let report = read(&mut image, &program).with_context(|| format!("in {}", options.file.display()))?;
    render::print(&report, &workspace.root, options.json)
}

/// Opens a memory image.
pub fn open(file: &Path) -> Result<Image> {
    Image::open(file).with_context(|| format!("can't read {}", file.display()))
}

/// Reads a memory image.
pub fn read(image: &mut Image, program: &Program) -> Result<Report, aios_dump::Error> {
    let kernel = Kernel::find(image, program)?;
    let memory = kernel.image().parts().iter().map(|part| (part.base, part.length)).collect();
    Ok(Report { kernel_at: kernel.base(), memory, state: State::read(&kernel)? })
}

/// The kernel's file, with a description of its types.
///
/// Kernels are built without one, because it takes time. The same sources built with it give the same code, which is checked.
pub fn program(workspace: &Workspace, kernel: Option<&Path>, progress: &Progress) -> Result<Program> {
    let built = workspace.target_dir.join(KERNEL_TRIPLE).join("release").join(KERNEL);
    let path = kernel.unwrap_or(&built);
    if kernel.is_none() && !path.exists() {
        bail!("no kernel has been built in {}: name the one that ran with --kernel", workspace.target_dir.display());
    }
    let program = Program::open(path).with_context(|| format!("in {}", path.display()))?;
    if is_described(&program) {
        return Ok(program);
    }
    let twin = build_described(workspace, progress)?;
    let described = Program::open(&twin).with_context(|| format!("in {}", twin.display()))?;
    if !described.is_same_code(&program) {
        bail!(
            "{} has no description of its types, and these sources give another kernel: build it from its own sources with \
             `cargo rustc --release --package {KERNEL} --target {KERNEL_TRIPLE} -- -C debuginfo=2`",
            path.display()
        );
    }
    Ok(described)
}

/// Builds the kernel with a description of its types, in a folder of its own.
fn build_described(workspace: &Workspace, progress: &Progress) -> Result<PathBuf> {
    setup::rust_targets(progress)?;
    let step = progress.step("build", "kernel with types");
    let folder = workspace.target_dir.join("aios/dump");
    let mut cargo = workspace.cargo();
    cargo.args(["rustc", "--release", "--package", KERNEL, "--bin", KERNEL, "--target", KERNEL_TRIPLE, "--target-dir"]).arg(&folder);
    let output = cargo.args(["--", "-C", "debuginfo=2"]).stdin(Stdio::null()).output().context("can't run cargo")?;
    if !output.status.success() {
        bail!("the build failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    step.done("");
    Ok(folder.join(KERNEL_TRIPLE).join("release").join(KERNEL))
}
