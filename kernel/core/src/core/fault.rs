//! Faults: an agent's exception becomes a page, a jump into its own handler, or a message to its supervisor. Never a kernel panic.

use aios_abi::Error;
use aios_abi::id::{AgentId, MessageId};
use aios_abi::limits::{PAGE_SIZE, USER_BASE, USER_END};
use aios_abi::message::{Fault, FaultCause, SendInfo};

use super::remote::{Asking, Parcel, Place, Request};
use super::{Core, Done, Outcome};
use crate::agent::{Handler, Outgoing, State};
use crate::machine::Machine;

/// Words that a handler of an agent's own faults finds: `x0`–`x30`, SP, PC, PSTATE, ESR, FAR.
const SAVED_WORDS: usize = 36;
/// Longest text of a panic, bytes.
const PANIC_TEXT: u64 = 256;
/// The bits of `PSTATE` that an agent may set: N, Z, C, V.
const PSTATE_FLAGS: u64 = 0xf000_0000;
/// Bytes of a fault's words; text behind them goes to the receiver's buffer.
const FAULT_BYTES: u32 = 64;

/// An exception as the edge saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// What it was.
    pub cause: FaultCause,
    /// `ESR_EL1`.
    pub syndrome: u64,
    /// `FAR_EL1`, or 0.
    pub address: u64,
}

impl<M: Machine> Core<M> {
    /// The current agent caused an exception.
    pub fn fault(&mut self, machine: &mut M, exception: Exception, now: u64) {
        let me = self.current;
        let mut exception = exception;
        if exception.cause == FaultCause::DataUnmapped {
            match self.populate(machine, me, exception.address) {
                Ok(()) => return,
                Err(Error::NoMemory) => exception.cause = FaultCause::OutOfMemory,
                Err(_) => {}
            }
        }
        self.agents[me].counters.faults += 1;
        // Where it goes on is its supervisor's or its handler's to say.
        self.agents[me].forget_copies();
        let own = matches!(exception.cause, FaultCause::DataUnmapped | FaultCause::DataPermission | FaultCause::Undefined);
        if own && self.enter_handler(machine, me, exception).is_ok() {
            return;
        }
        self.report(machine, me, exception, now);
    }

    /// Stops an agent and tells its supervisor.
    fn report(&mut self, machine: &mut M, me: u16, exception: Exception, now: u64) {
        // What the message says is kept where the agent doesn't need it: nothing of a stopped agent's registers is changed.
        self.agents[me].fault = (exception.cause as u16, exception.syndrome, exception.address);
        let (supervisor, badge) = self.agents[me].supervisor;
        let message = self.fault_message(me);
        let outgoing = Outgoing { message, badge, rights: 0 };
        match self.locate(machine, supervisor) {
            Err(_) => self.condemn(me, now),
            Ok(Place::Here(supervisor)) => {
                // A supervisor that itself waits for this agent could never judge: its call ends. So does one that leads too far to say. If it waits
                // with a fault, nobody is left to judge.
                match self.waits_for(supervisor, me) {
                    Ok(false) => {}
                    Ok(true) => self.end_wait(supervisor, Error::Deadlock, now),
                    Err(error) => self.end_wait(supervisor, error, now),
                }
                if supervisor == me || self.waits_for(supervisor, me) != Ok(false) {
                    self.condemn(me, now);
                    return;
                }
                self.queue_fault(me, supervisor, outgoing);
                self.undecided = true;
                self.hand_fault(machine, me, supervisor, now);
            }
            Ok(Place::Coming) => self.report_later(me, now),
            Ok(Place::There(core)) => self.report_away(machine, me, core, supervisor, outgoing, now),
        }
    }

    /// Tells a supervisor on another core.
    fn report_away(&mut self, machine: &mut M, me: u16, core: u16, supervisor: AgentId, outgoing: Outgoing, now: u64) {
        self.agents[me].outgoing = outgoing;
        let words = self.fault_words(me);
        // The text of a panic stays behind: what the fault itself says always fits.
        let info = SendInfo { length: FAULT_BYTES, ..SendInfo::default() };
        let parcel = Parcel::of_words(AgentId::KERNEL, info, outgoing, words);
        let asked = self.ask(machine, me, core, Request::Fault { to: supervisor, parcel }, Asking::Fault(supervisor));
        if asked != Ok(Done::Leave) {
            self.report_later(me, now);
        }
    }

    /// The supervisor can't be told now: a fault repeats itself, an exit is called again.
    fn report_later(&mut self, me: u16, now: u64) {
        if self.exited(me) {
            self.agents[me].registers.pc -= 4;
        }
        self.sched_yield(now);
    }

    /// Whether the last "fault" was an `Exit`.
    pub(super) fn exited(&self, slot: u16) -> bool {
        let cause = self.agents[slot].fault.0;
        cause == FaultCause::Exit as u16 || cause == FaultCause::Panic as u16
    }

    fn fault_words(&self, slot: u16) -> [u64; 8] {
        let agent = &self.agents[slot];
        let (cause, syndrome, address) = agent.fault;
        let registers = &agent.registers;
        Fault {
            agent: agent.id.0,
            cause,
            syndrome,
            address,
            pc: registers.pc,
            sp: registers.sp,
            lr: registers.x[30],
            pstate: registers.pstate,
        }
        .encode()
    }

