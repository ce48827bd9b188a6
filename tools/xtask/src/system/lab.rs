//! What a system test works with: machines, files of its own, random words, and the consoles for the report.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::artifacts::{self, Artifacts};
use crate::machine::{After, Machine, Reply, SILENCE, Stop};
use crate::profile::Profile;
use crate::qemu::Launch;
use crate::workspace::{Workspace, write_if_changed};

/// How long one command may take, unless the test says otherwise.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// One test's workbench.
pub struct Lab<'a> {
    /// The sources.
    pub workspace: &'a Workspace,
    /// What was built.
    pub artifacts: &'a Artifacts,
    /// Random numbers of this test; the same seed gives the same.
    pub random: fastrand::Rng,
    name: String,
    logs: Vec<PathBuf>,
}

impl<'a> Lab<'a> {
    /// A workbench for the test of this name.
    pub fn new(workspace: &'a Workspace, artifacts: &'a Artifacts, name: &str, seed: u64) -> Self {
        // Each test has its own sequence, whichever tests run before it.
        let seed = seed ^ u64::from(crc32fast::hash(name.as_bytes()));
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
        Self { workspace, artifacts, random: fastrand::Rng::with_seed(seed), name, logs: Vec::new() }
    }

    /// A random word of small letters.
    pub fn word(&mut self) -> String {
        (0..8).map(|_| self.random.lowercase()).collect()
    }

    /// A machine with the files that were built.
    pub fn launch(&self, profile: &Profile) -> Result<Launch> {
        let disk = self.path("disk.img")?;
        Ok(Launch::new(profile.clone(), self.artifacts.source_of(profile, &self.artifacts.image, &self.artifacts.bundle, &disk)?))
    }

    /// A machine with this image and this bundle.
    pub fn launch_files(&self, profile: &Profile, image: &[u8], bundle: &[u8]) -> Result<Launch> {
        let files = [("Image", image), ("bundle.bin", bundle)];
        for (name, bytes) in files {
            write_if_changed(&self.path(name)?, bytes)?;
        }
        let disk = self.path("disk.img")?;
        Ok(Launch::new(profile.clone(), self.artifacts.source_of(profile, &self.path("Image")?, &self.path("bundle.bin")?, &disk)?))
    }

    /// A machine whose boot manifest is this one; its programs must be those of the target's own manifest.
    pub fn launch_manifest(&self, profile: &Profile, manifest: &str) -> Result<Launch> {
        let bundle = artifacts::bundle(manifest, &self.artifacts.programs)?;
        let image = artifacts::image(&self.artifacts.programs, &bundle)?;
        self.launch_files(profile, &image, &bundle)
    }

    /// Starts a machine without waiting for anything.
    pub fn start(&mut self, launch: &Launch) -> Result<Machine> {
        let number = self.logs.len();
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let log = self.workspace.log_dir().join(format!("{}{suffix}.log", self.name));
        self.logs.push(log.clone());
        let mut machine = Machine::start(launch, &log, SILENCE)?;
        machine.serial().decode(Rc::new(self.artifacts.frames()?));
        Ok(machine)
    }

    /// Starts a machine and waits for its prompt.
    pub fn boot(&mut self, launch: &Launch) -> Result<Machine> {
        let mut machine = self.start(launch)?;
        machine.wait_prompt(&mut |_| ()).context("while booting")?;
        Ok(machine)
    }

    /// Everything that this test's machines said, for the report.
    pub fn consoles(&self) -> String {
        let mut text = String::new();
        for log in &self.logs {
            let bytes = std::fs::read(log).unwrap_or_default();
            text +=
                &format!("--- console ({}) ---\n{}\n--- end of console ---\n", log.display(), crate::machine::readable(&bytes).trim_end());
        }
        text
    }

    /// A file of this test.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let folder = self.workspace.target_dir.join("aios/test").join(&self.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        Ok(Path::join(&folder, name))
    }
}

/// Runs a command that must succeed; returns its output.
pub fn succeed(machine: &mut Machine, line: &str) -> Result<String> {
    let reply = run(machine, line)?;
    if reply.status != 0 {
        bail!("'{line}' ended with status {}:\n{}", reply.status, reply.output.trim_end());
    }
    Ok(reply.output)
}

/// Runs a command after which the machine must still be there.
pub fn run(machine: &mut Machine, line: &str) -> Result<Reply> {
    let reply = machine.command(line, Some(COMMAND_LIMIT), &mut |_| ()).with_context(|| format!("during '{line}'"))?;
    match reply.after {
        After::Ready => Ok(reply),
        After::Off => bail!("'{line}' powered the machine off"),
        After::Rebooted => Err(Stop::Rebooted).with_context(|| format!("during '{line}'")),
    }
}
