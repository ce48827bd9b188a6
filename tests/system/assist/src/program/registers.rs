//! Looks at every register around system calls and interruptions.

use core::arch::global_asm;
use core::mem::offset_of;
use core::num::NonZeroUsize;

use aios_abi::Call;
use aios_abi::message::SendInfo;
use aios_assist::hostile::{Scratch, Target, next};
use aios_assist::outcome::{REGISTERS, violations};
use aios_assist::random::Random;
use aios_rt::memory::{Backing, allocate};
use aios_rt::peer::Init;
use aios_rt::{Error, Result, fault, info, time};

use super::{Log, run};

/// Every register that EL0 has, apart from PC and SP.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Bank {
    x: [u64; REGISTERS],
    v: [u128; 32],
    fpcr: u64,
    fpsr: u64,
    tpidr: u64,
    nzcv: u64,
}

global_asm!(
    ".set BANK_V, {v}",
    ".set BANK_FPCR, {fpcr}",
    ".set BANK_FPSR, {fpsr}",
    ".set BANK_TPIDR, {tpidr}",
    ".set BANK_NZCV, {nzcv}",
    include_str!("registers.s"),
    v = const offset_of!(Bank, v),
    fpcr = const offset_of!(Bank, fpcr),
    fpsr = const offset_of!(Bank, fpsr),
    tpidr = const offset_of!(Bank, tpidr),
    nzcv = const offset_of!(Bank, nzcv),
);

unsafe extern "C" {
    fn assist_call(bank: *mut Bank);
    fn assist_spin(bank: *mut Bank);
}

/// Bits of FPCR that change how sums are rounded, and no more: RMode, FZ, DN.
const FPCR_BITS: u64 = 0b1111 << 22;
/// Bits of FPSR: the cumulative flags and saturation.
const FPSR_BITS: u64 = 1 << 27 | 1 << 7 | 0x1f;
/// The condition flags.
const NZCV_BITS: u64 = 0b1111 << 28;

impl Bank {
    fn random(random: &mut Random) -> Self {
        Self {
            x: core::array::from_fn(|_| random.word()),
            v: core::array::from_fn(|_| u128::from(random.word()) << 64 | u128::from(random.word())),
            fpcr: random.word() & FPCR_BITS,
            fpsr: random.word() & FPSR_BITS,
            tpidr: random.word(),
            nzcv: random.word() & NZCV_BITS,
        }
    }

    /// Makes the system call of the bank.
    fn call(&mut self) {
        // SAFETY: loads and stores within the bank, and keeps what the calling convention wants kept. Whoever fills the bank vouches for the
        // buffers of the call.
        unsafe { assist_call(self) };
    }

    /// Counts `x0`, not 0, down.
    fn spin(&mut self) {
        // SAFETY: loads and stores within the bank, and keeps what the calling convention wants kept.
        unsafe { assist_spin(self) };
    }

    /// How many registers beyond the general ones differ; the condition flags are the program's own only where it made no call.
    fn others(&self, then: &Self, flags: bool) -> u64 {
        let vectors = self.v.iter().zip(&then.v).filter(|(now, then)| now != then).count() as u64;
        let words = [(self.fpcr, then.fpcr), (self.fpsr, then.fpsr), (self.tpidr, then.tpidr)];
        vectors + words.iter().filter(|(now, then)| now != then).count() as u64 + u64::from(flags && self.nzcv != then.nzcv)
    }
}

/// Says which registers are wrong, for the first few times.
struct Findings {
    log: Log,
    count: u64,
    told: u32,
}

impl Findings {
    fn new(init: Init) -> Self {
        Self { log: Log::open(init), count: 0, told: 0 }
    }

    fn add(&mut self, round: u64, then: &Bank, general: u32, others: u64) {
        if general == 0 && others == 0 {
            return;
        }
        self.count += u64::from(general.count_ones()) + others;
        if self.told < 8 {
            self.told += 1;
            self.log.say(format_args!("round {round}, call {}: general {general:#010x}, others {others}", then.x[8]));
        }
    }
}

