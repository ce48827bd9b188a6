//! Who is told of events: at most [`SUBSCRIBERS`] callers, each through a notification capability that it gave.

use aios_abi::SlotHandle;
use aios_proto::Capability;
use aios_proto::console::Events;
use aios_proto::types::Notification;
use heapless::Vec;

/// Callers that can be subscribed at once.
pub const SUBSCRIBERS: usize = 4;

#[derive(Debug)]
struct Subscriber {
    agent: u64,
    wanted: Events,
    bits: u64,
    notify: Notification,
    /// Happened, and not taken yet.
    happened: Events,
    /// Happened, and not notified yet.
    fresh: bool,
}

/// Every table place is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// Everybody who is subscribed.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    list: Vec<Subscriber, SUBSCRIBERS>,
    /// Capabilities of former subscriptions, to be dropped.
    unused: Vec<SlotHandle, SUBSCRIBERS>,
}

impl Subscribers {
    /// Whether somebody wants one of these.
    pub fn any(&self, events: Events) -> bool {
        self.list.iter().any(|subscriber| !subscriber.wanted.and(events).is_empty())
    }

    /// Whether this caller could subscribe.
    pub fn has_room_for(&self, agent: u64) -> bool {
        !self.list.is_full() || self.list.iter().any(|subscriber| subscriber.agent == agent)
    }

    /// Subscribes a caller, in place of its former subscription.
    pub fn add(&mut self, agent: u64, wanted: Events, bits: u64, notify: Notification) -> Result<(), Full> {
        self.remove(agent);
        self.list.push(Subscriber { agent, wanted, bits, notify, happened: Events::NONE, fresh: false }).map_err(|_| Full)
    }

    /// Ends a caller's subscription. Whether there was one.
    pub fn remove(&mut self, agent: u64) -> bool {
        let Some(place) = self.list.iter().position(|subscriber| subscriber.agent == agent) else { return false };
        let former = self.list.swap_remove(place);
        // One place for each subscriber that there can be, emptied after each event, of which none removes more than one.
        let _ = self.unused.push(former.notify.handle());
        true
    }

    /// An event happened.
    pub fn post(&mut self, event: Events) {
        for subscriber in self.list.iter_mut().filter(|subscriber| subscriber.wanted.contains(event)) {
            subscriber.happened = subscriber.happened.or(event);
            subscriber.fresh = true;
        }
    }

    /// What happened to a subscriber since it last asked; `None` if it is none.
    pub fn take(&mut self, agent: u64) -> Option<Events> {
        let subscriber = self.list.iter_mut().find(|subscriber| subscriber.agent == agent)?;
        Some(core::mem::take(&mut subscriber.happened))
    }

    /// Notifies those to whom something happened. A subscriber that can't be reached is none any more.
    pub fn notify(&mut self, mut notify: impl FnMut(SlotHandle, u64) -> bool) {
        let mut unreachable: Vec<u64, SUBSCRIBERS> = Vec::new();
        for subscriber in self.list.iter_mut().filter(|subscriber| subscriber.fresh) {
            subscriber.fresh = false;
            if !notify(subscriber.notify.handle(), subscriber.bits) {
                // As many places as subscribers.
                let _ = unreachable.push(subscriber.agent);
            }
        }
        for agent in unreachable {
            self.remove(agent);
        }
    }

    /// Capabilities that are not needed any more.
    pub fn unused(&mut self) -> Vec<SlotHandle, SUBSCRIBERS> {
        core::mem::take(&mut self.unused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_cannot_be_reached_makes_room() {
        let mut subscribers = Subscribers::default();
        let slot = |number| SlotHandle::new(number, 1);
        for number in 1..=4 {
            assert_eq!(subscribers.add(number.into(), Events::INPUT, 1, Notification::from_handle(slot(number))), Ok(()));
        }
        assert!(!subscribers.has_room_for(5) && subscribers.has_room_for(4));
        subscribers.post(Events::INPUT);
        subscribers.notify(|to, _| to != slot(3));
        assert_eq!(subscribers.unused().as_slice(), [slot(3)]);
        assert!(subscribers.has_room_for(5) && subscribers.take(3).is_none());
        assert_eq!(subscribers.take(2), Some(Events::INPUT));
        // Nothing is told twice.
        subscribers.notify(|_, _| unreachable!("nothing happened"));
    }
}
