//! Random system calls that may do anything but end the program, the machine or the test.

use aios_abi::call::{AgentOp, SLOT_FIRST, SLOT_POOL, SLOT_SELF};
use aios_abi::limits::{AGENT_MEM_BASE, INFO_PAGE, USER_BASE, USER_END};
use aios_abi::message::SendInfo;
use aios_abi::{Call, SlotHandle};

use crate::outcome::REGISTERS;
use crate::random::Random;
use crate::{DIRECT_MAP, KERNEL_LINK};

/// Where random calls may have memory written.
#[derive(Clone, Copy, Debug)]
pub struct Scratch {
    /// First byte.
    pub start: u64,
    /// Bytes; at least one page.
    pub size: u64,
}

/// What the calls need to know of the program.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Memory that nothing else uses.
    pub scratch: Scratch,
    /// The program's own code.
    pub code: u64,
    /// Now, ns since boot.
    pub now: u64,
}

/// The registers `x0`–`x30` of one random call.
pub fn next(random: &mut Random, target: &Target) -> [u64; REGISTERS] {
    let mut x: [u64; REGISTERS] = core::array::from_fn(|_| word(random, target));
    x[8] = match random.below(16) {
        0 => random.of([0, 12, 255, 256, 1 << 16, 1 << 32 | 1, u64::MAX]),
        1 => random.word(),
        _ => Call::ALL[random.below(Call::ALL.len() as u64) as usize] as u64,
    };
    if random.below(4) != 0 {
        x[9] = slot(random);
    }
    x[10] = match random.below(4) {
        0 => random.word(),
        1 => x[10],
        _ => information(random),
    };
    x[11] = address(random, target);
    tame(&mut x, random, target);
    x
}

/// Takes away what would end the test: its own end, an endless wait, a write into its own data, noise on the console.
fn tame(x: &mut [u64; REGISTERS], random: &mut Random, target: &Target) {
    let Some(call) = Call::from_number(x[8]) else { return };
    let own = |word: u64| word == own_slot(SLOT_SELF);
    match call {
        Call::Exit => x[8] = Call::Yield as u64,
        Call::IpcRecv | Call::IpcCall | Call::IpcReplyRecv => x[12] = target.now.saturating_add(random.below(50_000)) * random.below(2),
        Call::PqcOperation => x[12] = target.now.saturating_add(random.below(1_000_000)),
        Call::AgentControl if own(x[9]) => x[0] = random.of([0, AgentOp::Resume as u64, AgentOp::Name as u64, 9, u64::MAX]),
        // A reservation that it can't live on would make it wait for ever.
        Call::SchedSet if own(x[9]) => x[0] = 0,
        // Without these two most calls fail early.
        Call::CapDrop | Call::CapRevoke if own(x[9]) || x[9] == own_slot(SLOT_POOL) => x[9] = own_slot(SLOT_FIRST + 1),
        Call::CapGrant if x[3] == 1 => x[3] = 0,
        Call::PowerControl => x[9] = 0,
        Call::ConsoleWrite => x[10] = random.of([0, 65, 1 << 20, u64::MAX]),
        // A handler for the program's own code would hide a fault.
        Call::FaultHandlerSet => (x[1], x[2]) = (USER_END - 8, USER_END),
        _ => {}
    }
}

/// A slot that every program has, as a register holds it.
fn own_slot(index: u16) -> u64 {
    SlotHandle::new(index, 1).0.into()
}

fn slot(random: &mut Random) -> u64 {
    let index = random.below(16) as u16;
    let generation = random.of([1, 1, 1, 1, 1, 1, 2, 3, 0, u16::MAX]);
    let handle = u64::from(SlotHandle::new(index, generation).0);
    if random.below(32) == 0 { handle | random.word() << 32 } else { handle }
}

/// An information word with plausible fields.
fn information(random: &mut Random) -> u64 {
    SendInfo {
        length: random.of([0, 1, 8, 48, 56, 57, 64, 65, 4096, 65536]),
        caps: random.of([0, 0, 0, 0, 1, 2, 4, 7]),
        take_caps: random.of([0, 0, 1, 4]),
        move_caps: random.below(8) == 0,
        room: random.of([0, 64, 65, 4096, 65536]),
        notifications_only: random.below(8) == 0,
    }
    .encode()
}

/// An address: within the scratch memory, or one that no call may touch.
fn address(random: &mut Random, target: &Target) -> u64 {
    let Scratch { start, size } = target.scratch;
    match random.below(8) {
        0..3 => start + random.below(size),
        3 => start + random.below(size / 4096) * 4096,
        // The last bytes, so that what is written ends beyond.
        4 => start + size - 1 - random.below(64),
        _ => random.of([
            0,
            1,
            4095,
            target.code,
            target.code + 1,
            INFO_PAGE,
            USER_END,
            USER_END - 1,
            AGENT_MEM_BASE,
            DIRECT_MAP,
            KERNEL_LINK,
            u64::MAX,
            u64::MAX - 63,
            1 << 63,
            1 << 48,
        ]),
    }
}

/// Any register that has no better idea.
fn word(random: &mut Random, target: &Target) -> u64 {
    match random.below(10) {
        0 => random.word(),
        1 | 2 => random.below(8),
        3 => random.below(0x1_0000),
        4 => slot(random),
        5 => 1 << random.below(64),
        6 => u64::MAX - random.below(4),
        7 => target.now.saturating_add(random.below(10_000_000)),
        // Pages of the program's half in which nothing is.
        8 => USER_BASE + (0x10_0000 + random.below(0x1000)) * 4096,
        _ => address(random, target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target { scratch: Scratch { start: 0x50_0000, size: 0x2_0000 }, code: 0x40_0000, now: 1_000_000 };

    fn calls(seed: u64, count: usize) -> impl Iterator<Item = [u64; REGISTERS]> {
        let mut random = Random::new(seed);
        core::iter::repeat_with(move || next(&mut random, &TARGET)).take(count)
    }

    #[test]
    fn a_seed_always_gives_the_same_calls() {
        assert!(calls(7, 100).eq(calls(7, 100)));
        assert!(calls(7, 100).ne(calls(8, 100)));
    }

    #[test]
    fn every_call_comes_and_none_ends_the_test() {
        let mut seen = std::collections::HashMap::new();
        for x in calls(0x5eed, 200_000) {
            *seen.entry(x[8]).or_insert(0) += 1;
            let Some(call) = Call::from_number(x[8]) else { continue };
            let own = x[9] == own_slot(SLOT_SELF);
            match call {
                Call::Exit => panic!("{x:x?}"),
                Call::IpcRecv | Call::IpcCall | Call::IpcReplyRecv => assert!(x[12] <= TARGET.now + 50_000, "{x:x?}"),
                Call::AgentControl if own => assert!(![2, 3, 5].contains(&x[0]), "{x:x?}"),
                Call::ConsoleWrite => assert!(x[10] == 0 || x[10] > 64, "{x:x?}"),
                Call::PowerControl => assert_eq!(x[9], 0),
                _ => {}
            }
        }
        for &call in Call::ALL {
            assert_eq!(seen.contains_key(&(call as u64)), call != Call::Exit, "{call:?}");
        }
    }

    #[test]
    fn buffers_are_scratch_memory_or_forbidden() {
        let scratch = TARGET.scratch.start..TARGET.scratch.start + TARGET.scratch.size;
        let forbidden = |address: u64| address < USER_BASE || address / 2 == TARGET.code / 2 || address >= AGENT_MEM_BASE;
        assert!(calls(3, 50_000).all(|x| scratch.contains(&x[11]) || forbidden(x[11])));
    }
}
