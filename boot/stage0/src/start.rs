//! From the first Rust function to the kernel's entry.

use core::convert::Infallible;

use aios_bundle::image::{Payload, SCRATCH_LEN};
use aios_bundle::{Bundle, INIT};
use aios_handoff::layout::{PAGE_SIZE, direct_va};
use aios_handoff::{ImageSegment, PSCI_HVC, PSCI_SMC, Range, regs};
use aios_platform::Platform;
use aios_stage0::handover::{self, Places, Registers};
use aios_stage0::{
    Access, Failure, InitPlan, KernelPlan, Memory, RangeSet, TableError, TableMemory as _, Tables, devices, map, pages_around,
};

use crate::raw::TablePages;
use crate::{console, cpu, hash, raw, resident, stop};

core::arch::global_asm!(include_str!("head.S"), options(raw));
core::arch::global_asm!(include_str!("vectors.S"), options(raw));

/// Largest device tree. The boot protocol allows 2 MiB, but firmware that makes room to edit (QEMU's `-dtb`) states more.
const DTB_MAX: u64 = 16 << 20;
/// Bytes of the stack, at the end of the scratch memory. The page below is not mapped.
const STACK_LEN: u64 = 64 << 10;
/// The scratch memory's first page is the stack for exceptions (`vectors.S` knows where it ends).
const EXCEPTION_STACK_LEN: u64 = PAGE_SIZE;
const _: () = assert!(SCRATCH_LEN == 0x4_0000, "vectors.S has this number, too");

/// Called by `head.S` at EL1 (or EL3, which is an error) with the MMU off.
#[unsafe(no_mangle)]
extern "C" fn stage0_main(dtb: u64, entry_el: u64, counter: u64) -> ! {
    cpu::set_vectors();
    match run(dtb, entry_el, counter) {
        Ok(never) => match never {},
        Err(failure) => stop::fail(&failure),
    }
}

/// Everything. Comes back only with the reason why it can't be done.
fn run(dtb_at: u64, entry_el: u64, counter: u64) -> Result<Infallible, Failure<'static>> {
    // While the device tree is unread, the level tells how firmware can be called: a hypervisor below us, or the monitor.
    resident::set_psci(if entry_el == 1 { PSCI_HVC } else { PSCI_SMC });
    let dtb = device_tree(dtb_at)?;
    let console = match aios_platform::console(dtb) {
        // A malformed tree is refused below; until then, what can be made out of its console serves to say so.
        Err(aios_platform::Error::Blob(_)) => aios_platform::console_of_damaged(dtb),
        other => other.ok().flatten(),
    };
    if let Some(console) = console {
        resident::set_console(&handover::console_record(&console));
    }
    console::boot_mark();
    if entry_el > 2 {
        return Err(Failure::EntryLevel(entry_el));
    }
    let platform = Platform::read(dtb)?;
    resident::set_psci(handover::psci(&platform));

    // Memory as the firmware leaves it.
    let image = raw::image();
    let dtb_range = Range::new(dtb_at, dtb.len() as u64);
    let initrd = platform.initrd.map(|range| Range::new(range.start(), range.size())).ok_or(Failure::NoBundle)?;
    if !initrd.base.is_multiple_of(PAGE_SIZE) {
        return Err(Failure::BundleAddress(initrd.base));
    }
    let pages = |range, name| pages_around(range).ok_or(Failure::OutsideMemory(name));
    let initrd_pages = pages(initrd, "bundle")?;
    let mut memory = Memory::new(&platform, image, pages(dtb_range, "device tree")?, initrd_pages)?;
    let devices = devices(&platform)?;
    mmu_on(&memory, image, &devices)?;

    // Nothing below is believed before its digest is right.
    // SAFETY: the payload is a part of the image, which is RAM (`Memory::new`) and not free until the kernel runs.
    let payload = Payload::parse(unsafe { raw::bytes(raw::payload()) })?;
    payload.verify_kernel(hash::sha256)?;
    // SAFETY: likewise: the initrd is RAM, disjoint from image and free memory.
    let bundle = Bundle::parse(payload.verify_bundle(unsafe { raw::bytes(initrd) }, hash::sha256)?)?;
    let bundle_range = Range::new(initrd.base, bundle.bytes().len() as u64);
    memory.give_back(raw::between(bundle_range.end(), initrd_pages.end()))?;

    // Places, then content.
    let kernel = KernelPlan::new(payload.kernel, &mut memory)?;
    let init_file = bundle.find(INIT).ok_or(Failure::NoInit)?;
    let init = InitPlan::new(init_file.data, &mut memory)?;
    let boot_info_range = memory.take(PAGE_SIZE, PAGE_SIZE, "the boot record")?;
    load(&kernel, &init);

    // The kernel's half of the address space. What the estimate took too much of goes back.
    let tables_len = map::kernel_tables_len(&memory, &devices);
    let tables_range = memory.take(tables_len, PAGE_SIZE, "translation tables")?;
    // SAFETY: taken from free memory for this.
    let mut tables = Tables::new(unsafe { TablePages::new(tables_range) }, true)?;
    map::kernel(&mut tables, &memory, &kernel, resident::range(), &devices)?;
    let root = tables.root();
    let unused = tables.into_memory().unused();
    memory.give_back(unused)?;

    let registers = Registers { entry_el, counter, counter_hz: cpu::counter_hz(), mpidr: cpu::mpidr(), id_aa64mmfr0: cpu::id_aa64mmfr0() };
    let places = Places {
        image,
        resident: resident::range(),
        secondary_entry: resident::secondary_entry_pa(),
        dtb: dtb_range,
        bundle: bundle_range,
        tables: Range::new(tables_range.base, tables_range.len - unused.len),
        boot_info: boot_info_range,
    };
    let info = handover::boot_info(&platform, &registers, &places, &memory, &kernel, &init, &payload)?;
    // SAFETY: taken from free memory for this.
    unsafe { raw::write_boot_info(boot_info_range, &info) };
    let seed = platform.rng_seed.map_or(Range::default(), |seed| Range::new(seed.as_ptr().addr() as u64, seed.len() as u64));
    // SAFETY: a part of the device tree, from which nothing is read any more.
    unsafe { raw::wipe(seed) };

    // What is read without caches, or fetched as instructions, has to be in memory.
    resident::set_translation(resident_map()?, root, info.tcr, info.mair);
    raw::clean(resident::range());
    raw::clean(kernel.range);
    cpu::synchronize_instructions();
    // SAFETY: the tables are finished; the upper half was empty before.
    unsafe { cpu::set_kernel_tables(root) };
    // SAFETY: the kernel is loaded and mapped, its entry lies in an executable segment (aios-elf); the record is in the direct map;
    // the resident part has been given its parameters.
    unsafe { cpu::enter_kernel(direct_va(boot_info_range.base), kernel.elf.entry()) }
}

