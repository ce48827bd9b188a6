//! What the machine must have before anything is built or run: Rust targets, QEMU, U-Boot, a debugger.
//!
//! What is missing is installed when that needs no question to the user (root, password-less sudo, Homebrew); otherwise the one command
//! that installs it is the error message.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::progress::Progress;
use crate::qemu::QEMU;

/// Target of kernel and first stage: no floating point registers.
pub const KERNEL_TRIPLE: &str = "aarch64-unknown-none-softfloat";
/// Target of everything that runs in user mode.
pub const USER_TRIPLE: &str = "aarch64-unknown-none";

/// Names another place for U-Boot's `u-boot.bin` (built for `qemu_arm64`).
pub const UBOOT_VARIABLE: &str = "AIOS_UBOOT";
const UBOOT_PLACES: [&str; 2] = ["/usr/lib/u-boot/qemu_arm64/u-boot.bin", "/usr/share/uboot/qemu_arm64/u-boot.bin"];

/// A program that a package manager can bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The emulator.
    Qemu,
    /// U-Boot for the emulator's machine.
    Uboot,
    /// A debugger that knows AArch64.
    Gdb,
}

impl Tool {
    fn present(self) -> bool {
        match self {
            Self::Qemu => in_path(QEMU).is_some(),
            Self::Uboot => uboot().is_some(),
            Self::Gdb => gdb().is_some(),
        }
    }

    /// The package that holds it.
    fn package(self, manager: Manager) -> Option<&'static str> {
        Some(match (self, manager) {
            (Self::Qemu, Manager::Apt) => "qemu-system-arm",
            (Self::Qemu, Manager::Dnf | Manager::Pacman) => "qemu-system-aarch64",
            (Self::Qemu, Manager::Brew) => "qemu",
            (Self::Uboot, Manager::Apt) => "u-boot-qemu",
            (Self::Uboot, Manager::Dnf) => "uboot-images-armv8",
            (Self::Uboot, Manager::Pacman | Manager::Brew) => return None,
            (Self::Gdb, Manager::Apt) => "gdb-multiarch",
            (Self::Gdb, Manager::Dnf | Manager::Pacman | Manager::Brew) => "gdb",
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Qemu => QEMU,
            Self::Uboot => "U-Boot for QEMU (qemu_arm64/u-boot.bin)",
            Self::Gdb => "gdb-multiarch or gdb",
        }
    }
}

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf,
    Pacman,
    Brew,
}

impl Manager {
    const ALL: [Self; 4] = [Self::Apt, Self::Dnf, Self::Pacman, Self::Brew];

    fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Brew => "brew",
        }
    }

    fn find() -> Option<Self> {
        Self::ALL.into_iter().find(|manager| in_path(manager.program()).is_some())
    }

    /// Commands that install packages, as words; `sudo` in front where the manager needs root.
    fn install(self, packages: &[&str], sudo: bool) -> Vec<Vec<String>> {
        let lines: &[&[&str]] = match self {
            Self::Apt => &[&["apt-get", "-qq", "update"], &["apt-get", "install", "-y", "--no-install-recommends"]],
            Self::Dnf => &[&["dnf", "install", "-y"]],
            Self::Pacman => &[&["pacman", "-Sy", "--noconfirm", "--needed"]],
            Self::Brew => &[&["brew", "install"]],
        };
        let last = lines.len() - 1;
        let prefix = if sudo && self != Self::Brew { &["sudo"][..] } else { &[] };
        let words = |(index, line): (usize, &&[&str])| {
            let packages = if index == last { packages } else { &[] };
            prefix.iter().chain(*line).chain(packages).map(|word| (*word).to_owned()).collect()
        };
        lines.iter().enumerate().map(words).collect()
    }
}

