//! Address spaces against a naive map, on memory that checks the rules of the hardware.
//!
//! Random tests print their seed; `AIOS_SEED=<n>` repeats one.

mod copies;
mod descriptors;
mod regions;

use std::collections::{BTreeMap, BTreeSet};

use aios_abi::limits::{AGENT_MEM_BASE, INFO_PAGE, USER_BASE, USER_END};
use fastrand::Rng;

use super::table::{Descriptor, ENTRIES, PAGE, VA_END};
use super::testmem::TestMemory;
use super::{Access, DestroyCursor, Leaf, MapError, MemoryType, Owner, PageRange, Progress, Space, TableBudget};
use crate::machine::Memory;

pub(super) const ASID: u16 = 77;

/// A random generator whose seed is shown when the test fails.
pub(super) fn rng() -> Rng {
    let seed = std::env::var("AIOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("AIOS_SEED={seed}");
    Rng::with_seed(seed)
}

/// One of these.
pub(super) fn any<T: Copy, const N: usize>(rng: &mut Rng, choices: [T; N]) -> T {
    choices[rng.usize(..N)]
}

/// A budget that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Quota {
    pub used: u64,
    pub limit: u64,
}

impl Quota {
    pub const UNLIMITED: Self = Self { used: 0, limit: u64::MAX };
}

impl TableBudget for Quota {
    fn take(&mut self) -> bool {
        let paid = self.used < self.limit;
        self.used += u64::from(paid);
        paid
    }

    fn give(&mut self) {
        self.used = self.used.checked_sub(1).expect("more came back than was paid");
    }
}

pub(super) fn leaf(pa: u64, access: Access) -> Leaf {
    Leaf { pa, access, kind: MemoryType::Normal, owner: Owner::Private }
}

/// A space, and what it should be.
struct World {
    memory: TestMemory,
    space: Space,
    quota: Quota,
    model: BTreeMap<u64, Leaf>,
}

impl World {
    fn new() -> Self {
        let (mut memory, mut quota) = (TestMemory::new(), Quota::UNLIMITED);
        let space = Space::create(&mut memory, ASID, &mut quota).expect("there is memory");
        memory.watch(space.root(), ASID);
        Self { memory, space, quota, model: BTreeMap::new() }
    }

    fn map(&mut self, va: u64, leaf: Leaf) -> Result<(), MapError> {
        self.space.map(&mut self.memory, va, leaf, &mut self.quota)
    }

    /// A random page: shared ones are outside of the memory, private ones are allocated.
    fn random_leaf(&mut self, rng: &mut Rng, pages: u64) -> Leaf {
        let access = any(rng, [Access::Read, Access::ReadWrite, Access::ReadExecute]);
        if rng.bool() {
            Leaf { pa: self.memory.alloc(pages).expect("there is memory"), access, kind: MemoryType::Normal, owner: Owner::Private }
        } else {
            let kind = if access == Access::ReadExecute || rng.bool() { MemoryType::Normal } else { MemoryType::Device };
            Leaf { pa: rng.u64(..1 << 30) * PAGE, access, kind, owner: Owner::Shared }
        }
    }

    fn give_back(memory: &mut TestMemory, leaf: Leaf) {
        if leaf.owner == Owner::Private {
            memory.free(leaf.pa, 1);
        }
    }

