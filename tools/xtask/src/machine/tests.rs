//! The driver against a real QEMU and a machine that speaks the protocol (`fixtures/console.rs`), at EL1, at EL2 and by U-Boot.
//! Without QEMU there is nothing to test against, and the tests say so.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::*;
use crate::profile::Profile;
use crate::qemu::Source;
use crate::{bootscript, disk, setup};

const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Beside the test program: the next run overwrites it.
fn folder() -> PathBuf {
    let folder = std::env::current_exe().unwrap().with_file_name("xtask-machine-tests");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Compiles and flattens the fixture once; `None` when the machine lacks what is needed.
fn fixture() -> Option<&'static [u8]> {
    static IMAGE: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    IMAGE
        .get_or_init(|| {
            if setup::in_path(QEMU).is_none() {
                eprintln!("not tested: {QEMU} is not installed");
                return None;
            }
            let elf = folder().join("console.elf");
            let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
            let built = Command::new("rustc")
                .args(["--edition=2024", "--target", setup::USER_TRIPLE, "-Cpanic=abort", "-o"])
                .arg(&elf)
                .arg(format!("-Clink-arg=-T{}", fixtures.join("console.ld").display()))
                .arg(fixtures.join("console.rs"))
                .current_dir(root())
                .status()
                .unwrap();
            assert!(built.success());
            Some(aios_elf::flatten(&std::fs::read(elf).unwrap()).unwrap().bytes)
        })
        .as_deref()
}

/// Starts the fixture on a machine of this profile.
fn start(profile: &str, silence: Duration) -> Option<Machine> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let image = fixture()?;
    let place = folder().join(COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string());
    std::fs::create_dir_all(&place).unwrap();
    let profile = Profile { smp: 1, ..Profile::load(&root(), profile).unwrap() };
    let source = if profile.boot == crate::profile::Boot::Direct {
        std::fs::write(place.join("Image"), image).unwrap();
        Source::Files { image: place.join("Image"), bundle: None }
    } else {
        let Some(uboot) = setup::uboot() else {
            eprintln!("not tested: U-Boot is not installed");
            return None;
        };
        let script = bootscript::compile("test", &std::fs::read_to_string(root().join("boot/uboot/boot.cmd")).unwrap());
        disk::write(&place.join("disk"), &[("Image", image), ("bundle.bin", &[7; 5000]), ("boot.scr", &script)]).unwrap();
        Source::Disk { disk: place.join("disk"), uboot }
    };
    Some(Machine::start(&Launch::new(profile, source), &place.join("console.log"), silence).unwrap())
}

fn boot(profile: &str) -> Option<Machine> {
    let mut machine = start(profile, SILENCE)?;
    machine.wait_prompt(&mut |_| ()).unwrap_or_else(|stop| panic!("{stop}\n{}", machine.log()));
    Some(machine)
}

fn command(machine: &mut Machine, line: &str) -> Reply {
    machine.command(line, LIMIT, &mut |_| ()).unwrap_or_else(|stop| panic!("{stop}\n{}", machine.log()))
}

fn session(profile: &str) {
    let Some(mut machine) = boot(profile) else { return };
    assert_eq!(command(&mut machine, "echo one; two"), Reply { output: "echo one; two\n".into(), status: 0, after: After::Ready });
    assert_eq!(command(&mut machine, "fail"), Reply { output: "no such thing\n".into(), status: 7, after: After::Ready });
    assert_eq!(command(&mut machine, "e again").output, "e again\n");
    machine.shutdown().unwrap_or_else(|stop| panic!("{stop}\n{}", machine.log()));
}

#[test]
fn commands_come_back_with_output_and_status_el1() {
    session("direct");
}

#[test]
fn commands_come_back_with_output_and_status_el2() {
    session("direct-el2");
}

#[test]
fn uboot_boots_from_our_disk() {
    session("uboot");
}

#[test]
fn stages_and_banner_are_seen_on_the_way_to_the_prompt() {
    let Some(mut machine) = start("direct", SILENCE) else { return };
    let mut seen = Vec::new();
    machine.wait_prompt(&mut |piece| seen.push(piece.clone())).unwrap();
    assert!(seen.contains(&Piece::Mark(Mark::Boot("stage0".into()))));
    assert_eq!(seen.last(), Some(&Piece::Mark(Mark::Prompt)));
    assert!(machine.log().starts_with("early\n"), "{}", machine.log());
}

#[test]
fn a_power_off_without_a_word_is_an_error() {
    let Some(mut machine) = boot("direct") else { return };
    let stop = machine.command("q", LIMIT, &mut |_| ()).unwrap_err();
    assert!(matches!(&stop, Stop::Ended { status, .. } if status.contains("exit status: 0")), "{stop}");
}

#[test]
fn a_shutdown_typed_as_a_command_is_none() {
    let Some(mut machine) = boot("direct") else { return };
    assert_eq!(command(&mut machine, "shutdown"), Reply { output: "bye\n".into(), status: 0, after: After::Off });
    assert!(machine.shutdown().is_ok());
}

#[test]
fn a_reboot_is_noticed_and_the_prompt_awaited() {
    let Some(mut machine) = boot("direct") else { return };
    assert_eq!(command(&mut machine, "reboot").after, After::Rebooted);
    assert_eq!(command(&mut machine, "echo still here").status, 0);
}

#[test]
fn the_end_of_the_boot_may_come_after_the_prompt() {
    let Some(mut machine) = boot("direct") else { return };
    let reply = command(&mut machine, "echo \x1b]7770;boot;ready\x07 done");
    assert_eq!((reply.status, reply.after), (0, After::Ready));
}

#[test]
fn a_panic_is_reported_with_what_follows_it() {
    let Some(mut machine) = boot("direct") else { return };
    assert_eq!(machine.command("p", LIMIT, &mut |_| ()), Err(Stop::Panic("on purpose".into())));
    assert!(machine.log().ends_with("the report\n"), "{}", machine.log());
}

#[test]
fn silence_and_endless_talk_both_end() {
    let silence = Duration::from_secs(2);
    let Some(mut machine) = start("direct", silence) else { return };
    machine.wait_prompt(&mut |_| ()).unwrap();
    assert_eq!(machine.command("h", LIMIT, &mut |_| ()), Err(Stop::Silent(silence)));
    let Some(mut machine) = boot("direct") else { return };
    let limit = Duration::from_secs(1);
    assert_eq!(machine.command("t", Some(limit), &mut |_| ()), Err(Stop::Overtime(limit)));
}

#[test]
fn what_qemu_complains_about_is_in_the_error() {
    if fixture().is_none() {
        return;
    }
    let profile = Profile { cpu: "no-such-cpu".into(), ..Profile::load(&root(), "direct").unwrap() };
    let source = Source::Files { image: "/nowhere".into(), bundle: None };
    let mut machine = Machine::start(&Launch::new(profile, source), &folder().join("complaint.log"), SILENCE).unwrap();
    let stop = machine.wait_prompt(&mut |_| ()).unwrap_err();
    assert!(stop.to_string().contains("no-such-cpu"), "{stop}");
}