/// Copies the segments of both programs to their places.
fn load(kernel: &KernelPlan<'_>, init: &InitPlan<'_>) {
    let pages = kernel.elf.segments().map(|segment| (segment, kernel.segment_range(&segment)));
    let frames = init.elf.segments().zip(init.image.segments().iter().map(ImageSegment::frames));
    for (segment, place) in pages.chain(frames) {
        // SAFETY: taken from free memory for this segment.
        unsafe { raw::load(place, segment.vaddr - segment.page_start(), segment.data) };
    }
}

/// The device tree at `at`, by its own length.
fn device_tree(at: u64) -> Result<&'static [u8], Failure<'static>> {
    const HEADER: u64 = 40;
    const MAGIC: u32 = 0xd00d_feed;
    let error = Failure::DeviceTreeAddress(at);
    if at == 0 || !at.is_multiple_of(8) || at.checked_add(DTB_MAX).is_none() {
        return Err(error);
    }
    // SAFETY: the boot protocol says that a device tree is there. Nothing writes it while it is read.
    let header = unsafe { raw::bytes(Range::new(at, HEADER)) };
    let word = |index: usize| header.get(index * 4..index * 4 + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes);
    let len = u64::from(word(1));
    if word(0) != MAGIC || !(HEADER..=DTB_MAX).contains(&len) {
        return Err(error);
    }
    // SAFETY: as above.
    Ok(unsafe { raw::bytes(Range::new(at, len)) })
}

/// Builds the early identity map in the scratch memory and turns on MMU and caches.
fn mmu_on(memory: &Memory, image: Range, devices: &RangeSet) -> Result<(), Failure<'static>> {
    let scratch = Range::new(image.end() - SCRATCH_LEN, SCRATCH_LEN);
    let guard = Range::new(scratch.end() - STACK_LEN - PAGE_SIZE, PAGE_SIZE);
    let pool_base = scratch.base + EXCEPTION_STACK_LEN;
    // SAFETY: scratch memory behind the exception stack and before the stack's guard page, used for nothing else.
    let mut pool = unsafe { TablePages::new(raw::between(pool_base, guard.base)) };
    // The upper half stays empty until the kernel's tables are finished.
    let empty = pool.allocate().ok_or(TableError::Full)?;
    let mut tables = Tables::new(pool, false)?;
    let own =
        [(resident::text(), Some(Access::Code)), (raw::text(), Some(Access::Code)), (raw::rodata(), Some(Access::ReadOnly)), (guard, None)];
    map::identity(&mut tables, memory, &own, devices)?;
    // SAFETY: the firmware left nothing of the image dirty (boot protocol), and all since was written past the caches: whatever they
    // hold of it is older.
    unsafe { raw::invalidate(image) };
    // SAFETY: all memory, stage0 in it, and the console are mapped one to one; `regs` has the values for such tables.
    unsafe { cpu::mmu_on(tables.root(), empty, regs::tcr(cpu::id_aa64mmfr0()), regs::MAIR_EL1, regs::SCTLR_EL1) };
    Ok(())
}

/// The identity map that stays: stage0's resident code, and nothing else. Returns its root.
fn resident_map() -> Result<u64, Failure<'static>> {
    // SAFETY: `head.S` reserves them for this, and this is called once.
    let mut tables = Tables::new(unsafe { TablePages::new(resident::tables()) }, false)?;
    map::one_to_one(&mut tables, resident::text(), Access::Code)?;
    Ok(tables.root())
}
