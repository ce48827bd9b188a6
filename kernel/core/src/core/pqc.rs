//! `PQCOperation`: work that a registered server does while the caller goes on.
//!
//! The kernel knows no cryptography: it carries 56 bytes and one capability to the server's mailbox as a message that wants a reply, and keeps the
//! reply until the caller asks. An operation ends exactly once: with the reply, the server's death, its deadline, or `PQCCancel`.

use aios_abi::Error;
use aios_abi::id::{AgentId, MessageId};
use aios_abi::limits::PQC_PAYLOAD;
use aios_abi::message::{Received, RecvInfo, SendInfo};
use aios_abi::rights::{Kind, Rights};

use super::remote::{Asking, Place, Registration, Request};
use super::{Core, Done, Outcome, TIMER_PQC};
use crate::agent::{Operation, Outgoing, State};
use crate::machine::Machine;

impl<M: Machine> Core<M> {
    pub(super) fn service_register(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let service = self.capability(machine, me, self.arg(me, 9), Kind::Service, Rights::NONE, now)?;
        self.capability(machine, me, self.arg(me, 1), Kind::Seed, Rights::WRITE, now)?;
        if service.agent() != self.agents[me].id {
            return Err(Error::MissingRight);
        }
        if self.arg(me, 0) != 1 {
            return Err(Error::BadArgument);
        }
        self.pqc_server = Registration { server: service.agent(), badge: service.word, rights: service.rights.0, stamp: machine.stamp() };
        self.tell_server(machine);
        Ok(Done::Return)
    }

    pub(super) fn pqc_operation(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let info = SendInfo::decode(self.arg(me, 10)).ok_or(Error::BadArgument)?;
        let (deadline, bits) = (self.arg(me, 12), self.arg(me, 13));
        let plain = SendInfo { length: info.length, caps: info.caps, move_caps: info.move_caps, ..SendInfo::default() };
        if info != plain || info.length as usize > PQC_PAYLOAD || info.caps > 1 {
            return Err(Error::BadArgument);
        }
        if deadline <= now {
            return Err(Error::Timeout);
        }
        let Registration { server, badge, rights, .. } = self.pqc_server;
        if server.is_kernel() {
            return Err(Error::NoServer);
        }
        let to = self.locate(machine, server).map_err(|_| Error::NoServer)?;
        let place = self.agents[me].operations.iter().position(|operation| operation.handle == 0).ok_or(Error::LimitReached)?;
        self.check_caps(machine, me, info, now)?;
        let message = self.fault_message(me);
        let outgoing = Outgoing { message, badge, rights };
        let operation = Operation { handle: message.0, message, server, deadline, bits, result: None };
        match to {
            Place::Here(to) => {
                if !self.post_short(machine, me, to, info, outgoing, Received::Call, now)? {
                    return Ok(Done::Resume);
                }
                self.agents[me].operations[place] = operation;
                self.pqc_arm(me);
                self.set_arg(me, 0, message.0);
                // A server that waits is woken by making it receive again.
                if self.agents[to].state == State::Receiving {
                    self.agents[to].registers.pc -= 4;
                    self.resume(to, now);
                }
                Ok(Done::Return)
            }
            Place::Coming => Ok(Done::Again),
            Place::There(core) => {
                let Some(parcel) = self.pack(machine, me, info, outgoing, now)? else { return Ok(Done::Leave) };
                self.agents[me].operations[place] = operation;
                let request = Request::Message { to: server, kind: Received::Call, parcel };
                let outcome = self.ask_with_cargo(machine, me, core, request, Asking::Operation(message), now);
                if outcome != Ok(Done::Leave) {
                    self.forget_operation(me, message);
                }
                self.pqc_arm(me);
                outcome
            }
        }
    }

    /// An operation never reached its server.
    pub(super) fn forget_operation(&mut self, me: u16, message: MessageId) {
        for operation in &mut self.agents[me].operations {
            if operation.handle == message.0 {
                *operation = Operation::FREE;
            }
        }
    }

    /// The reply to an operation came from another core; whether there was such an operation.
    pub(super) fn pqc_take(&mut self, owner: u16, server: AgentId, message: MessageId, info: SendInfo, words: &[u64; 8], now: u64) -> bool {
        let known = self.agents[owner].operations.iter().any(|operation| {
            operation.handle != 0 && operation.message == message && operation.server == server && operation.result.is_none()
        });
        if !known {
            return false;
        }
        let fits = info.length as usize <= PQC_PAYLOAD && info.caps == 0;
        let [first @ .., _] = *words;
        self.pqc_finish(owner, message, if fits { Ok((info.length, first)) } else { Err(Error::MessageTooLong) }, now);
        true
    }

