//! Finding devices for driver servers.

use core::fmt;

use heapless::Vec;

use crate::Range;
use crate::address::{self, MAX_REGIONS};
use crate::error::Error;
use crate::fdt::{Fdt, Node, Nodes};
use crate::interrupt::{Controller, Interrupt};

/// Most interrupts of one device.
pub const MAX_IRQS: usize = 16;

/// A device that the tree describes.
#[derive(Clone, Debug)]
pub struct Device<'a> {
    /// The device's node, for properties that only its driver understands. Its `Display` is the full path.
    pub node: Node<'a>,
    /// Index in the list that was searched for of the name that matched.
    pub matched: usize,
    /// Register regions, as physical addresses. Empty for a device on a bus without addresses of that kind.
    pub registers: Vec<Range, MAX_REGIONS>,
    /// Interrupts of the GIC, in the order of the node.
    pub interrupts: Vec<Interrupt, MAX_IRQS>,
}

impl<'a> Device<'a> {
    /// Name with unit address, such as `serial@1000`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.node.name()
    }

    pub(crate) fn read(controller: &Controller<'a>, node: Node<'a>, matched: usize) -> Result<Self, Error<'a>> {
        let registers = address::regions(node)?;
        let mut interrupts = Vec::new();
        controller.interrupts(node, |interrupt| {
            interrupts.push(interrupt).map_err(|_| Error::TooMany { what: "interrupts of one device", limit: MAX_IRQS })
        })?;
        Ok(Self { node, matched, registers, interrupts })
    }
}

impl fmt::Display for Device<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

/// The usable devices (`status` absent or okay) that are compatible with one of `wanted`, in the order of the tree. A device
/// whose description is bad is an error item; the ones behind it still come.
///
/// # Errors
/// When the blob is malformed, or has no interrupt controller.
pub fn find_compatible<'a, 'w>(dtb: &'a [u8], wanted: &'w [&'w str]) -> Result<Devices<'a, 'w>, Error<'a>> {
    let tree = Fdt::new(dtb)?;
    Ok(Devices { nodes: tree.nodes(), controller: Controller::find(tree)?, wanted })
}

/// Iterator over devices; see [`find_compatible`].
#[derive(Clone, Debug)]
pub struct Devices<'a, 'w> {
    nodes: Nodes<'a>,
    controller: Controller<'a>,
    wanted: &'w [&'w str],
}

impl<'a> Iterator for Devices<'a, '_> {
    type Item = Result<Device<'a>, Error<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let wanted = self.wanted;
        let found = |node: Node<'a>| node.compatible_index(wanted).filter(|_| node.is_available()).map(|index| (node, index));
        let (node, matched) = self.nodes.find_map(found)?;
        Some(Device::read(&self.controller, node, matched))
    }
}
