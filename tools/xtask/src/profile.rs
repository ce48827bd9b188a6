//! Launch profiles: how a machine is put together and started. They are data, one TOML file each, in the folder `qemu/`.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What loads the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// QEMU itself, by `-kernel` and `-initrd`.
    Direct,
    /// U-Boot from a disk, by its boot script.
    Uboot,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The file's name without `.toml`.
    #[serde(skip)]
    pub name: String,
    /// What it is for, in one line.
    pub about: String,
    /// The folder under `targets/` whose manifest the bundle is made from.
    pub target: String,
    /// QEMU's machine name.
    pub machine: String,
    /// Options of the machine, in QEMU's form.
    #[serde(default)]
    pub machine_options: Vec<String>,
    /// QEMU's processor name.
    pub cpu: String,
    /// Cores.
    pub smp: u32,
    /// RAM in MiB.
    pub memory_mib: u32,
    /// The exception level at which the system is entered: 1 or 2.
    pub el: u8,
    /// What loads the system.
    pub boot: Boot,
    /// Count instructions: one is one virtual nanosecond, on one core.
    #[serde(default)]
    pub icount: bool,
}

impl Profile {
    /// Reads `qemu/<name>.toml`.
    pub fn load(root: &Path, name: &str) -> Result<Self> {
        let folder = root.join("qemu");
        let path = folder.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("no launch profile '{name}' (there are: {})", names(&folder, "toml").join(", ")))?;
        Self::parse(name, &text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let mut profile: Self = toml::from_str(text)?;
        name.clone_into(&mut profile.name);
        profile.check()?;
        Ok(profile)
    }

    /// Refuses what can't run; also after options of the command line were put in.
    pub fn check(&self) -> Result<()> {
        if !(1..=64).contains(&self.smp) {
            bail!("{} cores: 1 to 64 are possible", self.smp);
        }
        if !(1..=2).contains(&self.el) {
            bail!("exception level {}: the system is entered at 1 or 2", self.el);
        }
        if !(32..=65536).contains(&self.memory_mib) {
            bail!("{} MiB of memory: 32 to 65536 are possible", self.memory_mib);
        }
        if self.icount && self.smp != 1 {
            bail!("instructions are counted on one core, not on {}", self.smp);
        }
        Ok(())
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let boot = match self.boot {
            Boot::Direct => "direct",
            Boot::Uboot => "U-Boot",
        };
        write!(f, "{}, {} core{}, EL{}, {} MiB, {boot}", self.cpu, self.smp, if self.smp == 1 { "" } else { "s" }, self.el, self.memory_mib)
    }
}

/// The names of the files in `folder` with this extension, sorted, without it.
pub fn names(folder: &Path, extension: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_of_the_repository_loads() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let names = names(&root.join("qemu"), "toml");
        assert!(names.len() >= 5, "{names:?}");
        for name in names {
            Profile::load(&root, &name).unwrap();
        }
    }

    #[test]
    fn a_wrong_profile_says_what_is_wrong() {
        let good = "about = 'x'\ntarget = 'qemu-virt'\nmachine = 'virt'\ncpu = 'max'\nsmp = 1\nmemory_mib = 64\nel = 1\nboot = 'direct'\n";
        assert!(Profile::parse("x", good).is_ok());
        for (from, to, says) in [
            ("smp = 1", "smp = 0", "cores"),
            ("el = 1", "el = 3", "exception level"),
            ("'direct'", "'tape'", "tape"),
            ("smp", "cores", "cores"),
        ] {
            let error = format!("{:#}", Profile::parse("x", &good.replace(from, to)).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }
}
