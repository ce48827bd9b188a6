//! Machines on which the bench program runs, and what was counted on them.
//!
//! The kernel, init and all servers are those of the target; the bundle has two servers more. No byte is typed, so that a run depends on nothing
//! but the files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use aios_bench::{Line, PER_TICK, READING, ROWS, Row, WARM_UP};
use aios_icount::report::{self, Row as Counts};
use anyhow::{Context, Result, bail, ensure};
use toml::{Table, Value};

use crate::artifacts::{self, Artifacts};
use crate::build;
use crate::cleanup::Group;
use crate::machine::{Machine, SILENCE};
use crate::mark::Mark;
use crate::profile::Profile;
use crate::progress::Progress;
use crate::qemu::{Launch, QEMU, Source};
use crate::workspace::{Workspace, write_if_changed};

const _: () = assert!(WARM_UP == aios_icount::WARM_UP, "plugin and program leave out the same operations");

/// How long all rows of a machine may take.
const LIMIT: Duration = Duration::from_secs(300);
/// How long QEMU may take to refuse a plugin.
const PROBE: Duration = Duration::from_secs(10);

/// QEMU's arguments for a machine of which nothing depends on the time of day, or on chance.
pub const SAME: [&str; 4] = ["-rtc", "base=2026-01-01,clock=vm", "-seed", "1"];

/// The servers that the bundle has more. They need no restart: one that ends early shows in what is missing.
const SERVERS: [&str; 2] = [
    "name = 'typed'\nimage = 'bench'\nclass = { fair = { weight = 64 } }\npool_kib = 512\nmailbox_pages = 2\noffers = ['/svc/typed']\n",
    "name = 'bench'\nimage = 'bench'\nclass = { fair = { weight = 64 } }\npool_kib = 8192\nmailbox_pages = 4\nuses = ['/svc/names', '/svc/typed']\n\
     devices = ['arm,pl031']\nspecial = ['console']\n",
];
/// What their pools need, KiB.
const POOLS: i64 = 512 + 8192;

/// Which core counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Its name.
    pub cpu: &'static str,
    /// Its own exception vectors, which make branch history harmless, rather than plain ones.
    pub guarded: bool,
}

/// Both cores with either vectors.
pub const SETTINGS: [Setting; 4] = [
    Setting { cpu: "cortex-a57", guarded: false },
    Setting { cpu: "cortex-a76", guarded: false },
    Setting { cpu: "cortex-a57", guarded: true },
    Setting { cpu: "cortex-a76", guarded: true },
];

impl Setting {
    /// QEMU's processor. The kernel chooses its vectors by the identification register: with that of a core that needs no others (Cortex-A53 r0p4,
    /// Cortex-A55 r1p0) it takes the plain ones, on the same machine.
    pub fn processor(self) -> String {
        match (self.guarded, self.cpu) {
            (true, cpu) => cpu.to_owned(),
            (false, "cortex-a57") => "cortex-a57,midr=0x410fd034".to_owned(),
            (false, cpu) => format!("{cpu},midr=0x411fd050"),
        }
    }
}

/// How instructions are counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Method {
    /// By the plugin, which lies in this file.
    Plugin(PathBuf),
    /// By the counter, which goes on with the instructions.
    Counter,
}

impl Method {
    /// Its name in the report.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plugin(_) => "plugin",
            Self::Counter => "cntvct",
        }
    }

    /// The best that this machine's QEMU can do.
    pub fn find(workspace: &Workspace, progress: &Progress) -> Result<Self> {
        let plugin = build::plugin(workspace, progress)?;
        let out = workspace.target_dir.join("aios/bench/probe");
        write_if_changed(&out, b"")?;
        std::fs::write(&out, b"")?;
        let mut command = Command::new(QEMU);
        command.args(["-machine", "none", "-display", "none", "-plugin", &format!("{},probe=on", argument(&plugin, &out))]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut qemu = Group::spawn(&mut command).with_context(|| format!("can't start {QEMU}"))?;
        let end = std::time::Instant::now() + PROBE;
        while qemu.child().try_wait()?.is_none() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let fits = report::read(&std::fs::read_to_string(&out)?).is_some();
        Ok(if fits { Self::Plugin(plugin) } else { Self::Counter })
    }
}

fn argument(plugin: &Path, out: &Path) -> String {
    let escape = |path: &Path| path.display().to_string().replace(',', ",,");
    format!("file={},out={}", escape(plugin), escape(out))
}

/// A row as it was counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// The row.
    pub row: &'static Row,
    /// Instructions of an operation, rounded.
    pub value: u64,
    /// The same by the counter, whose reading is a few instructions wide.
    pub by_counter: u64,
    /// Where they are, if the plugin counted.
    pub counts: Counts,
}

/// The files of the machines.
pub struct Stand<'a> {
    workspace: &'a Workspace,
    profile: Profile,
    image: PathBuf,
    bundle: PathBuf,
    method: Method,
}

