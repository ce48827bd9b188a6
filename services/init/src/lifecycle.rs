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

/// How many periods may pass without a heartbeat until init looks a second time, one period later.
const PATIENCE: u64 = 2;

impl Heartbeat {
    /// The promise, as of now.
    pub const fn promised(period_ns: u64, now_ns: u64) -> Self {
        Self { period_ns, until_ns: now_ns.saturating_add(period_ns.saturating_mul(PATIENCE)), late: false }
    }

    /// Looks at it when its time has come. Whether it did not come in time. What came meanwhile waits in init's mailbox if init itself was late; so
    /// the first look only notes it.
    pub const fn missed(&mut self, now_ns: u64) -> bool {
        if now_ns < self.until_ns {
            return false;
        }
        self.until_ns = now_ns.saturating_add(self.period_ns);
        core::mem::replace(&mut self.late, true)
    }
}

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
        let promised = (heartbeat != 0).then_some(Heartbeat::promised(heartbeat, self.now_ns));
        let Some(server) = self.servers.get_mut(service) else { return };
        server.heartbeat = promised;
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
            *heartbeat = Heartbeat::promised(heartbeat.period_ns, now_ns);
        }
    }

    fn stopped(&mut self, caller: &Caller) {
        if let Some(service) = self.speaking_server(caller) {
            self.died(service, Reason::Exit(0));
        }
    }
}
