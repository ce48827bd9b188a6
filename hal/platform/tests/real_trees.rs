//! The trees of real machines give the facts that are known of them.

mod support;

use aios_platform::{Conduit, Console, ConsoleKind, Interrupt, Platform, Range, RedistributorRegion, Trigger};
use aios_platform::{find_compatible, total_ram, usable_ram};
use support::{ROCK_5C_16G, Tree, all_data, cells, data, memory};

fn range(start: u64, size: u64) -> Range {
    Range::new(start, size).expect("a range")
}

fn level(intid: u32) -> Interrupt {
    Interrupt { intid, trigger: Trigger::Level }
}

fn assert_console(console: Option<Console<'_>>, kind: ConsoleKind, registers: Range, intid: u32, options: &str) {
    let console = console.expect("a console");
    assert_eq!((console.kind, console.registers, console.interrupt), (kind, registers, Some(level(intid))));
    assert_eq!(console.options, options);
}

#[test]
fn qemu_virt() {
    for (name, psci) in [
        ("qemu-7.2-virt-gicv3-smp4-2g.dtb", Some(Conduit::Hvc)),
        ("qemu-7.2-virt-gicv3-el2-smp4-2g.dtb", Some(Conduit::Smc)),
        ("qemu-7.2-virt-gicv3-secure-el2-smp4-2g.dtb", None),
    ] {
        let blob = data(name);
        let platform = Platform::read(&blob).unwrap_or_else(|error| panic!("{name}: {error}"));
        // The secure variant has a second, disabled memory bank and a disabled UART.
        assert_eq!(platform.memory, [range(0x4000_0000, 0x8000_0000)], "{name}");
        assert_eq!(platform.cores, [0, 1, 2, 3], "{name}");
        assert_eq!(platform.psci, psci, "{name}");
        assert_eq!(platform.gic.distributor, range(0x800_0000, 0x1_0000), "{name}");
        assert_eq!(platform.gic.redistributors, [RedistributorRegion { range: range(0x80a_0000, 0xf6_0000), stride: 0 }], "{name}");
        assert!(!platform.gic.dma_noncoherent, "{name}");
        assert_eq!(platform.virtual_timer, 27, "{name}");
        assert_console(platform.console, ConsoleKind::Pl011, range(0x900_0000, 0x1000), 33, "");
        let devices: Vec<_> = find_compatible(&blob, &["arm,pl031", "virtio,mmio"]).expect("a tree").map(Result::unwrap).collect();
        assert_eq!(devices.len(), 33, "{name}: 32 virtio slots and a clock");
        assert_eq!(devices.iter().filter(|device| device.matched == 0).count(), 1);
        let slot = devices.iter().find(|device| device.name() == "virtio_mmio@a000400").expect("the third slot");
        assert_eq!(slot.registers, [range(0xa00_0400, 0x200)]);
        assert_eq!(slot.interrupts, [Interrupt { intid: 32 + 0x12, trigger: Trigger::Edge }]);
        assert_eq!(slot.to_string(), "/virtio_mmio@a000400");
    }
}

/// A board's tree, with what U-Boot adds at boot.
fn rock_5c(name: &str) -> Vec<u8> {
    let mut tree = Tree::read(&data(name));
    tree.children.push(memory(ROCK_5C_16G));
    tree.at("chosen").set("linux,initrd-start", cells(&[0xed00_0000]));
    tree.at("chosen").set("linux,initrd-end", cells(&[0, 0xed80_0000]));
    tree.at("chosen").set("bootargs", support::text("quiet core=8"));
    tree.at("chosen").set("rng-seed", vec![7; 64]);
    tree.write(&[(0xee00_0000, 0x2_0000), (0xee00_0000, 0x2_0000), (0xeff0_0000, 0x10_0000)])
}

