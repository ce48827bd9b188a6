//! Taking mappings and whole spaces apart, in bounded steps.
//!
//! The order is always: clear the entries, flush the translations, then free. A table goes with its last entry.

use super::table::{Descriptor, ENTRIES, Leaf, PAGE, VA_END, entry, span};
use super::{PageRange, Place, Progress, Space, TableBudget, give_table, is_user_page, next_entry};
use crate::machine::Memory;

/// Entries that one step looks at, at most.
pub(super) const STEP_ENTRIES: u32 = 512;
/// Pages that one step removes, at most.
pub(super) const STEP_PAGES: usize = 64;

/// How far the destruction of a space came. It owns the tables that are left: the space is empty from the first step on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DestroyCursor {
    root: u64,
    next: u64,
}

impl DestroyCursor {
    /// Nothing taken apart yet.
    pub const START: Self = Self { root: 0, next: 0 };
}

impl Space {
    /// Removes the mapping of one page, from every core's cache too; tables that it leaves empty are freed. `None`: nothing is mapped there.
    pub fn unmap<M: Memory>(&mut self, memory: &mut M, va: u64, tables: &mut impl TableBudget) -> Option<Leaf> {
        if !is_user_page(va) {
            return None;
        }
        let place = self.walk(memory, va);
        let leaf = place.descriptor.leaf()?;
        memory.write(place.entry(va), Descriptor::ABSENT.0);
        let emptied = unlink_empty(memory, va, &place);
        if emptied[0].is_none() {
            memory.flush_page(self.asid, va);
        } else {
            // Cached walks name the freed tables.
            memory.flush_space(self.asid);
        }
        emptied.into_iter().flatten().for_each(|table| give_table(memory, table, tables));
        Some(leaf)
    }

    /// Removes what is mapped in a bounded piece of a range; `free_leaf` is told each page, after no core can reach it any more.
    pub fn unmap_range<M: Memory>(
        &mut self,
        memory: &mut M,
        range: &mut PageRange,
        tables: &mut impl TableBudget,
        mut free_leaf: impl FnMut(&mut M, Leaf),
    ) -> Progress {
        let mut removed = [Descriptor::ABSENT; STEP_PAGES];
        let (mut count, mut last) = (0, 0);
        let mut emptied = [None; 2];
        let mut looks = STEP_ENTRIES;
        while range.next < range.end && looks > 0 && count < STEP_PAGES && emptied[0].is_none() {
            looks -= 1;
            let va = range.next;
            let place = self.walk(memory, va);
            if place.descriptor.is_present() {
                memory.write(place.entry(va), Descriptor::ABSENT.0);
                removed[count] = place.descriptor;
                (count, last) = (count + 1, va);
            }
            range.next = next_entry(va, place.level).min(range.end);
            // The range leaves this table, which this step or an earlier one may have emptied.
            if place.level == 3 && (range.next == range.end || range.next.is_multiple_of(span(2))) {
                emptied = unlink_empty(memory, va, &place);
            }
        }
        if count > 1 || emptied[0].is_some() {
            memory.flush_space(self.asid);
        } else if count == 1 {
            memory.flush_page(self.asid, last);
        }
        emptied.into_iter().flatten().for_each(|table| give_table(memory, table, tables));
        removed[..count].iter().filter_map(|descriptor| descriptor.leaf()).for_each(|leaf| free_leaf(memory, leaf));
        if range.next < range.end { Progress::More } else { Progress::Done }
    }

    /// Takes a bounded piece of the space apart: flushes its translations, frees its tables, and tells `free_leaf` each page.
    ///
    /// The first step leaves [`Space::NONE`] behind; what is left belongs to the cursor, which goes into every step until `Done`.
    /// Before the first step no core has the space in its translation base register any more.
    pub fn destroy_step<M: Memory>(
        &mut self,
        memory: &mut M,
        cursor: &mut DestroyCursor,
        tables: &mut impl TableBudget,
        mut free_leaf: impl FnMut(&mut M, Leaf),
    ) -> Progress {
        if self.root != 0 {
            debug_assert_eq!(cursor.root, 0, "the cursor still owns another space's tables");
            memory.flush_space(self.asid);
            *cursor = DestroyCursor { root: self.root, next: 0 };
            *self = Self::NONE;
        }
        if cursor.root == 0 {
            return Progress::Done;
        }
        let remains = Self { root: cursor.root, asid: 0 };
        let (mut looks, mut leaves) = (STEP_ENTRIES, STEP_PAGES);
        while cursor.next < VA_END {
            if looks == 0 || leaves == 0 {
                return Progress::More;
            }
            let place = remains.walk(memory, cursor.next);
            if place.level < 3 {
                looks -= 1;
                cursor.next = next_entry(cursor.next, place.level);
            } else {
                let end = next_entry(cursor.next, 2);
                while cursor.next < end && looks > 0 && leaves > 0 {
                    looks -= 1;
                    if let Some(leaf) = Descriptor(memory.read(entry(place.tables[2], cursor.next, 3))).leaf() {
                        leaves -= 1;
                        free_leaf(memory, leaf);
                    }
                    cursor.next += PAGE;
                }
                if cursor.next == end {
                    give_table(memory, place.tables[2], tables);
                }
            }
            if place.level > 1 && cursor.next.is_multiple_of(span(1)) {
                give_table(memory, place.tables[1], tables);
            }
        }
        give_table(memory, cursor.root, tables);
        *cursor = DestroyCursor::START;
        Progress::Done
    }
}

/// Unlinks the tables that the removal at `va` left empty, the lowest first; the caller flushes, then frees them. The root stays.
fn unlink_empty<M: Memory>(memory: &mut M, va: u64, place: &Place) -> [Option<u64>; 2] {
    let mut emptied = [None; 2];
    for (slot, level) in emptied.iter_mut().zip([3, 2]) {
        let table = place.tables[level - 1];
        if !is_empty(memory, table, va / span(level)) {
            break;
        }
        memory.write(entry(place.tables[level - 2], va, level - 1), Descriptor::ABSENT.0);
        *slot = Some(table);
    }
    emptied
}

/// Whether a table has no entry. Looks behind the removed entry first: where a run is removed from its start, the next entry is there still.
fn is_empty<M: Memory>(memory: &M, table: u64, removed: u64) -> bool {
    (1..=ENTRIES).all(|distance| !Descriptor(memory.read(table + (removed + distance) % ENTRIES * 8)).is_present())
}
