//! The whole of init over a model of the kernel's calls, and images to start.

use std::string::String;
use std::vec::Vec;

extern crate std;

pub mod elf;
pub mod kernel;
mod life;
mod machine;
mod rights;

/// A manifest with a driver, a log, an operator, and programs.
pub const MANIFEST: &str = r#"
[system]
name = "test"
min_ram_mib = 64
epoch_us = 10_000
server_pools_kib = 6_144
program_pools_kib = 4_096

[[server]]
name = "uartd"
image = "uartd"
class = { fair = { weight = 200 } }
pool_kib = 768
mailbox_pages = 4
offers = ["/svc/console"]
devices = ["console", "acme,rocket#3"]

[[server]]
name = "logd"
image = "logd"
class = { edf = { budget_us = 500, period_us = 10_000 } }
pool_kib = 512
mailbox_pages = 8
offers = ["/svc/log", "/svc/history"]
uses = ["/svc/console:write"]
special = ["seed", "console"]
restart = { backoff_initial_ms = 100, backoff_max_ms = 5_000, window_s = 60, limit = 3, cooldown_s = 30, start_timeout_ms = 5_000 }

[[server]]
name = "shell"
image = "shell"
class = { fair = { weight = 200 } }
pool_kib = 2_048
mailbox_pages = 4
uses = ["/svc/console:read,write", "/svc/log:read", "/svc/names", "/svc/supervisor"]
special = ["observe", "power"]
controls = { operations = ["kill", "suspend", "restart", "revoke", "stop", "start"], targets = ["logd", "job"] }
spawns = ["job"]

[[program]]
name = "job"
image = "job"
class = { fair = { weight = 100 } }
pool_kib = 1_024
mailbox_pages = 2
uses = ["/svc/log:write"]

[[program]]
name = "other"
image = "job"
class = { fair = { weight = 100 } }
pool_kib = 1_024
mailbox_pages = 1
"#;

/// A bundle with the manifest and an image for each name.
pub fn bundle(manifest: &str, images: &[&str]) -> Vec<u8> {
    let mut writer = aios_bundle::BundleWriter::new();
    writer.add("manifest", aios_bundle::Kind::Manifest, aios_manifest::compile(manifest).unwrap()).unwrap();
    for name in images {
        writer.add(name, aios_bundle::Kind::Program, elf::program(elf::SEGMENTS)).unwrap();
    }
    writer.finish().unwrap()
}

/// The device tree of a machine.
pub const TREE: &[u8] = include_bytes!("../../../hal/platform/tests/data/qemu-7.2-virt-gicv3-smp4-2g.dtb");

/// Text of bytes that are one.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
