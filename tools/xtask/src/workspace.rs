//! The workspace that this program was started in: its folders, its packages, and cargo itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The workspace.
pub struct Workspace {
    /// Its top folder.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target_dir: PathBuf,
    /// Its packages, sorted by name.
    pub packages: Vec<Package>,
}

/// One package of the workspace.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    xtask: Marks,
}

/// What a package says of itself under `[package.metadata.xtask]`.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Marks {
    /// Its tests run under Miri.
    pub miri: bool,
    /// Its `tests/explored.rs` runs with loom's atomics.
    pub loom: bool,
}

impl Package {
    /// What it says of itself.
    pub fn marks(&self) -> Marks {
        self.metadata.as_ref().map(|metadata| metadata.xtask).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct CargoMetadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

impl Workspace {
    /// Asks cargo.
    pub fn find() -> Result<Self> {
        let output = Command::new(cargo()).args(["metadata", "--format-version=1", "--no-deps"]).output().context("can't run cargo")?;
        if !output.status.success() {
            bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let mut metadata: CargoMetadata = serde_json::from_slice(&output.stdout).context("cargo metadata can't be read")?;
        metadata.packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { root: metadata.workspace_root, target_dir: metadata.target_directory, packages: metadata.packages })
    }

    /// Cargo, called at the top of the workspace.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(cargo());
        command.current_dir(&self.root);
        command
    }

    /// Where boot files of a target go.
    pub fn boot_dir(&self, target: &str) -> PathBuf {
        self.target_dir.join("aios").join(target)
    }

    /// Where console logs go.
    pub fn log_dir(&self) -> PathBuf {
        self.target_dir.join("logs")
    }

    /// The boot manifest of a target.
    pub fn manifest(&self, target: &str) -> Result<(PathBuf, String)> {
        let path = self.root.join("targets").join(target).join("manifest.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("no target '{target}': {} does not exist (there are: {})", path.display(), self.targets().join(", "))
            }
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    /// The names of the folders under `targets/` that have a manifest.
    pub fn targets(&self) -> Vec<String> {
        let folders = std::fs::read_dir(self.root.join("targets")).into_iter().flatten().flatten();
        let mut names: Vec<String> = folders
            .filter(|folder| folder.path().join("manifest.toml").exists())
            .filter_map(|folder| folder.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}

/// The cargo that started this program, else the one in the path.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Writes a file, its folders included, only when its content changes.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    path.parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, bytes))
        .with_context(|| format!("can't write {}", path.display()))
}
