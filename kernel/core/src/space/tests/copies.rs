//! Copies against naive ones that move one byte at a time.

use std::collections::BTreeMap;

use aios_abi::limits::{MESSAGE_MAX, USER_BASE};
use fastrand::Rng;

use super::super::table::{PAGE, VA_END};
use super::super::testmem::TestMemory;
use super::super::{
    Access, CopyCursor, CopyFault, FaultReason, Leaf, MemoryType, Progress, Side, Space, copy_between, read_user, read_words, write_user,
    write_words,
};
use super::{ASID, Quota, any, leaf, rng};
use crate::machine::Memory;

/// Pages around which the copies happen: the last of one 2 MiB and the first of the next.
const PAGES: u64 = 24;
const BASE: u64 = USER_BASE + (2 << 20) - 10 * PAGE;

/// Two spaces that share some pages.
struct World {
    memory: TestMemory,
    spaces: [Space; 2],
    models: [BTreeMap<u64, Leaf>; 2],
}

impl World {
    fn new(rng: &mut Rng) -> Self {
        let (mut memory, mut quota) = (TestMemory::new(), Quota::UNLIMITED);
        let frames: Vec<u64> = (0..PAGES * 2)
            .map(|_| {
                let frame = memory.alloc(1).expect("there is memory");
                memory.write_bytes(frame, &random_bytes(rng, PAGE as usize));
                frame
            })
            .collect();
        // From spaces without a hole to spaces that are all holes.
        let holes = rng.u32(..8);
        let mut models = [BTreeMap::new(), BTreeMap::new()];
        let spaces = [0, 1].map(|number: usize| {
            let mut space = Space::create(&mut memory, ASID + number as u16, &mut quota).expect("there is memory");
            for va in (0..PAGES).map(|page| BASE + page * PAGE) {
                let mut page = leaf(frames[rng.usize(..frames.len())], Access::ReadWrite);
                match rng.u32(..100) {
                    number if number < holes => continue,
                    number if number < 2 * holes => page.access = Access::Read,
                    number if number < 3 * holes => page.access = Access::ReadExecute,
                    // Not memory at all: an access to it would be noticed.
                    number if number < 4 * holes => (page.kind, page.pa) = (MemoryType::Device, 0x900_0000),
                    _ => {}
                }
                space.map(&mut memory, va, page, &mut quota).expect("nothing is there");
                models[number].insert(va, page);
            }
            space
        });
        Self { memory, spaces, models }
    }

    /// Where a byte is, or what is wrong.
    fn locate(&self, number: usize, va: u64, side: Side) -> Result<u64, CopyFault> {
        let page = self.models[number].get(&(va - va % PAGE)).ok_or(CopyFault { side, address: va, reason: FaultReason::Unmapped })?;
        if page.kind == MemoryType::Device || (side == Side::Destination && page.access != Access::ReadWrite) {
            return Err(CopyFault { side, address: va, reason: FaultReason::Denied });
        }
        Ok(page.pa + va % PAGE)
    }

    /// Copies piece by piece, each first read, then written, a byte at a time.
    fn naive_copy(&mut self, from: (usize, u64), to: (usize, u64), length: usize) -> (usize, Result<(), CopyFault>) {
        let mut done = 0;
        while done < length {
            let mut piece = Vec::new();
            loop {
                let va = (from.1.wrapping_add((done + piece.len()) as u64), to.1.wrapping_add((done + piece.len()) as u64));
                let place =
                    self.locate(from.0, va.0, Side::Source).and_then(|from| Ok((from, self.locate(to.0, va.1, Side::Destination)?)));
                let place = match place {
                    Ok(place) => place,
                    Err(fault) => return (done, Err(fault)),
                };
                let mut byte = [0];
                self.memory.read_bytes(place.0, &mut byte);
                piece.push((place.1, byte[0]));
                if done + piece.len() == length || (va.0 + 1).is_multiple_of(PAGE) || (va.1 + 1).is_multiple_of(PAGE) {
                    break;
                }
            }
            done += piece.len();
            piece.into_iter().for_each(|(to, byte)| self.memory.write_bytes(to, &[byte]));
        }
        (done, Ok(()))
    }
}

