//! The GIC driver on a model of its registers.

use std::cell::RefCell;

use aios_aarch64::gic::{DEFAULT_PRIORITY, Distributor, GicError, Redistributor, Trigger, find_redistributor};
use aios_mmio::Registers;

/// Interrupts of the modelled controller: 32 private ones, 96 shared.
const LINES: usize = 128;
const BOOT_CORE: u64 = 0x100;

/// What a controller knows of its interrupts.
#[derive(Clone, Debug)]
struct Lines {
    group: [bool; LINES],
    enabled: [bool; LINES],
    pending: [bool; LINES],
    active: [bool; LINES],
    edge: [bool; LINES],
    priority: [u8; LINES],
    route: [u64; LINES],
}

impl Lines {
    /// As bad firmware might leave it.
    fn dirty() -> Self {
        let route = [0x3; LINES];
        let yes = [true; LINES];
        Self { group: [false; LINES], enabled: yes, pending: yes, active: yes, edge: yes, priority: [0; LINES], route }
    }

    fn bits(word: usize, mut get: impl FnMut(usize) -> bool) -> u32 {
        (0..32).map(|bit| u32::from(get(word * 32 + bit)) << bit).sum()
    }

    fn each(word: usize, value: u32, mut set: impl FnMut(usize)) {
        (0..32).filter(|bit| value >> bit & 1 == 1).for_each(|bit| set(word * 32 + bit));
    }

    /// Registers that distributor and redistributor have in common. `writable` are the interrupts that live here.
    fn read(&self, offset: usize) -> u32 {
        let word = offset % 0x80 / 4;
        match offset {
            0x80..0x100 => Self::bits(word, |line| self.group[line]),
            0x100..0x200 => Self::bits(word, |line| self.enabled[line]),
            0xc00..0xd00 => (0..16).map(|n| u32::from(self.edge[(offset - 0xc00) * 4 + n]) << (2 * n + 1)).sum(),
            _ => panic!("read at {offset:#x}"),
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        let word = offset % 0x80 / 4;
        match offset {
            0x80..0x100 => (0..32).for_each(|bit| self.group[word * 32 + bit] = value >> bit & 1 == 1),
            0x100..0x180 => Self::each(word, value, |line| self.enabled[line] = true),
            0x180..0x200 => Self::each(word, value, |line| self.enabled[line] = false),
            0x280..0x300 => Self::each(word, value, |line| self.pending[line] = false),
            0x380..0x400 => Self::each(word, value, |line| self.active[line] = false),
            0x400..0x800 => self.priority[offset - 0x400..][..4].copy_from_slice(&value.to_le_bytes()),
            0xc00..0xd00 => {
                let first = (offset - 0xc00) * 4;
                for n in 0..16 {
                    let edge = value >> (2 * n + 1) & 1 == 1;
                    assert!(!self.enabled[first + n] || self.edge[first + n] == edge, "the trigger of an enabled interrupt changes");
                    self.edge[first + n] = edge;
                }
            }
            _ => panic!("write of {value:#x} at {offset:#x}"),
        }
    }

    fn is_clean(&self, line: usize) -> bool {
        self.group[line] && !self.enabled[line] && !self.pending[line] && !self.active[line] && self.priority[line] == DEFAULT_PRIORITY
    }
}

/// A distributor. It has no byte for a wrong access, and is busy for a while after each change that takes effect late.
struct DistributorModel {
    lines: RefCell<Lines>,
    control: RefCell<u32>,
    busy: RefCell<u32>,
    version: u32,
    stuck: bool,
}

impl DistributorModel {
    fn new() -> Self {
        // Firmware has turned affinity routing on already.
        let control = RefCell::new(1 << 4 | 1);
        Self { lines: RefCell::new(Lines::dirty()), control, busy: RefCell::new(0), version: 3, stuck: false }
    }
}

impl Registers for DistributorModel {
    fn read8(&self, offset: usize) -> u8 {
        panic!("8-bit read at {offset:#x}");
    }

