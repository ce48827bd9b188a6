//! The program whose operations are counted; the library has the list of them.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod program;

// What the generator makes stands on the root of its crate.
#[cfg(target_os = "none")]
#[allow(unused_imports, reason = "an interface does not use all of it")]
use aios_proto::{
    Answer, Bytes, Caller, CapList, Capability, Error, Failure, Grant, Incoming, Interface, Later, Link, Mark, NoError, Operation,
    OperationInfo, Outcome, Outgoing, ServiceError, Text, Ticket, Transport, client, error, operation, packet, server, types, value,
};

#[cfg(target_os = "none")]
#[allow(dead_code, unexpected_cfgs, reason = "tables and a null server for tools, which this crate has no feature for")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/payload.rs"));
}

#[cfg(target_os = "none")]
aios_rt::entry!(program::run);

#[cfg(not(target_os = "none"))]
fn main() {}
