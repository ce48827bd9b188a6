//! `cargo xtask run`: everything from nothing to the shell's prompt.

use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::artifacts::Artifacts;
use crate::commands;
use crate::console::{self, Ending};
use crate::machine::{After, Machine, SILENCE, Stop};
use crate::mark::{Mark, Piece};
use crate::profile::Profile;
use crate::progress::Progress;
use crate::qemu::Launch;
use crate::setup::{self, Tool};
use crate::workspace::Workspace;

/// Boot the system in QEMU and give its shell.
///
/// Installs what is missing where it may, builds, boots. On a terminal every key goes to the system's shell, Ctrl-C too; Ctrl-A X
/// leaves (Ctrl-A Ctrl-A sends a Ctrl-A). With -c, or with lines piped in, the commands are run one by one and their output alone
/// is written to standard output; each line is a command, or several between semicolons. The exit code is 0 when all of them succeeded and
/// the machine shut down cleanly, else the status of the first that failed, or 1 where that is none from 1 to 125.
#[derive(clap::Args)]
pub struct Options {
    /// The profile under targets/ whose manifest makes the bundle
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// A launch profile under qemu/ (direct, direct-el2, uboot, uboot-el1, icount); other options change it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["uboot", "el2"])]
    pub profile: Option<String>,
    /// Number of cores
    #[arg(long, value_name = "N")]
    pub smp: Option<u32>,
    /// Boot by U-Boot from a disk, at EL2, as on a board
    #[arg(long)]
    pub uboot: bool,
    /// Enter the system at EL2 (by U-Boot it always is, but for --profile uboot-el1)
    #[arg(long)]
    pub el2: bool,
    /// RAM
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u32>,
    /// QEMU's processor name
    #[arg(long, value_name = "NAME")]
    pub cpu: Option<String>,
    /// No colours, no spinner, no keys: without commands the console is only shown, until the machine ends
    #[arg(long)]
    pub headless: bool,
    /// Commands for the shell, separated by semicolons; then shut down
    #[arg(short, long = "command", value_name = "COMMANDS")]
    pub command: Option<String>,
    /// Seconds without output after which the machine counts as hung
    #[arg(long, value_name = "SECONDS", default_value_t = SILENCE.as_secs())]
    pub timeout: u64,
    /// Show what the console says while booting
    #[arg(short, long)]
    pub verbose: bool,
    /// Keep the machine's RAM in this file
    #[arg(long, value_name = "FILE")]
    pub memory_file: Option<PathBuf>,
}

impl Options {
    fn profile(&self, workspace: &Workspace) -> Result<Profile> {
        let name = match (&self.profile, self.uboot, self.el2) {
            (Some(name), ..) => name,
            (None, true, _) => "uboot",
            (None, false, true) => "direct-el2",
            (None, false, false) => "direct",
        };
        let mut profile = Profile::load(&workspace.root, name)?;
        if let Some(target) = &self.target {
            profile.target.clone_from(target);
        }
        profile.smp = self.smp.unwrap_or(profile.smp);
        profile.memory_mib = self.memory.unwrap_or(profile.memory_mib);
        if let Some(cpu) = &self.cpu {
            profile.cpu.clone_from(cpu);
        }
        profile.check()?;
        Ok(profile)
    }
}

/// Who talks to the shell.
enum Driver {
    /// These command lines.
    Commands(Vec<String>),
    /// A person at a terminal.
    Person,
    /// Nobody: the console is only shown.
    Nobody,
}

/// Runs the command.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let progress = Progress::new(options.headless);
    let profile = options.profile(workspace)?;
    let driver = driver(options)?;
    setup::rust_targets(&progress)?;
    let mut tools = vec![Tool::Qemu];
    if profile.boot == crate::profile::Boot::Uboot {
        tools.push(Tool::Uboot);
    }
    setup::tools(&progress, &tools)?;
    let artifacts = Artifacts::make(workspace, &profile.target, &progress)?;
    let mut launch = Launch::new(profile.clone(), artifacts.source(&profile)?);
    launch.memory_file.clone_from(&options.memory_file);

    let log = workspace.log_dir().join("run.log");
    let mut machine = Machine::start(&launch, &log, Duration::from_secs(options.timeout))?;
    machine.serial().decode(Rc::new(artifacts.frames()?));
    let outcome = boot(&mut machine, &profile, &progress, options.verbose).map_err(anyhow::Error::from).and_then(|banner| match driver {
        Driver::Commands(lines) => commands_one_by_one(&mut machine, &lines),
        Driver::Person => person(&mut machine, &banner, &progress).map(|()| ExitCode::SUCCESS),
        Driver::Nobody => nobody(&mut machine, &banner).map(|()| ExitCode::SUCCESS),
    });
    // A machine that stopped by itself explains itself: everything it said goes to the user.
    if let Err(error) = &outcome
        && error.is::<Stop>()
    {
        eprintln!("--- console, from power-on ---\n{}\n--- end of console ({}) ---", machine.log().trim_end(), log.display());
    }
    outcome
}

