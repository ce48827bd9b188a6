//! Physical memory for tests, stricter than the real one.
//!
//! It checks what hardware would punish at random: no access outside of allocated pages or across a page, copies that don't overlap, no valid
//! descriptor replaced by another (permissions aside), and nothing freed while a core could still reach it through a translation that was
//! not flushed. Freed pages are handed out again at once.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::table::{Descriptor, ENTRIES, PAGE};
use crate::machine::Memory;

/// Descriptor bits that may change while an entry is valid: AP\[2\] and UXN.
const PERMISSIONS: u64 = 1 << 7 | 1 << 54;

/// A translation that cores may have cached although the tables don't say it any more.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Stale {
    asid: u16,
    level: usize,
    index: u64,
    target: u64,
}

/// The memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TestMemory {
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
    free: Vec<u64>,
    next: u64,
    /// Allocations that still succeed; `None`: all.
    pub allocations_left: Option<u64>,
    /// Tables that a root reaches: ASID and level.
    tables: BTreeMap<u64, (u16, usize)>,
    stale: Vec<Stale>,
    /// Every how many polls an interrupt waits; 0: never.
    pub interrupt_period: u32,
    polls: Cell<u32>,
    /// Words read.
    pub reads: Cell<u64>,
    /// Flushes of whole spaces.
    pub space_flushes: u64,
    /// Flushes of single pages.
    pub page_flushes: u64,
    /// Pages made visible to instruction fetches.
    pub synced: Vec<u64>,
}

impl TestMemory {
    /// Empty, high in the 48-bit physical address space.
    pub fn new() -> Self {
        Self {
            pages: BTreeMap::new(),
            free: Vec::new(),
            next: 0xffff_0000_0000,
            allocations_left: None,
            tables: BTreeMap::new(),
            stale: Vec::new(),
            interrupt_period: 0,
            polls: Cell::new(0),
            reads: Cell::new(0),
            space_flushes: 0,
            page_flushes: 0,
            synced: Vec::new(),
        }
    }

    /// Tells it that this page is the root of a space.
    pub fn watch(&mut self, root: u64, asid: u16) {
        self.tables.insert(root, (asid, 1));
    }

    /// Allocated pages.
    pub fn allocated(&self) -> usize {
        self.pages.len()
    }

    /// What every allocated page holds.
    pub fn contents(&self) -> &BTreeMap<u64, Box<[u8; PAGE as usize]>> {
        &self.pages
    }

    /// Asserts that no core can have an outdated translation.
    #[track_caller]
    pub fn assert_flushed(&self) {
        assert!(self.stale.is_empty(), "not flushed: {:x?}", self.stale);
    }

    #[track_caller]
    fn page(&self, address: u64, length: usize) -> (&[u8; PAGE as usize], usize) {
        let offset = (address % PAGE) as usize;
        assert!(offset + length <= PAGE as usize, "{address:#x}+{length} crosses a page");
        (self.pages.get(&(address - address % PAGE)).unwrap_or_else(|| panic!("{address:#x} is not allocated")), offset)
    }

    #[track_caller]
    fn bytes_mut(&mut self, address: u64, length: usize) -> &mut [u8] {
        let (_, offset) = self.page(address, length);
        let page = self.pages.get_mut(&(address - address % PAGE)).expect("was looked up");
        &mut page[offset..offset + length]
    }

    /// A table became reachable, with everything below it.
    fn reach(&mut self, table: u64, asid: u16, level: usize) {
        self.tables.insert(table, (asid, level));
        if level < 3 {
            for index in 0..ENTRIES {
                let below = Descriptor(self.read(table + index * 8));
                if below.is_present() {
                    self.reach(below.address(), asid, level + 1);
                }
            }
        }
    }
}

impl Memory for TestMemory {
    fn alloc(&mut self, pages: u64) -> Option<u64> {
        if let Some(left) = &mut self.allocations_left {
            *left = left.checked_sub(1)?;
        }
        let address = if pages == 1 { self.free.pop() } else { None }.unwrap_or_else(|| {
            let address = self.next;
            self.next += pages * PAGE;
            address
        });
        for page in 0..pages {
            self.pages.insert(address + page * PAGE, Box::new([0; PAGE as usize]));
        }
        Some(address)
    }

    #[track_caller]
    fn free(&mut self, address: u64, pages: u64) {
        for address in (address..).step_by(PAGE as usize).take(pages as usize) {
            assert!(self.pages.remove(&address).is_some(), "{address:#x} freed, but not allocated");
            assert!(self.stale.iter().all(|stale| stale.target != address), "{address:#x} freed before the flush");
            self.tables.remove(&address);
            self.free.push(address);
        }
    }

    #[track_caller]
    fn read(&self, address: u64) -> u64 {
        assert!(address.is_multiple_of(8), "{address:#x} is not aligned");
        self.reads.set(self.reads.get() + 1);
        let (page, offset) = self.page(address, 8);
        u64::from_le_bytes(page[offset..offset + 8].try_into().expect("eight bytes"))
    }

    #[track_caller]
    fn write(&mut self, address: u64, word: u64) {
        let (old, new) = (Descriptor(self.read(address)), Descriptor(word));
        self.bytes_mut(address, 8).copy_from_slice(&word.to_le_bytes());
        let Some(&(asid, level)) = self.tables.get(&(address - address % PAGE)) else { return };
        if old.is_present() && old != new {
            let changed = old.0 ^ new.0;
            assert!(
                !new.is_present() || (level == 3 && changed & !PERMISSIONS == 0),
                "{:#x} replaced by {:#x} without a break",
                old.0,
                new.0
            );
            self.stale.push(Stale { asid, level, index: address % PAGE / 8, target: old.address() });
        }
        if new.is_present() && level < 3 {
            self.reach(new.address(), asid, level + 1);
        }
    }

    #[track_caller]
    fn copy(&mut self, to: u64, from: u64, length: usize) {
        assert!(to.abs_diff(from) >= length as u64, "copy to where it comes from: {from:#x} {to:#x} {length}");
        let (page, offset) = self.page(from, length);
        let bytes = page[offset..offset + length].to_vec();
        self.write_bytes(to, &bytes);
    }

    #[track_caller]
    fn read_bytes(&self, address: u64, bytes: &mut [u8]) {
        let (page, offset) = self.page(address, bytes.len());
        bytes.copy_from_slice(&page[offset..offset + bytes.len()]);
    }

    #[track_caller]
    fn write_bytes(&mut self, address: u64, bytes: &[u8]) {
        self.bytes_mut(address, bytes.len()).copy_from_slice(bytes);
    }

    fn flush_page(&mut self, asid: u16, address: u64) {
        self.page_flushes += 1;
        // Last level only: whether the hardware drops walks through upper levels too is not relied on.
        let index = address / PAGE % ENTRIES;
        self.stale.retain(|stale| stale.asid != asid || stale.level != 3 || stale.index != index);
    }

    fn flush_space(&mut self, asid: u16) {
        self.space_flushes += 1;
        self.stale.retain(|stale| stale.asid != asid);
    }

    fn sync_code(&mut self, address: u64, pages: u64) {
        self.synced.extend((0..pages).map(|page| address + page * PAGE));
    }

    fn interrupt_pending(&self) -> bool {
        self.polls.set(self.polls.get() + 1);
        self.interrupt_period != 0 && self.polls.get().is_multiple_of(self.interrupt_period)
    }
}
