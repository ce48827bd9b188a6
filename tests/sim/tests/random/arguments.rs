//! Arguments of calls: mostly what a program would say, sometimes what a hostile one would.

use aios_abi::call::{AgentOp, CLASS_EDF, CLASS_FAIR};
use aios_abi::id::SlotHandle;
use aios_abi::limits::{AGENT_MEM_BASE, PAGE_SIZE, USER_BASE, USER_END};
use aios_abi::message::SendInfo;
use aios_abi::record::Table;
use aios_abi::rights::Kind;
use aios_abi::{ABI_VERSION, Call};
use aios_sim::World;

const PAGE: u64 = PAGE_SIZE as u64;

/// What a program remembers.
#[derive(Default)]
pub struct Memory {
    /// Handles that it once had.
    pub handles: Vec<u64>,
    /// Messages that it once got.
    pub messages: Vec<u64>,
    /// Operations that it once began.
    pub operations: Vec<u64>,
    /// Where it had tokens written.
    pub tokens: Vec<u64>,
}

/// Draws arguments for one agent.
pub struct Draw<'a> {
    pub rng: &'a mut fastrand::Rng,
    pub world: &'a World,
    pub slot: u16,
    pub memory: &'a Memory,
}

impl Draw<'_> {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    fn one_of<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.rng.usize(0..options.len())]
    }

    /// A word of any size.
    fn garbage(&mut self) -> u64 {
        match self.rng.u32(0..6) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << self.rng.u32(0..64),
            3 => self.rng.u64(..) >> self.rng.u32(0..64),
            4 => self.rng.u64(0..300),
            _ => !(self.rng.u64(..) >> self.rng.u32(0..64)),
        }
    }

    /// Usually `good`.
    fn or_garbage(&mut self, good: u64) -> u64 {
        if self.chance(5) { self.garbage() } else { good }
    }

    /// Handles of the capabilities that it has, of this kind or of any.
    fn held(&self, kind: Option<Kind>) -> Vec<u64> {
        let table = &self.world.core.agents[self.slot].slots;
        (0..table.end())
            .filter_map(|index| Some((index, table.look(index)?)))
            .filter(|(_, slot)| slot.kind != Kind::Empty && kind.is_none_or(|kind| slot.kind == kind))
            .map(|(index, slot)| SlotHandle::new(index, slot.generation).0 as u64)
            .collect()
    }

    fn handle(&mut self, kind: Kind) -> u64 {
        let (good, any) = (self.held(Some(kind)), self.held(None));
        match self.rng.u32(0..100) {
            0..85 if !good.is_empty() => self.one_of(&good),
            85..92 if !any.is_empty() => self.one_of(&any),
            92..96 if !self.memory.handles.is_empty() => self.memory.handles[self.rng.usize(0..self.memory.handles.len())],
            96..98 if !any.is_empty() => self.one_of(&any).wrapping_add(self.rng.u64(1..3)),
            _ => self.garbage(),
        }
    }

    fn any_handle(&mut self) -> u64 {
        let any = self.held(None);
        if any.is_empty() || self.chance(8) { self.handle(Kind::Frame) } else { self.one_of(&any) }
    }

    /// An address of its own memory, or of none.
    fn address(&mut self) -> u64 {
        let regions: Vec<_> = self.world.core.agents[self.slot].regions.as_slice().to_vec();
        match self.rng.u32(0..20) {
            0 => self.garbage(),
            1 => AGENT_MEM_BASE + self.rng.u64(0..1 << 22),
            2 => USER_BASE + self.rng.u64(0..1 << 14),
            _ if regions.is_empty() => USER_BASE,
            _ => {
                let region = self.one_of(&regions);
                let offset = self.rng.u64(0..region.bytes());
                region.va + if self.chance(70) { offset & !7 } else { offset }
            }
        }
    }

    /// Where a region begins.
    fn region(&mut self) -> u64 {
        let regions = self.world.core.agents[self.slot].regions.as_slice().to_vec();
        if regions.is_empty() || self.chance(5) { self.address() } else { self.one_of(&regions).va }
    }

    fn length(&mut self) -> u32 {
        match self.rng.u32(0..10) {
            0 => self.rng.u32(0..=65_536),
            1 => self.rng.u32(65..9000),
            2 => self.rng.u32(0..=64),
            _ => self.rng.u32(0..=6) * 8,
        }
    }

    fn info(&mut self, sends: bool, receives: bool) -> u64 {
        let mut info = SendInfo::default();
        if sends {
            info.length = self.length();
            info.caps = self.one_of(&[0, 0, 0, 1, 1, 2, 4]);
            info.move_caps = info.caps > 0 && self.chance(30);
            if info.caps > 0 {
                info.length = info.length.min(48);
            }
        }
        if receives {
            info.take_caps = self.one_of(&[0, 1, 4, 4, 4]);
            info.room = self.one_of(&[0, 64, 4096, 65_536, 65_536]);
            info.notifications_only = self.chance(5);
        }
        let word = info.encode();
        if self.chance(2) { word ^ 1 << self.rng.u32(0..64) } else { word }
    }

    fn deadline(&mut self) -> u64 {
        let now = self.world.now;
        let init = self.slot == self.world.init;
        match self.rng.u32(0..10) {
            0 => 0,
            1 => now,
            2..4 if !init => u64::MAX,
            _ => now + self.rng.u64(0..30_000_000),
        }
    }

    fn rights(&mut self) -> u64 {
        match self.rng.u32(0..6) {
            0 => self.garbage(),
            1 => 0,
            2 => u32::MAX as u64,
            _ => (self.rng.u32(..) | self.rng.u32(..)) as u64,
        }
    }

    /// Rights of a capability that it has, or fewer.
    fn fewer(&mut self, handle: u64) -> u64 {
        let handle = SlotHandle(handle as u32);
        let rights = self.world.core.agents[self.slot].slots.look(handle.index()).map_or(0, |slot| slot.rights.0);
        match self.rng.u32(0..4) {
            0 => self.rights(),
            1 => rights as u64,
            _ => (rights & (self.rng.u32(..) | self.rng.u32(..))) as u64,
        }
    }

    fn expiry(&mut self) -> u64 {
        match self.rng.u32(0..12) {
            0 => self.garbage(),
            1..3 => self.world.now + self.rng.u64(0..50_000_000),
            _ => 0,
        }
    }

    fn bits(&mut self) -> u64 {
        if self.chance(10) { self.garbage() } else { 1 << self.rng.u32(0..8) }
    }

    /// Where an agent's frames go.
    fn window(&mut self) -> u64 {
        if self.chance(6) { self.garbage() } else { 0x800_0000 + self.rng.u64(0..64) * PAGE }
    }

    fn message(&mut self) -> u64 {
        let agents = &self.world.core.agents;
        let mut open = Vec::new();
        let mut at = agents[self.slot].open.head;
        while at != 0 {
            open.push(agents[at].outgoing.message.0);
            at = agents[at].links.next;
        }
        if !open.is_empty() && self.chance(80) {
            return self.one_of(&open);
        }
        let known = &self.memory.messages;
        if known.is_empty() || self.rng.u32(0..100) < 6 {
            return self.garbage();
        }
        let recent = known.len().saturating_sub(4);
        let first = if self.rng.bool() { recent } else { 0 };
        known[self.rng.usize(first..known.len())]
    }

    fn operation(&mut self) -> u64 {
        let known = &self.memory.operations;
        if known.is_empty() { self.garbage() } else { known[self.rng.usize(0..known.len())] }
    }

    /// Payload and capabilities of a message.
    fn payload(&mut self, args: &mut Vec<(usize, u64)>) {
        for register in 0..6 {
            args.push((register, self.rng.u64(..)));
        }
        let mut pair = || self.any_handle() & 0xffff_ffff | self.any_handle() << 32;
        let words = [pair(), pair()];
        args.extend([(6, words[0]), (7, words[1])]);
        args.push((11, self.address()));
    }

    /// The call's number and its arguments.
    pub fn call(&mut self) -> (u64, Vec<(usize, u64)>) {
        let call = match self.rng.u32(0..100) {
            0..30 => self.one_of(&[Call::IpcCall, Call::IpcRecv, Call::IpcReplyRecv, Call::IpcReply, Call::IpcSend]),
            30..36 => self.one_of(&[Call::CapDerive, Call::CapGrant, Call::CapDrop, Call::CapRevoke]),
            36..42 => self.one_of(&[Call::FrameAlloc, Call::PageMap, Call::PageMap, Call::PageUnmap]),
            42 => return (self.garbage(), Vec::new()),
            _ => self.one_of(Call::ALL),
        };
        // Who has open calls answers them soon; who has none has nothing to answer.
        let busy = self.world.core.agents[self.slot].open.head != 0;
        let call = match call {
            Call::IpcReply if !busy && self.chance(80) => Call::IpcRecv,
            _ if busy && self.chance(20) => self.one_of(&[Call::IpcReply, Call::IpcReplyRecv, Call::FaultReply]),
            call => call,
        };
        // Few agents end by themselves, or the world would be empty soon.
        let call = if matches!(call, Call::Exit) && (self.slot == self.world.init || self.chance(60)) { Call::Yield } else { call };
        (call as u64, self.arguments(call))
    }

    fn arguments(&mut self, call: Call) -> Vec<(usize, u64)> {
        let mut args = Vec::new();
        match call {
            Call::IpcSend => {
                self.payload(&mut args);
                args.extend([(9, self.handle(Kind::Service)), (10, self.info(true, false))]);
            }
            Call::IpcCall => {
                self.payload(&mut args);
                args.extend([(9, self.handle(Kind::Service)), (10, self.info(true, true)), (12, self.deadline())]);
            }
            Call::IpcRecv => args.extend([(10, self.info(false, true)), (11, self.address()), (12, self.deadline())]),
            Call::IpcReply | Call::IpcReplyRecv => {
                self.payload(&mut args);
                let message = if self.chance(8) { 0 } else { self.message() };
                args.extend([(9, message), (10, self.info(true, call == Call::IpcReplyRecv)), (12, self.deadline())]);
            }
            Call::Notify => args.extend([(9, self.handle(Kind::Notification)), (0, self.bits())]),
            Call::Yield | Call::TimeNow => {}
            Call::Exit => args.extend([(0, self.garbage()), (1, self.rng.u64(0..3)), (2, self.address()), (3, self.rng.u64(0..400))]),
            Call::TimerSet => args.extend([(0, self.deadline()), (1, self.bits())]),
            Call::AgentSpawn => {
                let (mailbox, quota) = (self.rng.u64(0..4), self.rng.u64(5..120));
                let values = [self.or_garbage(mailbox), self.or_garbage(quota), self.or_garbage(ABI_VERSION as u64)];
                args.extend([(9, self.handle(Kind::Pool)), (0, values[0]), (1, values[1]), (10, values[2])]);
            }
            Call::AgentControl => {
                let ops = [1, 1, 1, 2, 3, 3, 4, 4, 4, 5, 6, 7, 8, 8];
                let op = self.one_of(&ops);
                let first = match AgentOp::from_number(op) {
                    Some(AgentOp::Start) => USER_BASE,
                    Some(AgentOp::Supervise) => self.handle(Kind::Service),
                    _ => 0,
                };
                let values = [self.or_garbage(op), self.or_garbage(first), self.or_garbage(0x8000_0000)];
                args.extend([(9, self.handle(Kind::Agent)), (0, values[0]), (1, values[1]), (2, values[2])]);
            }
            Call::SchedSet => {
                let class = self.one_of(&[CLASS_FAIR, CLASS_EDF]);
                let (one, two) = if class == CLASS_EDF { (300_000, 20_000_000) } else { (self.rng.u64(0..1100), 0) };
                args.extend([
                    (9, self.handle(Kind::Agent)),
                    (0, self.or_garbage(class)),
                    (1, self.or_garbage(one)),
                    (2, self.or_garbage(two)),
                ]);
            }
            Call::Watch => {
                let kind = self.one_of(&[Kind::Agent, Kind::Service]);
                args.extend([(9, self.handle(kind)), (0, self.bits())]);
            }
            Call::FaultHandlerSet => {
                let save = self.address();
                let values = [USER_BASE + 0x100, 0, USER_END, 0x8000_0000, save].map(|value| self.or_garbage(value));
                args.extend(values.into_iter().enumerate());
            }
            Call::FaultReply => {
                let message = if self.chance(30) { 0 } else { self.message() };
                args.extend([(9, message), (0, self.rng.u64(0..4)), (1, self.or_garbage(USER_BASE))]);
            }
            Call::FrameAlloc => {
                let pages = self.rng.u64(1..5);
                args.extend([(9, self.handle(Kind::Pool)), (0, self.or_garbage(pages))]);
            }
            Call::PageMap => {
                let kind = self.one_of(&[Kind::Frame, Kind::Frame, Kind::Frame, Kind::Device]);
                let target = if self.chance(30) { self.handle(Kind::Agent) } else { 0 };
                let access = self.one_of(&[1, 3, 3, 5, 7, 2]);
                args.extend([(9, self.handle(kind)), (0, target), (1, self.window()), (2, self.or_garbage(access))]);
            }
            Call::PageUnmap => args.push((9, self.handle(Kind::Frame))),
            Call::AgentPoolAlloc => {
                let pages = self.rng.u64(1..20);
                args.extend([(9, self.handle(Kind::Pool)), (0, self.or_garbage(pages))]);
            }
            Call::AgentMemAlloc => {
                let bytes = self.rng.u64(1..60_000);
                args.extend([(0, self.or_garbage(bytes)), (1, self.rng.u64(0..2))]);
            }
            Call::AgentMemFree => args.push((0, self.region())),
            Call::CapMint => {
                args.extend([
                    (9, self.handle(Kind::Agent)),
                    (0, self.garbage()),
                    (1, self.rights()),
                    (2, self.expiry()),
                    (3, self.rng.u64(0..2)),
                ]);
            }
            Call::CapDerive => {
                let handle = self.any_handle();
                let part = if self.chance(20) { (self.rng.u64(0..3), self.rng.u64(0..3)) } else { (0, 0) };
                args.extend([
                    (9, handle),
                    (0, self.fewer(handle)),
                    (1, self.expiry()),
                    (2, self.or_garbage(part.0)),
                    (3, self.or_garbage(part.1)),
                ]);
            }
            Call::CapGrant => {
                let handle = self.any_handle();
                let wanted = if self.chance(20) { self.rng.u64(0..90) } else { 0 };
                let values = [self.rng.u64(0..3), wanted].map(|value| self.or_garbage(value));
                args.extend([
                    (9, self.handle(Kind::Agent)),
                    (0, handle),
                    (1, self.fewer(handle)),
                    (2, self.expiry()),
                    (3, values[0]),
                    (4, values[1]),
                ]);
            }
            Call::CapDrop => args.push((9, self.any_handle())),
            Call::CapRevoke => args.extend([(9, self.any_handle()), (0, self.bits())]),
            Call::CapExport => {
                let handle = self.any_handle();
                let agents: Vec<u64> = self.world.slots().map(|slot| self.world.core.agents[slot].id.0).collect();
                let own = self.world.core.agents[self.slot].id.0;
                let to = if self.chance(60) { own } else { self.one_of(&agents) };
                args.extend([(9, handle), (0, to), (1, self.fewer(handle)), (2, self.expiry()), (11, self.address() & !7)]);
            }
            Call::CapAdmit => {
                let known = self.memory.tokens.last().copied();
                let address = self.address() & !7;
                args.push((11, known.filter(|_| self.chance(70)).unwrap_or(address)));
            }
            Call::CapCheck => {
                let handle = self.any_handle();
                args.extend([(9, handle), (0, self.fewer(handle))]);
            }
            Call::IrqBind => args.extend([(9, self.handle(Kind::Irq)), (0, self.rng.u64(0..6)), (1, self.bits())]),
            Call::IrqAck => args.extend([(9, self.handle(Kind::Irq)), (0, self.rng.u64(0..6))]),
            Call::ServiceRegister => args.extend([(9, self.handle(Kind::Service)), (0, self.or_garbage(1)), (1, self.handle(Kind::Seed))]),
            Call::PqcOperation => {
                self.payload(&mut args);
                let caps = self.rng.u8(0..2);
                let info =
                    SendInfo { length: self.rng.u32(0..=7) * 8, caps, move_caps: caps > 0 && self.rng.bool(), ..SendInfo::default() };
                args.extend([(10, self.or_garbage(info.encode())), (12, self.deadline()), (13, self.bits())]);
            }
            Call::PqcPoll | Call::PqcCancel => args.push((9, self.operation())),
            Call::Inspect => {
                let table = self.one_of(&[Table::Agents, Table::Slots, Table::Memory, Table::Cores, Table::Irqs]);
                let subject = self.world.core.agents[self.slot].id.0;
                let values = [table as u64, 0, subject, 4096].map(|value| self.or_garbage(value));
                args.extend([
                    (9, self.handle(Kind::Observe)),
                    (0, values[0]),
                    (1, values[1]),
                    (2, values[2]),
                    (10, values[3]),
                    (11, self.address() & !7),
                ]);
            }
            Call::PowerControl => args.extend([(9, self.handle(Kind::Power)), (0, self.rng.u64(0..3))]),
            Call::SeedSet => args.push((9, self.handle(Kind::Seed))),
            Call::ConsoleWrite => args.extend([(9, self.handle(Kind::Console)), (10, self.rng.u64(0..70))]),
            Call::TraceBind => {
                let end = self.rng.u8(0..3) == 0;
                let frame = if end { 0 } else { self.handle(Kind::Frame) };
                let values = [0, if end { 0 } else { self.bits() }, self.rng.u64(0..2) * !end as u64].map(|value| self.or_garbage(value));
                args.extend([(9, self.handle(Kind::Observe)), (0, frame), (1, values[0]), (2, values[1]), (3, values[2])]);
            }
        }
        args
    }
}
