//! The facts that boot and kernel need, read in one go.

use heapless::Vec;

use crate::Range;
use crate::address;
use crate::console::{self, Console};
use crate::error::Error;
use crate::fdt::{self, Fdt, Node};
use crate::interrupt::{Controller, Gic};

/// Most memory banks.
pub const MAX_BANKS: usize = 32;
/// Most reserved ranges.
pub const MAX_RESERVED: usize = 64;
/// Most cores.
pub const MAX_CORES: usize = 64;
/// Longest kernel command line, in bytes.
pub const MAX_BOOTARGS: usize = 2048;

/// The bits of MPIDR that name a core: Aff3 in bits 39–32, Aff2–Aff0 in bits 23–0.
const AFFINITY: u64 = 0xff_00ff_ffff;

const CHOSEN: &str = "/chosen";

/// How PSCI is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// By the HVC instruction.
    Hvc,
    /// By the SMC instruction.
    Smc,
}

/// What a machine has, as its device tree says. Where the blob itself lies in memory is for the reader to know.
#[derive(Clone, Debug)]
pub struct Platform<'a> {
    /// Memory banks in the order of the tree; none is empty. They may touch or overlap; nothing is taken out yet.
    pub memory: Vec<Range, MAX_BANKS>,
    /// Ranges that must not be used as memory, whatever the banks say; without duplicates.
    pub reserved: Vec<Range, MAX_RESERVED>,
    /// The initial ramdisk (our bundle).
    pub initrd: Option<Range>,
    /// Kernel command line; empty if there is none.
    pub bootargs: &'a str,
    /// Seed for the random generator, as a part of the blob (so that it can be wiped there after reading).
    pub rng_seed: Option<&'a [u8]>,
    /// Affinity (MPIDR) of each usable core, in the order of the tree.
    pub cores: Vec<u64, MAX_CORES>,
    /// How firmware is called for power and cores; `None` without PSCI 0.2 or later.
    pub psci: Option<Conduit>,
    /// Interrupt controller.
    pub gic: Gic,
    /// INTID of the virtual timer's interrupt.
    pub virtual_timer: u32,
    /// Console.
    pub console: Option<Console<'a>>,
}

impl<'a> Platform<'a> {
    /// Reads the tree in `dtb`. Bytes behind the tree's total size are ignored.
    ///
    /// # Errors
    /// When the blob is malformed, or lacks or garbles something that a machine must have.
    pub fn read(dtb: &'a [u8]) -> Result<Self, Error<'a>> {
        let tree = fdt::read(dtb)?;
        let controller = Controller::find(tree)?;
        let chosen = tree.find(CHOSEN);
        let (initrd, bootargs, rng_seed) = match chosen {
            Some(chosen) => (initrd(chosen)?, bootargs(chosen)?, chosen.property("rng-seed").filter(|seed| !seed.is_empty())),
            None => (None, "", None),
        };
        Ok(Self {
            memory: memory(tree)?,
            reserved: reserved(tree)?,
            initrd,
            bootargs,
            rng_seed,
            cores: cores(tree)?,
            psci: psci(tree)?,
            gic: controller.gic()?,
            virtual_timer: virtual_timer(tree, &controller)?,
            console: console::of_tree(tree, Some(&controller))?,
        })
    }
}

/// Adds the physical ranges of `node`'s `reg` to `list`.
fn push_regions<'a, const N: usize>(node: Node<'a>, list: &mut Vec<Range, N>, what: &'static str) -> Result<(), Error<'a>> {
    for entry in address::entries(node)? {
        let (address, size) = entry?;
        push(list, address::physical(node, address, size)?, what)?;
    }
    Ok(())
}

/// Adds `range` unless it is empty or already there.
fn push<'a, const N: usize>(list: &mut Vec<Range, N>, range: Range, what: &'static str) -> Result<(), Error<'a>> {
    if range.is_empty() || list.contains(&range) {
        return Ok(());
    }
    list.push(range).map_err(|_| Error::TooMany { what, limit: N })
}

