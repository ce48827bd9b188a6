//! The loop's side of init: who asks, which interface is meant, and what it is time for.

use aios_abi::MessageId;
use aios_abi::message::Fault;
use aios_init_core::names::Asker;
use aios_init_core::{Event, Reason};
use aios_manifest::types::INIT_SERVICES;
use aios_proto::supervisor::Error;
use aios_proto::types::{ErrorCode, Level};
use aios_proto::{Caller, Incoming, Outcome, Outgoing, Ticket, lifecycle, names, supervisor};
use aios_service::{Actions, Cancelled, Handler};

use crate::badge::Badge;
use crate::operator::reason;
use crate::supervise::Init;

/// How long lines wait that the log's mailbox had no room for, ns.
const LOG_RETRY_NS: u64 = 10_000_000;

/// The loop's state beside that of init.
pub struct Serving<'a> {
    /// Init.
    pub init: Init<'a>,
    begun: bool,
}

impl<'a> Serving<'a> {
    /// Nothing is started until the loop has waited once: from then on the kernel knows which messages init takes.
    pub fn new(init: Init<'a>) -> Self {
        Self { init, begun: false }
    }

    fn begin(&mut self) {
        self.begun = true;
        let init = &mut self.init;
        for (owner, why) in core::mem::take(&mut init.boot.missing) {
            init.journal.write(Level::Warn, init.boot.manifest.servers[owner].entry.name, format_args!("{why}"));
        }
        init.note(Event::Begin);
    }

    fn check_heartbeats(&mut self) {
        for service in 0..self.init.servers.len() {
            let now_ns = self.init.now_ns;
            let Some(heartbeat) = &mut self.init.servers[service].heartbeat else { continue };
            let period_ms = heartbeat.period_ns / 1_000_000;
            // A server that an operator suspended says nothing, and is not to be blamed for it.
            if !heartbeat.missed(now_ns) || self.init.is_suspended(service) {
                continue;
            }
            let name = self.init.name(service);
            self.init.journal.write(Level::Error, name, format_args!("does not answer: no heartbeat, promised every {period_ms} ms"));
            self.init.died(service, Reason::Silent);
        }
    }
}

impl Init<'_> {
    /// Who asks. `None` if the badge is of a run that is over.
    pub fn asker(&self, caller: &Caller) -> Option<(Badge, Asker)> {
        let badge = Badge::from_word(caller.badge)?;
        let entry = usize::from(badge.entry);
        match entry.checked_sub(self.servers.len()) {
            None => (self.badge(entry) == badge).then_some((badge, Asker::Server(entry))),
            Some(program) => self.programs.by_badge(badge).map(|_| (badge, Asker::Program(program))),
        }
    }

    /// Whether the asker's entry lists init's control interface.
    fn may_see_supervisor(&self, badge: Badge) -> bool {
        let [_, supervisor] = INIT_SERVICES;
        self.entry(badge.entry.into()).is_some_and(|entry| entry.uses(supervisor).is_some())
    }
}

impl Handler for Serving<'_> {
    fn message(&mut self, caller: &Caller, request: &Incoming<'_>, out: &mut Outgoing<'_>) -> Outcome {
        self.init.now_ns = caller.now_ns;
        let Some((badge, _)) = self.init.asker(caller) else { return out.refuse(request, ErrorCode::UnknownBadge) };
        match request.interface() {
            names::NUMBER => names::dispatch(&mut self.init, caller, request, out),
            lifecycle::NUMBER => lifecycle::dispatch(&mut self.init, caller, request, out),
            supervisor::NUMBER if self.init.may_see_supervisor(badge) => supervisor::dispatch(&mut self.init, caller, request, out),
            supervisor::NUMBER => out.refuse(request, ErrorCode::MissingRight),
            _ => out.refuse(request, ErrorCode::BadInterface),
        }
    }

    fn notification(&mut self, bits: u64, now_ns: u64) {
        self.init.now_ns = now_ns;
        self.init.gone(bits);
    }

    fn fault(&mut self, message: MessageId, fault: &Fault, text: &[u8], now_ns: u64) {
        self.init.now_ns = now_ns;
        self.init.faulted(message, fault, text);
    }

    fn cancelled(&mut self, ticket: Ticket, _: Cancelled) {
        self.init.programs.forget(|later| later.ticket() == ticket);
    }

    fn progress(&mut self, now_ns: u64, actions: &mut Actions<'_>) {
        self.init.now_ns = now_ns;
        if !self.begun {
            self.begin();
        }
        if self.init.timer_ns <= now_ns {
            self.init.timer_ns = u64::MAX;
            self.init.note(Event::Timer);
        }
        if self.init.retry_ns <= now_ns {
            self.init.retry();
        }
        self.check_heartbeats();
        self.init.stop_when_answered();
        while let Some((later, end)) = self.init.programs.answer() {
            let result = end.map(|why| reason(Some(why))).ok_or(Error::UnknownAgent.into());
            // Whoever asked may not wait any more.
            let _ = actions.complete(later, result);
        }
        self.init.journal.flush();
    }

    fn deadline_ns(&self) -> u64 {
        if !self.begun || self.init.wants_to_stop() {
            return 0;
        }
        let stuck = if self.init.journal.is_stuck() { self.init.now_ns.saturating_add(LOG_RETRY_NS) } else { u64::MAX };
        let heartbeats = self.init.servers.iter().filter_map(|server| server.heartbeat);
        let heartbeat = heartbeats.map(|heartbeat| heartbeat.until_ns).min().unwrap_or(u64::MAX);
        self.init.timer_ns.min(self.init.retry_ns).min(heartbeat).min(stuck)
    }
}
