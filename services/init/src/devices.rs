//! Devices that the manifest gives to servers, as the device tree describes them.

use alloc::string::String;
use alloc::vec::Vec;

use aios_abi::limits::PAGE_SIZE;
use aios_manifest::types::{Device as Named, Manifest};
use aios_platform::{ConsoleKind, Range, console, find_compatible};
use aios_proto::names::{DeviceInfo, DeviceKind, Region};

const PAGE: u64 = PAGE_SIZE as u64;

/// A device and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Number of the server that owns it.
    pub owner: usize,
    name: String,
    instance: u16,
    kind: DeviceKind,
    reg_shift: u8,
    reg_width: u8,
    registers: Vec<Range>,
    interrupts: Vec<u32>,
}

/// A part of device memory, in whole pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pages {
    /// Number of the first page.
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl Device {
    /// Looks a device up. One that the machine doesn't have, or whose description makes no sense, has neither registers nor interrupts; the text
    /// says why.
    pub fn find(owner: usize, named: &Named<'_>, tree: &[u8]) -> (Self, Option<String>) {
        let (name, instance) = match *named {
            Named::Console => ("console", 0),
            Named::Node { compatible, instance } => (compatible, instance),
        };
        let mut device = Self {
            owner,
            name: name.into(),
            instance,
            kind: DeviceKind::Other,
            reg_shift: 0,
            reg_width: 4,
            registers: Vec::new(),
            interrupts: Vec::new(),
        };
        let found = match named {
            Named::Console => device.read_console(tree),
            Named::Node { .. } => device.read_node(tree),
        };
        let missing = found.err().map(|why| alloc::format!("device {name}: {why}"));
        (device, missing)
    }

    fn read_console(&mut self, tree: &[u8]) -> Result<(), String> {
        let console = console(tree).map_err(|error| alloc::format!("{error}"))?.ok_or("the device tree names no console")?;
        (self.kind, self.reg_shift, self.reg_width) = match console.kind {
            ConsoleKind::Pl011 => (DeviceKind::Pl011, 0, 4),
            ConsoleKind::Dw8250 { reg_shift, reg_io_width } => (DeviceKind::Dw8250, reg_shift, reg_io_width),
        };
        self.registers.push(console.registers);
        self.interrupts.extend(console.interrupt.map(|interrupt| interrupt.intid));
        Ok(())
    }

    fn read_node(&mut self, tree: &[u8]) -> Result<(), String> {
        let name = self.name.clone();
        let wanted = [name.as_str()];
        let mut devices = find_compatible(tree, &wanted).map_err(|error| alloc::format!("{error}"))?;
        let device = devices.nth(self.instance.into()).ok_or("the device tree has none")?.map_err(|error| alloc::format!("{error}"))?;
        let interrupts = device.interrupts.iter().map(|interrupt| interrupt.intid).collect();
        (self.registers, self.interrupts) = (device.registers.to_vec(), interrupts);
        Ok(())
    }

    /// Whether a text names it: `console`, a compatible string, one with `#n`.
    pub fn is(&self, text: &str) -> bool {
        let (name, instance) = match text.split_once('#') {
            Some((name, number)) => (name, number.parse().ok()),
            None => (text, Some(0)),
        };
        name == self.name && instance == Some(self.instance)
    }

    /// What a driver is told. `None` if the machine doesn't have it.
    pub fn info(&self) -> Option<DeviceInfo> {
        let (regions, interrupts) = (self.registers.len() as u32, self.interrupts.len() as u32);
        let there = regions + interrupts != 0;
        there.then_some(DeviceInfo { kind: self.kind, reg_shift: self.reg_shift, reg_width: self.reg_width, regions, interrupts })
    }

    /// A region of its registers: the pages in which it lies, and where in them.
    pub fn region(&self, index: usize) -> Option<(Pages, Region)> {
        let range = self.registers.get(index)?;
        let (address, size) = (range.start(), range.size());
        let offset = address % PAGE;
        let pages = Pages { first: address / PAGE, count: (offset + size).div_ceil(PAGE) };
        Some((pages, Region { address, offset: offset as u32, size }))
    }

    /// The number of an interrupt.
    pub fn interrupt(&self, index: usize) -> Option<u32> {
        self.interrupts.get(index).copied()
    }
}

/// Every device of the manifest, and a text for each that is not there.
pub fn find(manifest: &Manifest<'_>, tree: &[u8]) -> (Vec<Device>, Vec<(usize, String)>) {
    let (mut devices, mut missing) = (Vec::new(), Vec::new());
    for (owner, server) in manifest.servers.iter().enumerate() {
        for named in &server.devices {
            let (device, why) = Device::find(owner, named, tree);
            devices.push(device);
            missing.extend(why.map(|why| (owner, why)));
        }
    }
    (devices, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &[u8] = include_bytes!("../../../hal/platform/tests/data/qemu-7.2-virt-gicv3-smp4-2g.dtb");

    #[test]
    fn devices_are_found_in_the_tree() {
        let (console, missing) = Device::find(0, &Named::Console, TREE);
        assert_eq!(missing, None);
        assert_eq!(console.info(), Some(DeviceInfo { kind: DeviceKind::Pl011, reg_shift: 0, reg_width: 4, regions: 1, interrupts: 1 }));
        let region = Region { address: 0x900_0000, offset: 0, size: 0x1000 };
        assert_eq!(console.region(0), Some((Pages { first: 0x9000, count: 1 }, region)));
        assert_eq!((console.region(1), console.interrupt(0), console.interrupt(1)), (None, Some(33), None));
        assert!(console.is("console") && !console.is("console#1") && !console.is("arm,pl011"));

        let named = Named::Node { compatible: "virtio,mmio", instance: 2 };
        let (device, missing) = Device::find(0, &named, TREE);
        assert_eq!((missing, device.kind), (None, DeviceKind::Other));
        let region = Region { address: 0xa00_0400, offset: 0x400, size: 0x200 };
        assert_eq!(device.region(0), Some((Pages { first: 0xa000, count: 1 }, region)));
        assert!(device.is("virtio,mmio#2") && !device.is("virtio,mmio") && !device.is("virtio,mmio#x"));
    }

    #[test]
    fn devices_that_are_not_there_say_so() {
        for (named, tree) in [
            (Named::Node { compatible: "acme,rocket", instance: 0 }, TREE),
            (Named::Node { compatible: "virtio,mmio", instance: 999 }, TREE),
            (Named::Console, &b"no tree"[..]),
        ] {
            let (device, missing) = Device::find(0, &named, tree);
            assert_eq!((device.info(), device.region(0), device.interrupt(0)), (None, None, None));
            assert!(missing.is_some_and(|why| why.starts_with("device ")));
        }
    }
}