/// Fills every register with patterns of this agent, and looks at them after a yield, a wait, or a loop that the timer may interrupt.
pub fn canary(init: Init, rounds: u64) -> u64 {
    let agent = info::agent().0;
    let mut random = Random::new(agent ^ run as *const () as u64);
    let mut findings = Findings::new(init);
    for round in 0..rounds {
        let mut bank = Bank::random(&mut random);
        match round % 4 {
            0 | 1 => bank.x[8] = Call::Yield as u64,
            2 => {
                bank.x[8] = Call::IpcRecv as u64;
                bank.x[10] = SendInfo { notifications_only: true, ..SendInfo::default() }.encode();
                bank.x[11] = 0;
                bank.x[12] = time::now() + random.below(100_000);
            }
            _ => bank.x[0] = 1 + random.below(50_000),
        }
        let then = bank;
        if round % 4 == 3 {
            bank.spin();
            let mut expected = then.x;
            expected[0] = 0;
            let general = (0..REGISTERS).filter(|&n| bank.x[n] != expected[n]).fold(0, |mask, n| mask | 1 << n);
            findings.add(round, &then, general, bank.others(&then, true));
        } else {
            bank.call();
            let expected = if round % 4 == 2 { u64::from(Error::Timeout.code()) } else { 0 };
            let status = u32::from(bank.x[8] != expected) << 8;
            findings.add(round, &then, violations(&then.x, &bank.x) | status, bank.others(&then, false));
        }
    }
    findings.count
}

/// Makes every call, and some that are none, with registers full of patterns, and counts registers that changed and should not have, and calls
/// with a slot that is none which were done.
pub fn leaks(init: Init) -> u64 {
    let mut random = Random::new(info::agent().0);
    let mut findings = Findings::new(init);
    let known = Call::ALL.iter().filter(|&&call| call != Call::Exit).map(|&call| call as u64);
    let unknown = [0, 100, 255, 1 << 16, 1 << 32 | Call::Yield as u64, u64::MAX];
    for number in known.chain(unknown) {
        let mut bank = Bank::random(&mut random);
        bank.x[8] = number;
        // No slot, and beyond what a handle holds.
        bank.x[9] |= 1 << 63;
        // Long past: nothing waits.
        bank.x[12] = 1;
        let then = bank;
        bank.call();
        let takes_slot = !matches!(
            Call::from_number(number),
            Some(
                Call::Yield
                    | Call::TimeNow
                    | Call::TimerSet
                    | Call::IpcRecv
                    | Call::FaultHandlerSet
                    | Call::AgentMemAlloc
                    | Call::AgentMemFree
            )
        );
        let done = u32::from(takes_slot && bank.x[8] == 0) << 8;
        findings.add(number, &then, violations(&then.x, &bank.x) | done, bank.others(&then, false));
    }
    // What the patterns may have left behind.
    let _ = fault::clear_handler();
    let _ = time::stop_timer();
    findings.count
}

/// Makes random calls with the program's own capabilities.
pub fn hostile(init: Init, seed: u64, calls: u64) -> Result<u64> {
    const SCRATCH: usize = 128 << 10;
    let size = NonZeroUsize::new(SCRATCH).ok_or(Error::BadArgument)?;
    let scratch = allocate(size, Backing::OnTouch)?.as_ptr() as u64;
    let mut findings = Findings::new(init);
    findings.log.say(format_args!("seed {seed:#x}, {calls} random calls"));
    let mut random = Random::new(seed);
    let scratch = Scratch { start: scratch, size: SCRATCH as u64 };
    for round in 0..calls {
        let target = Target { scratch, code: run as *const () as u64, now: time::now() };
        let mut bank = Bank::random(&mut random);
        bank.x = next(&mut random, &target);
        let then = bank;
        bank.call();
        findings.add(round, &then, violations(&then.x, &bank.x), bank.others(&then, false));
    }
    Ok(findings.count)
}