fn random_bytes(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

fn random_va(rng: &mut Rng) -> u64 {
    let (page, offset) = (BASE + rng.u64(..PAGES) * PAGE, rng.u64(..PAGE));
    page + any(rng, [0, 1, 8, PAGE - 1, offset])
}

fn random_length(rng: &mut Rng) -> usize {
    let page = PAGE as usize;
    let (short, long) = (rng.usize(..3 * page), rng.usize(..=MESSAGE_MAX));
    any(rng, [0, 1, 64, page - 1, page, page + 1, short, long, MESSAGE_MAX])
}

#[test]
fn random_copies_equal_copies_by_byte() {
    let mut rng = rng();
    for _ in 0..60 {
        let mut world = World::new(&mut rng);
        world.memory.interrupt_period = rng.u32(..4);
        for _ in 0..30 {
            let (from, to) = ((rng.usize(..2), random_va(&mut rng)), (rng.usize(..2), random_va(&mut rng)));
            let length = random_length(&mut rng);
            let mut twin = World { memory: world.memory.clone(), spaces: [Space::NONE, Space::NONE], models: world.models.clone() };
            let expected = twin.naive_copy(from, to, length);

            let mut cursor = CopyCursor::START;
            let result = loop {
                let before = cursor.done();
                let [source, destination] = [from, to].map(|(number, _)| &world.spaces[number]);
                match copy_between(&mut world.memory, source, from.1, destination, to.1, &mut cursor, length) {
                    Ok(Progress::Done) => break Ok(()),
                    Ok(Progress::More) => assert!(cursor.done() > before && cursor.done() < length, "steps forward"),
                    Err(fault) => break Err(fault),
                }
            };
            assert_eq!((cursor.done(), result), expected);
            assert_eq!(world.memory.contents(), twin.memory.contents());
        }
    }
}

#[test]
fn random_reads_and_writes_equal_those_by_byte() {
    let mut rng = rng();
    for _ in 0..60 {
        let mut world = World::new(&mut rng);
        for _ in 0..40 {
            let (number, va) = (rng.usize(..2), random_va(&mut rng));
            let words = rng.usize(..40);
            // Bytes before the fault count.
            let expect = |world: &World, side| {
                let mut places = Vec::new();
                for offset in 0..words as u64 * 8 {
                    match world.locate(number, va + offset, side) {
                        Ok(pa) => places.push(pa),
                        Err(fault) => return (places, Err(fault)),
                    }
                }
                (places, Ok(()))
            };
            let byte = |world: &World, pa| {
                let mut byte = [0];
                world.memory.read_bytes(pa, &mut byte);
                byte[0]
            };
            let (places, expected) = expect(&world, Side::Source);
            let bytes: Vec<u8> = places.iter().map(|&pa| byte(&world, pa)).collect();
            let (mut read, mut as_words) = (vec![0; words * 8], vec![0; words]);
            assert_eq!(read_user(&world.memory, &world.spaces[number], va, &mut read), expected);
            assert_eq!(read_words(&world.memory, &world.spaces[number], va, &mut as_words), expected);
            if expected.is_ok() {
                assert_eq!(read, bytes);
                assert_eq!(as_words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>(), bytes);
            }

            let (places, expected) = expect(&world, Side::Destination);
            let before = world.memory.contents().clone();
            let data: Vec<u64> = (0..words).map(|_| rng.u64(..)).collect();
            let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_le_bytes()).collect();
            let result = if rng.bool() {
                write_words(&mut world.memory, &world.spaces[number], va, &data)
            } else {
                write_user(&mut world.memory, &world.spaces[number], va, &bytes)
            };
            assert_eq!(result, expected);
            // A page may be mapped twice in a row: the last byte written to a place counts.
            let after: BTreeMap<u64, u8> = places.iter().copied().zip(bytes).collect();
            if expected.is_ok() {
                assert!(after.iter().all(|(&pa, &expected)| byte(&world, pa) == expected));
            }
            for (frame, old) in &before {
                let new = &world.memory.contents()[frame];
                assert!((0..PAGE).all(|offset| old[offset as usize] == new[offset as usize] || after.contains_key(&(frame + offset))));
            }
        }
    }
}

