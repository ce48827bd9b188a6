//! What is mapped where, in the early identity map and in the kernel's half.

use aios_handoff::Range;
use aios_handoff::layout::{PAGE_SIZE, direct_va};

use crate::{Access, Failure, KernelPlan, Memory, RangeSet, TableError, TableMemory, Tables};

/// Upper bound of the tables that [`kernel`] needs, bytes: the root; the kernel image's (16 MiB within one GiB); and, for each range of
/// the direct map, one table of each lower level at either end. Two more ranges for the holes that kernel and stage0 make.
#[must_use]
pub fn kernel_tables_len(memory: &Memory, devices: &RangeSet) -> u64 {
    let ranges = memory.mapped.as_slice().len() + devices.as_slice().len() + 2;
    (1 + 1 + 9 + 4 * ranges as u64) * PAGE_SIZE
}

/// The kernel's half: its image by segments, all other memory and the devices in the direct map. `resident` is stage0's part
/// that stays, which is mapped nowhere.
///
/// # Errors
/// When memory has too many pieces or there are too few pages for tables.
pub fn kernel<M: TableMemory>(
    tables: &mut Tables<M>,
    memory: &Memory,
    kernel: &KernelPlan<'_>,
    resident: Range,
    devices: &RangeSet,
) -> Result<(), Failure<'static>> {
    for segment in kernel.elf.segments() {
        let access = match (segment.flags.execute(), segment.flags.write()) {
            (true, _) => Access::Code,
            (false, true) => Access::Data,
            (false, false) => Access::ReadOnly,
        };
        let place = kernel.segment_range(&segment);
        tables.map_pages(segment.page_start(), place.base, place.len, access)?;
    }
    let mut direct = memory.mapped.clone();
    direct.remove(kernel.range)?;
    direct.remove(resident)?;
    for (set, access) in [(&direct, Access::Data), (devices, Access::Device)] {
        for range in set.as_slice() {
            tables.map(direct_va(range.base), range.base, range.len, access)?;
        }
    }
    Ok(())
}

/// The early identity map: all memory as data, but `own`, ranges of stage0 itself, as they say (`None`: not at all), and the
/// devices.
///
/// # Errors
/// When memory has too many pieces or there are too few pages for tables.
pub fn identity<M: TableMemory>(
    tables: &mut Tables<M>,
    memory: &Memory,
    own: &[(Range, Option<Access>)],
    devices: &RangeSet,
) -> Result<(), Failure<'static>> {
    let mut data = memory.mapped.clone();
    for (range, access) in own {
        data.remove(*range)?;
        if let Some(access) = access {
            one_to_one(tables, *range, *access)?;
        }
    }
    for (set, access) in [(&data, Access::Data), (devices, Access::Device)] {
        for range in set.as_slice() {
            one_to_one(tables, *range, access)?;
        }
    }
    Ok(())
}

/// Maps one range to itself.
///
/// # Errors
/// As [`Tables::map`].
pub fn one_to_one<M: TableMemory>(tables: &mut Tables<M>, range: Range, access: Access) -> Result<(), TableError> {
    tables.map(range.base, range.base, range.len, access)
}

#[cfg(test)]
mod tests;