fn driver(options: &Options) -> Result<Driver> {
    if let Some(text) = &options.command {
        let lines = commands::split(text).context("-c")?;
        if lines.is_empty() {
            bail!("-c: there is no command in '{text}'");
        }
        return Ok(Driver::Commands(lines));
    }
    if stdin().is_terminal() {
        return Ok(if options.headless { Driver::Nobody } else { Driver::Person });
    }
    let mut text = String::new();
    stdin().read_to_string(&mut text).context("can't read commands from standard input")?;
    Ok(Driver::Commands(commands::split(&text).context("standard input")?))
}

/// Waits for the prompt; returns the text since the last stage, which belongs to the shell.
fn boot(machine: &mut Machine, profile: &Profile, progress: &Progress, verbose: bool) -> Result<Vec<u8>, Stop> {
    let began = Instant::now();
    let step = progress.step("boot", profile.to_string());
    let mut banner = Vec::new();
    let mut stages = Vec::new();
    machine.wait_prompt(&mut |piece| match piece {
        Piece::Mark(Mark::Boot(stage)) => {
            banner.clear();
            step.detail(stage, true);
            stages.push(format!("{stage} {:.1}", began.elapsed().as_secs_f64()));
        }
        Piece::Text(text) => {
            banner.extend(text);
            if verbose {
                eprint!("{}", crate::machine::unix_lines(text));
            }
        }
        Piece::Mark(_) => {}
    })?;
    step.done(&stages.join(" → "));
    Ok(banner)
}

/// Runs the commands and shuts down. A command that fails is told on standard error, and its status becomes the exit code.
fn commands_one_by_one(machine: &mut Machine, lines: &[String]) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let mut off = false;
    for line in lines {
        if off {
            bail!("'{line}' was not run: the machine was shut down before it");
        }
        let reply = machine.command(line, None, &mut |text| {
            let mut out = stdout().lock();
            let text: Vec<u8> = text.iter().copied().filter(|&byte| byte != b'\r').collect();
            // Standard output that was closed (`| head`) must not stop the commands.
            let _ = out.write_all(&text).and_then(|()| out.flush());
        })?;
        if reply.status != 0 {
            eprintln!("xtask: '{line}' ended with status {}", reply.status);
            if code == ExitCode::SUCCESS {
                code = exit_code(reply.status);
            }
        }
        match reply.after {
            After::Ready => {}
            After::Off => off = true,
            After::Rebooted if line.split_whitespace().next() == Some("reboot") => {}
            After::Rebooted => return Err(Stop::Rebooted.into()),
        }
    }
    if !off {
        machine.shutdown().map_err(|stop| anyhow!(stop).context("the machine did not shut down"))?;
    }
    Ok(code)
}

/// A command's status as this program's: 126 and more are a shell's own words on programs that it can't start or that a signal ended.
fn exit_code(status: u32) -> ExitCode {
    match status {
        0..=125 => ExitCode::from(status as u8),
        _ => ExitCode::FAILURE,
    }
}

fn person(machine: &mut Machine, banner: &[u8], progress: &Progress) -> Result<()> {
    progress.note("Ctrl-A X quits, `help` lists the commands");
    match console::session(machine.serial(), banner)? {
        Ending::Left | Ending::PoweredOff => Ok(()),
        Ending::Panicked => bail!("the kernel panicked"),
        Ending::Closed => Err(machine.ended().into()),
    }
}

/// Shows the console until the machine ends.
fn nobody(machine: &mut Machine, banner: &[u8]) -> Result<()> {
    let mut out = stdout();
    out.write_all(banner)?;
    let mut halting = false;
    loop {
        match machine.serial().next(None) {
            Some(crate::serial::Event::Piece(Piece::Text(text))) => {
                out.write_all(&text)?;
                out.flush()?;
            }
            Some(crate::serial::Event::Piece(Piece::Mark(Mark::Panic(reason)))) => return Err(Stop::Panic(reason).into()),
            Some(crate::serial::Event::Piece(Piece::Mark(mark))) => halting |= mark == Mark::Halt,
            Some(_) | None if halting => return Ok(()),
            Some(_) | None => return Err(machine.ended().into()),
        }
    }
}