    /// Reads the whole space as the hardware would: every page it reaches, and the number of tables.
    fn look(&self) -> (BTreeMap<u64, Leaf>, u64) {
        fn visit(memory: &TestMemory, table: u64, level: usize, base: u64, pages: &mut BTreeMap<u64, Leaf>) -> u64 {
            let mut tables = 1;
            let mut entries = 0;
            for index in 0..ENTRIES {
                let descriptor = Descriptor(memory.read(table + index * 8));
                let va = base + index * super::span(level);
                if descriptor.is_present() && level < 3 {
                    tables += visit(memory, descriptor.address(), level + 1, va, pages);
                } else if let Some(leaf) = descriptor.leaf() {
                    let (writable, executable) = (descriptor.0 >> 7 & 1 == 0, descriptor.0 >> 54 & 1 == 0);
                    assert!(!(writable && executable), "W^X: {:#x}", descriptor.0);
                    assert!(descriptor.0 >> 53 & 1 == 1, "PXN: {:#x}", descriptor.0);
                    pages.insert(va, leaf);
                }
                entries += u64::from(descriptor.is_present());
            }
            assert!(entries > 0 || level == 1, "empty table at {base:#x}");
            tables
        }
        let mut pages = BTreeMap::new();
        let tables = visit(&self.memory, self.space.root(), 1, 0, &mut pages);
        (pages, tables)
    }

    fn check(&self) {
        let (pages, tables) = self.look();
        assert_eq!(pages, self.model);
        assert_eq!(tables, self.quota.used, "tables against budget");
        self.memory.assert_flushed();
    }

    fn unmap_range(&mut self, va: u64, pages: u64) -> Vec<Leaf> {
        let mut freed = Vec::new();
        let mut range = PageRange::new(va, pages).expect("in the user's part");
        loop {
            let before = freed.len();
            let progress = self.space.unmap_range(&mut self.memory, &mut range, &mut self.quota, |memory, leaf| {
                Self::give_back(memory, leaf);
                freed.push(leaf);
            });
            self.memory.assert_flushed();
            assert!(freed.len() - before <= 64, "a step removes too much");
            if progress == Progress::Done {
                return freed;
            }
        }
    }

    /// Destroys the space; answers the pages that were told and the number of steps.
    fn destroy(mut self) -> (Vec<Leaf>, u32, TestMemory) {
        let (mut told, mut steps) = (Vec::new(), 0);
        let flushes = self.memory.space_flushes;
        let mut cursor = DestroyCursor::START;
        loop {
            steps += 1;
            let before = (self.memory.reads.get(), told.len());
            let progress = self.space.destroy_step(&mut self.memory, &mut cursor, &mut self.quota, |memory, leaf| {
                assert!(memory.space_flushes > flushes, "a page is freed before the flush");
                Self::give_back(memory, leaf);
                told.push(leaf);
            });
            assert_eq!(self.space, Space::NONE);
            assert!(self.memory.reads.get() - before.0 <= 3 * 512 + 3 && told.len() - before.1 <= 64, "a step does too much");
            if progress == Progress::Done {
                break;
            }
        }
        let again = self.space.destroy_step(&mut self.memory, &mut cursor, &mut self.quota, |_, _| panic!("told twice"));
        assert_eq!(again, Progress::Done);
        assert_eq!(self.quota.used, 0);
        (told, steps, self.memory)
    }
}

/// Addresses that share tables at every level, and the edges.
fn places(rng: &mut Rng) -> Vec<u64> {
    let mut places = BTreeSet::from([PAGE, USER_BASE, AGENT_MEM_BASE, USER_END - PAGE]);
    while places.len() < 40 {
        let gib = any(rng, [0, 1, 128, 510]);
        let (mib, page) = (any(rng, [0, 1, 511]), any(rng, [0, 1, 2, 255, 510, 511]));
        let va = gib << 30 | mib << 21 | page << 12;
        if va != 0 {
            places.insert(va);
        }
    }
    places.into_iter().collect()
}

