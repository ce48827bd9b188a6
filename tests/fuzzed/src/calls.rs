//! Calls with any registers, made by agents that hold something.

use aios_abi::Call;
use aios_abi::call::init;
use aios_abi::id::SlotHandle;
use aios_abi::limits::USER_BASE;
use aios_abi::message::SendInfo;
use aios_abi::rights::Rights;
use aios_sim::World;

/// Events of one run.
const EVENTS: usize = 200;
/// Registers that a call looks at.
const ARGUMENTS: usize = 14;
/// Where its agents map frames.
const WINDOW: u64 = 0x800_0000;

/// Bytes as choices; zeros at their end.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte()))
    }
}

/// The agents make any calls. After each event everything holds that must (`World::check`), and the kernel comes to an end.
pub fn syscalls(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut world = World::new(1500);
    world.sim.interrupt_every = u32::from(choices.byte() & 7);
    let init = world.init;
    world.checking = false;
    world.core.set_key([9; 32]).expect("seeded");
    for number in 0..3 {
        let (handle, id) = world.spawn(init, 120, u64::from(number));
        world.memory(id.slot(), &[number; 5000]);
        let lines = world.own_slot(init, init::SLOT_IRQS);
        let _ = world.call(init, Call::CapGrant, &[(9, handle), (0, lines), (1, Rights::BIND.0 as u64), (2, 0), (3, 0), (4, 0)]);
        world.connect(init, number.into(), id, handle);
    }
    world.checking = true;
    for _ in 0..EVENTS {
        if choices.0.is_empty() {
            break;
        }
        match world.settle() {
            // Init only waits: it holds everything, and its end is the machine's.
            Some(running) if running == init => {
                let wait = SendInfo { room: 4096, take_caps: 4, ..SendInfo::default() }.encode();
                call(&mut world, running, &[(8, Call::IpcRecv as u64), (10, wait), (11, USER_BASE), (12, u64::MAX)]);
            }
            Some(running) => {
                let event = choices.byte();
                if event < 16 {
                    world.pass(u64::from(event) * 200_000);
                    continue;
                }
                let arguments = arguments(&world, running, event, &mut choices);
                call(&mut world, running, &arguments);
            }
            None => world.pass(1_000_000 * (1 + u64::from(choices.byte()))),
        }
    }
    world.pass(10_000_000);
}

fn call(world: &mut World, running: u16, arguments: &[(usize, u64)]) {
    for &(register, value) in arguments {
        world.core.agents[running].registers.x[register] = value;
    }
    world.now += 1000;
    world.execute(running);
}

/// The call's number, and registers by a mask: what is not named keeps what the last call left there.
fn arguments(world: &World, agent: u16, event: u8, choices: &mut Choices<'_>) -> Vec<(usize, u64)> {
    let number = if event == u8::MAX { choices.word() } else { Call::ALL[event as usize % Call::ALL.len()] as u64 };
    let mask = u16::from_le_bytes([choices.byte(), choices.byte()]);
    let mut all = vec![(8, number)];
    for register in (0..ARGUMENTS).filter(|register| *register != 8 && mask >> register & 1 != 0) {
        all.push((register, value(world, agent, choices)));
    }
    all
}

/// A number of some kind.
fn value(world: &World, agent: u16, choices: &mut Choices<'_>) -> u64 {
    let block = &world.core.agents[agent];
    match choices.byte() % 10 {
        0 => choices.word(),
        1 => u64::from(choices.byte()),
        2 => 1 << (choices.byte() % 64),
        3 => 0u64.wrapping_sub(u64::from(choices.byte())),
        4 | 5 => {
            let index = u16::from(choices.byte()) % block.slots.end().max(1);
            block.slots.look(index).map_or(0, |slot| u64::from(SlotHandle::new(index, slot.generation).0))
        }
        6 => block.regions.as_slice().first().map_or(USER_BASE, |region| region.va) + u64::from(choices.byte()) * 64,
        7 => WINDOW + u64::from(choices.byte()) * 4096,
        8 => world.now + u64::from(choices.byte()) * 100_000,
        _ => {
            let (length, ways) = (choices.byte(), choices.byte());
            let (caps, take_caps) = (ways & 3, ways >> 2 & 3);
            SendInfo { length: u32::from(length) * 8, caps, take_caps, room: 4096, move_caps: ways & 16 != 0, ..SendInfo::default() }
                .encode()
        }
    }
}
