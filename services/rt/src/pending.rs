//! Replies that are owed: a table of fixed size, whose places are named by tickets.

use aios_abi::MessageId;
use aios_abi::message::Header;
use aios_proto::Ticket;

/// A place in the table. Its generation counts its users, so that a ticket of a former one names nothing.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Pending {
    generation: u32,
    entry: Option<Entry>,
}

/// A reply that is owed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The message that it answers.
    pub message: MessageId,
    /// Who waits.
    pub agent: u64,
    /// With which badge it asked.
    pub badge: u64,
    /// When its time is over.
    pub deadline_ns: u64,
    /// What was asked, for an error reply.
    pub request: Header,
}

/// The ticket that the next reply put aside will have; `None` if the table is full.
pub(crate) fn next(table: &[Pending]) -> Option<Ticket> {
    let index = table.iter().position(|place| place.entry.is_none())?;
    Some(Ticket { index: u16::try_from(index).ok()?, generation: table.get(index)?.generation })
}

/// Puts a reply aside under a ticket that [`next`] gave.
pub(crate) fn put(table: &mut [Pending], ticket: Ticket, entry: Entry) {
    if let Some(place) = table.get_mut(usize::from(ticket.index)).filter(|place| place.generation == ticket.generation) {
        place.entry = Some(entry);
    }
}

/// Takes a reply out; `None` if the ticket names none (any more).
pub(crate) fn take(table: &mut [Pending], ticket: Ticket) -> Option<Entry> {
    let place = table.get_mut(usize::from(ticket.index)).filter(|place| place.generation == ticket.generation)?;
    let entry = place.entry.take()?;
    place.generation = place.generation.wrapping_add(1);
    Some(entry)
}

/// Takes out the first reply of which this holds.
pub(crate) fn take_if(table: &mut [Pending], holds: impl Fn(&Entry) -> bool) -> Option<(Ticket, Entry)> {
    let index = table.iter().position(|place| place.entry.as_ref().is_some_and(&holds))?;
    let ticket = Ticket { index: u16::try_from(index).ok()?, generation: table.get(index)?.generation };
    Some((ticket, take(table, ticket)?))
}

/// When the first of them times out; `u64::MAX` if none does.
pub(crate) fn deadline_ns(table: &[Pending]) -> u64 {
    table.iter().filter_map(|place| place.entry.as_ref()).map(|entry| entry.deadline_ns).min().unwrap_or(u64::MAX)
}

/// How many there are.
pub(crate) fn count(table: &[Pending]) -> usize {
    table.iter().filter(|place| place.entry.is_some()).count()
}
