//! The kernel's tables.

use aios_abi::record::{AgentRecord, CoreRecord, IrqRecord, MemoryRecord, SlotRecord, Table};
use aios_abi::{AgentId, Call};

use crate::Result;
use crate::slot::{Capability, Observe};
use crate::sys::{Regs, syscall};

mod sealed {
    pub trait Sealed {}
}

/// A record that a table is made of. Every implementor is `repr(C)` and holds nothing but 64-bit words.
pub trait Record: Copy + Default + sealed::Sealed {
    /// The table.
    const TABLE: Table;
}

macro_rules! records {
    ($($record:ident: $table:ident;)+) => {$(
        impl sealed::Sealed for $record {}
        impl Record for $record {
            const TABLE: Table = Table::$table;
        }
        const _: () = assert!(size_of::<$record>() == $record::WORDS * 8);
    )+};
}

records! {
    AgentRecord: Agents;
    SlotRecord: Slots;
    MemoryRecord: Memory;
    CoreRecord: Cores;
    IrqRecord: Irqs;
}

/// A part of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'a, R> {
    /// The records.
    pub records: &'a [R],
    /// Where the next part begins; `None`: that was all.
    pub next: Option<u64>,
}

/// Reads as many records as `buffer` has room for, from `cursor` (0: the start). `agent` says whose table is meant where each agent has one.
pub fn read<R: Record>(observe: Observe, agent: AgentId, cursor: u64, buffer: &mut [R]) -> Result<Part<'_, R>> {
    let mut regs = Regs::at(observe.word()).with([R::TABLE as u64, cursor, agent.0]);
    // The kernel writes records, which are plain words, into the buffer and not beyond it.
    regs.x10 = size_of_val(buffer) as u64;
    regs.x11 = buffer.as_mut_ptr().expose_provenance() as u64;
    syscall(Call::Inspect, &mut regs)?;
    let count = (regs.x[0] as usize).min(buffer.len());
    let next = (regs.x[1] != 0).then_some(regs.x[1]);
    Ok(Part { records: &buffer[..count], next })
}

/// Hands every record of a table to `each`, read in parts of `N`.
pub fn for_each<R: Record, const N: usize>(observe: Observe, agent: AgentId, mut each: impl FnMut(&R)) -> Result<()> {
    let mut buffer = [R::default(); N];
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        let part = read(observe, agent, at, &mut buffer)?;
        part.records.iter().for_each(&mut each);
        cursor = part.next;
    }
    Ok(())
}