#[test]
fn addresses_outside_fault_and_nothing_wraps() {
    let mut rng = Rng::with_seed(1);
    let mut world = World::new(&mut rng);
    let space = &world.spaces[0];
    for va in [0, USER_BASE - 1, VA_END, VA_END + BASE, u64::MAX - 4, u64::MAX] {
        let fault = |side| Err(CopyFault { side, address: va, reason: FaultReason::Unmapped });
        assert_eq!(read_user(&world.memory, space, va, &mut [0; 64]), fault(Side::Source));
        assert_eq!(write_user(&mut world.memory, space, va, &[0; 64]), fault(Side::Destination));
        assert_eq!(read_words(&world.memory, space, va, &mut [0; 36]), fault(Side::Source));
        assert_eq!(write_words(&mut world.memory, space, va, &[0; 36]), fault(Side::Destination));
        // Without bytes there is nothing to fault at.
        assert_eq!(read_user(&world.memory, space, va, &mut []), Ok(()));
        assert_eq!(write_words(&mut world.memory, space, va, &[]), Ok(()));
        let mut cursor = CopyCursor::START;
        assert_eq!(copy_between(&mut world.memory, space, va, space, va, &mut cursor, 0), Ok(Progress::Done));
        assert_eq!(copy_between(&mut world.memory, space, va, space, va, &mut cursor, usize::MAX).err(), fault(Side::Source).err());
        assert_eq!(
            copy_between(&mut world.memory, &Space::NONE, BASE, space, va, &mut cursor, 1).map_err(|fault| fault.address),
            Err(BASE)
        );
        assert_eq!(cursor.done(), 0);
    }
}

#[test]
fn a_demand_page_can_come_in_on_the_way() {
    let (mut memory, mut quota) = (TestMemory::new(), Quota::UNLIMITED);
    let mut space = Space::create(&mut memory, ASID, &mut quota).expect("there is memory");
    let source = memory.alloc(1).expect("there is memory");
    memory.write_bytes(source, &[7; PAGE as usize]);
    for page in 0..4 {
        space.map(&mut memory, BASE + page * PAGE, leaf(source, Access::Read), &mut quota).expect("nothing is there");
    }
    let to = BASE + 8 * PAGE;
    let mut cursor = CopyCursor::START;
    let mut faults = Vec::new();
    while let Err(fault) = copy_between(&mut memory, &space, BASE, &space, to, &mut cursor, 4 * PAGE as usize) {
        assert_eq!((fault.side, fault.reason), (Side::Destination, FaultReason::Unmapped));
        faults.push(fault.address);
        let fresh = memory.alloc(1).expect("there is memory");
        space.map(&mut memory, fault.address - fault.address % PAGE, leaf(fresh, Access::ReadWrite), &mut quota).expect("nothing is there");
    }
    assert_eq!(faults, [0, 1, 2, 3].map(|page| to + page * PAGE));
    let mut bytes = vec![0; 4 * PAGE as usize];
    read_user(&memory, &space, to, &mut bytes).expect("all is mapped");
    assert!(bytes.iter().all(|&byte| byte == 7));
}

#[test]
fn a_long_message_reads_few_table_entries() {
    let mut memory = TestMemory::new();
    let mut quota = Quota::UNLIMITED;
    let [from, to] = [1, 2].map(|asid| {
        let mut space = Space::create(&mut memory, asid, &mut quota).expect("there is memory");
        for page in 0..PAGES {
            let pa = memory.alloc(1).expect("there is memory");
            space.map(&mut memory, BASE + page * PAGE, leaf(pa, Access::ReadWrite), &mut quota).expect("nothing is there");
        }
        space
    });
    let mut reads = |from_va, to_va| {
        let before = memory.reads.get();
        let mut cursor = CopyCursor::START;
        let progress = copy_between(&mut memory, &from, from_va, &to, to_va, &mut cursor, MESSAGE_MAX);
        assert_eq!(progress, Ok(Progress::Done));
        memory.reads.get() - before
    };
    // One read a page and side, and three a side at the start and at the border of 2 MiB.
    assert_eq!(reads(BASE, BASE), 32 + 12);
    assert_eq!(reads(BASE, BASE + 1000), 64 + 12);
}
