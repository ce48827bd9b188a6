//! For tests: a memory for tables, a walker that says what the tables mean (written from the architecture's description), made-up
//! machines and programs.

use std::collections::BTreeMap;

use aios_handoff::Range;
use aios_platform::{Gic, Platform, RedistributorRegion};

use crate::TableMemory;

/// Pages of tables at made-up physical addresses.
#[derive(Debug)]
pub struct SimMemory {
    words: BTreeMap<u64, u64>,
    used: u64,
    limit: u64,
}

const FIRST: u64 = 0x7000_0000;

impl SimMemory {
    /// Room for `limit` pages.
    pub fn new(limit: u64) -> Self {
        Self { words: BTreeMap::new(), used: 0, limit }
    }

    /// Pages given out.
    pub fn used(&self) -> u64 {
        self.used
    }
}

impl TableMemory for SimMemory {
    fn allocate(&mut self) -> Option<u64> {
        (self.used < self.limit).then(|| {
            self.used += 1;
            FIRST + (self.used - 1) * 4096
        })
    }

    fn read(&self, at: u64) -> u64 {
        assert!(at.is_multiple_of(8) && (FIRST..FIRST + self.used * 4096).contains(&at));
        self.words.get(&at).copied().unwrap_or(0)
    }

    fn write(&mut self, at: u64, entry: u64) {
        assert_eq!(self.read(at) & 1, 0, "an entry in use is never changed");
        self.words.insert(at, entry);
    }
}

/// One block or page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub va: u64,
    pub pa: u64,
    pub len: u64,
    pub entry: u64,
}

impl Leaf {
    /// EL1 may write.
    pub fn writable(&self) -> bool {
        self.entry >> 7 & 1 == 0
    }

    /// EL1 may execute.
    pub fn executable(&self) -> bool {
        self.entry >> 53 & 1 == 0
    }

    /// EL0 has no access at all.
    pub fn private(&self) -> bool {
        self.entry >> 6 & 1 == 0 && self.entry >> 54 & 1 == 1
    }

    /// Index into MAIR.
    pub fn attribute(&self) -> u64 {
        self.entry >> 2 & 7
    }
}

/// All leaves under `root` in order of address.
pub fn walk(memory: &SimMemory, root: u64, upper: bool) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    let base = if upper { 0xffff_ff80_0000_0000 } else { 0 };
    level(memory, root, base, 30, &mut leaves);
    leaves
}

fn level(memory: &SimMemory, table: u64, base: u64, shift: u32, leaves: &mut Vec<Leaf>) {
    for index in 0..512 {
        let entry = memory.read(table + index * 8);
        let va = base + (index << shift);
        let output = entry & 0xffff_ffff_f000;
        match (entry & 3, shift) {
            (3, 30 | 21) => level(memory, output, va, shift - 9, leaves),
            (3, 12) | (1, 30 | 21) => {
                let len = 1 << shift;
                assert!(output.is_multiple_of(len), "output address of a block is aligned");
                leaves.push(Leaf { va, pa: output, len, entry });
            }
            (0 | 2, _) => {}
            _ => panic!("reserved descriptor {entry:#x}"),
        }
    }
}

/// A made-up machine, with what the firmware loaded.
pub struct Machine {
    pub platform: Platform<'static>,
    pub image: Range,
    pub dtb: Range,
    pub initrd: Range,
}

/// Several banks with odd ends, reserved ranges, devices below; three cores. May be one that stage0 must refuse.
pub fn random_machine(random: &mut fastrand::Rng) -> Machine {
    let page = 4096;
    let mut memory = heapless::Vec::new();
    let mut reserved = heapless::Vec::new();
    let mut at = random.choice([0x20_0000u64, 0x4000_0000, 0x8000_0000]).unwrap();
    for _ in 0..random.usize(1..7) {
        let len = random.choice([1u64 << 20, 64 << 20, 513 << 20, 3 << 30]).unwrap() + random.u64(..600) * page + random.u64(..2) * 0x123;
        memory.push(platform_range(at, len)).unwrap();
        for _ in 0..random.usize(..4) {
            reserved.push(platform_range(at + random.u64(..len), random.u64(1..0x8_0000))).unwrap();
        }
        at += len.next_multiple_of(page) + random.u64(..3) * (16 << 20);
    }
    let bank = memory[random.usize(..memory.len())];
    let mut place = |len: u64, align: u64| {
        let base = (bank.start() + random.u64(..bank.size())).next_multiple_of(align);
        Range::new(base, len)
    };
    let image = place(0xc0_000, 2 << 20);
    let dtb = place(0x11000, page);
    let initrd = place(0x80_000, page);
    let initrd_range = Some(platform_range(initrd.base, initrd.len));
    let platform = Platform { memory, reserved, initrd: initrd_range, ..platform() };
    Machine { platform, image, dtb, initrd }
}

/// A machine without memory: three cores, devices below 1 MiB.
pub fn platform() -> Platform<'static> {
    let redistributor = RedistributorRegion { range: platform_range(0xa_0000, 0x2_0000), stride: 0 };
    Platform {
        memory: heapless::Vec::new(),
        reserved: heapless::Vec::new(),
        initrd: None,
        bootargs: "",
        rng_seed: Some(&[7; 40]),
        cores: [0, 0x100, 0x200].into_iter().collect(),
        psci: Some(aios_platform::Conduit::Smc),
        gic: Gic {
            distributor: platform_range(0x8_0000, 0x1_0000),
            redistributors: [redistributor].into_iter().collect(),
            dma_noncoherent: false,
        },
        virtual_timer: 27,
        console: None,
    }
}

pub fn platform_range(start: u64, len: u64) -> aios_platform::Range {
    aios_platform::Range::new(start, len).unwrap()
}

/// A kernel with code, constants, data and BSS.
pub fn kernel_file() -> Vec<u8> {
    let base = 0xffff_ffff_8000_0000;
    elf(base + 0x40, &[(base, 5, 0x1_2345, 0x1_2345), (base + 0x1_3000, 4, 0x800, 0x800), (base + 0x1_5010, 6, 0x100, 0x9_0000)], false)
}

/// An init with its ABI note.
pub fn init_file() -> Vec<u8> {
    elf(0x40_0000, &[(0x40_0000, 5, 0x1234, 0x1234), (0x40_2000, 6, 0x10, 0x3000)], true)
}

/// An executable of segments (address, flags, bytes in the file, bytes in memory).
pub fn elf(entry: u64, segments: &[(u64, u32, u64, u64)], note: bool) -> Vec<u8> {
    let count = segments.len() + usize::from(note);
    let mut headers = Vec::new();
    let mut body = Vec::new();
    let body_at = (64 + 56 * count) as u64;
    let mut add = |kind: u32, flags: u32, va: u64, data: Vec<u8>, memsz: u64| {
        headers.extend(kind.to_le_bytes());
        headers.extend(flags.to_le_bytes());
        for field in [body_at + body.len() as u64, va, va, data.len() as u64, memsz, 4096] {
            headers.extend(field.to_le_bytes());
        }
        body.extend(data);
    };
    for &(va, flags, filesz, memsz) in segments {
        add(1, flags, va, vec![0x5a; filesz as usize], memsz);
    }
    if note {
        add(4, 4, 0, aios_elf::AbiNote::new(1).to_bytes().to_vec(), 24);
    }
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0\x01\0\0\0".to_vec();
    file.extend(entry.to_le_bytes());
    file.extend(64u64.to_le_bytes());
    file.extend([0; 12]);
    for field in [64, 56, count as u16, 64, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    file.extend(headers);
    file.extend(body);
    file
}
