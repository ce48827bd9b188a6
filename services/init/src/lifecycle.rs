//! What servers tell of themselves.

use aios_abi::SlotHandle;
use aios_init_core::Reason;
use aios_init_core::names::Asker;
use aios_proto::lifecycle::Server;
use aios_proto::server::Arrived;
use aios_proto::types::{Notification, TimeNs};
use aios_proto::{Caller, Capability};
use aios_rt::cap;
use aios_rt::slot;

use crate::supervise::{Heartbeat, Init, Stop};

/// How many heartbeats may be missing.
const PATIENCE: u64 = 3;

impl Init<'_> {
    fn speaking_server(&self, caller: &Caller) -> Option<usize> {
        match self.asker(caller)? {
            (_, Asker::Server(service)) => Some(service),
            // A program is waited for, not kept alive.
            (_, Asker::Program(_)) => None,
        }
    }
}

impl Server for Init<'_> {
    fn ready(&mut self, caller: &Caller, heartbeat: TimeNs, bits: u64, stop: Arrived<'_, Notification>) {
        let Some((badge, Asker::Server(service))) = self.asker(caller) else { return };
        let until_ns = self.now_ns.saturating_add(heartbeat.saturating_mul(PATIENCE));
        let Some(server) = self.servers.get_mut(service) else { return };
        server.heartbeat = (heartbeat != 0).then_some(Heartbeat { period_ns: heartbeat, until_ns });
        let handle: SlotHandle = stop.keep().handle();
        if let Some(earlier) = server.stop.replace(Stop { notification: slot::Notification(handle), bits }) {
            // A slot that is empty already is as good.
            let _ = cap::drop(earlier.notification);
        }
        self.note_ready(badge);
    }

    fn heartbeat(&mut self, caller: &Caller) {
        let now_ns = self.now_ns;
        let Some(service) = self.speaking_server(caller) else { return };
        if let Some(heartbeat) = self.servers.get_mut(service).and_then(|server| server.heartbeat.as_mut()) {
            heartbeat.until_ns = now_ns.saturating_add(heartbeat.period_ns.saturating_mul(PATIENCE));
        }
    }

    fn stopped(&mut self, caller: &Caller) {
        if let Some(service) = self.speaking_server(caller) {
            self.died(service, Reason::Exit(0));
        }
    }
}
