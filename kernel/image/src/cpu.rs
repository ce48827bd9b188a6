//! What one processor core has for itself, and its control registers.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicPtr, Ordering};

use aios_aarch64::barrier::isb;
use aios_aarch64::features::Features;
use aios_aarch64::psci::{Answer, Conduit, FirmwareAnswers};
use aios_aarch64::spectre::{History, Vectors, vectors_for};
use aios_aarch64::{sysreg, tlb};
use aios_abi::limits::{CORES, INFO_PAGE, PAGE_SIZE};
use aios_core::core::Core;
use aios_handoff::regs;

use crate::machine::Hardware;
use crate::{power, ram, vectors};

/// Everything of one core. `TPIDR_EL1` points to it; `vectors.S` knows the first fields.
#[repr(C)]
pub struct Cpu {
    /// End of the kernel's stack.
    pub stack: *const u8,
    /// End of the stack of those who die.
    pub emergency: *const u8,
    /// What the guarded vectors do: rounds of the loop that overwrites the branch history, at least 1.
    pub loops: u32,
    /// Firmware function that they call then; 0: none.
    pub call: u32,
    /// By SMC (1) or HVC (0).
    pub by_smc: u32,
    /// Number of the core.
    pub number: u32,
    /// There may be packets from other cores.
    pub backlog: bool,
    /// Its hardware.
    pub machine: Hardware,
    /// Its agents. Last, because it is large: what comes before is reached with one instruction.
    pub core: Core<Hardware>,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(Cpu, stack) == 0 && offset_of!(Cpu, emergency) == 8, "vectors.S");
    assert!(offset_of!(Cpu, loops) == 16 && offset_of!(Cpu, call) == 20 && offset_of!(Cpu, by_smc) == 24, "vectors.S");
};

unsafe extern "C" {
    static __stack_top: u8;
}

/// Bytes of the stack of a core but the boot core.
const STACK: usize = 16 * 1024;
/// Bytes of the stack of those who die.
const EMERGENCY: usize = 4096;

#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; EMERGENCY]>);

// SAFETY: only the core that dies uses it, as its stack.
unsafe impl Sync for Stack {}

static LAST_STACK: Stack = Stack(UnsafeCell::new([0; EMERGENCY]));

/// The boot core's.
#[repr(transparent)]
pub struct BootCpu(UnsafeCell<Cpu>);

// SAFETY: only the boot core touches what is inside, through its vectors, never nested.
unsafe impl Sync for BootCpu {}

/// The boot core's state; the way in sets `TPIDR_EL1` to it.
#[unsafe(no_mangle)]
static BOOT_CPU: BootCpu = BootCpu(UnsafeCell::new(Cpu {
    stack: &raw const __stack_top,
    // SAFETY: the end of the array.
    emergency: unsafe { LAST_STACK.0.get().cast::<u8>().add(EMERGENCY) },
    loops: 1,
    call: 0,
    by_smc: 0,
    number: 0,
    backlog: false,
    machine: Hardware::OFF,
    core: Core::EMPTY,
}));

/// The state of each core that runs, by number; for readers of a memory dump too.
#[unsafe(no_mangle)]
static AIOS_CPUS: [AtomicPtr<Cpu>; CORES] = [const { AtomicPtr::new(core::ptr::null_mut()) }; CORES];

