//! The `reg` property, and its translation to physical addresses through the `ranges` of the buses above.

use heapless::Vec;

use crate::Range;
use crate::error::Error;
use crate::fdt::{Cells, Node};

/// Most register regions of one device.
pub const MAX_REGIONS: usize = 8;

const REG: &str = "reg";
const RANGES: &str = "ranges";

/// The (address, size) entries of `reg` as numbers of the bus that the node sits on, untranslated. Empty without a `reg`.
pub(crate) fn entries<'a>(node: Node<'a>) -> Result<impl Iterator<Item = Result<(u64, u64), Error<'a>>> + use<'a>, Error<'a>> {
    let parent = node.parent().unwrap_or(node);
    let (address_cells, size_cells) = (parent.address_cells()?, parent.size_cells()?);
    let invalid = node.invalid(REG, "pairs of address and size, each of at most 64 bits");
    let value = node.property(REG).unwrap_or(&[]);
    let entry = address_cells.checked_add(size_cells).and_then(|cells| cells.checked_mul(4)).unwrap_or(0);
    if !value.is_empty() && (entry == 0 || !value.len().is_multiple_of(entry)) {
        return Err(invalid);
    }
    let mut cells = Cells(value);
    Ok(core::iter::from_fn(move || {
        if cells.is_empty() {
            return None;
        }
        let pair = cells.take(address_cells).zip(cells.take(size_cells));
        if pair.is_none() {
            cells = Cells(&[]);
        }
        Some(pair.ok_or(invalid))
    }))
}

/// The physical address ranges of `reg`. Empty without a `reg`, and where the node's bus has no physical addresses (I²C, SPI).
///
/// # Errors
/// When `reg` is malformed, has more than [`MAX_REGIONS`] entries, or an address that the buses above don't translate.
pub(crate) fn regions<'a>(node: Node<'a>) -> Result<Vec<Range, MAX_REGIONS>, Error<'a>> {
    let mut regions = Vec::new();
    if node.property(REG).is_none() || !is_mapped(node)? {
        return Ok(regions);
    }
    for entry in entries(node)? {
        let (address, size) = entry?;
        let range = physical(node, address, size)?;
        regions.push(range).map_err(|_| Error::TooMany { what: "register regions of one device", limit: MAX_REGIONS })?;
    }
    Ok(regions)
}

/// Like [`regions`], for a node that is useless without one: there is at least one range.
pub(crate) fn required_regions<'a>(node: Node<'a>, expected: &'static str) -> Result<Vec<Range, MAX_REGIONS>, Error<'a>> {
    let regions = regions(node)?;
    if regions.is_empty() { Err(node.missing(REG, expected)) } else { Ok(regions) }
}

/// Whether addresses of the node's bus are physical addresses, directly or by translation: every bus above has `ranges`, and
/// none is addressed by more than two cells (as PCI is).
fn is_mapped(node: Node<'_>) -> Result<bool, Error<'_>> {
    let mut bus = node.parent();
    while let Some(current) = bus {
        bus = current.parent();
        if current.address_cells()? > 2 || bus.is_some() && current.property(RANGES).is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The physical range of one `reg` entry of `node`.
pub(crate) fn physical<'a>(node: Node<'a>, address: u64, size: u64) -> Result<Range, Error<'a>> {
    let overflow = node.invalid(REG, "a region that ends within the address space");
    let mut range = Range::new(address, size).ok_or(overflow)?;
    let mut bus = node.parent();
    while let Some(current) = bus {
        bus = current.parent();
        let Some(above) = bus else { break };
        let value = current.property(RANGES).ok_or(current.missing(RANGES, "a translation to the bus above"))?;
        if value.is_empty() {
            continue;
        }
        let invalid = current.invalid(RANGES, "triples of child address, parent address and size");
        let (child_cells, parent_cells, size_cells) = (current.address_cells()?, above.address_cells()?, current.size_cells()?);
        let mut cells = Cells(value);
        let mut translated = None;
        while !cells.is_empty() {
            let window = cells.take(child_cells).zip(cells.take(parent_cells)).zip(cells.take(size_cells));
            let ((child, parent), size) = window.ok_or(invalid)?;
            if translated.is_none() && Range::new(child, size).is_some_and(|window| window.covers(&range)) {
                let start = parent.checked_add(range.start() - child).ok_or(invalid)?;
                translated = Some(Range::new(start, range.size()).ok_or(invalid)?);
            }
            if child_cells + parent_cells + size_cells == 0 {
                return Err(invalid);
            }
        }
        range = translated.ok_or(node.invalid(REG, "addresses within the `ranges` of the bus above"))?;
    }
    Ok(range)
}
