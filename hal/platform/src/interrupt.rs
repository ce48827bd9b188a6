//! The interrupt controller (GICv3) and the interrupts that devices are wired to.
//!
//! Source: bindings `arm,gic-v3.yaml` (two to four cells: type, number, flags, partition) and `interrupts.txt`;
//! GICv3 architecture specification for the ranges of interrupt ids.

use heapless::Vec;

use crate::Range;
use crate::address;
use crate::error::Error;
use crate::fdt::{Cells, Fdt, Node};

/// Most separate redistributor regions.
pub const MAX_REDISTRIBUTOR_REGIONS: usize = 8;

const GICV3: &[&str] = &["arm,gic-v3"];
/// Older controllers, which have no system-register interface.
const GICV2: &[&str] =
    &["arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a9-gic", "arm,cortex-a7-gic", "arm,pl390", "qcom,msm-qgic2", "arm,eb11mp-gic"];

const INTERRUPTS: &str = "interrupts";
const EXTENDED: &str = "interrupts-extended";

/// The interrupt controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gic {
    /// Registers of the distributor (GICD).
    pub distributor: Range,
    /// Where the cores' redistributors (GICR) are.
    pub redistributors: Vec<RedistributorRegion, MAX_REDISTRIBUTOR_REGIONS>,
    /// Whether the GIC's own memory accesses (tables) bypass the caches.
    pub dma_noncoherent: bool,
}

/// Consecutive redistributors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedistributorRegion {
    /// Registers.
    pub range: Range,
    /// Bytes from one redistributor to the next; 0 where the redistributor itself tells (GICR_TYPER).
    pub stride: u64,
}

/// When an interrupt is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At a change of the line.
    Edge,
    /// As long as the line is active.
    Level,
}

/// An interrupt of the GIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// INTID, the number that the GIC reports.
    pub intid: u32,
    /// How the device signals it.
    pub trigger: Trigger,
}

/// The GIC's node, and how interrupts of it are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Controller<'a> {
    tree: Fdt<'a>,
    pub(crate) node: Node<'a>,
    cells: usize,
}

impl<'a> Controller<'a> {
    /// Finds the GIC.
    pub(crate) fn find(tree: Fdt<'a>) -> Result<Self, Error<'a>> {
        let Some(node) = tree.find_compatible(GICV3) else {
            return Err(match tree.find_compatible(GICV2) {
                Some(node) => Error::Unsupported { node: node.name(), found: "a GICv2", expected: "a GICv3 (`arm,gic-v3`)" },
                None => Error::NodeMissing { node: "compatible with `arm,gic-v3`", expected: "the interrupt controller" },
            });
        };
        let expected = "3 or 4";
        let cells = node.u32("#interrupt-cells")?.ok_or(node.missing("#interrupt-cells", expected))?;
        if !(3..=4).contains(&cells) {
            return Err(node.invalid("#interrupt-cells", expected));
        }
        Ok(Self { tree, node, cells: cells as usize })
    }

    /// Registers of the controller.
    pub(crate) fn gic(&self) -> Result<Gic, Error<'a>> {
        let node = self.node;
        let expected = "the distributor and its redistributor regions";
        let registers = address::required_regions(node, expected)?;
        let count = node.u32("#redistributor-regions")?.unwrap_or(1) as usize;
        let stride = node.u32_or_u64("redistributor-stride")?.unwrap_or(0);
        if !stride.is_multiple_of(0x1_0000) {
            return Err(node.invalid("redistributor-stride", "a multiple of 64 KiB"));
        }
        let limit = MAX_REDISTRIBUTOR_REGIONS;
        if count > limit {
            return Err(Error::TooMany { what: "redistributor regions", limit });
        }
        let (Some(distributor), Some(regions)) = (registers.first(), count.checked_add(1).and_then(|end| registers.get(1..end))) else {
            return Err(node.invalid("reg", expected));
        };
        if regions.is_empty() || distributor.size() < 0x1_0000 || regions.iter().any(|range| range.size() < 0x2_0000) {
            return Err(node.invalid("reg", "at least 64 KiB for the distributor and 128 KiB for each redistributor region"));
        }
        let redistributors = regions.iter().map(|&range| RedistributorRegion { range, stride }).collect();
        let dma_noncoherent = node.property("dma-noncoherent").is_some();
        Ok(Gic { distributor: *distributor, redistributors, dma_noncoherent })
    }

