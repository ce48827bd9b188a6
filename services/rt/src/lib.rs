//! The event loop of a server: [`Service`] runs a [`Handler`], the server's state machine, over a [`Port`], the few system calls that it
//! takes.
//!
//! One turn of the loop: send the reply that is owed and wait, in one call; dispatch the event; let the state machine go on with what it
//! put aside. Whatever arrives, the loop does not panic, keeps nothing that it can't bound, and counts what it refuses:
//!
//! - a reply that comes later is a place in a table of fixed size. It is given up when its time is over, when its caller dies, and when its
//!   caller calls again (an agent waits for one call at a time, so the earlier one has ended);
//! - capabilities that came with a message and that the server did not keep are dropped;
//! - a bad packet is answered with the error that says what is wrong with it.
//!
//! | module       | what                                                             |
//! |--------------|------------------------------------------------------------------|
//! | [`port`]     | what the loop needs of the kernel                                |
//! | [`handler`]  | what it needs of the server, and what the server can do with it  |
//! | [`service`]  | the loop                                                         |
//! | `pending`    | replies that are owed                                            |
//! | `watch`      | notification bits that mean a death                              |
#![cfg_attr(not(any(test, feature = "fake")), no_std)]
#![forbid(unsafe_code)]

pub mod handler;
mod pending;
pub mod port;
pub mod service;
mod watch;

#[cfg(any(test, feature = "fake"))]
pub mod fake;

pub use handler::{Actions, Cancelled, Handler};
pub use port::{Event, Message, Port};
pub use service::{Config, Counters, Service};
pub use watch::{WatchError, Watched};

/// The bytes that a server's buffers need for the longest of these packets: at least what comes in registers, and the first length that
/// does not.
pub const fn buffer_size(packets: &[usize]) -> usize {
    let mut longest = aios_abi::limits::MESSAGE_REGISTERS + 1;
    let mut place = 0;
    while place < packets.len() {
        if packets[place] > longest {
            longest = packets[place];
        }
        place += 1;
    }
    longest
}

#[cfg(test)]
mod tests;