    /// The reply to a message that a PQC operation carried.
    pub(super) fn pqc_reply(&mut self, me: u16, message: MessageId, info: SendInfo, now: u64) -> Result<(), Error> {
        let owner = message.sender_slot();
        let my_id = self.agents[me].id;
        let operations = self.agents.get_mut(owner).map(|agent| &mut agent.operations).ok_or(Error::NoSuchMessage)?;
        let operation = operations.iter_mut().find(|operation| {
            operation.handle != 0 && operation.message == message && operation.server == my_id && operation.result.is_none()
        });
        if operation.is_none() {
            return Err(Error::NoSuchMessage);
        }
        if info.length as usize > PQC_PAYLOAD {
            return Err(Error::MessageTooLong);
        }
        if info.caps != 0 {
            return Err(Error::CapsRefused);
        }
        let x = &self.agents[me].registers.x;
        let mut words = [0; 7];
        let whole = (info.length / 8) as usize;
        words[..whole].copy_from_slice(&x[..whole]);
        if !info.length.is_multiple_of(8) {
            words[whole] = x[whole] & ((1 << (info.length % 8 * 8)) - 1);
        }
        self.pqc_finish(owner, message, Ok((info.length, words)), now);
        Ok(())
    }

    fn pqc_finish(&mut self, owner: u16, message: MessageId, result: Result<(u32, [u64; 7]), Error>, now: u64) {
        let Some(agent) = self.agents.get_mut(owner) else { return };
        let Some(operation) = agent
            .operations
            .iter_mut()
            .find(|operation| operation.handle != 0 && operation.message == message && operation.result.is_none())
        else {
            return;
        };
        operation.result = Some(result);
        operation.deadline = u64::MAX;
        let bits = operation.bits;
        self.pqc_arm(owner);
        if bits != 0 {
            self.raise(owner, bits, now);
        }
    }

    fn pqc_arm(&mut self, owner: u16) {
        let deadline = self.agents[owner].operations.iter().filter(|o| o.handle != 0).map(|o| o.deadline).min().unwrap_or(u64::MAX);
        self.set_agent_timer(owner, TIMER_PQC, deadline);
    }

    /// Deadlines of operations have passed.
    pub(super) fn pqc_expire(&mut self, owner: u16, now: u64) {
        for i in 0..self.agents[owner].operations.len() {
            let operation = self.agents[owner].operations[i];
            if operation.handle != 0 && operation.result.is_none() && operation.deadline <= now {
                self.pqc_finish(owner, operation.message, Err(Error::Timeout), now);
            }
        }
        self.pqc_arm(owner);
    }

    /// The message that carried an operation is gone unread.
    pub(super) fn dismiss_operation(&mut self, owner: AgentId, message: MessageId, now: u64) {
        if let Some(owner) = self.agents.find(owner) {
            self.pqc_finish(owner, message, Err(Error::PeerDied), now);
        }
    }

    /// Ends the operations of `owner` that an agent was to do that is gone or starts anew.
    pub(super) fn fail_operations(&mut self, owner: u16, server: AgentId, error: Error, now: u64) {
        let Some(agent) = self.agents.get(owner) else { return };
        for operation in agent.operations {
            if operation.handle != 0 && operation.server == server && operation.result.is_none() {
                self.pqc_finish(owner, operation.message, Err(error), now);
            }
        }
    }

    /// A registered server that is gone is registered no more.
    pub(super) fn unregister(&mut self, server: AgentId) {
        if self.pqc_server.server == server {
            self.pqc_server.server = AgentId::KERNEL;
        }
    }

    fn operation(&mut self, me: u16) -> Result<usize, Error> {
        let handle = self.arg(me, 9);
        let operations = &self.agents[me].operations;
        operations.iter().position(|operation| handle != 0 && operation.handle == handle).ok_or(Error::NoSuchOperation)
    }

    pub(super) fn pqc_poll(&mut self, me: u16) -> Outcome {
        let place = self.operation(me)?;
        let result = self.agents[me].operations[place].result.ok_or(Error::Pending)?;
        self.agents[me].operations[place] = Operation::FREE;
        let (length, words) = result?;
        let x = &mut self.agents[me].registers.x;
        x[..7].copy_from_slice(&words);
        x[10] = RecvInfo { length, caps: 0, kind: Received::Reply, rights: 0 }.encode();
        Ok(Done::Return)
    }

    pub(super) fn pqc_cancel(&mut self, me: u16) -> Outcome {
        let place = self.operation(me)?;
        self.agents[me].operations[place] = Operation::FREE;
        self.pqc_arm(me);
        Ok(Done::Return)
    }
}
