//! From the first instruction to the first agent.

use core::convert::Infallible;
use core::fmt;
use core::sync::atomic::{AtomicU64, AtomicUsize};

use aios_aarch64::features::{Features, IdRegisters};
use aios_aarch64::gic::GicError;
use aios_aarch64::tlb::{self, Stale};
use aios_aarch64::{AFFINITY_MASK, barrier, sysreg};
use aios_abi::info::features as feature;
use aios_abi::{ABI_VERSION, Error, sentinel};
use aios_core::core::{Facts, InitImage, InitSegment, KEY_SIZE};
use aios_core::space::Access;
use aios_handoff::layout::{KERNEL_BASE, PAGE_SIZE};
use aios_handoff::{BootInfo, BootInfoError, ImageSegment, MAX_SEGMENTS, PERM_EXECUTE, PERM_WRITE, Range};
use aios_kernel::frames::{Frames, Plan};
use aios_kernel::time::Timebase;

use crate::cpu::{self, Cpu};
use crate::gic::Gic;
use crate::machine::{self, Board, Hardware};
use crate::page::Nodes;
use crate::{console, power, ram, smp, vectors};

/// A translation table that maps nothing, for cores that run no agent. Atomic only to lie among the zeros, which take no space in the image.
#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

static NOTHING: Table = Table([const { AtomicU64::new(0) }; 512]);

unsafe extern "C" {
    static __guard: u8;
}

/// One page of derivation nodes can be had for so many pages of RAM: their directory is a fixed, small part of the memory.
const PAGES_PER_NODE_PAGE: u64 = 8;
/// Most pages of nodes.
const NODE_PAGES_MAX: u64 = 65_536;
/// Largest number of pages that a capability names.
const DEVICE_PAGES_MAX: u64 = (1 << 24) - 1;

/// Why the kernel can't start.
enum Failure {
    Record(BootInfoError),
    Abi(u32),
    Interrupts(GicError),
    Memory,
    Init(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(error) => write!(f, "boot record: {error}"),
            Self::Abi(found) => write!(f, "init was built for ABI {found}, this kernel has {ABI_VERSION}"),
            Self::Interrupts(error) => write!(f, "{error}"),
            Self::Memory => f.write_str("no range of RAM is large enough for the kernel's tables"),
            Self::Init(error) => write!(f, "init can't be made: {}", error.text()),
        }
    }
}

/// Called by `vectors.S` on the boot core, with the stack empty: `record` is the hand-over's direct-map address.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(record: usize) -> ! {
    match start(core::ptr::with_exposed_provenance_mut(record)) {
        Ok(never) => match never {},
        Err(failure) => {
            console::print(format_args!("\nkernel: {failure}\n"));
            power::off()
        }
    }
}

/// Everything. Comes back only with the reason why it can't be done.
fn start(record: *mut BootInfo) -> Result<Infallible, Failure> {
    // SAFETY: by the boot protocol a record of at least a header's size lies there, which nobody else uses. `validate` looks at the header first.
    let info = unsafe { &*record };
    info.validate().map_err(Failure::Record)?;
    console::install(info.console);
    power::install(info.psci);
    console::mark(sentinel::BOOT, "kernel");
    if info.init.abi_version != ABI_VERSION {
        return Err(Failure::Abi(info.init.abi_version));
    }

    let id = IdRegisters::read();
    let features = Features::decode(&id);
    // SAFETY: here, and nowhere else.
    let cpu = unsafe { Cpu::boot() };
    let known = cpu.set_registers(&features);
    let nothing = (&raw const NOTHING).addr() as u64 - KERNEL_BASE + info.kernel.base;
    // SAFETY: the table is all zeros; the way into the kernel left the lower half behind.
    unsafe { cpu::drop_lower_half(nothing) };
    unmap_guard(info);

    let affinity = sysreg::mpidr_el1::read() & AFFINITY_MASK;
    let gic = Gic::start(info, affinity).map_err(Failure::Interrupts)?;
    let memory = found_memory(info)?;
    ram::set_not_devices(info);
    machine::open_claims(if features.asid16 { 16 } else { 8 });
    let board = Board {
        time: Timebase::new(info.counter_at_entry, info.counter_hz),
        frequency: info.counter_hz,
        features: feature_bits(&features, &id),
        nothing,
        core: 0,
    };
    // The other cores' states are copies of this one, which has nothing yet.
    let others = smp::prepare(cpu, info);
    cpu.machine = Hardware::new(board, memory.nodes, gic);
    let mut memory = memory;
    memory.free -= others.pages;
    memory.tables += others.pages;

    let now = cpu.machine.enter();
    let facts = facts(info, &features, &memory, now);
    cpu.core.found(facts, memory.free, now);
    if info.rng_seed_len as usize == KEY_SIZE {
        cpu.core.set_key(info.rng_seed).map_err(Failure::Init)?;
    }
    let running = smp::start(cpu, &others, info);
    start_init(cpu, info, now)?;
    greet(info, running, known, now);

    let page = info.boot_info;
    // SAFETY: nothing refers to the record any more. Its page is the kernel's, so nobody else does.
    unsafe { wipe(record) };
    if memory.reuses_record {
        ram::give(page.base, page.len / PAGE_SIZE);
    }
    let registers = cpu.run(now);
    // SAFETY: `run` has prepared this core for the agent whose registers these are.
    unsafe { vectors::resume(registers) }
}

