//! What the service crates stand on, over real system calls.

use aios_abi::{Error, MessageId, SlotHandle};
use aios_proto::{CapList, Received, ReplyInfo, Transport, TransportError};
use aios_service::port::{Event, Message as Arrived, Port};

use crate::ipc::{self, Body, Caps, Incoming, Message, Room};
use crate::peer::Init;
use crate::slot::{Agent, Notification, Service, Slot};
use crate::time::{Deadline, now};

/// A service to be called by a generated client: `Client::new(Remote(service))`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remote(
    /// The capability to it.
    pub Service,
);

/// A packet and its capabilities as a message.
fn message(packet: &[u8], caps: &CapList) -> crate::Result<Message> {
    let message = Message::bytes(packet)?;
    let slots = Caps::new(caps.slots()).ok_or(Error::BadArgument)?;
    Ok(if caps.moved() { message.moving(slots) } else { message.copying(slots) })
}

impl Transport for Remote {
    fn call(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        caps: &CapList,
        take_caps: u8,
        deadline_ns: u64,
    ) -> Result<ReplyInfo, TransportError> {
        let message = message(buffer.get(..length).ok_or(Error::BadArgument)?, caps)?;
        let reply = ipc::call(self.0, &message, Room { buffer, caps: take_caps }, Deadline(deadline_ns))?;
        let info = ReplyInfo { length: reply.body.len(), caps: received(&reply.body), incarnation: reply.incarnation };
        let short = reply.body.in_registers();
        place(short, buffer, &info.caps)?;
        Ok(info)
    }

    fn send(&mut self, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        Ok(ipc::send(self.0, &message(packet, caps)?, packet)?)
    }

    fn drop_capability(&mut self, slot: SlotHandle) {
        drop_slot(slot);
    }
}

/// The mailbox of the program itself, for the loop of a server: `service.run(&mut Mailbox)`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Mailbox;

impl Port for Mailbox {
    fn now_ns(&mut self) -> u64 {
        now()
    }

    fn receive(&mut self, buffer: &mut [u8], take_caps: u8, deadline_ns: u64) -> Result<Event, TransportError> {
        let came = ipc::receive(Room { buffer, caps: take_caps }, Deadline(deadline_ns))?;
        let (event, short) = arrived(&came);
        finish(event, short, buffer)
    }

    fn reply(&mut self, to: MessageId, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        Ok(ipc::reply(to, &message(packet, caps)?, packet)?)
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
        let message = message(buffer.get(..length).ok_or(Error::BadArgument)?, caps)?;
        let came = ipc::reply_receive(to, &message, Room { buffer, caps: take_caps }, Deadline(deadline_ns))?;
        let (event, short) = arrived(&came);
        finish(event, short, buffer)
    }

    fn notify(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError> {
        Ok(ipc::notify(Notification(slot), bits)?)
    }

    fn watch(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError> {
        // The call is the same for the badge of a service.
        Ok(Agent(slot).watch(bits)?)
    }

    fn drop_capability(&mut self, slot: SlotHandle) {
        drop_slot(slot);
    }
}

/// How often servers tell the supervisor that they are alive, ns.
pub const HEARTBEAT_NS: u64 = 3_000_000_000;

/// A mailbox that tells the supervisor, whenever the server comes back to it to wait and it is time for that, that the server is alive: one that
/// loops, or waits elsewhere for ever, says nothing and is restarted. `service.run(&mut Alive::new(init))`, after [`Init::promise`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alive<P = Mailbox> {
    port: P,
    init: Init,
    /// When the next heartbeat is due, ns since boot.
    due_ns: u64,
}

impl Alive {
    /// The mailbox of the program itself.
    pub fn new(init: Init) -> Self {
        Self { port: Mailbox, init, due_ns: now().saturating_add(HEARTBEAT_NS) }
    }
}

impl<P: Port> Alive<P> {
    fn beat(&mut self) {
        let now_ns = self.port.now_ns();
        if self.due_ns <= now_ns {
            // A supervisor whose mailbox is full is told a period later, which its patience covers.
            let _ = self.init.heartbeat();
            self.due_ns = now_ns.saturating_add(HEARTBEAT_NS);
        }
    }
}

impl<P: Port> Port for Alive<P> {
    fn now_ns(&mut self) -> u64 {
        self.port.now_ns()
    }

    fn receive(&mut self, buffer: &mut [u8], take_caps: u8, deadline_ns: u64) -> Result<Event, TransportError> {
        loop {
            self.beat();
            match self.port.receive(buffer, take_caps, deadline_ns.min(self.due_ns)) {
                Err(error) if error == Error::Timeout.into() && self.port.now_ns() < deadline_ns => {}
                other => return other,
            }
        }
    }

    fn reply(&mut self, to: MessageId, packet: &[u8], caps: &CapList) -> Result<(), TransportError> {
        self.port.reply(to, packet, caps)
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
        self.beat();
        match self.port.reply_receive(to, buffer, length, caps, take_caps, deadline_ns.min(self.due_ns)) {
            // The reply is out.
            Err(error) if error == Error::Timeout.into() && self.port.now_ns() < deadline_ns => {
                self.receive(buffer, take_caps, deadline_ns)
            }
            other => other,
        }
    }

    fn notify(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError> {
        self.port.notify(slot, bits)
    }

    fn watch(&mut self, slot: SlotHandle, bits: u64) -> Result<(), TransportError> {
        self.port.watch(slot, bits)
    }

    fn drop_capability(&mut self, slot: SlotHandle) {
        self.port.drop_capability(slot);
    }
}

/// What came, and the bytes of it that are still to be put into the buffer.
fn arrived(came: &ipc::Received<'_>) -> (Event, Option<Body<'static>>) {
    let message = |from: &Incoming<'_>, call| {
        let message = Arrived {
            length: from.body.len(),
            agent: from.sender.0,
            badge: from.badge,
            rights: from.rights.0,
            id: from.id,
            call,
            caps: received(&from.body),
        };
        (Event::Message(message), from.body.in_registers())
    };
    match came {
        ipc::Received::Message(from) => message(from, false),
        ipc::Received::Call(from) => message(from, true),
        ipc::Received::Notification(bits) => (Event::Notification { bits: *bits }, None),
        ipc::Received::Fault(fault, message, text) => (Event::Fault { message: *message, fault: *fault, text: text.len() }, None),
    }
}

fn finish(event: Event, short: Option<Body<'static>>, buffer: &mut [u8]) -> Result<Event, TransportError> {
    if let Event::Message(message) = &event {
        place(short, buffer, &message.caps)?;
    }
    Ok(event)
}

fn received(body: &Body<'_>) -> Received {
    Received::new(body.caps.handles())
}

/// Puts what came in registers where what is longer would have come. Without room for it, its capabilities are dropped.
fn place(short: Option<Body<'static>>, buffer: &mut [u8], caps: &Received) -> crate::Result<()> {
    let Some(short) = short else { return Ok(()) };
    match buffer.get_mut(..short.len()) {
        Some(place) => place.copy_from_slice(short.bytes()),
        None => {
            caps.unkept().for_each(drop_slot);
            return Err(Error::MessageTooLong);
        }
    }
    Ok(())
}

fn drop_slot(slot: SlotHandle) {
    // A slot that is empty already is as good.
    let _ = crate::cap::drop(Slot(slot));
}
