//! The shipped profiles, every rule of the checker, and hostile bytes for the reader.

use aios_manifest::types::{self, Class, Device, Operations, Special, Targets};
use aios_manifest::{check_images, compile, graph, images};

const QEMU: &str = include_str!("../../../targets/qemu-virt/manifest.toml");
const BOARD: &str = include_str!("../../../targets/rk3588s2/manifest.toml");

/// The message for `toml`, which must be refused.
fn refused(toml: &str) -> String {
    match compile(toml) {
        Ok(_) => panic!("accepted:\n{toml}"),
        Err(error) => error.to_string(),
    }
}

/// The QEMU profile with one piece of text replaced; the piece must be there.
fn changed(from: &str, to: &str) -> String {
    assert!(QEMU.contains(from), "`{from}` is not in the profile");
    QEMU.replacen(from, to, 1)
}

/// `line n`, where the first line that contains `text` in the QEMU profile is n.
fn line_of(text: &str) -> String {
    let index = QEMU.lines().position(|line| line.contains(text)).expect("text is in the profile");
    format!("line {}", index + 1)
}

/// Asserts that the changed profile is refused with a message that contains all of `parts`.
fn refuses(from: &str, to: &str, parts: &[&str]) {
    let message = refused(&changed(from, to));
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn profiles_compile_and_read_back() {
    for (toml, name) in [(QEMU, "qemu-virt"), (BOARD, "rk3588s2")] {
        let bytes = compile(toml).expect(name);
        let manifest = types::decode(&bytes).expect(name);
        assert_eq!(manifest.system.name, name);
        let names: Vec<_> = manifest.servers.iter().map(|server| server.entry.name).collect();
        assert_eq!(names, ["uartd", "logd", "shell"]);
        assert_eq!(types::encode(&manifest).expect(name), bytes);
    }
}

#[test]
fn qemu_profile_says_what_it_says() {
    let bytes = compile(QEMU).unwrap();
    let manifest = types::decode(&bytes).unwrap();
    let [uartd, logd, shell] = &manifest.servers[..] else { panic!("three servers") };
    assert_eq!(uartd.devices, [Device::Console]);
    assert_eq!(uartd.offers, ["/svc/console"]);
    assert_eq!(logd.depends, [0]);
    assert_eq!(shell.depends, [0, 1]);
    assert_eq!(shell.entry.special, Special::OBSERVE.with(Special::POWER));
    assert!(shell.entry.controls.operations.has(Operations::KILL.with(Operations::REVOKE)));
    assert_eq!(shell.entry.controls.targets, Targets::All);
    assert!(shell.entry.spawns.contains(3));
    assert_eq!(logd.entry.controls.targets, Targets::None);
    assert_eq!(manifest.programs[1].entry.class, Class::Edf { budget_us: 500, period_us: 10_000 });
    assert_eq!(images(QEMU).unwrap(), ["uartd", "logd", "shell", "assist"]);
}

#[test]
fn uses_carry_the_rights_that_they_name() {
    let bytes = compile(QEMU).unwrap();
    let manifest = types::decode(&bytes).unwrap();
    let [_, logd, shell] = &manifest.servers[..] else { panic!("three servers") };
    let rights = |entry: &types::Entry<'_>, name| entry.uses(name).map(|used| used.rights);
    let bits = |bits: u32| Some((bits >> 16) as u16);
    assert_eq!(rights(&logd.entry, "/svc/console"), bits(aios_proto::console::Rights::WRITE.bits()));
    let both = aios_proto::log::Rights::WRITE.or(aios_proto::log::Rights::READ);
    assert_eq!(rights(&shell.entry, "/svc/log"), bits(both.bits()), "not to control it");
    assert_eq!(rights(&logd.entry, "/svc/log"), None);

    let to = |what: &str| format!("uses = [\"{what}\"]");
    let from = to("/svc/console:write");
    let refused = |what: &str, parts: &[&str]| refuses(&from, &to(what), parts);
    refused("/svc/console:writ", &["server logd", "unknown right `writ` to `/svc/console`, allowed: write, read"]);
    refused("/svc/console", &["the rights to `/svc/console` are missing", "`/svc/console:write`", "allowed: write, read"]);
    refused("/svc/console:", &["unknown right ``", "allowed: write, read"]);
    refused("/svc/console:read,read", &["the right `read` to `/svc/console` is there twice"]);
    refused("/svc/supervisor:power", &["takes no rights", "controls, spawns and special"]);
    assert!(compile(&changed(&from, &to("/svc/console:read, write"))).is_ok());
    // A service whose interface is the business of its own programs has rights without names; who may call it has all of them.
    let own = changed("offers = [\"/svc/console\"]", "offers = [\"/svc/console\", \"/svc/own\"]").replacen(&from, &to("/svc/own"), 1);
    let bytes = compile(&own).unwrap();
    assert_eq!(types::decode(&bytes).unwrap().servers[1].entry.uses[0].rights, u16::MAX);
    assert!(compile(&own.replacen("/svc/own\"]\nspecial", "", 1).replacen(&to("/svc/own"), &to("/svc/own:all"), 1)).is_err());
    refuses("special = [\"seed\"]", "special = [\"pool\"]", &["unknown special capability `pool`", "observe, power, seed, console"]);
}

#[test]
fn names_and_kinds_are_checked() {
    refuses(
        "name = \"logd\"",
        "name = \"uartd\"",
        &[&line_of("name = \"logd\""), "server uartd", &format!("taken already, on {}", line_of("name = \"uartd\""))],
    );
    refuses("name = \"assist\"", "name = \"shell\"", &["program shell", "taken already"]);
    refuses("name = \"logd\"", "name = \"Log d\"", &["server Log d", "is not a name"]);
    refuses("name = \"logd\"", "name = \"init\"", &["init is always there"]);
    refuses(
        "uses = [\"/svc/console:write\"]",
        "uses = [\"/svc/consol:write\"]",
        &[&line_of("uses = [\"/svc/console:write\"]"), "server logd", "unknown service `/svc/consol`", "/svc/console"],
    );
    refuses("offers = [\"/svc/log\"]", "offers = [\"/log\"]", &["server logd", "is not a service name"]);
    refuses("offers = [\"/svc/log\"]", "offers = [\"/svc/console\"]", &["offered by server uartd already"]);
    refuses("offers = [\"/svc/log\"]", "offers = [\"/svc/names\"]", &["offered by init itself"]);
    refuses("\"observe\", \"power\"", "\"observ\"", &["server shell", "unknown special capability `observ`", "observe"]);
    refuses("\"kill\", ", "\"kil\", ", &["unknown operation `kil`", "kill, suspend"]);
    refuses("targets = [\"*\"]", "targets = [\"*\", \"logd\"]", &["`*` stands alone"]);
    refuses("targets = [\"*\"]", "targets = []", &["operations but no targets"]);
    refuses("spawns = [\"*\"]", "spawns = [\"logd\"]", &["unknown program `logd`", "assist, watchdog"]);
    refuses("spawns = [\"*\"]", "spawn = [\"*\"]", &[&line_of("spawns ="), "unknown field `spawn`"]);
    refuses("image = \"logd\"\n", "", &["missing field `image`"]);
    refuses("image = \"logd\"", "image = \"\"", &["server logd", "no name"]);
    refuses("uses = [\"/svc/log:write\", \"/svc/names\"]", "uses = [\"/svc/log:write\", \"/svc/log:read\"]", &["twice in uses"]);
    refuses("name = \"qemu-virt\"", "name = 3", &[&line_of("name = \"qemu-virt\""), "invalid type"]);
}

#[test]
fn order_has_no_cycles() {
    refuses(
        "devices = [\"console\"]",
        "devices = [\"console\"]\nuses = [\"/svc/log:write\"]",
        &["server uartd", "cycle: uartd → logd → uartd"],
    );
    refuses("devices = [\"console\"]", "devices = [\"console\"]\nafter = [\"shell\"]", &["server uartd", "cycle: uartd → shell → uartd"]);
    refuses("uses = [\"/svc/console:write\"]", "after = [\"shell\"]", &["cycle: logd → shell → logd"]);
    refuses("offers = [\"/svc/console\"]", "offers = [\"/svc/console\"]\nafter = [\"uartd\"]", &["cycle: uartd → uartd"]);
    let apart = changed("\"/svc/console:write,read\", \"/svc/log:write,read\", \"/svc/names\"", "\"/svc/names\"");
    let later = apart.replacen("uses = [\"/svc/console:write\"]", "after = [\"shell\"]", 1);
    let message = refused(&later);
    let expected = format!("needs server shell, which comes later ({})", line_of("name = \"shell\""));
    assert!(message.contains(&expected), "{message}");
    refuses("uses = [\"/svc/console:write\"]", "after = [\"nobody\"]", &["unknown server `nobody`", "uartd, logd, shell"]);
}

#[test]
fn devices_have_one_owner() {
    let two = "offers = [\"/svc/log\"]\ndevices = [\"console\"]";
    refuses("offers = [\"/svc/log\"]", two, &["server logd", "`console` is owned by server uartd already"]);
    refuses("devices = [\"console\"]", "devices = [\"uart\"]", &["`uart` is not a device"]);
    refuses("devices = [\"console\"]", "devices = [\"console#1\"]", &["is not a device"]);
    let nodes = "devices = [\"virtio,mmio#0\", \"virtio,mmio#1\"]";
    assert!(compile(&changed("devices = [\"console\"]", nodes)).is_ok());
    let same = "devices = [\"virtio,mmio\", \"virtio,mmio#0\"]";
    refuses("devices = [\"console\"]", same, &["owned by server uartd already"]);
}

#[test]
fn sizes_are_bounded() {
    refuses("pool_kib = 768", "pool_kib = 7_000", &["server uartd", "pools sum to 7000 KiB", "6144"]);
    refuses("pool_kib = 768", "pool_kib = 770", &["multiple of 4"]);
    refuses("epoch_us = 10_000", "epoch_us = 5_000", &["epoch_us is 5000, allowed is 10000 only"]);
    refuses("weight = 200", "weight = 2_000", &["weight is 2000, allowed is 1 to 1024"]);
    refuses("pool_kib = 768", "pool_kib = 8", &["pool_kib is 8, allowed is 64"]);
    refuses("pool_kib = 1_024", "pool_kib = 32_768", &["program assist", "program_pools_kib 16384"]);
    refuses("program_pools_kib = 16_384", "program_pools_kib = 65_536", &["system", "exceed min_ram_mib 64"]);
    refuses("min_ram_mib = 64", "min_ram_mib = 8", &["min_ram_mib is 8"]);
    refuses("mailbox_pages = 4", "mailbox_pages = 0", &["mailbox_pages is 0, allowed is 1 to 32"]);
    refuses("weight = 200", "weight = 0", &["weight is 0"]);
    refuses("fair = { weight = 200 }", "edf = { budget_us = 9_000, period_us = 10_000 }", &["90.0 % of a core"]);
    refuses("budget_us = 500", "budget_us = 100", &["program watchdog", "smallest slice is 250"]);
    refuses("budget_us = 500", "budget_us = 20_000", &["exceeds period_us"]);
    let restart = |policy: &str| changed("devices = [\"console\"]", &format!("devices = [\"console\"]\nrestart = {policy}"));
    assert!(compile(&restart("{ limit = 5, cooldown_s = 0 }")).is_ok());
    for (policy, part) in [
        ("{ limit = 0 }", "restart.limit is 0"),
        ("{ limit = 17 }", "restart.limit is 17"),
        ("{ backoff_initial_ms = 0 }", "backoff_initial_ms is 0"),
        ("{ backoff_initial_ms = 9_000 }", "exceeds backoff_max_ms"),
        ("{ window_s = 1, backoff_initial_ms = 1_000 }", "could never open"),
        ("{ start_timeout_ms = 0 }", "start_timeout_ms is 0"),
        ("{ limits = 3 }", "unknown field `limits`"),
    ] {
        let message = refused(&restart(policy));
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_missing_image_is_named() {
    assert!(check_images(QEMU, &["uartd", "logd", "shell", "assist"]).is_ok());
    let message = check_images(QEMU, &["uartd", "shell", "assist"]).unwrap_err().to_string();
    assert!(message.contains(&line_of("image = \"logd\"")) && message.contains("missing image `logd`"), "{message}");
}

#[test]
fn graph_shows_calls_and_rights() {
    let picture = graph(QEMU).unwrap();
    for part in ["├── uartd", "calls     /svc/log:write,read → logd", "controls  kill suspend", "└── pqc", "devices   console"]
    {
        assert!(picture.contains(part), "`{part}` is not in:\n{picture}");
    }
}

#[test]
fn empty_manifest_compiles() {
    let toml = "[system]\nname = \"none\"\nmin_ram_mib = 64\nepoch_us = 10000\nserver_pools_kib = 0\nprogram_pools_kib = 0\n";
    assert!(types::decode(&compile(toml).unwrap()).unwrap().servers.is_empty());
}

#[test]
fn damaged_records_are_refused_or_sound() {
    let good = compile(QEMU).unwrap();
    assert_eq!(types::decode(&good[..8]), Err(types::Error::Truncated));
    assert_eq!(types::decode(&good[..good.len() - 1]), Err(types::Error::Truncated));
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(types::decode(&longer), Err(types::Error::Reserved));
    let mut other = good.clone();
    other[8] = 9;
    assert_eq!(types::decode(&other), Err(types::Error::Version(9)));
    other[0] ^= 1;
    assert_eq!(types::decode(&other), Err(types::Error::Magic));

    let seed = std::env::var("AIOS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("AIOS_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(types::HEADER_SIZE..bytes.len());
            bytes[at] = rng.u8(..);
        }
        if let Ok(manifest) = types::decode(&bytes) {
            for (index, server) in manifest.servers.iter().enumerate() {
                assert!(server.depends.iter().all(|&on| (on as usize) < index));
            }
        }
    }
}