/// Overwrites the record, with the seed in it.
///
/// # Safety
/// Nobody may use the record.
unsafe fn wipe(record: *mut BootInfo) {
    let words = record.cast::<u64>();
    for index in 0..size_of::<BootInfo>() / 8 {
        let word = words.wrapping_add(index);
        // SAFETY: a word of the record; volatile, so that it happens.
        unsafe { word.write_volatile(0) };
    }
}

/// Makes the page below the stack one that can't be touched, and tells the translation caches.
fn unmap_guard(info: &BootInfo) {
    let guard = (&raw const __guard).addr() as u64;
    let mut table = info.tables.base;
    for shift in [30, 21] {
        table = ram::read(table + (guard >> shift) % 512 * 8) & 0x0000_ffff_ffff_f000;
    }
    ram::write(table + (guard >> 12) % 512 * 8, 0);
    tlb::invalidate(Stale::Pages { asid: 0, address: guard, count: 1 });
}

/// What [`found_memory`] made.
struct Memory {
    nodes: Nodes,
    /// Pages that can be handed out.
    free: u64,
    /// Pages of the kernel's own tables.
    tables: u64,
    /// The record's page will be free, too.
    reuses_record: bool,
}

/// Makes the frame allocator and the directory of nodes, in memory from the start of the first range that has enough.
fn found_memory(info: &BootInfo) -> Result<Memory, Failure> {
    let ranges = info.ram();
    let plan = Plan::new(ranges);
    let total: u64 = ranges.iter().map(|range| range.len / PAGE_SIZE).sum();
    let node_pages = (total / PAGES_PER_NODE_PAGE).min(NODE_PAGES_MAX) as usize;
    let words = plan.words();
    let own = ((words + node_pages) as u64 * 8).next_multiple_of(PAGE_SIZE);
    let place = ranges.iter().position(|range| range.len > own).ok_or(Failure::Memory)?;
    let base = ranges[place].base;
    ram::zero(base, own / PAGE_SIZE);
    // SAFETY: free memory that nobody has, zeroed, aligned, for ever the allocator's.
    let bits = unsafe { core::slice::from_raw_parts_mut(ram::direct::<u64>(base), words) };
    let directory = ram::direct::<AtomicUsize>(base + words as u64 * 8);
    // SAFETY: likewise, behind it.
    let directory = unsafe { core::slice::from_raw_parts(directory, node_pages) };
    let mut frames = Frames::new(plan, bits);
    for (index, range) in ranges.iter().enumerate() {
        let taken = if index == place { own } else { 0 };
        frames.give(range.base + taken, (range.len - taken) / PAGE_SIZE);
    }
    let record = info.boot_info;
    let reuses_record = frames.covers(record);
    let record_pages = record.len / PAGE_SIZE;
    let mut memory = Memory { nodes: Nodes::new(directory), free: frames.free_pages(), tables: own / PAGE_SIZE, reuses_record };
    if reuses_record {
        memory.free += record_pages;
    } else {
        memory.tables += record_pages;
    }
    ram::install(frames);
    Ok(memory)
}