    fn write8(&self, offset: usize, value: u8) {
        assert!((0x420..0x400 + LINES).contains(&offset), "8-bit write at {offset:#x}");
        self.lines.borrow_mut().priority[offset - 0x400] = value;
    }

    fn read32(&self, offset: usize) -> u32 {
        match offset {
            0x0000 => {
                let mut busy = self.busy.borrow_mut();
                *busy = busy.saturating_sub(u32::from(!self.stuck));
                *self.control.borrow() | u32::from(*busy > 0) << 31
            }
            0x0004 => (LINES as u32 / 32 - 1) | 5 << 5,
            0xffe8 => self.version << 4 | 0xb,
            _ => self.lines.borrow().read(offset),
        }
    }

    fn write32(&self, offset: usize, value: u32) {
        if offset != 0 {
            assert!(offset % 0x80 >= 4 || offset >= 0x400, "private interrupts are not the distributor's: {offset:#x}");
            self.lines.borrow_mut().write(offset, value);
            if (0x180..0x200).contains(&offset) {
                *self.busy.borrow_mut() = 3;
            }
            return;
        }
        assert_eq!(value & !0x12, 0, "only affinity routing and group 1");
        assert!(value & 0x10 != 0 || *self.control.borrow() & 0x10 == 0, "affinity routing is turned off");
        assert_eq!(*self.busy.borrow(), 0, "the change before is not finished");
        *self.control.borrow_mut() = value;
        *self.busy.borrow_mut() = 3;
    }

    fn read64(&self, offset: usize) -> u64 {
        self.lines.borrow().route[(offset - 0x6000) / 8]
    }

