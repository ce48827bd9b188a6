//! Building the programs that the system consists of.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cleanup::Group;
use crate::progress::{Progress, Step};
use crate::setup::{KERNEL_TRIPLE, USER_TRIPLE};
use crate::workspace::Workspace;

/// The kernel's package and program.
pub const KERNEL: &str = "aios-kernel";
/// The first stage's package and program.
pub const STAGE0: &str = "aios-stage0";
/// The image of init, which the first stage loads; it is in every bundle.
pub const INIT: &str = "init";

/// The image of the program whose operations are counted; only machines made for that have it.
pub const BENCH: &str = "bench";
/// The package of QEMU's plugin that counts instructions.
pub const COUNTER: &str = "aios-icount";

/// Programs as the linker made them, with symbols.
pub struct Programs {
    /// The kernel.
    pub kernel: PathBuf,
    /// The first stage.
    pub stage0: PathBuf,
    /// Programs of user mode: the image's name in the manifest, and the file.
    pub images: Vec<(String, PathBuf)>,
}

/// Builds what a target's manifest needs.
pub fn programs(workspace: &Workspace, target: &str, progress: &Progress) -> Result<Programs> {
    let (path, manifest) = workspace.manifest(target)?;
    let mut images = aios_manifest::images(&manifest).with_context(|| format!("in {}", path.display()))?;
    if !images.iter().any(|image| image == INIT) {
        images.insert(0, INIT.to_owned());
    }
    compile(workspace, progress, "kernel and first stage", KERNEL_TRIPLE, &[KERNEL.to_owned(), STAGE0.to_owned()])?;
    let packages: Vec<String> = images.iter().map(|image| package(image)).collect();
    if let Some(unknown) = packages.iter().find(|name| !workspace.packages.iter().any(|package| package.name == **name)) {
        bail!("{}: an image needs the package {unknown}, which the workspace does not have", path.display());
    }
    compile(workspace, progress, &images.join(", "), USER_TRIPLE, &packages)?;
    let file = |triple: &str, name: &str| workspace.target_dir.join(triple).join("release").join(name);
    Ok(Programs {
        kernel: file(KERNEL_TRIPLE, KERNEL),
        stage0: file(KERNEL_TRIPLE, STAGE0),
        images: images.into_iter().map(|image| (file(USER_TRIPLE, &package(&image)), image)).map(|(file, image)| (image, file)).collect(),
    })
}

/// The same programs and more images, built.
pub fn with_images(workspace: &Workspace, programs: &Programs, images: &[&str], progress: &Progress) -> Result<Programs> {
    compile(workspace, progress, &images.join(", "), USER_TRIPLE, &images.iter().map(|image| package(image)).collect::<Vec<_>>())?;
    let folder = workspace.target_dir.join(USER_TRIPLE).join("release");
    let more = images.iter().map(|image| ((*image).to_owned(), folder.join(package(image))));
    Ok(Programs {
        images: programs.images.iter().cloned().chain(more).collect(),
        kernel: programs.kernel.clone(),
        stage0: programs.stage0.clone(),
    })
}

/// QEMU's plugin that counts instructions, built for this machine.
pub fn plugin(workspace: &Workspace, progress: &Progress) -> Result<PathBuf> {
    const PROFILE: &str = "tool";
    let step = progress.step("build", "instruction counter");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--profile", PROFILE, "--package", COUNTER, "--features", "plugin", "--lib"]);
    watched(&mut cargo, &step)?;
    step.done("");
    let name = format!("{}aios_icount{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    Ok(workspace.target_dir.join(PROFILE).join(name))
}

/// The package, and its program, that an image of the manifest is built from.
pub fn package(image: &str) -> String {
    format!("aios-{image}")
}

fn compile(workspace: &Workspace, progress: &Progress, what: &str, triple: &str, packages: &[String]) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--target", triple]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    let step = progress.step("build", what);
    let said = watched(&mut cargo, &step)?;
    let warnings = said.lines().filter(|line| line.starts_with("warning: ") && !line.contains(" generated ")).count();
    step.done(&if warnings == 0 { String::new() } else { format!("{warnings} warnings") });
    Ok(())
}

/// Runs a cargo command and shows beside the step what it is at; returns what it said, which is the error when it fails.
fn watched(command: &mut Command, step: &Step) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut group = Group::spawn(command).context("can't run cargo")?;
    let child = group.child();
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line?;
            let word = line.trim_start();
            if ["Compiling", "Downloading", "Downloaded", "Blocking", "Linking"].iter().any(|verb| word.starts_with(verb)) {
                step.detail(word, false);
            }
            said += &line;
            said.push('\n');
        }
    }
    if !child.wait()?.success() {
        bail!("the build failed:\n{}", said.trim_end());
    }
    Ok(said)
}