    /// The interrupts of `node` that go to the GIC, in order, given to `each`. Interrupts of other controllers (a GPIO
    /// block's, say) have no INTID and are left out.
    pub(crate) fn interrupts(&self, node: Node<'a>, mut each: impl FnMut(Interrupt) -> Result<(), Error<'a>>) -> Result<(), Error<'a>> {
        if let Some(value) = node.property(EXTENDED) {
            return self.extended(node, value, each);
        }
        let Some(value) = node.property(INTERRUPTS) else { return Ok(()) };
        if !self.is_parent_of(node)? {
            return Ok(());
        }
        let mut cells = Cells(value);
        while !cells.is_empty() {
            each(self.specifier(&mut cells).ok_or(node.invalid(INTERRUPTS, "specifiers of the GIC: type, number, flags"))?)?;
        }
        Ok(())
    }

    /// `interrupts-extended`: each specifier is preceded by the controller's phandle.
    fn extended(&self, node: Node<'a>, value: &'a [u8], mut each: impl FnMut(Interrupt) -> Result<(), Error<'a>>) -> Result<(), Error<'a>> {
        let invalid = node.invalid(EXTENDED, "controllers' phandles, each with a specifier");
        let mut cells = Cells(value);
        while !cells.is_empty() {
            let phandle = cells.take(1).and_then(|phandle| u32::try_from(phandle).ok()).ok_or(invalid)?;
            if self.node.phandle() == Some(phandle) {
                each(self.specifier(&mut cells).ok_or(invalid)?)?;
                continue;
            }
            let other = self.tree.by_phandle(phandle).ok_or(invalid)?;
            let skipped = other.u32("#interrupt-cells")?.ok_or(other.missing("#interrupt-cells", "how long a specifier is"))?;
            for _ in 0..skipped {
                cells.take(1).ok_or(invalid)?;
            }
        }
        Ok(())
    }

    /// Whether `interrupts` of `node` means this controller: the nearest `interrupt-parent`, or the nearest controller that
    /// the node lies in.
    fn is_parent_of(&self, node: Node<'a>) -> Result<bool, Error<'a>> {
        let mut current = node;
        loop {
            if let Some(phandle) = current.u32("interrupt-parent")? {
                return Ok(self.node.phandle() == Some(phandle));
            }
            let Some(parent) = current.parent() else { return Ok(false) };
            if parent.property("#interrupt-cells").is_some() {
                return Ok(parent == self.node);
            }
            current = parent;
        }
    }

    fn specifier(&self, cells: &mut Cells<'_>) -> Option<Interrupt> {
        let kind = cells.take(1)?;
        let number = u32::try_from(cells.take(1)?).ok()?;
        let flags = cells.take(1)?;
        for _ in 3..self.cells {
            // The partition only says on which cores a per-core interrupt exists.
            cells.take(1)?;
        }
        let (first, count) = match kind {
            0 => (32, 988),
            1 => (16, 16),
            2 => (4096, 1024),
            3 => (1056, 64),
            _ => return None,
        };
        // Flags: 1 rising edge, 2 falling edge, 4 level high, 8 level low; the other bits say nothing about the trigger.
        let trigger = if flags & 0b1111 == 1 || flags & 0b1111 == 2 { Trigger::Edge } else { Trigger::Level };
        if number < count { Some(Interrupt { intid: first + number, trigger }) } else { None }
    }
}