impl<'a> Stand<'a> {
    /// Builds the program, and the bundle in which it is.
    pub fn new(workspace: &'a Workspace, artifacts: &Artifacts, method: Method, progress: &Progress) -> Result<Self> {
        let manifest = manifest(&artifacts.manifest)?;
        let programs = build::with_images(workspace, &artifacts.programs, &[build::BENCH], progress)?;
        let bundle = artifacts::bundle(&manifest, &programs)?;
        let image = artifacts::image(&programs, &bundle)?;
        let folder = workspace.target_dir.join("aios/bench");
        let stand = Self {
            workspace,
            profile: Profile::load(&workspace.root, "icount")?,
            image: folder.join("Image"),
            bundle: folder.join("bundle.bin"),
            method,
        };
        write_if_changed(&stand.image, &image)?;
        write_if_changed(&stand.bundle, &bundle)?;
        Ok(stand)
    }

    /// How it counts.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Runs a machine with so many cores; answers its rows in their order.
    pub fn count(&self, setting: Setting, cores: u16) -> Result<Vec<(&'static Row, Result<Counted>)>> {
        let name = format!("bench-{}-{}-{cores}", setting.cpu, if setting.guarded { "guarded" } else { "plain" });
        let profile = Profile { cpu: setting.processor(), smp: cores.into(), ..self.profile.clone() };
        let mut launch = Launch::new(profile, Source::Files { image: self.image.clone(), bundle: Some(self.bundle.clone()) });
        launch.extra = SAME.map(str::to_owned).into();
        let out = self.workspace.target_dir.join("aios/bench").join(&name);
        if let Method::Plugin(plugin) = &self.method {
            std::fs::write(&out, b"").with_context(|| format!("can't write {}", out.display()))?;
            launch.extra.extend(["-plugin".to_owned(), argument(plugin, &out)]);
        }
        let mut machine = Machine::start(&launch, &self.workspace.log_dir().join(format!("{name}.log")), SILENCE)?;
        machine.wait_mark(|mark| matches!(mark, Mark::Status(_)), LIMIT)?;
        let said = crate::machine::unix_lines(&machine.log().into_bytes());
        drop(machine);
        let counts = match self.method {
            Method::Plugin(_) => report::read(&std::fs::read_to_string(&out)?).with_context(|| format!("{} is cut", out.display()))?,
            Method::Counter => Vec::new(),
        };
        let rows = ROWS.iter().enumerate().filter(|(_, row)| (row.cores > 1) == (cores > 1));
        Ok(rows.map(|(place, row)| (row, self.row(row, &said, counts.get(place + 1)))).collect())
    }

    fn row(&self, row: &'static Row, said: &str, counts: Option<&Counts>) -> Result<Counted> {
        let line = said.lines().filter_map(Line::read).find(|line| line.name == row.name).context("the program says nothing of it")?;
        ensure!(line.wrong == 0, "the program found {} things wrong ({:#x})", line.wrong, line.wrong);
        let operations = row.rounds + WARM_UP;
        let by_counter = (line.ticks * PER_TICK).checked_sub(operations * READING * (1 + row.pauses));
        let by_counter = nearest(by_counter.with_context(|| format!("{} ticks are too few", line.ticks))?, operations);
        let Method::Plugin(_) = self.method else {
            return Ok(Counted { row, value: by_counter, by_counter, counts: Counts::default() });
        };
        let counts = counts.context("the plugin counted nothing")?;
        let operations = counts.operations.len() as u64;
        ensure!(counts.stray == 0, "{} marks came out of order: somebody else ran in between", counts.stray);
        ensure!(operations == row.rounds, "{operations} operations were counted instead of {}", row.rounds);
        Ok(Counted { row, value: nearest(counts.total(), operations), by_counter, counts: counts.clone() })
    }
}

/// A quotient, rounded to the nearest.
fn nearest(total: u64, by: u64) -> u64 {
    (total + by / 2).checked_div(by).unwrap_or(0)
}

/// The target's manifest with two servers more.
fn manifest(text: &str) -> Result<String> {
    let mut table: Table = text.parse().context("the manifest is no TOML")?;
    let servers = table.get_mut("server").and_then(Value::as_array_mut).context("the manifest has no servers")?;
    for server in SERVERS {
        servers.push(Value::Table(server.parse()?));
    }
    let Some(Value::Integer(pools)) = table.get_mut("system").and_then(|system| system.get_mut("server_pools_kib")) else {
        bail!("the manifest says nothing of server_pools_kib");
    };
    *pools += POOLS;
    Ok(toml::to_string(&table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded() {
        assert_eq!([(10, 4), (9, 4), (3, 4), (5, 0)].map(|(total, by)| nearest(total, by)), [3, 2, 1, 0]);
    }

    #[test]
    fn the_manifest_gets_two_servers() {
        let text = "[system]\nserver_pools_kib = 100\n[[server]]\nname = 'x'\n";
        let table: Table = manifest(text).unwrap().parse().unwrap();
        assert_eq!(table["server"].as_array().unwrap().len(), 3);
        assert_eq!(table["system"]["server_pools_kib"].as_integer(), Some(100 + POOLS));
    }
}
