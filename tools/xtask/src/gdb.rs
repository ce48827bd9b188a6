//! `cargo xtask gdb`: a debugger on a machine that stands at its first instruction.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::artifacts::Artifacts;
use crate::cleanup::{self, Group};
use crate::console;
use crate::profile::Profile;
use crate::progress::Progress;
use crate::qemu::{Launch, QEMU};
use crate::serial::Serial;
use crate::setup::{self, Tool};
use crate::workspace::Workspace;

/// Start a machine that waits for the debugger, and the debugger, with the symbols of kernel and programs.
///
/// The kernel's symbols are at their link address. All user programs are linked at the same address: choose with --program whose
/// symbols count. The console is on a socket: `cargo xtask gdb --console` in a second terminal connects to it.
#[derive(clap::Args)]
pub struct Options {
    /// A launch profile under qemu/
    #[arg(long, value_name = "NAME", default_value = "direct")]
    pub profile: String,
    /// Number of cores
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub smp: u32,
    /// Programs whose symbols to load, by their image's name [default: init]
    #[arg(long = "program", value_name = "IMAGE")]
    pub programs: Vec<String>,
    /// Connect this terminal to the console of a machine that is being debugged
    #[arg(long)]
    pub console: bool,
    /// Only print the commands: for a debugger of your own
    #[arg(long)]
    pub print: bool,
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let folder = workspace.target_dir.join("aios");
    let sockets = Sockets { gdb: folder.join("gdb.sock"), console: folder.join("console.sock") };
    if options.console {
        return attach(&sockets.console, &workspace.log_dir().join("gdb.log"));
    }
    let progress = Progress::new(false);
    setup::rust_targets(&progress)?;
    setup::tools(&progress, if options.print { &[Tool::Qemu] } else { &[Tool::Qemu, Tool::Gdb] })?;
    let mut profile = Profile::load(&workspace.root, &options.profile)?;
    profile.smp = options.smp;
    profile.check()?;
    let artifacts = Artifacts::make(workspace, &profile.target, &progress)?;
    let mut launch = Launch::new(profile.clone(), artifacts.source(&profile)?);
    launch.extra = sockets.arguments();
    let script = script(&artifacts, &options.programs, &sockets.gdb)?;
    if options.print {
        println!("{QEMU} {}", launch.arguments().join(" "));
        println!("gdb {}", script.iter().map(|line| format!("-ex '{line}'")).collect::<Vec<_>>().join(" "));
        return Ok(());
    }
    sockets.remove();
    // In a process group of its own, so that Ctrl-C in the debugger interrupts the machine's program and not QEMU.
    let mut command = Command::new(QEMU);
    let machine = Group::spawn(command.args(launch.arguments()).stdin(Stdio::null())).with_context(|| format!("can't start {QEMU}"))?;
    let outcome = wait_for(&sockets.gdb).and_then(|()| {
        progress.note("console: type `cargo xtask gdb --console` in a second terminal");
        debugger(&script)
    });
    drop(machine);
    sockets.remove();
    outcome
}

struct Sockets {
    gdb: PathBuf,
    console: PathBuf,
}

impl Sockets {
    fn arguments(&self) -> Vec<String> {
        let socket = |id: &str, path: &Path| format!("socket,id={id},path={},server=on,wait=off", path.display());
        let (gdb, console) = (socket("gdb", &self.gdb), socket("console", &self.console));
        ["-S", "-monitor", "none", "-chardev", &gdb, "-gdb", "chardev:gdb", "-chardev", &console, "-serial", "chardev:console"]
            .map(str::to_owned)
            .into()
    }

    fn remove(&self) {
        for path in [&self.gdb, &self.console] {
            // What is not there needs no removal.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Commands for the debugger.
fn script(artifacts: &Artifacts, programs: &[String], socket: &Path) -> Result<Vec<String>> {
    let init = [crate::build::INIT.to_owned()];
    let programs = if programs.is_empty() { &init } else { programs };
    let mut lines =
        vec!["set confirm off".to_owned(), "set architecture aarch64".to_owned(), format!("file {}", artifacts.programs.kernel.display())];
    for name in programs {
        let Some((_, path)) = artifacts.programs.images.iter().find(|(image, _)| image == name) else {
            let known: Vec<&str> = artifacts.programs.images.iter().map(|(image, _)| image.as_str()).collect();
            bail!("no image '{name}' (there are: {})", known.join(", "));
        };
        lines.push(format!("add-symbol-file {}", path.display()));
    }
    lines.push(format!("target remote {}", socket.display()));
    Ok(lines)
}

fn debugger(script: &[String]) -> Result<()> {
    let gdb = setup::gdb().context("no debugger was found")?;
    // The debugger takes Ctrl-C for itself; we only wait for it.
    let mut command = Command::new(gdb);
    command.arg("-q");
    for line in script {
        command.args(["-ex", line]);
    }
    let status = cleanup::without_interrupts(|| command.status()).with_context(|| format!("can't run {gdb}"))?;
    if !status.success() {
        bail!("{gdb} ended with {status}");
    }
    Ok(())
}

fn wait_for(socket: &Path) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(5);
    while !socket.exists() {
        if Instant::now() >= until {
            bail!("QEMU did not open {}", socket.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn attach(socket: &Path, log: &Path) -> Result<()> {
    let stream =
        UnixStream::connect(socket).with_context(|| format!("no machine is being debugged ({} can't be opened)", socket.display()))?;
    eprintln!("connected; Ctrl-A X leaves");
    let mut serial = Serial::new(stream.try_clone()?, stream, Some(log))?;
    console::session(&mut serial, b"")?;
    Ok(())
}