    /// Writes the fault of `from` into the registers of its supervisor, and the text of a panic into its buffer.
    pub(super) fn deliver_fault(&mut self, machine: &mut M, from: u16, to: u16, room: u32) {
        let outgoing = self.agents[from].outgoing;
        let words = self.fault_words(from);
        let cause = self.agents[from].fault.0;
        let registers = &self.agents[from].registers;
        let mut length = FAULT_BYTES;
        if cause == FaultCause::Panic as u16 {
            let (text, wanted) = (registers.x[2], registers.x[3].min(PANIC_TEXT).min(room as u64));
            let target = self.agents[to].registers.x[11];
            if wanted != 0 && self.copy_user(machine, (from, text), (to, target), wanted).is_ok() {
                length += wanted as u32;
            }
        }
        self.agents[to].registers.x[..8].copy_from_slice(&words);
        self.announce_fault(to, length, outgoing);
    }

    pub(super) fn exit(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let cause = match self.arg(me, 1) {
            0 => FaultCause::Exit,
            1 => FaultCause::Panic,
            _ => return Err(Error::BadArgument),
        };
        let syndrome = self.arg(me, 0);
        self.report(machine, me, Exception { cause, syndrome, address: 0 }, now);
        Ok(Done::Leave)
    }

    /// Judges a fault on behalf of the supervisor `from`: 0 resume, 1 resume at `pc`, 2 kill.
    pub(super) fn judge(&mut self, message: MessageId, from: AgentId, verdict: u64, pc: u64, now: u64) -> Result<(), Error> {
        let faulted = message.sender_slot();
        let known = self.agents.get(faulted).is_some_and(|agent| agent.state == State::Faulted(from) && agent.outgoing.message == message);
        if !known {
            return Err(Error::NoSuchMessage);
        }
        match verdict {
            0 => {}
            1 if pc < USER_END && pc.is_multiple_of(4) => self.agents[faulted].registers.pc = pc,
            1 => return Err(Error::BadAddress),
            2 => {
                self.condemn(faulted, now);
                return Ok(());
            }
            _ => return Err(Error::BadArgument),
        }
        self.unlink_from_peer(faulted, from);
        self.resume(faulted, now);
        Ok(())
    }

    pub(super) fn fault_handler_set(&mut self, me: u16) -> Outcome {
        let [entry, first, end, stack, save] = [0, 1, 2, 3, 4].map(|i| self.arg(me, i));
        if entry != 0 {
            let in_user = |address: u64| (USER_BASE..USER_END).contains(&address);
            if !in_user(entry) || !entry.is_multiple_of(4) || first > end || !stack.is_multiple_of(16) {
                return Err(Error::BadArgument);
            }
            if !in_user(save) || !save.is_multiple_of(8) || save % PAGE_SIZE as u64 > (PAGE_SIZE - SAVED_WORDS * 8) as u64 {
                return Err(Error::BadAddress);
            }
        }
        self.agents[me].handler = Handler { entry, first, end, stack, save, active: false };
        Ok(Done::Return)
    }

    /// Lets an agent's own handler have a fault of the code that it is for. A fault inside the handler goes to the supervisor.
    fn enter_handler(&mut self, machine: &mut M, me: u16, exception: Exception) -> Result<(), Error> {
        let handler = self.agents[me].handler;
        let pc = self.agents[me].registers.pc;
        if handler.entry == 0 || handler.active || !(handler.first..handler.end).contains(&pc) {
            return Err(Error::WrongState);
        }
        let place = self.reach(machine, me, handler.save, true)?;
        let registers = &self.agents[me].registers;
        let tail = [registers.sp, registers.pc, registers.pstate, exception.syndrome, exception.address];
        for (i, &word) in registers.x.iter().chain(&tail).enumerate() {
            machine.write(place + i as u64 * 8, word);
        }
        let agent = &mut self.agents[me];
        agent.handler.active = true;
        agent.registers.pc = handler.entry;
        agent.registers.sp = handler.stack;
        Ok(())
    }

    /// Goes back from an agent's own handler to where the stored registers say.
    fn leave_handler(&mut self, machine: &mut M, me: u16) -> Outcome {
        let handler = self.agents[me].handler;
        if !handler.active {
            return Err(Error::WrongState);
        }
        let place = self.reach(machine, me, handler.save, false)?;
        let word = |i: usize| machine.read(place + i as u64 * 8);
        let (sp, pc, pstate) = (word(31), word(32), word(33));
        if pc >= USER_END || !pc.is_multiple_of(4) {
            return Err(Error::BadAddress);
        }
        let x = core::array::from_fn(word);
        let agent = &mut self.agents[me];
        agent.handler.active = false;
        (agent.registers.x, agent.registers.sp, agent.registers.pc, agent.registers.pstate) = (x, sp, pc, pstate & PSTATE_FLAGS);
        Ok(Done::Leave)
    }

    pub(super) fn fault_reply(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let message = MessageId(self.arg(me, 9));
        if message == MessageId::NONE {
            return self.leave_handler(machine, me);
        }
        let (verdict, pc) = (self.arg(me, 0), self.arg(me, 1));
        let from = self.agents[me].id;
        let faulted = message.sender_slot();
        let core = machine.home(faulted).filter(|&core| core as u64 != self.facts.core && self.agents.get(faulted).is_none());
        match core {
            None => {
                if self.is_unconfirmed(faulted, from, message) {
                    return Ok(Done::Again);
                }
                let victim = self.agents.get(faulted).map_or(AgentId::KERNEL, |agent| agent.id);
                self.judge(message, from, verdict, pc, now)?;
                self.clear_away(me, victim);
                Ok(Done::Return)
            }
            Some(core) => self.ask(machine, me, core, Request::Judge { message, from, verdict, pc }, Asking::Status),
        }
    }
}
