use super::*;

/// Description of one segment of a made-up executable.
struct Load {
    vaddr: u64,
    flags: u32,
    data: Vec<u8>,
    memsz: u64,
}

fn load(vaddr: u64, flags: u32, data: &[u8], memsz: u64) -> Load {
    Load { vaddr, flags, data: data.to_vec(), memsz }
}

/// Builds an executable by hand, independently of `rewrite`.
fn build(kind: u16, entry: u64, loads: &[Load], note: Option<&[u8]>) -> Vec<u8> {
    let count = loads.len() + usize::from(note.is_some());
    let mut out = vec![0u8; EHDR_SIZE + count * PHDR_SIZE];
    out[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    let put = |out: &mut Vec<u8>, at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(&mut out, 16, &kind.to_le_bytes());
    put(&mut out, 18, &183u16.to_le_bytes());
    put(&mut out, 24, &entry.to_le_bytes());
    put(&mut out, 32, &64u64.to_le_bytes());
    put(&mut out, 54, &56u16.to_le_bytes());
    put(&mut out, 56, &(count as u16).to_le_bytes());
    for (index, segment) in loads.iter().enumerate() {
        let at = EHDR_SIZE + index * PHDR_SIZE;
        let offset = out.len() as u64;
        out.extend_from_slice(&segment.data);
        put(&mut out, at, &1u32.to_le_bytes());
        put(&mut out, at + 4, &segment.flags.to_le_bytes());
        put(&mut out, at + 8, &offset.to_le_bytes());
        put(&mut out, at + 16, &segment.vaddr.to_le_bytes());
        put(&mut out, at + 24, &segment.vaddr.to_le_bytes());
        put(&mut out, at + 32, &(segment.data.len() as u64).to_le_bytes());
        put(&mut out, at + 40, &segment.memsz.to_le_bytes());
    }
    if let Some(note) = note {
        let at = EHDR_SIZE + loads.len() * PHDR_SIZE;
        let offset = out.len() as u64;
        out.extend_from_slice(note);
        put(&mut out, at, &4u32.to_le_bytes());
        put(&mut out, at + 8, &offset.to_le_bytes());
        put(&mut out, at + 32, &(note.len() as u64).to_le_bytes());
    }
    out
}

fn sample() -> Vec<u8> {
    let loads = [
        load(0x40_0000, 5, &[0xaa; 0x1800], 0x1800),
        load(0x40_2010, 4, &[0xbb; 0x100], 0x100),
        load(0x40_4000, 6, &[0xcc; 0x20], 0x3000),
        load(0x40_8000, 6, &[], 0x1000),
    ];
    build(2, 0x40_0100, &loads, Some(&AbiNote::new(7).to_bytes()))
}

#[test]
fn reads_a_good_file() {
    let file = sample();
    let elf = Elf::parse(&file).unwrap();
    assert_eq!(elf.kind(), Kind::Exec);
    assert_eq!(elf.entry(), 0x40_0100);
    assert_eq!(elf.abi_version(), Some(7));
    assert_eq!(elf.span(), (0x40_0000, 0x40_9000));
    let segments: Vec<_> = elf.segments().collect();
    assert_eq!(segments.len(), 4);
    assert_eq!(segments[0].pages(), 2);
    assert_eq!(segments[2].pages(), 3);
    assert_eq!(segments[2].data, [0xcc; 0x20]);
    assert_eq!(format!("{:?}", segments[2].flags), "rw-");
    assert_eq!(segments[1].page_start(), 0x40_2000);
}

#[test]
fn each_defect_has_its_error() {
    let code = || load(0x1000, 5, &[0; 16], 16);
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = sample();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let first = EHDR_SIZE;
    let cases: Vec<(Vec<u8>, ElfError)> = vec![
        (vec![], ElfError::Truncated),
        (sample()[..63].to_vec(), ElfError::Truncated),
        (patched(0, b"\x7fELG"), ElfError::Magic),
        (patched(4, &[1]), ElfError::Class),
        (patched(5, &[2]), ElfError::Class),
        (patched(18, &[62]), ElfError::Machine(62)),
        (patched(16, &[1]), ElfError::Kind(1)),
        (patched(54, &[57]), ElfError::ProgramHeaders),
        (patched(32, &[0xff; 8]), ElfError::ProgramHeaders),
        (sample()[..100].to_vec(), ElfError::ProgramHeaders),
        (patched(first + 8, &[0xff; 8]), ElfError::SegmentFile(0x40_0000)),
        (patched(first + 40, &[0; 8]), ElfError::SegmentSize(0x40_0000)),
        (patched(first + 40, &[0xff; 8]), ElfError::SegmentAddress(0x40_0000)),
        (patched(first + 4, &[7]), ElfError::WritableCode(0x40_0000)),
        (patched(24, &0x40_2010u64.to_le_bytes()), ElfError::Entry(0x40_2010)),
        (build(2, 0x1000, &[], None), ElfError::Empty),
        (build(2, 0x1000, &[load(0x1000, 5, &[], 0)], None), ElfError::Empty),
        (build(2, 0x1000, &[code(), load(0x1100, 6, &[1], 1)], None), ElfError::Overlap(0x1100)),
        (build(2, 0x1000, &[code(), load(0, 4, &[1], 1)], None), ElfError::Overlap(0)),
        (build(2, 0x1000, &[code(), load(0x1000, 5, &[1], 1)], None), ElfError::Overlap(0x1000)),
        (build(2, 0x1000, &[code()], Some(&[5, 0, 0, 0, 4])), ElfError::Note),
        (build(2, 0x1000, &[code()], Some(&[0xff; 24])), ElfError::Note),
    ];
    for (index, (file, expected)) in cases.iter().enumerate() {
        assert_eq!(Elf::parse(file).err(), Some(*expected), "case {index}");
        assert!(!expected.to_string().is_empty());
    }
}

#[test]
fn note_of_another_owner_is_no_abi_version() {
    let code = load(0x1000, 5, &[0; 16], 16);
    let mut note = AbiNote::new(3).to_bytes();
    note[12] = b'B';
    let file = build(3, 0x1000, &[code], Some(&note));
    let elf = Elf::parse(&file).unwrap();
    assert_eq!(elf.kind(), Kind::Dyn);
    assert_eq!(elf.notes().count(), 1);
    assert_eq!(elf.abi_version(), None);
    // Behind a foreign note ours is still found.
    let both = [&note[..], &AbiNote::new(4).to_bytes()].concat();
    let file = build(2, 0x1000, &[load(0x1000, 5, &[0; 16], 16)], Some(&both));
    assert_eq!(Elf::parse(&file).unwrap().abi_version(), Some(4));
}

#[test]
fn flatten_lays_out_memory() {
    let flat = flatten(&sample()).unwrap();
    assert_eq!(flat.base, 0x40_0000);
    assert_eq!(flat.entry_offset, 0x100);
    assert_eq!(flat.bytes.len(), 0x9000);
    assert_eq!(flat.bytes[0x17ff], 0xaa);
    assert_eq!(flat.bytes[0x1800..0x2010], [0; 0x810]);
    assert_eq!(flat.bytes[0x2010..0x2110], [0xbb; 0x100]);
    assert_eq!(flat.bytes[0x4020..], [0; 0x4fe0]);
    let apart = build(2, 0x1000, &[load(0x1000, 5, &[1], 1), load(1 << 40, 4, &[1], 1)], None);
    assert_eq!(flatten(&apart).err(), Some(ElfError::SegmentAddress(1 << 40)));
}

#[test]
fn minimal_keeps_what_is_loaded() {
    let file = sample();
    let small = minimal(&file).unwrap();
    let (before, after) = (Elf::parse(&file).unwrap(), Elf::parse(&small).unwrap());
    assert_eq!(flatten(&file), flatten(&small));
    assert_eq!(after.abi_version(), Some(7));
    assert_eq!(after.entry(), before.entry());
    for (old, new) in before.segments().zip(after.segments()) {
        assert_eq!((old.vaddr, old.memsz, old.flags), (new.vaddr, new.memsz, new.flags));
        assert!(new.data.is_empty() || new.offset % PAGE_SIZE == new.vaddr % PAGE_SIZE);
    }
    assert_eq!(minimal(&small).unwrap(), small, "rewriting twice changes nothing");
}

/// Whatever happens to the bytes: no panic, and what is accepted keeps the promises.
#[test]
fn mutations_never_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let good = sample();
    let interesting = [0u64, 1, 0xff, 0xfff, 0x1000, u64::MAX, u64::MAX - 0xfff, 1 << 63, 0x40_0000];
    for round in 0..if cfg!(miri) { 10 } else { 60_000 } {
        let mut file = good.clone();
        for _ in 0..random.usize(1..6) {
            let end = EHDR_SIZE + 5 * PHDR_SIZE;
            if random.bool() {
                let at = random.usize(..end / 8) * 8;
                file[at..at + 8].copy_from_slice(&random.choice(interesting).unwrap().to_le_bytes());
            } else {
                let at = if random.u8(..8) == 0 { random.usize(..file.len()) } else { random.usize(..end) };
                file[at] = random.u8(..);
            }
        }
        if round % 8 == 0 {
            file.truncate(random.usize(..=file.len()));
        }
        let Ok(elf) = Elf::parse(&file) else { continue };
        let mut end = 0;
        for segment in elf.segments() {
            assert!(segment.page_start() >= end);
            end = segment.page_end();
            assert!(segment.data.len() as u64 <= segment.memsz);
            assert!(!(segment.flags.write() && segment.flags.execute()));
        }
        assert!(elf.segments().any(|segment| segment.contains(elf.entry()) && segment.flags.execute()));
        let _ = elf.notes().count();
        let (_, end) = elf.span();
        if end < 1 << 24 {
            let small = minimal(&file).unwrap();
            assert_eq!(flatten(&small), flatten(&file));
        }
    }
}
