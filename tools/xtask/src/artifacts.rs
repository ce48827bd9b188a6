//! The files that a machine boots from, made from the programs: bundle, boot image, disk. The same programs give the same bytes.

use std::path::{Path, PathBuf};

use aios_bundle::{BundleWriter, Kind};
use anyhow::{Context, Result};

use crate::bootscript;
use crate::build::{self, Programs};
use crate::disk;
use crate::frames::Tables;
use crate::profile::{Boot, Profile};
use crate::progress::Progress;
use crate::qemu::Source;
use crate::setup;
use crate::table::grouped;
use crate::workspace::{Workspace, write_if_changed};

/// Name of the compiled boot manifest in the bundle.
const MANIFEST: &str = "manifest";

/// Everything that was built for one target.
pub struct Artifacts {
    /// The folder that the files lie in.
    pub folder: PathBuf,
    /// The boot image: first stage and kernel.
    pub image: PathBuf,
    /// The bundle: manifest and user-mode programs.
    pub bundle: PathBuf,
    /// U-Boot's script, compiled.
    pub boot_script: Vec<u8>,
    /// The programs, with symbols.
    pub programs: Programs,
    /// The manifest as it was read.
    pub manifest: String,
}

impl Artifacts {
    /// Builds the programs and makes bundle and image.
    pub fn make(workspace: &Workspace, target: &str, progress: &Progress) -> Result<Self> {
        let programs = build::programs(workspace, target, progress)?;
        let step = progress.step("image", format!("bundle and boot image for {target}"));
        let (manifest_path, manifest) = workspace.manifest(target)?;
        let bundle = bundle(&manifest, &programs).with_context(|| format!("for {}", manifest_path.display()))?;
        let image = image(&programs, &bundle)?;
        let script_path = workspace.root.join("boot/uboot/boot.cmd");
        let script = std::fs::read_to_string(&script_path).with_context(|| format!("can't read {}", script_path.display()))?;
        let folder = workspace.boot_dir(target);
        let artifacts = Self {
            image: folder.join("Image"),
            bundle: folder.join("bundle.bin"),
            folder,
            boot_script: bootscript::compile("AIOS boot script", &script),
            programs,
            manifest,
        };
        write_if_changed(&artifacts.image, &image)?;
        write_if_changed(&artifacts.bundle, &bundle)?;
        step.done(&format!("Image {} bytes, bundle {} bytes", grouped(image.len() as u64), grouped(bundle.len() as u64)));
        Ok(artifacts)
    }

    /// The format strings of the programs' log frames.
    pub fn frames(&self) -> Result<Tables> {
        Tables::read(self.programs.images.iter().map(|(_, path)| path.clone()))
    }

    /// What a machine of this profile boots from; for U-Boot the disk is made.
    pub fn source(&self, profile: &Profile) -> Result<Source> {
        self.source_of(profile, &self.image, &self.bundle, &self.folder.join("disk.img"))
    }

    /// The same with another image and bundle, and the disk at a place of its own.
    pub fn source_of(&self, profile: &Profile, image: &Path, bundle: &Path, disk: &Path) -> Result<Source> {
        if profile.boot == Boot::Direct {
            return Ok(Source::Files { image: image.to_owned(), bundle: Some(bundle.to_owned()) });
        }
        let uboot = setup::uboot().context("U-Boot for QEMU is not installed")?;
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("can't read {}", path.display()));
        disk::write(disk, &[("Image", &read(image)?), ("bundle.bin", &read(bundle)?), ("boot.scr", &self.boot_script)])?;
        Ok(Source::Disk { disk: disk.to_owned(), uboot })
    }
}

/// The bundle: the manifest's record and every program that it names, without symbols.
pub fn bundle(manifest: &str, programs: &Programs) -> Result<Vec<u8>> {
    let mut writer = BundleWriter::new();
    writer.add(MANIFEST, Kind::Manifest, aios_manifest::compile(manifest)?)?;
    for (name, path) in &programs.images {
        writer.add(name, Kind::Program, without_symbols(path)?).with_context(|| format!("program {name}"))?;
    }
    Ok(writer.finish()?)
}

/// The boot image that pins this bundle.
pub fn image(programs: &Programs, bundle: &[u8]) -> Result<Vec<u8>> {
    let stage0 = aios_elf::flatten(&read(&programs.stage0)?).with_context(|| format!("in {}", programs.stage0.display()))?;
    let kernel = without_symbols(&programs.kernel)?;
    aios_bundle::image::write_image(&stage0.bytes, &kernel, bundle).with_context(|| format!("from {}", programs.stage0.display()))
}

fn without_symbols(path: &Path) -> Result<Vec<u8>> {
    aios_elf::minimal(&read(path)?).with_context(|| format!("in {}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("can't read {}", path.display()))
}
