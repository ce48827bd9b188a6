//! No bytes make the reader panic or loop: each real tree, damaged in thousands of ways.

mod support;

use aios_platform::fdt::Fdt;
use aios_platform::{Error, Platform, find_compatible, usable_ram};
use support::{ROCK_5C_16G, Tree, all_data, data, memory};

/// Everything that reads a tree, on `blob`. Returns whether it was accepted as a platform.
fn use_all(blob: &[u8]) -> bool {
    let show = |error: Error<'_>| assert!(!error.to_string().contains('\n'), "one line");
    if let Err(error) = aios_platform::console(blob) {
        show(error);
    }
    // Whatever is made out of a damaged tree: no panic, no loop.
    let _ = aios_platform::console_of_damaged(blob);
    match find_compatible(blob, &["snps,dw-apb-uart", "arm,pl011", "virtio,mmio", "simple-bus", "rockchip,gpio-bank"]) {
        Ok(devices) => devices.for_each(|device| device.map_or_else(show, |device| assert!(!device.to_string().is_empty()))),
        Err(error) => show(error),
    }
    if let Ok(tree) = Fdt::new(blob) {
        let nodes = tree.nodes().count();
        let by_children: usize = 1 + tree.nodes().map(|node| node.children().count()).sum::<usize>();
        assert_eq!(nodes, by_children, "both ways to walk see the same nodes");
    }
    match Platform::read(blob) {
        Ok(platform) => {
            if let Err(error) = usable_ram(&platform, &[]) {
                show(error);
            }
            true
        }
        Err(error) => {
            show(error);
            false
        }
    }
}

/// The bootable form of a tree: the boards' get memory, as their firmware would add it.
fn bootable(name: &str) -> Vec<u8> {
    let mut tree = Tree::read(&data(name));
    if name.starts_with("rk3588") {
        tree.children.push(memory(ROCK_5C_16G));
    }
    tree.write(&[(0x1000, 0x1000)])
}

#[test]
fn damaged_trees() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for name in all_data() {
        let blob = bootable(&name);
        assert!(use_all(&blob), "{name} is good to begin with");
        let rounds = if blob.len() > 20_000 { 1000 } else { 5000 };
        let mut accepted = 0;
        for _ in 0..rounds {
            let mut damaged = blob.clone();
            for _ in 0..random.usize(1..8) {
                damage(&mut random, &mut damaged);
            }
            accepted += usize::from(use_all(&damaged));
        }
        println!("{name}: {accepted} of {rounds} damaged trees were still good enough");
        assert!(accepted > 0 && accepted < rounds, "{name}: the damage reaches the reader, and is noticed");
    }
}

/// One random change: of a byte, a bit, a word (to a number that is often special), or a swap of two words.
fn damage(random: &mut fastrand::Rng, blob: &mut [u8]) {
    let at = random.usize(..blob.len() - 8) & !3;
    match random.u8(..5) {
        0 => blob[at + random.usize(..4)] = random.u8(..),
        1 => blob[at] ^= 1 << random.u8(..8),
        2 => {
            let special = [0, 1, 2, 3, 4, 5, 8, 9, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, 0xffff_ffff];
            blob[at..at + 4].copy_from_slice(&u32::to_be_bytes(special[random.usize(..special.len())]));
        }
        3 => {
            let from = random.usize(..blob.len() - 4) & !3;
            blob.copy_within(from..from + 4, at);
        }
        // The header decides most.
        _ => blob[random.usize(..40)] = random.u8(..),
    }
}

#[test]
fn truncated_trees() {
    for name in all_data() {
        let blob = bootable(&name);
        let step = if blob.len() > 20_000 { 97 } else { 3 };
        for len in (0..blob.len()).step_by(step) {
            assert!(!use_all(&blob[..len]), "{name} cut to {len} bytes");
            // The same with a header that agrees with the length.
            let mut shorter = blob[..len].to_vec();
            if let Some(total) = shorter.get_mut(4..8) {
                total.copy_from_slice(&u32::to_be_bytes(len as u32));
            }
            use_all(&shorter);
        }
    }
}

#[test]
fn garbage() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for len in 0..600 {
        let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..16)).take(len).collect();
        assert!(!use_all(&bytes));
        if let Some(magic) = bytes.get_mut(..4) {
            magic.copy_from_slice(&0xd00d_feed_u32.to_be_bytes());
        }
        assert!(!use_all(&bytes));
    }
}

/// Damage in a node that has nothing to do with the console leaves the console to be found, for the line that says why.
#[test]
fn the_console_of_a_damaged_tree() {
    for name in all_data().into_iter().filter(|name| name.starts_with("qemu")) {
        let blob = bootable(&name);
        let whole = aios_platform::console(&blob).expect("a good tree").expect("a console");
        let unit = b"virtio_mmio@a003200\0";
        let at = blob.windows(unit.len()).position(|window| window == unit).expect("QEMU's tree has this device");
        // Somewhere in the name, and the token of the first property behind it.
        let places = (at..at + unit.len() - 1).flat_map(|at| [0xff, 0x80, 0x20, 0x0a].map(|byte| (at, byte)));
        for (at, byte) in places.chain([(at + unit.len(), 0x7f)]) {
            let mut damaged = blob.clone();
            damaged[at] = byte;
            assert!(Fdt::new(&damaged).is_err(), "{byte:#x} at {at:#x} is no damage");
            let found =
                aios_platform::console_of_damaged(&damaged).unwrap_or_else(|| panic!("{name}: no console with {byte:#x} at {at:#x}"));
            assert_eq!((found.kind, found.registers), (whole.kind, whole.registers), "{name}: {byte:#x} at {at:#x}");
        }
    }
}