    fn write64(&self, offset: usize, value: u64) {
        assert!(*self.control.borrow() & 0x10 != 0, "routes exist only with affinity routing");
        self.lines.borrow_mut().route[(offset - 0x6000) / 8] = value;
    }
}

#[test]
fn distributor_init_cleans_up() {
    let model = DistributorModel::new();
    let distributor = Distributor::new(&model).expect("a GICv3");
    assert_eq!(distributor.end(), LINES as u32);
    distributor.init(0x8000_0000 | BOOT_CORE).expect("it finishes");
    let lines = model.lines.borrow();
    for line in 32..LINES {
        assert!(lines.is_clean(line) && !lines.edge[line] && lines.route[line] == BOOT_CORE, "{line}");
    }
    assert!((0..32).all(|line| lines.enabled[line]), "private interrupts are left alone");
    assert_eq!(*model.control.borrow(), 0x12);
}

#[test]
fn distributor_changes_one_interrupt_only() {
    let model = DistributorModel::new();
    let distributor = Distributor::new(&model).expect("a GICv3");
    distributor.init(0).expect("it finishes");
    for intid in 32..LINES as u32 {
        let clean = model.lines.borrow().clone();
        let line = intid as usize;
        distributor.set_trigger(intid, Trigger::Edge).expect("an interrupt");
        distributor.set_priority(intid, 0x40).expect("an interrupt");
        distributor.route(intid, 0x12_8034_5678).expect("an interrupt");
        distributor.enable(intid).expect("an interrupt");
        assert_eq!(distributor.is_enabled(intid), Ok(true));
        {
            let lines = model.lines.borrow();
            assert_eq!((lines.edge[line], lines.priority[line], lines.route[line]), (true, 0x40, 0x12_0034_5678));
            for other in (0..LINES).filter(|&other| other != line) {
                let state = |lines: &Lines| (lines.edge[other], lines.priority[other], lines.route[other], lines.enabled[other]);
                assert_eq!(state(&lines), state(&clean), "{intid} changes {other}");
            }
        }
        model.lines.borrow_mut().pending[line] = true;
        model.lines.borrow_mut().active[line] = true;
        distributor.disable(intid).expect("it finishes");
        assert_eq!((distributor.is_enabled(intid), *model.busy.borrow()), (Ok(false), 0), "{intid}: waited for the end");
        distributor.clear(intid).expect("an interrupt");
        distributor.set_trigger(intid, Trigger::Level).expect("an interrupt");
        let lines = model.lines.borrow();
        assert!(!lines.pending[line] && !lines.active[line] && !lines.edge[line]);
    }
}

#[test]
fn distributor_refuses() {
    let model = DistributorModel::new();
    let distributor = Distributor::new(&model).expect("a GICv3");
    for intid in [0, 31, LINES as u32, 1020, u32::MAX] {
        let refused = Err(GicError::NoSuchInterrupt(intid));
        assert_eq!(distributor.enable(intid), refused);
        assert_eq!(distributor.disable(intid), refused);
        assert_eq!(distributor.route(intid, 0), refused);
        assert_eq!(distributor.set_priority(intid, 0), refused);
        assert_eq!(distributor.set_trigger(intid, Trigger::Edge), refused);
        assert_eq!(distributor.clear(intid), refused);
    }
    let old = DistributorModel { version: 2, ..DistributorModel::new() };
    assert_eq!(Distributor::new(&old).map(drop), Err(GicError::Version(2)));
    let stuck = DistributorModel { stuck: true, ..DistributorModel::new() };
    assert_eq!(Distributor::new(&stuck).expect("a GICv3").init(0), Err(GicError::Stuck));
}

/// Redistributors of a region, each with its affinity (as MPIDR writes it).
struct RegionModel {
    cores: Vec<(u64, RefCell<Core>)>,
    stride: usize,
    virtual_lpis: bool,
}

struct Core {
    lines: Lines,
    awake: bool,
    /// Reads until it has woken up.
    wakes_in: u32,
    busy: u32,
}

impl RegionModel {
    fn new(affinities: &[u64], stride: usize, virtual_lpis: bool) -> Self {
        let core = || Core { lines: Lines::dirty(), awake: false, wakes_in: 3, busy: 0 };
        Self { cores: affinities.iter().map(|&affinity| (affinity, RefCell::new(core()))).collect(), stride, virtual_lpis }
    }

    fn size(&self) -> usize {
        self.cores.len() * self.stride
    }

    fn core(&self, offset: usize) -> (usize, usize) {
        let inner = offset % self.stride;
        assert!(inner < if self.virtual_lpis { 0x4_0000 } else { 0x2_0000 }, "a hole at {offset:#x}");
        (offset / self.stride, inner)
    }
}

impl Registers for RegionModel {
    fn read8(&self, offset: usize) -> u8 {
        panic!("8-bit read at {offset:#x}");
    }

    fn write8(&self, offset: usize, value: u8) {
        let (core, inner) = self.core(offset);
        assert!((0x1_0400..0x1_0420).contains(&inner), "8-bit write at {offset:#x}");
        self.cores[core].1.borrow_mut().lines.priority[inner - 0x1_0400] = value;
    }

    fn read32(&self, offset: usize) -> u32 {
        let (core, inner) = self.core(offset);
        let mut core = self.cores[core].1.borrow_mut();
        match inner {
            0x0000 => {
                core.busy = core.busy.saturating_sub(1);
                u32::from(core.busy > 0) << 3
            }
            0x0014 => {
                if core.awake {
                    core.wakes_in = core.wakes_in.saturating_sub(1);
                }
                u32::from(!core.awake) << 1 | u32::from(core.wakes_in > 0) << 2
            }
            _ => core.lines.read(inner - 0x1_0000),
        }
    }