#[test]
fn random_edits_equal_a_naive_map() {
    let mut rng = rng();
    for _ in 0..20 {
        let mut world = World::new();
        let places = places(&mut rng);
        for _ in 0..400 {
            let va = places[rng.usize(..places.len())];
            match rng.u32(..10) {
                0..4 => {
                    let leaf = world.random_leaf(&mut rng, 1);
                    let result = world.map(va, leaf);
                    if let Some(&there) = world.model.get(&va) {
                        assert_eq!(result, Err(MapError::AlreadyMapped), "{there:?}");
                        World::give_back(&mut world.memory, leaf);
                    } else {
                        assert_eq!(result, Ok(()));
                        world.model.insert(va, leaf);
                        assert!(leaf.access != Access::ReadExecute || world.memory.synced.contains(&leaf.pa));
                    }
                }
                4..7 => {
                    let gone = world.space.unmap(&mut world.memory, va, &mut world.quota);
                    assert_eq!(gone, world.model.remove(&va));
                    gone.into_iter().for_each(|leaf| World::give_back(&mut world.memory, leaf));
                }
                7 => {
                    let access = any(&mut rng, [Access::Read, Access::ReadWrite, Access::ReadExecute]);
                    let result = world.space.protect(&mut world.memory, va, access);
                    match world.model.get_mut(&va) {
                        None => assert_eq!(result, Err(MapError::NotMapped)),
                        Some(leaf) if leaf.kind == MemoryType::Device && access == Access::ReadExecute => {
                            assert_eq!(result, Err(MapError::BadLeaf));
                        }
                        Some(leaf) => {
                            assert_eq!(result, Ok(()));
                            leaf.access = access;
                        }
                    }
                }
                8 => {
                    let pages = rng.u64(1..=700).min((USER_END - va) / PAGE);
                    let mut leaf = world.random_leaf(&mut rng, 1);
                    World::give_back(&mut world.memory, leaf);
                    (leaf.owner, leaf.pa) = (Owner::Shared, rng.u64(..1 << 30) * PAGE);
                    let mut range = PageRange::new(va, pages).expect("in the user's part");
                    let result = loop {
                        match world.space.map_range(&mut world.memory, &mut range, leaf, &mut world.quota) {
                            Ok(Progress::More) => {}
                            result => break result,
                        }
                    };
                    let covered = range.covered();
                    let covered: Vec<u64> = (covered.start..covered.end).step_by(PAGE as usize).collect();
                    assert!(covered.iter().all(|va| !world.model.contains_key(va)));
                    match result {
                        Ok(_) => assert_eq!(covered.len() as u64, pages),
                        Err(error) => {
                            assert_eq!(error, MapError::AlreadyMapped);
                            assert!(world.model.contains_key(&range.next()));
                        }
                    }
                    if result.is_err() && rng.bool() {
                        let undone = world.unmap_range(va, covered.len() as u64);
                        assert_eq!(undone.len(), covered.len());
                    } else {
                        for (page, va) in covered.into_iter().enumerate() {
                            world.model.insert(va, Leaf { pa: leaf.pa + page as u64 * PAGE, ..leaf });
                        }
                    }
                }
                _ => {
                    let pages = any(&mut rng, [1, 2, 300, 512, 2000, 1 << 20]).min((USER_END - va) / PAGE);
                    let freed = world.unmap_range(va, pages);
                    let gone: Vec<u64> = world.model.range(va..va + pages * PAGE).map(|(&va, _)| va).collect();
                    let expected: Vec<Leaf> = gone.iter().map(|va| world.model.remove(va).expect("was listed")).collect();
                    assert_eq!(freed, expected);
                }
            }
            world.memory.assert_flushed();
            for &va in &places {
                assert_eq!(world.space.translate(&world.memory, va + rng.u64(..PAGE)), world.model.get(&va).copied());
            }
        }
        world.check();
        let expected: Vec<Leaf> = world.model.values().copied().collect();
        let (told, _, memory) = world.destroy();
        assert_eq!(told, expected, "every page once, in order");
        assert_eq!(memory.allocated(), 0, "nothing is left");
    }
}

#[test]
fn unmapping_everything_leaves_only_the_root() {
    let mut rng = rng();
    let mut world = World::new();
    let mut places = places(&mut rng);
    for _ in 0..50 {
        for &va in &places {
            let leaf = world.random_leaf(&mut rng, 1);
            world.map(va, leaf).expect("nothing is there");
        }
        rng.shuffle(&mut places);
        for &va in &places {
            let leaf = world.space.unmap(&mut world.memory, va, &mut world.quota).expect("it is mapped");
            World::give_back(&mut world.memory, leaf);
        }
        world.check();
        assert_eq!((world.quota.used, world.memory.allocated()), (1, 1));
    }
}

