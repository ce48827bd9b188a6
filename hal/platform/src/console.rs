//! The console that firmware used: `/chosen/stdout-path`.

use crate::Range;
use crate::device::Device;
use crate::error::Error;
use crate::fdt::{self, Fdt, Node};
use crate::interrupt::{Controller, Interrupt};

const PL011: &[&str] = &["arm,pl011"];
const DW8250: &[&str] = &["snps,dw-apb-uart", "ns16550a", "ns16550"];
const STDOUT_PATH: &str = "stdout-path";

/// The UART that firmware's messages went to; it is clocked and its line is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console<'a> {
    /// What kind of UART it is.
    pub kind: ConsoleKind,
    /// Its registers.
    pub registers: Range,
    /// Its interrupt, if it is wired to the GIC.
    pub interrupt: Option<Interrupt>,
    /// What followed the `:` in the path, such as `1500000n8`; empty if nothing.
    pub options: &'a str,
    /// The UART's node.
    pub node: Node<'a>,
}

/// A kind of UART, with what must be known to reach its registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleKind {
    /// Arm PrimeCell PL011.
    Pl011,
    /// Synopsys DesignWare 8250, or another UART with the registers of a 16550.
    Dw8250 {
        /// Register n is at byte offset n << reg_shift.
        reg_shift: u8,
        /// Width of a register access in bytes: 1 or 4.
        reg_io_width: u8,
    },
}

/// The console of the tree in `dtb`; `None` when the tree names none. For whoever must report before the rest is read.
///
/// # Errors
/// When the blob is malformed, or the console that it names can't be used.
pub fn console(dtb: &[u8]) -> Result<Option<Console<'_>>, Error<'_>> {
    let tree = fdt::read(dtb)?;
    // Registers can be had without the interrupt controller: a tree whose GIC is the problem must still be able to say so.
    of_tree(tree, Controller::find(tree).ok().as_ref())
}

/// The console of a tree that [`console`] refused as malformed, as far as it can be made out, for the line that says why: damage elsewhere
/// in the tree is passed over. Nothing else of such a tree should be used.
#[must_use]
pub fn console_of_damaged(dtb: &[u8]) -> Option<Console<'_>> {
    of_tree(Fdt::damaged(dtb)?, None).ok().flatten()
}

/// The console of `tree`; without a `controller` it has no interrupt.
pub(crate) fn of_tree<'a>(tree: Fdt<'a>, controller: Option<&Controller<'a>>) -> Result<Option<Console<'a>>, Error<'a>> {
    let Some(chosen) = tree.find("/chosen") else { return Ok(None) };
    let Some(target) = chosen.text(STDOUT_PATH)? else { return Ok(None) };
    let (path, options) = target.split_once(':').unwrap_or((target, ""));
    let unknown = chosen.invalid(STDOUT_PATH, "the path or alias of a node");
    let path = if path.starts_with('/') {
        path
    } else {
        let alias = tree.find("/aliases").and_then(|aliases| aliases.properties().find(|alias| alias.name == path));
        let bytes = alias.and_then(|alias| alias.value.strip_suffix(&[0])).ok_or(unknown)?;
        core::str::from_utf8(bytes).map_err(|_| unknown)?
    };
    let node = tree.find(path).ok_or(unknown)?;
    let kind = kind(node)?;
    let registers = crate::address::required_regions(node, "the UART's registers")?;
    let interrupt = match controller {
        Some(controller) => Device::read(controller, node, 0)?.interrupts.first().copied(),
        None => None,
    };
    match registers.first() {
        Some(&registers) if registers.size() >= min_size(kind) => Ok(Some(Console { kind, registers, interrupt, options, node })),
        _ => Err(node.invalid("reg", "a region that holds all registers of the UART")),
    }
}

fn kind(node: Node<'_>) -> Result<ConsoleKind, Error<'_>> {
    if node.compatible_index(PL011).is_some() {
        return Ok(ConsoleKind::Pl011);
    }
    if node.compatible_index(DW8250).is_none() {
        return Err(Error::Unsupported {
            node: node.name(),
            found: "a console of an unknown kind",
            expected: "a PL011 or a 16550 (`arm,pl011`, `snps,dw-apb-uart`, `ns16550a`)",
        });
    }
    let reg_shift = match node.u32("reg-shift")?.unwrap_or(0) {
        shift @ 0..=3 => shift as u8,
        _ => return Err(node.invalid("reg-shift", "0 to 3")),
    };
    let reg_io_width = match node.u32("reg-io-width")?.unwrap_or(1) {
        1 => 1,
        4 if reg_shift >= 2 => 4,
        _ => return Err(node.invalid("reg-io-width", "1, or 4 with a register shift of at least 2")),
    };
    Ok(ConsoleKind::Dw8250 { reg_shift, reg_io_width })
}

/// Bytes of registers that a driver for `kind` touches.
fn min_size(kind: ConsoleKind) -> u64 {
    match kind {
        ConsoleKind::Pl011 => 0x48,
        ConsoleKind::Dw8250 { reg_shift, .. } => 8 << reg_shift,
    }
}