/// Makes sure that both Rust targets are there.
pub fn rust_targets(progress: &Progress) -> Result<()> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().context("can't run rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let missing: Vec<&str> =
        [KERNEL_TRIPLE, USER_TRIPLE].into_iter().filter(|triple| !sysroot.join("lib/rustlib").join(triple).is_dir()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!("rustup target add {}", missing.join(" "));
    if in_path("rustup").is_none() {
        bail!("Rust's standard library for {} is missing and there is no rustup; install rustup, then type: {line}", missing.join(" and "));
    }
    let step = progress.step("set-up", format!("Rust target {}", missing.join(", ")));
    run(&["rustup", "target", "add"].into_iter().chain(missing).map(str::to_owned).collect::<Vec<_>>())
        .with_context(|| format!("type yourself: {line}"))?;
    step.done("");
    Ok(())
}

/// Makes sure that these programs are there.
pub fn tools(progress: &Progress, wanted: &[Tool]) -> Result<()> {
    let missing: Vec<Tool> = wanted.iter().copied().filter(|tool| !tool.present()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|tool| tool.name()).collect::<Vec<_>>().join(", ");
    let Some(manager) = Manager::find() else {
        bail!("missing: {names}. No package manager that is known here (apt-get, dnf, pacman, brew) was found; install it by hand");
    };
    let packages: Vec<&str> = missing
        .iter()
        .map(|tool| {
            tool.package(manager).with_context(|| {
                format!(
                    "{} has no package of {}: build it from U-Boot's sources and set {UBOOT_VARIABLE} to its place",
                    manager.program(),
                    tool.name()
                )
            })
        })
        .collect::<Result<_>>()?;
    let root = rustix::process::geteuid().is_root();
    let may = root || manager == Manager::Brew || sudo_without_password();
    let lines = manager.install(&packages, !root);
    if !may {
        let command = lines.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join(" && ");
        bail!("missing: {names}. Install it by typing:\n\n    {command}\n");
    }
    let step = progress.step("set-up", format!("{} by {}", packages.join(", "), manager.program()));
    for words in &lines {
        run(words)?;
    }
    step.done("");
    if let Some(tool) = missing.iter().find(|tool| !tool.present()) {
        bail!("{} is still missing after its package was installed", tool.name());
    }
    Ok(())
}

/// U-Boot's program for the emulator.
pub fn uboot() -> Option<PathBuf> {
    match std::env::var_os(UBOOT_VARIABLE) {
        Some(path) => Some(PathBuf::from(path)).filter(|path| path.is_file()),
        None => UBOOT_PLACES.iter().map(PathBuf::from).find(|path| path.is_file()),
    }
}

/// A debugger that knows AArch64.
pub fn gdb() -> Option<&'static str> {
    ["gdb-multiarch", "aarch64-linux-gnu-gdb", "aarch64-none-elf-gdb", "gdb"].into_iter().find(|name| in_path(name).is_some())
}

/// Where a program is.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn sudo_without_password() -> bool {
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    quiet(Command::new("sudo").args(["-n", "true"]))
}

/// Runs a command without questions; what it said is the error when it fails.
fn run(words: &[String]) -> Result<()> {
    let output = Command::new(&words[0])
        .args(&words[1..])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("HOMEBREW_NO_AUTO_UPDATE", "1")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("can't run {}", words[0]))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("`{}` failed:\n{}", words.join(" "), String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_manager_has_its_one_command() {
        let line = |manager: Manager, sudo| {
            manager.install(&["a", "b"], sudo).iter().map(|words| words.join(" ")).collect::<Vec<_>>().join(" && ")
        };
        assert_eq!(line(Manager::Apt, true), "sudo apt-get -qq update && sudo apt-get install -y --no-install-recommends a b");
        assert_eq!(line(Manager::Dnf, false), "dnf install -y a b");
        assert_eq!(line(Manager::Brew, true), "brew install a b");
    }

    #[test]
    fn programs_are_found_by_the_path() {
        assert!(in_path("sh").is_some());
        assert!(in_path("no-such-program-of-aios").is_none());
    }
}