#[test]
fn a_failed_map_changes_nothing() {
    // With what is mapped before, and the tables that are missing then.
    for (neighbour, missing) in [(None, 2), (Some(AGENT_MEM_BASE), 2), (Some(USER_BASE + (2 << 20)), 1), (Some(USER_BASE), 0)] {
        for limited_by_quota in [false, true] {
            for left in 0.. {
                let mut world = World::new();
                if let Some(va) = neighbour {
                    world.map(va, leaf(0x1000, Access::Read)).expect("nothing is there");
                }
                if limited_by_quota {
                    world.quota.limit = world.quota.used + left;
                } else {
                    world.memory.allocations_left = Some(left);
                }
                let before = (world.memory.contents().clone(), world.quota.clone());
                let result = world.map(USER_BASE + PAGE, leaf(0x2000, Access::ReadExecute));
                world.memory.assert_flushed();
                match result {
                    Ok(()) => {
                        assert_eq!(left, missing);
                        break;
                    }
                    Err(error) => {
                        assert_eq!(error, if limited_by_quota { MapError::NoQuota } else { MapError::NoMemory });
                        assert_eq!((world.memory.contents(), &world.quota), (&before.0, &before.1));
                    }
                }
            }
        }
    }
}

#[test]
fn creation_can_fail_and_costs_nothing_then() {
    let (mut memory, mut quota) = (TestMemory::new(), Quota { used: 0, limit: 0 });
    assert_eq!(Space::create(&mut memory, ASID, &mut quota), Err(MapError::NoQuota));
    quota.limit = 1;
    memory.allocations_left = Some(0);
    assert_eq!(Space::create(&mut memory, ASID, &mut quota), Err(MapError::NoMemory));
    assert_eq!((quota.used, memory.allocated()), (0, 0));
}

#[test]
fn addresses_that_are_not_the_users_are_refused() {
    let mut world = World::new();
    let page = leaf(0x1000, Access::ReadWrite);
    for va in [0, 1, PAGE - 1, PAGE + 8, USER_END, INFO_PAGE, VA_END - PAGE, VA_END, VA_END + USER_BASE, !(PAGE - 1), u64::MAX] {
        assert_eq!(world.map(va, page), Err(MapError::BadAddress), "{va:#x}");
        assert_eq!(world.space.protect(&mut world.memory, va, Access::Read), Err(MapError::BadAddress), "{va:#x}");
        assert_eq!(world.space.unmap(&mut world.memory, va, &mut world.quota), None);
        assert_eq!(world.space.translate(&world.memory, va), None);
        assert_eq!(PageRange::new(va, 1), None);
    }
    for pa in [1, 0x1008, 1 << 48, !(PAGE - 1)] {
        assert_eq!(world.map(USER_BASE, leaf(pa, Access::Read)), Err(MapError::BadLeaf), "{pa:#x}");
    }
    let code_in_device = Leaf { kind: MemoryType::Device, access: Access::ReadExecute, ..page };
    assert_eq!(world.map(USER_BASE, code_in_device), Err(MapError::BadLeaf));
    // Bits above the 39th are not thrown away.
    world.map(USER_BASE, page).expect("nothing is there");
    assert_eq!(world.space.translate(&world.memory, VA_END + USER_BASE), None);
    assert_eq!(PageRange::new(PAGE, (USER_END - PAGE) / PAGE + 1), None);
    assert_eq!(PageRange::new(PAGE, u64::MAX), None);
    assert_eq!(PageRange::new(PAGE, u64::MAX / PAGE), None);
    assert!(PageRange::new(PAGE, (USER_END - PAGE) / PAGE).is_some());
    world.model.insert(USER_BASE, page);
    world.check();
}

