//! Timers against a sorted list. Random tests print their seed; `AIOS_SEED=<n>` repeats one.

use super::{KINDS, TimerContexts, TimerLinks, Timers};
use crate::sched::tests::rng;

const SLOTS: u16 = 40;

impl TimerContexts for Vec<TimerLinks> {
    fn timers(&self, slot: u16) -> &TimerLinks {
        &self[slot as usize]
    }
    fn timers_mut(&mut self, slot: u16) -> &mut TimerLinks {
        &mut self[slot as usize]
    }
}

/// Timers, and beside them all that are set in order of time and of setting.
struct Pair {
    contexts: Vec<TimerLinks>,
    timers: Timers,
    model: Vec<(u64, u64, u16, u8)>,
    settings: u64,
}

impl Pair {
    fn new() -> Self {
        Self { contexts: vec![TimerLinks::EMPTY; SLOTS as usize + 1], timers: Timers::EMPTY, model: Vec::new(), settings: 0 }
    }

    fn forget(&mut self, slot: u16, kind: u8) -> bool {
        let before = self.model.len();
        self.model.retain(|entry| (entry.2, entry.3) != (slot, kind));
        self.model.len() != before
    }

    fn set(&mut self, slot: u16, kind: u8, at_ns: u64) {
        self.forget(slot, kind);
        let entry = (at_ns, self.settings, slot, kind);
        self.settings += 1;
        let at = self.model.partition_point(|other| *other < entry);
        self.model.insert(at, entry);
        self.timers.set(&mut self.contexts, slot, kind, at_ns);
        self.check();
    }

    fn cancel(&mut self, slot: u16, kind: u8) {
        let was_set = self.forget(slot, kind);
        assert_eq!(self.timers.cancel(&mut self.contexts, slot, kind), was_set);
        self.check();
    }

    /// Everything that is due, and nothing else, in order.
    fn expire(&mut self, now_ns: u64) -> usize {
        let due = self.model.partition_point(|entry| entry.0 <= now_ns);
        for (_, _, slot, kind) in self.model.drain(..due).collect::<Vec<_>>() {
            assert_eq!(self.timers.expire(&mut self.contexts, now_ns), Some((slot, kind)));
        }
        assert_eq!(self.timers.expire(&mut self.contexts, now_ns), None);
        self.check();
        due
    }

    fn check(&self) {
        assert_eq!(self.timers.next(), self.model.first().map_or(u64::MAX, |entry| entry.0));
    }

    fn time(&self, slot: u16, kind: u8) -> u64 {
        self.model.iter().find(|entry| (entry.2, entry.3) == (slot, kind)).map_or(u64::MAX, |entry| entry.0)
    }
}

#[test]
fn random_timers_expire_exactly_and_in_order() {
    let mut rng = rng();
    for _ in 0..20 {
        let mut pair = Pair::new();
        let mut now = rng.u64(..1 << 62);
        let mut expired = 0;
        for _ in 0..2_000 {
            let (slot, kind) = (rng.u16(1..=SLOTS), rng.u8(..KINDS as u8));
            match rng.u8(..10) {
                0..=2 => pair.set(slot, kind, now + rng.u64(..1_000_000)),
                3 => pair.set(slot, kind, now + (rng.u64(..1 << 40) >> rng.u32(..30))),
                4 => pair.set(slot, kind, now + 1_000_000 * rng.u64(..4)),
                5 => pair.set(slot, kind, now.saturating_sub(rng.u64(..5_000))),
                6 => pair.cancel(slot, kind),
                7 => now += rng.u64(..1 << 38) >> rng.u32(..38),
                8 => {
                    // Just before the next one nothing happens; at its time it does.
                    let next = pair.timers.next();
                    if next != u64::MAX && next > now {
                        pair.expire(next - 1);
                        now = next;
                    }
                    expired += pair.expire(now);
                }
                _ => expired += pair.expire(now),
            }
            assert_eq!(pair.timers.time(&pair.contexts, slot, kind), pair.time(slot, kind));
        }
        assert!(expired > 100);
        pair.expire(u64::MAX - 1);
        assert_eq!(pair.timers.next(), u64::MAX);
    }
}

#[test]
fn a_timer_is_never_early() {
    let mut pair = Pair::new();
    for (slot, at) in [(1, 1), (2, 131_072), (3, 134_217_728), (4, 68_719_476_736), (5, 1 << 50)] {
        pair.set(slot, 0, at);
        assert_eq!(pair.expire(at - 1), 0);
        assert_eq!(pair.expire(at), 1);
    }
}

#[test]
fn setting_again_replaces_the_time_and_the_place() {
    let mut pair = Pair::new();
    pair.set(1, 0, 500);
    pair.set(2, 0, 500);
    pair.set(1, 0, 500);
    assert_eq!(pair.timers.expire(&mut pair.contexts, 500), Some((2, 0)));
    assert_eq!(pair.timers.expire(&mut pair.contexts, 500), Some((1, 0)));
    assert_eq!(pair.timers.expire(&mut pair.contexts, u64::MAX), None);
}

#[test]
fn an_agents_timers_are_apart() {
    let mut pair = Pair::new();
    for kind in 0..KINDS as u8 {
        pair.set(7, kind, 1_000 - kind as u64);
    }
    pair.cancel(7, 1);
    assert_eq!(pair.expire(999), KINDS - 2);
    assert_eq!(pair.expire(1_000), 1);
}

#[test]
fn ties_expire_in_the_order_of_setting_however_far_they_were() {
    let mut pair = Pair::new();
    let at = 100_000_000_000;
    for slot in 1..=SLOTS {
        let now = at - (at >> slot.min(36));
        pair.expire(now);
        pair.set(slot, 2, at);
    }
    assert_eq!(pair.expire(at), SLOTS as usize);
}