fn memory(tree: Fdt<'_>) -> Result<Vec<Range, MAX_BANKS>, Error<'_>> {
    let mut banks = Vec::new();
    for node in tree.root().children() {
        if node.property("device_type") == Some(b"memory\0") && node.is_available() {
            push_regions(node, &mut banks, "memory banks")?;
        }
    }
    if banks.is_empty() {
        return Err(Error::NodeMissing { node: "/memory", expected: "at least one memory bank that is not empty" });
    }
    Ok(banks)
}

fn reserved(tree: Fdt<'_>) -> Result<Vec<Range, MAX_RESERVED>, Error<'_>> {
    let mut reserved = Vec::new();
    for (address, size) in tree.reservations() {
        let range = Range::new(address, size).ok_or(Error::PropertyInvalid {
            node: "/",
            property: "memory reservation block",
            expected: "ranges that end within the address space",
        })?;
        push(&mut reserved, range, "reserved ranges")?;
    }
    let children = tree.find("/reserved-memory").into_iter().flat_map(|node| node.children());
    for node in children.filter(Node::is_available) {
        push_regions(node, &mut reserved, "reserved ranges")?;
    }
    Ok(reserved)
}

fn initrd(chosen: Node<'_>) -> Result<Option<Range>, Error<'_>> {
    const START: &str = "linux,initrd-start";
    const END: &str = "linux,initrd-end";
    match (chosen.u32_or_u64(START)?, chosen.u32_or_u64(END)?) {
        (None, None) => Ok(None),
        (Some(start), Some(end)) => {
            let range = Range::between(start, end).ok_or(chosen.invalid(END, "an address behind linux,initrd-start"))?;
            Ok(Some(range).filter(|range| !range.is_empty()))
        }
        (Some(_), None) => Err(chosen.missing(END, "the end of the ramdisk")),
        (None, Some(_)) => Err(chosen.missing(START, "the start of the ramdisk")),
    }
}

fn bootargs(chosen: Node<'_>) -> Result<&str, Error<'_>> {
    let text = chosen.text("bootargs")?.unwrap_or("");
    if text.len() > MAX_BOOTARGS { Err(chosen.invalid("bootargs", "at most 2048 bytes")) } else { Ok(text) }
}

fn cores(tree: Fdt<'_>) -> Result<Vec<u64, MAX_CORES>, Error<'_>> {
    const EXPECTED: &str = "one affinity that no other core has";
    let mut cores: Vec<u64, MAX_CORES> = Vec::new();
    let children = tree.find("/cpus").into_iter().flat_map(|node| node.children());
    for node in children.filter(|node| node.property("device_type") == Some(b"cpu\0") && node.is_available()) {
        let mut entries = address::entries(node)?;
        let (affinity, _) = entries.next().ok_or(node.missing("reg", EXPECTED))??;
        // More than one entry means hardware threads, each a core of its own; Arm trees give each its own node.
        if entries.next().is_some() || affinity & !AFFINITY != 0 || cores.contains(&affinity) {
            return Err(node.invalid("reg", EXPECTED));
        }
        cores.push(affinity).map_err(|_| Error::TooMany { what: "cores", limit: MAX_CORES })?;
    }
    if cores.is_empty() {
        return Err(Error::NodeMissing { node: "/cpus/cpu@…", expected: "at least one usable core" });
    }
    Ok(cores)
}

fn psci(tree: Fdt<'_>) -> Result<Option<Conduit>, Error<'_>> {
    // Version 0.1 (`arm,psci` alone) has no standard function numbers.
    let Some(node) = tree.find_compatible(&["arm,psci-1.0", "arm,psci-0.2"]) else { return Ok(None) };
    match node.text("method")? {
        Some("hvc") => Ok(Some(Conduit::Hvc)),
        Some("smc") => Ok(Some(Conduit::Smc)),
        Some(_) => Err(node.invalid("method", "hvc or smc")),
        None => Err(node.missing("method", "hvc or smc")),
    }
}

fn virtual_timer<'a>(tree: Fdt<'a>, controller: &Controller<'a>) -> Result<u32, Error<'a>> {
    let timer = tree.find_compatible(&["arm,armv8-timer"]);
    let node = timer.ok_or(Error::NodeMissing { node: "compatible with `arm,armv8-timer`", expected: "the generic timer" })?;
    // Order without names: secure physical, physical, virtual, hypervisor physical, hypervisor virtual.
    let wanted = match node.property("interrupt-names") {
        Some(_) => node.texts("interrupt-names").position(|name| name == "virt"),
        None => Some(2),
    };
    let mut position = 0;
    let mut intid = None;
    controller.interrupts(node, |interrupt| {
        if Some(position) == wanted {
            intid = Some(interrupt.intid);
        }
        position += 1;
        Ok(())
    })?;
    match intid {
        Some(intid @ 16..=31) => Ok(intid),
        _ => Err(node.invalid("interrupts", "the virtual timer's per-core interrupt of the GIC")),
    }
}