/// Pages that a range touches.
const fn pages_of(range: Range) -> u64 {
    range.end().div_ceil(PAGE_SIZE) - range.base / PAGE_SIZE
}

fn facts(info: &BootInfo, features: &Features, memory: &Memory, now: u64) -> Facts {
    let total = info.ram_total / PAGE_SIZE;
    let kernel = pages_of(info.kernel) + pages_of(info.stage0);
    // Init's image is a copy of a part of the bundle.
    let init: u64 = info.init.segments().iter().map(|segment| segment.pages).sum();
    let bundle = pages_of(info.bundle) + pages_of(info.dtb) + init;
    let kernel_tables = pages_of(info.tables) + memory.tables;
    Facts {
        core: 0,
        mpidr: sysreg::mpidr_el1::read(),
        midr: sysreg::midr_el1::read(),
        up_ns: now,
        total,
        reserved: total.saturating_sub(kernel + bundle + kernel_tables + memory.free),
        kernel,
        bundle,
        kernel_tables,
        device_pages: (1 << (features.physical_bits.min(48) - 12)).min(DEVICE_PAGES_MAX),
    }
}

fn start_init(cpu: &mut Cpu, info: &BootInfo, now: u64) -> Result<(), Failure> {
    let mut segments = [InitSegment { address: 0, physical: 0, pages: 0, access: Access::Read }; MAX_SEGMENTS];
    for (segment, given) in segments.iter_mut().zip(info.init.segments()) {
        *segment = init_segment(given);
    }
    let first = |range: Range| range.base / PAGE_SIZE;
    let image = InitImage {
        segments: &segments[..info.init.segments().len()],
        entry: info.init.entry,
        bundle: (first(info.bundle), pages_of(info.bundle), info.bundle.len),
        device_tree: (first(info.dtb), pages_of(info.dtb), info.dtb.len, info.dtb.base % PAGE_SIZE),
    };
    cpu.core.start_init(&mut cpu.machine, &image, now).map_err(Failure::Init)?;
    Ok(())
}

const fn init_segment(given: &ImageSegment) -> InitSegment {
    let access = if given.perms & PERM_WRITE != 0 {
        Access::ReadWrite
    } else if given.perms & PERM_EXECUTE != 0 {
        Access::ReadExecute
    } else {
        Access::Read
    };
    InitSegment { address: given.va, physical: given.pa, pages: given.pages, access }
}

/// The features that programs are told of.
fn feature_bits(features: &Features, id: &IdRegisters) -> u64 {
    [
        (features.lse, feature::LSE),
        (features.crc32, feature::CRC32),
        (features.aes, feature::AES),
        (features.pmull, feature::PMULL),
        (features.sha1, feature::SHA1),
        (features.sha2, feature::SHA256),
        (features.sha512, feature::SHA512),
        (features.sha3, feature::SHA3),
        (features.dot_product, feature::DOT_PRODUCT),
        // ID_AA64PFR0_EL1.AdvSIMD: with half precision.
        (id.pfr0 >> 20 & 0xf == 1, feature::FP16),
        (features.rndr, feature::RNG),
    ]
    .iter()
    .filter(|(has, _)| *has)
    .fold(0, |bits, (_, bit)| bits | bit)
}

/// One line for people.
fn greet(info: &BootInfo, running: usize, speculation_known: bool, now: u64) {
    console::print(format_args!(
        "AIOS kernel {}: {} of {} cores, {} MiB, EL{} entry, counter {} Hz, up after {} us\n",
        env!("CARGO_PKG_VERSION"),
        running,
        info.core_count,
        info.ram_total >> 20,
        info.entry_el,
        info.counter_hz,
        now / 1000,
    ));
    if !speculation_known {
        console::print(format_args!("kernel: no known remedy for branch prediction across contexts on this core\n"));
    }
    barrier::dsb_sy();
}