impl Cpu {
    /// The boot core's, as the boot code gets it: once.
    ///
    /// # Safety
    /// To be called once, by the boot core, before it runs an agent.
    pub unsafe fn boot() -> &'static mut Self {
        let cpu = BOOT_CPU.0.get();
        AIOS_CPUS[0].store(cpu, Ordering::Release);
        // SAFETY: the caller vouches that this is the only reference.
        unsafe { &mut *cpu }
    }

    /// Makes the state of another core out of the boot core's, which has no agents yet: in pages of its own, with the stacks behind it.
    /// Answers its address. `None` if there is no memory.
    pub fn sibling(&self, number: u32) -> Option<*mut Self> {
        let state = size_of::<Self>().next_multiple_of(PAGE_SIZE);
        let base = ram::take(Self::pages())?;
        let cpu = ram::direct::<Self>(base);
        let top = ram::direct::<u8>(base + (state + STACK) as u64);
        // SAFETY: fresh pages, large enough and aligned. No agent is on the boot core, so nothing in the copy owns anything.
        unsafe { core::ptr::copy_nonoverlapping(self, cpu, 1) };
        // SAFETY: what was just written, and nobody else knows of it yet.
        let sibling = unsafe { &mut *cpu };
        (sibling.number, sibling.stack, sibling.emergency) = (number, top, top.wrapping_add(EMERGENCY));
        AIOS_CPUS.get(number as usize)?.store(cpu, Ordering::Release);
        Some(cpu)
    }

    /// Pages of a core's state and stacks.
    pub const fn pages() -> u64 {
        (size_of::<Self>().next_multiple_of(PAGE_SIZE) + STACK + EMERGENCY).div_ceil(PAGE_SIZE) as u64
    }

    /// Sets the control registers of this core for good. Answers whether its speculation is known to be harmless or is made so.
    pub fn set_registers(&mut self, features: &Features) -> bool {
        // An exception sets PAN where the core has it: the kernel has no business at an agent's addresses.
        let sctlr = if features.pan { regs::SCTLR_EL1 & !regs::SCTLR_SPAN } else { regs::SCTLR_EL1 };
        // SAFETY: what stage0 has set, and PAN: no address of the lower half is used.
        unsafe { sysreg::sctlr_el1::write(sctlr) };
        // SAFETY: compiled code uses no floating point; `Fp` expects it to trap.
        unsafe { sysreg::cpacr_el1::write(0) };
        // SAFETY: no debug events; EL0 has no debug communications channel.
        unsafe { sysreg::mdscr_el1::write(DEBUG_CHANNEL_TRAPPED) };
        sysreg::cntkctl_el1::set(VIRTUAL_COUNTER);
        sysreg::cntv_ctl_el0::set(0);
        sysreg::tpidrro_el0::set(INFO_PAGE);
        if features.pan {
            sysreg::pan::set(1 << 22);
        }
        // Below 1 there is no architected performance monitor, 15 is one of another kind.
        if matches!(sysreg::id_aa64dfr0_el1::read() >> 8 & 0xf, 1..=14) {
            // SAFETY: EL0 has no performance counters.
            unsafe { core::arch::asm!("msr pmuserenr_el0, xzr", options(nomem, nostack, preserves_flags)) };
        }
        self.choose_vectors(features)
    }

    /// Chooses the vectors that this core needs.
    fn choose_vectors(&mut self, features: &Features) -> bool {
        let silent = FirmwareAnswers { workaround_1: Answer::NotSupported, workaround_3: Answer::NotSupported };
        let answers = power::firmware().map_or(silent, |firmware| firmware.answers());
        let Vectors { history, call, unmitigated } = vectors_for(features, &answers);
        let table = if history == History::Keep && call.is_none() { vectors::plain() } else { vectors::guarded() };
        self.loops = match history {
            History::Loop(rounds) => rounds.into(),
            History::Keep | History::Clear => 1,
        };
        self.call = call.map_or(0, |workaround| workaround.function());
        self.by_smc = power::firmware().is_some_and(|firmware| firmware.0 == Conduit::Smc).into();
        // SAFETY: one of this kernel's two tables.
        unsafe { sysreg::vbar_el1::write(table) };
        isb();
        !unmitigated
    }
}

/// Loads a table for the lower half, with address-space id 0, and forgets whatever was there before.
///
/// # Safety
/// The table must map nothing, and nothing of the lower half may be in use.
pub unsafe fn drop_lower_half(table: u64) {
    // SAFETY: the caller vouches for it.
    unsafe { sysreg::ttbr0_el1::write(table) };
    isb();
    tlb::invalidate_local();
}

/// `MDSCR_EL1.TDCC`.
const DEBUG_CHANNEL_TRAPPED: u64 = 1 << 12;
/// `CNTKCTL_EL1.EL0VCTEN`: EL0 may read the virtual counter; timers and the physical counter trap.
const VIRTUAL_COUNTER: u64 = 1 << 1;

/// The number of the core that this runs on, and the agent that it works for: for the last words, so without belief in anything.
pub fn who() -> (u32, u64) {
    let here = sysreg::tpidr_el1::read();
    let known = AIOS_CPUS.iter().map(|cpu| cpu.load(Ordering::Acquire)).find(|cpu| !cpu.is_null() && cpu.addr() as u64 == here);
    let Some(cpu) = known else { return (0, 0) };
    // SAFETY: the core's own state, which is there for ever. Whoever had it for writing has panicked or was interrupted for good, and doesn't come back.
    let cpu = unsafe { &*cpu };
    (cpu.number, cpu.core.current().into())
}
