//! The other cores: from PSCI `CPU_ON` to the first wait for work.
//!
//! The boot core makes each core's state and the rings before it starts anybody. A core that comes up sets its registers, joins the interrupt
//! controller, says that it is there, and waits for packets. One that doesn't come up within a second is left out: its number stays unused.

use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use aios_aarch64::features::{Features, IdRegisters};
use aios_aarch64::{AFFINITY_MASK, barrier, sysreg};
use aios_abi::limits::CORES;
use aios_core::core::{Facts, KEY_SIZE};
use aios_handoff::{BootInfo, SecondaryStart};

use crate::cpu::{self, Cpu};
use crate::{power, ram, rings, vectors};

unsafe extern "C" {
    fn secondary_kernel_entry();
}

/// The hand-over, while cores start.
static RECORD: AtomicPtr<BootInfo> = AtomicPtr::new(core::ptr::null_mut());
/// A bit for each core that is there.
static ONLINE: AtomicU32 = AtomicU32::new(1);
const _: () = assert!(CORES <= 32, "a bit for each core");

/// How long a core may take, ns.
const PATIENCE_NS: u64 = 1_000_000_000;

/// The states of cores that are to be started; index 0 is the boot core's and empty.
pub struct Others {
    cpus: [*mut Cpu; CORES],
    count: usize,
    /// Pages that they and the rings take.
    pub pages: u64,
}

/// Makes the states of the other cores and the rings. Without the memory for all of it, the boot core stays alone.
pub fn prepare(boot: &Cpu, info: &BootInfo) -> Others {
    let mut others = Others { cpus: [core::ptr::null_mut(); CORES], count: 1, pages: 0 };
    let wanted = if power::firmware().is_some() { info.cores().len().min(CORES) } else { 1 };
    for (number, &affinity) in info.cores().iter().enumerate().take(wanted) {
        rings::set_affinity(number, affinity);
        if number == 0 {
            continue;
        }
        let Some(cpu) = boot.sibling(number as u32) else { break };
        others.cpus[number] = cpu;
        others.count = number + 1;
        others.pages += Cpu::pages();
    }
    match rings::install(others.count) {
        Some(pages) => others.pages += pages,
        None => others.count = 1,
    }
    others
}

/// Starts the other cores. Answers how many cores run.
pub fn start(boot: &mut Cpu, others: &Others, info: &BootInfo) -> usize {
    let Some(firmware) = power::firmware() else { return 1 };
    RECORD.store(core::ptr::from_ref(info).cast_mut(), Ordering::Release);
    let mut running = 1;
    for number in 1..others.count {
        let cpu = others.cpus[number];
        // SAFETY: the core that this is for doesn't run yet.
        let sibling = unsafe { &mut *cpu };
        sibling.machine = boot.machine.sibling(number as u16);
        let now = boot.machine.enter();
        sibling.core.found(Facts { core: number as u64, up_ns: now, ..Facts::default() }, 0, now);
        if info.rng_seed_len as usize == KEY_SIZE && sibling.core.set_key(info.rng_seed).is_err() {
            break;
        }
        let Some(start) = ram::take(1) else { break };
        let record = SecondaryStart {
            entry_va: secondary_kernel_entry as *const () as u64,
            stack_va: sibling.stack.addr() as u64,
            arg: cpu.addr() as u64,
        };
        // SAFETY: a fresh page in the direct map, aligned.
        unsafe { ram::direct::<SecondaryStart>(start).write(record) };
        barrier::dsb_sy();
        // SAFETY: stage0's entry for secondary cores, and the record that it takes.
        let answer = unsafe { firmware.cpu_on(info.cores()[number], info.secondary_entry, start) };
        if answer.is_err() || !wait_for(boot, number) {
            // Whether it is still on its way is not known, so its memory stays its own.
            break;
        }
        ram::give(start, 1);
        running = number + 1;
    }
    RECORD.store(core::ptr::null_mut(), Ordering::Release);
    rings::open(running);
    running
}

fn wait_for(boot: &mut Cpu, number: usize) -> bool {
    let begin = boot.machine.enter();
    while ONLINE.load(Ordering::Acquire) >> number & 1 == 0 {
        if boot.machine.enter() - begin > PATIENCE_NS {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Called by `vectors.S` on a secondary core, with its stack empty.
#[unsafe(no_mangle)]
extern "C" fn secondary_main(cpu: &mut Cpu) -> ! {
    let features = Features::decode(&IdRegisters::read());
    cpu.set_registers(&features);
    // SAFETY: the table maps nothing; the way into the kernel left the lower half behind.
    unsafe { cpu::drop_lower_half(cpu.machine.nothing()) };
    // SAFETY: the boot core keeps the record while it waits for this core.
    let info = unsafe { RECORD.load(Ordering::Acquire).as_ref() };
    let affinity = sysreg::mpidr_el1::read() & AFFINITY_MASK;
    let joined = info.is_some_and(|info| cpu.machine.join(info.gicr(), affinity));
    if !joined {
        barrier::park();
    }
    cpu.core.facts.mpidr = sysreg::mpidr_el1::read();
    cpu.core.facts.midr = sysreg::midr_el1::read();
    ONLINE.fetch_or(1 << cpu.number, Ordering::AcqRel);
    let now = cpu.machine.enter();
    let registers = cpu.run(now);
    // SAFETY: `run` has prepared this core for the agent whose registers these are.
    unsafe { vectors::resume(registers) }
}
