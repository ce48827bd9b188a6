//! Every service interface, generated from WIT.
//!
//! `wit/` holds the interfaces, one package a service; the build script makes one module of each:
//!
//! - the types, which are `no_std` and hold no memory: strings and bytes borrow from the packet that they were read from;
//! - `Client`, one method a function, over any [`Transport`];
//! - the trait `Server`, one method a function, and `dispatch`, which reads a packet, refuses what is wrong with it *before* any
//!   method runs, and writes the reply;
//! - `INTERFACE`, the table of its operations: numbers, names for tracer and shell, largest packets, capabilities, rights, marks.
//!
//! The modules here are what generated code stands on:
//!
//! | module        | what                                                                              |
//! |---------------|-----------------------------------------------------------------------------------|
//! | [`packet`]    | header and length of a packet, capabilities beside it                             |
//! | [`value`]     | bounded text and bytes, encoding                                                  |
//! | [`mod@operation`] | what is known of each operation                                                   |
//! | [`error`]     | error codes and what a call can end with                                          |
//! | [`sentence`]  | what the kernel's errors mean, for people                                         |
//! | [`server`]    | a request as the dispatcher sees it, replies now or later                         |
//! | [`client`]    | calls over a transport                                                            |
//!
//! # Packets
//! A packet is the [header](aios_abi::message::Header) (8 bytes) and the parameters as one tuple in postcard's encoding. A reply has the
//! same interface, operation and major version, the flag `REPLY`, and the results as a tuple; an error has the flag `ERROR` too, and is a
//! code (`u16`, little-endian) and, for the few errors that have one, an encoded detail. Capabilities are not part of the bytes.
#![cfg_attr(not(any(test, feature = "host")), no_std)]
#![forbid(unsafe_code)]

pub mod client;
pub mod error;
pub mod operation;
pub mod packet;
pub mod sentence;
pub mod server;
pub mod value;

#[cfg(any(test, feature = "host"))]
pub mod host;

pub use client::{Link, ReplyInfo, Transport, TransportError};
pub use error::{Error, Failure, NoError, ServiceError};
pub use operation::{Interface, Mark, Operation, OperationInfo};
pub use packet::{CapList, Received};
pub use server::{Answer, Caller, Capability, Grant, Incoming, Later, Outcome, Outgoing, Ticket};
pub use value::{Bytes, Text, TooLong};

include!(concat!(env!("OUT_DIR"), "/interfaces.rs"));

/// The operation with these numbers, for tracer and shell.
pub fn operation(interface: u16, operation: u16) -> Option<(&'static Interface, &'static OperationInfo)> {
    let interface = INTERFACES.iter().find(|candidate| candidate.number == interface)?;
    Some((interface, interface.operation(operation)?))
}

#[cfg(test)]
#[allow(dead_code, clippy::module_inception)]
mod demo {
    //! The generator's test interface, which uses everything that the generator can do.
    include!(concat!(env!("OUT_DIR"), "/demo.rs"));
}

#[cfg(test)]
mod tests;
