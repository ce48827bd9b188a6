//! How QEMU is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::profile::Profile;

/// The emulator's program name.
pub const QEMU: &str = "qemu-system-aarch64";

/// A machine with the files that it boots from.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The machine.
    pub profile: Profile,
    /// What it boots from.
    pub source: Source,
    /// Keep the machine's RAM in this file (for `xtask dump`).
    pub memory_file: Option<PathBuf>,
    /// More arguments, as they are.
    pub extra: Vec<String>,
}

/// What a machine boots from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Image and bundle, loaded by QEMU.
    Files {
        /// The arm64 boot image.
        image: PathBuf,
        /// The bundle; none only in tests of the image alone.
        bundle: Option<PathBuf>,
    },
    /// A disk, read by U-Boot.
    Disk {
        /// The disk image.
        disk: PathBuf,
        /// The U-Boot program.
        uboot: PathBuf,
    },
}

impl Launch {
    /// A machine and its files, nothing special.
    pub fn new(profile: Profile, source: Source) -> Self {
        Self { profile, source, memory_file: None, extra: Vec::new() }
    }

    /// The arguments, the serial line excepted.
    pub fn arguments(&self) -> Vec<String> {
        let profile = &self.profile;
        let mut machine = profile.machine.clone();
        for option in &profile.machine_options {
            machine += &format!(",{option}");
        }
        let memory = format!("{}M", profile.memory_mib);
        let mut arguments: Vec<String> = ["-nodefaults", "-display", "none", "-net", "none", "-accel", "tcg"].map(String::from).into();
        let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
        if let Some(file) = &self.memory_file {
            add("-object", format!("memory-backend-file,id=ram,size={memory},share=on,mem-path={}", escape(file)));
            machine += ",memory-backend=ram";
        }
        add("-machine", machine);
        add("-cpu", profile.cpu.clone());
        add("-smp", profile.smp.to_string());
        add("-m", memory);
        if profile.icount {
            add("-icount", "shift=0,sleep=off".to_owned());
        }
        match &self.source {
            Source::Files { image, bundle } => {
                add("-kernel", image.display().to_string());
                if let Some(bundle) = bundle {
                    add("-initrd", bundle.display().to_string());
                }
            }
            Source::Disk { disk, uboot } => {
                add("-bios", uboot.display().to_string());
                add("-drive", format!("if=none,id=disk,format=raw,readonly=on,file={}", escape(disk)));
                add("-device", "virtio-blk-device,drive=disk".to_owned());
            }
        }
        arguments.extend(self.extra.iter().cloned());
        arguments
    }

    /// QEMU with the serial line on its standard input and output.
    pub fn command(&self) -> Command {
        let mut command = Command::new(QEMU);
        command.args(self.arguments()).args(["-serial", "stdio", "-monitor", "none"]);
        command
    }
}

/// A path inside one of QEMU's comma-separated options.
fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> Profile {
        Profile::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), name).unwrap()
    }

    fn line(launch: &Launch) -> String {
        launch.arguments().join(" ")
    }

    #[test]
    fn a_direct_boot_hands_over_image_and_bundle() {
        let source = Source::Files { image: "/x/Image".into(), bundle: Some("/x/bundle.bin".into()) };
        let direct = line(&Launch::new(profile("direct"), source.clone()));
        assert!(
            direct.contains("-machine virt,gic-version=3 -cpu cortex-a76 -smp 4 -m 512M -kernel /x/Image -initrd /x/bundle.bin"),
            "{direct}"
        );
        let counted = line(&Launch::new(profile("icount"), source.clone()));
        assert!(counted.contains("-smp 1 ") && counted.contains("-icount shift=0,sleep=off"), "{counted}");
        let el2 = line(&Launch::new(profile("direct-el2"), source));
        assert!(el2.contains("-machine virt,gic-version=3,secure=off,virtualization=on "), "{el2}");
    }

    #[test]
    fn a_uboot_boot_has_a_disk() {
        let source = Source::Disk { disk: "/a,b/disk.img".into(), uboot: "/u/u-boot.bin".into() };
        let mut launch = Launch::new(profile("uboot"), source);
        launch.memory_file = Some("/m".into());
        let line = line(&launch);
        assert!(line.contains("-bios /u/u-boot.bin") && line.contains("file=/a,,b/disk.img") && !line.contains("-kernel"), "{line}");
        assert!(line.contains("mem-path=/m") && line.contains("virtualization=on,memory-backend=ram"), "{line}");
    }
}
