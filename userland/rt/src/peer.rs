//! The way from a program to everything else: init, and the services that it leads to.
//!
//! A program starts with one capability, to init, and asks it for the rest by name. What the program's entry in the boot manifest does not list,
//! init does not give.

use core::fmt;

use aios_abi::Error as KernelError;
use aios_abi::rights::Rights;
use aios_proto::types::ErrorCode;
use aios_proto::{Capability as _, Error, ServiceError as _, lifecycle, names, supervisor, types};

use crate::Result;
use crate::agent::yield_now;
use crate::cap;
use crate::service::Remote;
use crate::slot::{Agent, Capability as _, Service, handle};
use crate::time::{Deadline, Expiry, now};

/// How long init may take to answer a question for a name, ns.
const ANSWER_NS: u64 = 2_000_000_000;
/// How long there may be no place in init's mailbox, ns.
const PLACE_NS: u64 = 2_000_000_000;
/// The same for a heartbeat: another one follows, and meanwhile the program has clients.
const BEAT_NS: u64 = 100_000_000;

/// The capability to init that every program is started with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Init(
    /// It.
    pub Service,
);

impl Init {
    /// It, from what the program was started with: its handle is in `x1`.
    pub fn from_start([_, x1, ..]: [u64; 4]) -> Self {
        Self(Service(handle(x1)))
    }

    /// The name service.
    pub fn names(self) -> names::Client<Remote> {
        names::Client::new(Remote(self.0))
    }

    /// The supervisor, as far as the program may use it.
    pub fn supervisor(self) -> supervisor::Client<Remote> {
        supervisor::Client::new(Remote(self.0))
    }

    /// A capability to the service of this name.
    pub fn resolve(self, name: &str) -> core::result::Result<Service, names::CallError> {
        let service = self.names().resolve(name.try_into()?, Deadline::after(ANSWER_NS).0)?;
        Ok(Service(service.handle()))
    }

    /// Tells the supervisor that the program is ready, and that it stops in good order when `stop` is raised in its notification word.
    /// It promises no heartbeat.
    pub fn ready(self, stop: u64) -> core::result::Result<(), lifecycle::CallError> {
        self.promise(stop, 0)
    }

    /// The same, and that it will send a [`heartbeat`](Self::heartbeat) every so many ns. A server that doesn't is restarted.
    pub fn promise(self, stop: u64, heartbeat_ns: u64) -> core::result::Result<(), lifecycle::CallError> {
        let slot = notification(stop).map_err(|error| Error::from_kernel(error.code()))?.handle();
        self.tell(PLACE_NS, |client| client.ready(heartbeat_ns, stop, types::Notification::from_handle(slot)))
    }

    /// Tells the supervisor that the program is alive.
    pub fn heartbeat(self) -> core::result::Result<(), lifecycle::CallError> {
        self.tell(BEAT_NS, lifecycle::Client::heartbeat)
    }

    /// Tells the supervisor that the program has put everything in order and can be ended.
    pub fn stopped(self) -> core::result::Result<(), lifecycle::CallError> {
        self.tell(PLACE_NS, lifecycle::Client::stopped)
    }

    /// Tells the supervisor something. Others may have filled its mailbox, so that this is tried until there is a place, for so many ns.
    fn tell(
        self,
        patience_ns: u64,
        mut what: impl FnMut(&mut lifecycle::Client<Remote>) -> core::result::Result<(), lifecycle::CallError>,
    ) -> core::result::Result<(), lifecycle::CallError> {
        let until = Deadline::after(patience_ns);
        loop {
            match what(&mut lifecycle::Client::new(Remote(self.0))) {
                Err(Error::Refused(code)) if code == KernelError::QueueFull.code() && now() < until.0 => yield_now(),
                result => return result,
            }
        }
    }
}

/// A capability to raise these bits of the program's own notification word, to be given away.
pub fn notification(bits: u64) -> Result<types::Notification> {
    let made = cap::mint_notification(Agent::OWN, bits, Rights::SEND.or(Rights::GRANT), Expiry::NONE)?;
    Ok(types::Notification::from_handle(made.handle()))
}

/// Why a service did not do what it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure<E> {
    /// There is no way to it: the name service's answer.
    Unreachable(names::CallError),
    /// What the call ended with.
    Call(Error<E>),
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Failure<E> {}

/// A service that is looked up when it is first used, and again when the way to it is lost.
#[derive(Debug)]
pub struct Peer<C> {
    init: Init,
    name: &'static str,
    connect: fn(Remote) -> C,
    open: Option<(Service, C)>,
}

impl<C> Peer<C> {
    /// The service of this name; `connect` is the constructor of its client.
    pub const fn new(init: Init, name: &'static str, connect: fn(Remote) -> C) -> Self {
        Self { init, name, connect, open: None }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Asks it. When it was restarted meanwhile, or the capability is of no use any more, asks once again: so what is asked may be done twice,
    /// if a service ends between doing it and saying so.
    pub fn call<R, E>(&mut self, mut ask: impl FnMut(&mut C) -> core::result::Result<R, Error<E>>) -> core::result::Result<R, Failure<E>> {
        match self.once(&mut ask) {
            Err(Failure::Call(error)) if self.lost(&error) => self.once(&mut ask),
            other => other,
        }
    }

    fn once<R, E>(&mut self, ask: &mut impl FnMut(&mut C) -> core::result::Result<R, Error<E>>) -> core::result::Result<R, Failure<E>> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let service = self.init.resolve(self.name).map_err(Failure::Unreachable)?;
                (service, (self.connect)(Remote(service)))
            }
        };
        let (_, client) = self.open.insert(open);
        ask(client).map_err(Failure::Call)
    }

    /// Whether asking again may help. A capability that does not lead to the service any more is given up.
    fn lost<E>(&mut self, error: &Error<E>) -> bool {
        let useless = match error {
            // The capability of a service that was restarted is as good as before.
            Error::PeerRestarted => return true,
            Error::PeerDied => true,
            Error::Refused(code) => {
                let kernel = [KernelError::NoCapability, KernelError::Revoked, KernelError::Expired];
                *code == ErrorCode::UnknownBadge.code() || kernel.iter().any(|error| error.code() == *code)
            }
            _ => false,
        };
        if useless && let Some((service, _)) = self.open.take() {
            // A slot that is empty already is as good.
            let _ = cap::drop(service);
        }
        useless
    }
}