#[test]
fn rk3588_boards() {
    for name in all_data().iter().filter(|name| name.starts_with("rk3588")) {
        let blob = rock_5c(name);
        let platform = Platform::read(&blob).unwrap_or_else(|error| panic!("{name}: {error}"));
        let banks: Vec<_> = ROCK_5C_16G.iter().map(|&(first, last)| Range::between(first, last + 1).expect("a bank")).collect();
        assert_eq!(platform.memory[..], banks[..], "{name}");
        assert_eq!(platform.cores, [0, 0x100, 0x200, 0x300, 0x400, 0x500, 0x600, 0x700], "{name}");
        assert_eq!(platform.psci, Some(Conduit::Smc), "{name}");
        assert_eq!(platform.gic.distributor, range(0xfe60_0000, 0x1_0000), "{name}");
        assert_eq!(platform.gic.redistributors, [RedistributorRegion { range: range(0xfe68_0000, 0x10_0000), stride: 0 }], "{name}");
        assert!(platform.gic.dma_noncoherent, "{name}");
        assert_eq!(platform.virtual_timer, 27, "{name}");
        let kind = ConsoleKind::Dw8250 { reg_shift: 2, reg_io_width: 4 };
        assert_console(platform.console, kind, range(0xfeb5_0000, 0x100), 365, "1500000n8");
        assert_eq!(platform.initrd, Some(range(0xed00_0000, 0x80_0000)), "{name}");
        assert_eq!(platform.bootargs, "quiet core=8");
        assert_eq!(platform.rng_seed, Some(&[7; 64][..]));
        // The doubled reservation counts once; the shared memory with firmware is reserved.
        let reserved = [range(0xee00_0000, 0x2_0000), range(0xeff0_0000, 0x10_0000), range(0x10_f000, 0x100)];
        assert_eq!(platform.reserved, reserved, "{name}");

        let kernel = range(0x200_0000, 0x41_0123);
        let usable = usable_ram(&platform, &[kernel, range(0xfff0_0000, 0x1000)]).expect("few ranges");
        let expected = [
            (0x20_0000, 0x200_0000),
            (0x241_1000, 0x840_0000),
            (0x940_0000, 0xed00_0000),
            (0xed80_0000, 0xee00_0000),
            (0xee02_0000, 0xeff0_0000),
            (0x1_0000_0000, 0x3_fc00_0000),
            (0x3_fc50_0000, 0x3_fff0_0000),
            (0x4_f000_0000, 0x5_0000_0000),
        ];
        assert_eq!(usable, expected.map(|(start, end)| Range::between(start, end).expect("a range")), "{name}");
        assert_eq!(total_ram(&platform), banks.iter().map(Range::size).sum::<u64>());

        let devices = find_compatible(&blob, &["snps,dw-wdt", "snps,dw-apb-uart", "rockchip,rk3588-dwcmshc"]).expect("a tree");
        let devices: Vec<_> = devices.map(Result::unwrap).collect();
        let watchdog = devices.iter().find(|device| device.matched == 0).expect("a watchdog");
        assert_eq!((&watchdog.registers[..], &watchdog.interrupts[..]), (&[range(0xfeaf_0000, 0x100)][..], &[level(347)][..]));
        assert!(devices.iter().any(|device| device.name() == "serial@feb50000"));
        // The other UARTs of the chip are disabled on this board, as far as nothing is connected to them.
        assert!(devices.iter().all(|device| device.name() != "serial@feb40000"));
    }
}

#[test]
fn every_device_of_every_tree_reads() {
    for name in all_data() {
        let blob = data(&name);
        let tree = aios_platform::fdt::Fdt::new(&blob).expect("a tree");
        let mut compatible: Vec<&str> = tree.nodes().flat_map(|node| node.texts("compatible")).collect();
        compatible.sort_unstable();
        compatible.dedup();
        let mut count = 0;
        for device in find_compatible(&blob, &compatible).expect("a tree") {
            let device = device.unwrap_or_else(|error| panic!("{name}: {error}"));
            let unit = device.name().split_once('@').and_then(|(_, unit)| u64::from_str_radix(unit, 16).ok());
            if let (Some(unit), Some(registers)) = (unit, device.registers.first()) {
                // The unit address is the bus address; on these boards only SRAM sits on a translated bus. QEMU names PCIe by
                // its memory window instead.
                let bus_is_identity = device.node.parent().is_none_or(|bus| bus.property("ranges").is_none_or(<[u8]>::is_empty));
                let pci = device.node.property("device_type") == Some(b"pci\0");
                assert!(!bus_is_identity || pci || registers.start() == unit, "{name}: {device}: {registers}");
            }
            count += 1;
        }
        assert!(count > 30, "{name}: {count} devices");
    }
}

#[test]
fn the_board_tree_alone_has_no_memory() {
    let blob = data("rk3588s-rock-5c.dtb");
    let error = Platform::read(&blob).expect_err("no memory").to_string();
    assert_eq!(error, "device tree: no node /memory, expected at least one memory bank that is not empty");
}

#[test]
fn the_console_is_found_even_so() {
    let blob = data("rk3588s-rock-5c.dtb");
    let kind = ConsoleKind::Dw8250 { reg_shift: 2, reg_io_width: 4 };
    assert_console(aios_platform::console(&blob).expect("a tree"), kind, range(0xfeb5_0000, 0x100), 365, "1500000n8");
}