    fn write32(&self, offset: usize, value: u32) {
        let (core, inner) = self.core(offset);
        let mut core = self.cores[core].1.borrow_mut();
        if inner == 0x0014 {
            core.awake = value & 2 == 0;
            return;
        }
        assert!(core.awake && core.wakes_in == 0, "not awake yet");
        assert_eq!(core.busy, 0, "the change before is not finished");
        core.lines.write(inner - 0x1_0000, value);
        core.busy = if (0x1_0180..0x1_0200).contains(&inner) { 3 } else { 0 };
    }

    fn read64(&self, offset: usize) -> u64 {
        let (core, inner) = self.core(offset);
        assert_eq!(inner, 8, "64-bit read at {offset:#x}");
        let affinity = self.cores[core].0;
        let packed = affinity >> 32 << 24 | affinity & 0xff_ffff;
        packed << 32 | u64::from(core + 1 == self.cores.len()) << 4 | u64::from(self.virtual_lpis) << 1
    }
}

#[test]
fn redistributors_are_found_by_affinity() {
    let rk3588: Vec<u64> = (0..8).map(|core| core << 8).collect();
    let qemu: Vec<u64> = (0..16).chain(0x100..0x104).collect();
    let wide = vec![0, 0x12_0034_5678, 0x13_0034_5678];
    for affinities in [rk3588, qemu, wide] {
        for (stride, given, virtual_lpis) in [(0x2_0000, 0, false), (0x4_0000, 0, true), (0x8_0000, 0x8_0000, false)] {
            let region = RegionModel::new(&affinities, stride, virtual_lpis);
            for (index, affinity) in affinities.iter().enumerate() {
                // Other bits of MPIDR don't count.
                let found = find_redistributor(&region, region.size(), given, affinity | 0x8100_0000);
                assert_eq!(found, Some(index * stride), "{affinity:#x}");
            }
            assert_eq!(find_redistributor(&region, region.size(), given, 0x99), None);
            // The device tree's region may be longer than what is there, or shorter.
            assert_eq!(find_redistributor(&region, usize::MAX, given, 0x99), None);
            assert_eq!(find_redistributor(&region, stride, given, affinities[1]), None);
            assert_eq!(find_redistributor(&region, 0x1_0000, given, affinities[0]), None);
        }
    }
}

#[test]
fn redistributor_init_and_changes() {
    let region = RegionModel::new(&[0, 0x100, 0x200], 0x2_0000, false);
    let offset = find_redistributor(&region, region.size(), 0, 0x100).expect("the second");
    let redistributor = Redistributor::new(&region, offset);
    redistributor.init().expect("it wakes");
    for intid in 0..32u32 {
        let line = intid as usize;
        redistributor.set_priority(intid, 0x20).expect("private");
        let trigger = redistributor.set_trigger(intid, Trigger::Edge);
        assert_eq!(trigger.is_ok(), intid >= 16, "{intid}");
        redistributor.enable(intid).expect("private");
        let core = region.cores[1].1.borrow();
        assert!(core.lines.enabled[line] && core.lines.priority[line] == 0x20);
        assert!((line + 1..32).all(|other| core.lines.is_clean(other)), "{intid} changes others");
        assert!((line.max(15) + 1..32).all(|other| !core.lines.edge[other]));
        drop(core);
        redistributor.disable(intid).expect("it finishes");
        assert!(!region.cores[1].1.borrow().lines.enabled[line]);
    }
    for intid in [32, 1023, u32::MAX] {
        assert_eq!(redistributor.enable(intid), Err(GicError::NoSuchInterrupt(intid)));
        assert_eq!(redistributor.disable(intid), Err(GicError::NoSuchInterrupt(intid)));
    }
    assert!([0, 2].iter().all(|&other| !region.cores[other].1.borrow().awake), "other cores' are left alone");
}

#[test]
fn a_redistributor_that_does_not_wake() {
    let region = RegionModel::new(&[0], 0x2_0000, false);
    region.cores[0].1.borrow_mut().wakes_in = u32::MAX;
    assert_eq!(Redistributor::new(&region, 0).init(), Err(GicError::Stuck));
}
