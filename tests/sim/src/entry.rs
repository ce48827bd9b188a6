//! The way into the kernel, as the edge takes it.

use aios_core::agent::Registers;
use aios_core::core::{Core, Next, Quick};

use crate::Sim;

/// What stands in an agent's block where its registers are not stored yet.
const POISON: u64 = 0x5eed_dead_beef_0bad;

/// Has the current agent make the call in its registers: a quick one if it is, else in the general way.
///
/// A quick call finds in the block only what the edge has stored by then, must leave the rest alone, and must choose whom the scheduler would.
pub fn syscall(core: &mut Core<Sim>, sim: &mut Sim, now: u64) {
    if !sim.quick {
        return core.syscall(sim, now);
    }
    let me = core.current();
    let stored = core.agents[me].registers.clone();
    let registers = &mut core.agents[me].registers;
    registers.x[19..30].fill(POISON);
    (registers.sp, registers.pc, registers.pstate, registers.tls) = (POISON, POISON, POISON, POISON);
    let quick = core.quick(sim, now);
    if quick != Quick::No {
        *sim.quick_calls.entry(stored.x[8]).or_default() += 1;
    }
    let registers = &mut core.agents[me].registers;
    let untouched = registers.x[19..30].iter().all(|&word| word == POISON)
        && [registers.sp, registers.pc, registers.pstate, registers.tls] == [POISON; 4];
    assert!(untouched, "a quick call touches registers that are not stored yet");
    let Registers { x, sp, pc, pstate, tls, .. } = stored;
    registers.x[19..30].copy_from_slice(&x[19..30]);
    (registers.sp, registers.pc, registers.pstate, registers.tls) = (sp, pc, pstate, tls);
    match quick {
        Quick::No => {
            assert_eq!(registers.x, x, "a call that is not quick changed something");
            core.syscall(sim, now);
        }
        Quick::Decide => {}
        Quick::Run(slot) => assert_eq!(core.next(sim, now), Next::Run(slot)),
    }
}