#[test]
fn the_information_page_stays_until_the_end() {
    let mut world = World::new();
    let pa = world.memory.alloc(1).expect("there is memory");
    world.space.map_info(&mut world.memory, pa, Owner::Private, &mut world.quota).expect("nothing is there");
    assert_eq!(world.space.map_info(&mut world.memory, pa, Owner::Private, &mut world.quota), Err(MapError::AlreadyMapped));
    assert_eq!(world.space.unmap(&mut world.memory, INFO_PAGE, &mut world.quota), None);
    assert_eq!(world.space.translate(&world.memory, INFO_PAGE + 5), Some(leaf(pa, Access::Read)));
    let (told, _, memory) = world.destroy();
    assert_eq!((told, memory.allocated()), (vec![leaf(pa, Access::Read)], 0));
}

#[test]
fn no_space_does_nothing() {
    let (mut memory, mut quota, mut space) = (TestMemory::new(), Quota::UNLIMITED, Space::NONE);
    assert_eq!(space.map(&mut memory, USER_BASE, leaf(0x1000, Access::Read), &mut quota), Err(MapError::NoSpace));
    assert_eq!(space.translate(&memory, USER_BASE), None);
    assert_eq!(space.protect(&mut memory, USER_BASE, Access::Read), Err(MapError::NotMapped));
    assert_eq!(space.unmap(&mut memory, USER_BASE, &mut quota), None);
    let mut range = PageRange::new(USER_BASE, 1 << 20).expect("in the user's part");
    while space.unmap_range(&mut memory, &mut range, &mut quota, |_, _| panic!("nothing is mapped")) == Progress::More {}
    let mut cursor = DestroyCursor::START;
    assert_eq!(space.destroy_step(&mut memory, &mut cursor, &mut quota, |_, _| panic!("nothing is mapped")), Progress::Done);
    assert_eq!((memory, quota), (TestMemory::new(), Quota::UNLIMITED));
}

#[test]
fn a_range_stops_where_the_physical_addresses_end() {
    let mut world = World::new();
    let mut range = PageRange::new(USER_BASE, 4).expect("in the user's part");
    let last_two = Leaf { owner: Owner::Shared, ..leaf((1 << 48) - 2 * PAGE, Access::Read) };
    assert_eq!(world.space.map_range(&mut world.memory, &mut range, last_two, &mut world.quota), Err(MapError::BadLeaf));
    assert_eq!(range.next(), USER_BASE + 2 * PAGE);
    let mut range = PageRange::new(USER_BASE, 4).expect("in the user's part");
    let over = leaf(u64::MAX - PAGE + 1, Access::Read);
    assert_eq!(world.space.map_range(&mut world.memory, &mut range, over, &mut world.quota), Err(MapError::BadLeaf));
    assert_eq!(world.unmap_range(USER_BASE, 4).len(), 2);
    world.check();
}

#[test]
fn a_gib_that_is_hardly_used_is_unmapped_in_few_steps() {
    let mut world = World::new();
    for va in [AGENT_MEM_BASE, AGENT_MEM_BASE + (512 << 20), AGENT_MEM_BASE + (1 << 30) - PAGE] {
        let pa = world.memory.alloc(1).expect("there is memory");
        world.map(va, leaf(pa, Access::ReadWrite)).expect("nothing is there");
    }
    let reads = world.memory.reads.get();
    assert_eq!(world.unmap_range(AGENT_MEM_BASE, 1 << 18).len(), 3);
    assert!(world.memory.reads.get() - reads < 10_000);
    assert_eq!((world.quota.used, world.memory.allocated()), (1, 1));
    world.check();
}

#[test]
fn destruction_goes_in_bounded_steps() {
    let mut world = World::new();
    for page in 0..1500 {
        let pa = world.memory.alloc(1).expect("there is memory");
        world.map(USER_BASE + page * PAGE, leaf(pa, Access::ReadWrite)).expect("nothing is there");
    }
    let (told, steps, memory) = world.destroy();
    assert_eq!((told.len(), memory.allocated()), (1500, 0));
    assert!((1500 / 64..60).contains(&steps), "{steps} steps");
}
