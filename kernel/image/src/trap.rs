//! Exceptions become calls of the core.
//!
//! Each handler reads the clock once, tells the core what happened, asks it whom to run, and answers where that agent's registers are: `vectors.S` goes there.

use aios_aarch64::gic::cpu as interface;
use aios_aarch64::{barrier, sysreg};
use aios_core::agent::Registers;
use aios_core::core::{Next, Quick};
use aios_kernel::exception::{self, Trap};

use crate::cpu::Cpu;
use crate::{console, power, rings};

/// A system call, perhaps a quick one: `x19`–`x29`, SP, PC, PSTATE and TLS of the agent are not in its block yet.
///
/// Answers where the registers of the agent are that runs next; null: nothing is done; 1: done, but the core has to decide.
#[unsafe(no_mangle)]
extern "C" fn on_call(cpu: &mut Cpu) -> *mut Registers {
    let now = cpu.machine.enter();
    match cpu.core.quick(&mut cpu.machine, now) {
        Quick::Run(slot) => cpu.machine.leave_to(slot, &mut cpu.core.agents[slot]),
        Quick::No => core::ptr::null_mut(),
        Quick::Decide => core::ptr::without_provenance_mut(1),
    }
}

/// A quick call is done, and another agent may be due.
#[unsafe(no_mangle)]
extern "C" fn on_choice(cpu: &mut Cpu) -> *mut Registers {
    let now = cpu.machine.now();
    cpu.run(now)
}

/// Any other system call.
#[unsafe(no_mangle)]
extern "C" fn on_syscall(cpu: &mut Cpu) -> *mut Registers {
    let now = cpu.machine.now();
    cpu.core.syscall(&mut cpu.machine, now);
    cpu.run(now)
}

/// Any other synchronous exception from EL0.
#[unsafe(no_mangle)]
extern "C" fn on_exception(cpu: &mut Cpu, esr: u64) -> *mut Registers {
    let now = cpu.machine.enter();
    match exception::decode(esr, sysreg::far_el1::read()) {
        Trap::Syscall => cpu.core.syscall(&mut cpu.machine, now),
        Trap::FloatingPoint => {
            let current = cpu.core.current();
            cpu.machine.fp.hand_to(current, &mut cpu.core.agents[current].fp);
        }
        Trap::Fault(exception) => cpu.core.fault(&mut cpu.machine, exception, now),
    }
    cpu.run(now)
}

/// An interrupt while an agent ran.
#[unsafe(no_mangle)]
extern "C" fn on_interrupt(cpu: &mut Cpu) -> *mut Registers {
    let now = cpu.machine.enter();
    cpu.take_interrupts(now);
    cpu.run(now)
}

/// A system error while an agent ran.
#[unsafe(no_mangle)]
extern "C" fn on_system_error(cpu: &mut Cpu, esr: u64) -> *mut Registers {
    let now = cpu.machine.enter();
    cpu.core.fault(&mut cpu.machine, exception::system_error(esr), now);
    cpu.run(now)
}

impl Cpu {
    /// Finds an agent to run, waiting for one if there is none, and prepares the core for it.
    pub fn run(&mut self, mut now: u64) -> *mut Registers {
        loop {
            match self.core.next(&mut self.machine, now) {
                Next::Run(slot) => return self.machine.leave_to(slot, &mut self.core.agents[slot]),
                Next::Idle if self.backlog => {}
                Next::Idle => {
                    // The timer is set before the wait begins. It ends with the interrupt, masked as that is.
                    barrier::isb();
                    barrier::dsb_sy();
                    barrier::wfi();
                }
                // Another core's ring may be full, or have something for this one.
                Next::Interrupted => self.backlog |= rings::cores() > 1,
                Next::Halt => {
                    console::print(format_args!("\ninit is gone\n"));
                    power::off()
                }
            }
            barrier::isb();
            now = self.machine.enter();
            self.core.resumed(now);
            self.take_interrupts(now);
        }
    }

    /// Takes what other cores have sent; none of this core's agents pays for that time.
    fn take_packets(&mut self, now: u64) {
        self.backlog = self.core.take_packets(&mut self.machine, now);
        let after = self.machine.enter();
        self.core.absolve(after);
    }

    /// Tells the core of every interrupt that waits. Each line comes once: the core disables it, and the timer is turned off.
    fn take_interrupts(&mut self, now: u64) {
        while let Some(line) = interface::acknowledge() {
            if line == rings::DOORBELL {
                self.backlog = true;
            } else if self.machine.timer() == Some(line) {
                sysreg::cntv_ctl_el0::set(0);
                self.core.tick(&mut self.machine, now);
            } else {
                self.core.interrupt(&mut self.machine, line, now);
            }
            interface::finish(line);
            interface::deactivate(line);
        }
        if self.backlog {
            self.take_packets(now);
        }
    }
}
