//! Init, its loop, and a mailbox of which the tests hold the other end.

use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;

use aios_abi::message::{Fault, FaultCause};
use aios_abi::{AgentId, Error, MessageId, SlotHandle};
use aios_proto::{CapList, Received, ReplyInfo, Transport, TransportError};
use aios_service::{Event, Message, Port, Service};

use super::kernel::{self, Kernel};
use crate::boot::Boot;
use crate::serve::Serving;
use crate::supervise::Init;
use crate::{BUFFER, CONFIG, programs};

/// A millisecond.
pub const MS: u64 = 1_000_000;

/// The mailbox.
#[derive(Default)]
pub struct Post {
    pub now_ns: u64,
    queue: VecDeque<(Vec<u8>, Event)>,
    replies: Vec<(MessageId, Vec<u8>, CapList)>,
    count: u64,
}

impl Port for Post {
    fn now_ns(&mut self) -> u64 {
        self.now_ns
    }

    fn receive(&mut self, buffer: &mut [u8], take_caps: u8, deadline_ns: u64) -> Result<Event, TransportError> {
        assert_eq!(take_caps, 1);
        let Some((packet, event)) = self.queue.pop_front() else {
            // Time does not pass by itself: `Machine::sleep` moves it.
            assert!(deadline_ns <= self.now_ns, "nothing to receive before {deadline_ns}");
            return Ok(Event::Timeout);
        };
        buffer[..packet.len()].copy_from_slice(&packet);
        Ok(event)
    }

    fn reply(&mut self, to: MessageId, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        self.replies.push((to, packet.to_vec(), *caps));
        Ok(())
    }

    fn reply_receive(
        &mut self,
        to: MessageId,
        buffer: &mut [u8],
        length: usize,
        caps: &CapList,
        take_caps: u8,
        deadline_ns: u64,
    ) -> Result<Event, TransportError> {
        self.reply(to, &buffer[..length], caps)?;
        self.receive(buffer, take_caps, deadline_ns)
    }

    fn notify(&mut self, _: SlotHandle, _: u64) -> Result<(), TransportError> {
        Err(Error::NoCapability.into())
    }

    fn watch(&mut self, _: SlotHandle, _: u64) -> Result<(), TransportError> {
        Err(Error::NoCapability.into())
    }

    fn drop_capability(&mut self, slot: SlotHandle) {
        aios_rt::cap::drop(aios_rt::slot::Slot(slot)).unwrap();
    }
}

/// The machine.
pub struct Machine {
    pub service: Box<Service<Serving<'static>, BUFFER, { programs::WAITING_MAX }>>,
    pub post: Post,
    /// Last, because what is dropped before gives its capabilities back.
    pub kernel: Kernel,
}

impl Machine {
    /// Init has begun.
    pub fn boot(manifest: &str) -> Self {
        let kernel = kernel::boot();
        let bundle = Vec::leak(super::bundle(manifest, &["uartd", "logd", "shell", "job"]));
        let boot = Boot::read(bundle, super::TREE).unwrap();
        let service = Box::new(Service::new(Serving::new(Init::new(boot)), CONFIG));
        let mut machine = Self { kernel, post: Post::default(), service };
        machine.turn();
        machine
    }

    /// Init has begun, and every server has said that it is ready.
    pub fn up(manifest: &str) -> Self {
        let mut machine = Self::boot(manifest);
        for name in ["uartd", "logd", "shell"] {
            machine.ready(name);
        }
        machine
    }

    fn turn(&mut self) {
        self.service.step(&mut self.post).unwrap();
    }

    /// Lets the loop work off everything that came and that it is time for.
    pub fn run(&mut self) {
        for _ in 0..100 {
            use aios_service::Handler;
            if self.post.queue.is_empty() && self.service.handler.deadline_ns() > self.post.now_ns {
                return;
            }
            self.turn();
        }
        std::panic!("the loop does not come to rest");
    }

    pub fn sleep(&mut self, ms: u64) {
        for _ in 0..ms {
            self.post.now_ns += MS;
            self.run();
        }
    }

    pub fn event(&mut self, event: Event) {
        self.post.queue.push_back((Vec::new(), event));
        self.run();
    }

    /// An agent speaks, through the capability that init started it with.
    pub fn speak(&mut self, name: &str) -> Speaker<'_> {
        let (agent, sim) = self.kernel.agent(name);
        let first = sim.slots[&3];
        Speaker { agent, badge: first.word, rights: first.rights.0, machine: self }
    }

    pub fn ready(&mut self, name: &str) {
        self.ready_with(name, 0);
    }

    /// The same with a heartbeat.
    pub fn ready_with(&mut self, name: &str, heartbeat_ns: u64) {
        let stop = self.kernel.notification(self.kernel.agent(name).0);
        let mut client = aios_proto::lifecycle::Client::new(self.speak(name));
        client.ready(heartbeat_ns, 4, aios_proto::Capability::from_handle(stop)).unwrap();
        self.run();
    }

    pub fn fault(&mut self, id: AgentId, cause: FaultCause, syndrome: u64, text: &str) {
        let fault = Fault { agent: id.0, cause: cause as u16, syndrome, address: 8, pc: 0x40_0010, sp: 0, lr: 0, pstate: 0 };
        let event = Event::Fault { message: MessageId(5), fault, text: text.len() };
        self.post.queue.push_back((text.as_bytes().to_vec(), event));
        self.run();
    }

    pub fn crash(&mut self, name: &str) {
        let (id, _) = self.kernel.agent(name);
        self.fault(id, FaultCause::DataUnmapped, 0x92, "");
    }
}

/// Somebody who calls init.
pub struct Speaker<'m> {
    pub agent: AgentId,
    pub badge: u64,
    pub rights: u32,
    machine: &'m mut Machine,
}

impl Speaker<'_> {
    fn post(&mut self, packet: &[u8], caps: &CapList, call: bool) -> MessageId {
        self.machine.post.count += 1;
        let id = MessageId::new(self.agent.slot(), self.machine.post.count);
        let message = Message {
            length: packet.len(),
            agent: self.agent.0,
            badge: self.badge,
            rights: self.rights,
            id,
            call,
            caps: Received::new(caps.slots()),
        };
        self.machine.post.queue.push_back((packet.to_vec(), Event::Message(message)));
        id
    }
}

impl Transport for Speaker<'_> {
    /// A deadline of 0 doesn't wait for the reply, which is `Timeout`.
    fn call(&mut self, buffer: &mut [u8], length: usize, caps: &CapList, _: u8, deadline_ns: u64) -> Result<ReplyInfo, TransportError> {
        let packet = buffer[..length].to_vec();
        let id = self.post(&packet, caps, true);
        for _ in 0..4 {
            self.machine.turn();
            let replies = &self.machine.post.replies;
            if let Some((_, packet, caps)) = replies.iter().find(|(to, ..)| *to == id) {
                buffer[..packet.len()].copy_from_slice(packet);
                return Ok(ReplyInfo { length: packet.len(), caps: Received::new(caps.slots()), incarnation: 1 });
            }
            // The reply goes out with the next receive.
            self.machine.post.queue.push_back((Vec::new(), Event::Timeout));
            if deadline_ns == 0 {
                break;
            }
        }
        Err(Error::Timeout.into())
    }

    fn send(&mut self, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        self.post(packet, caps, false);
        Ok(())
    }

    fn drop_capability(&mut self, _: SlotHandle) {}
}
