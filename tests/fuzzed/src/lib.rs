//! What must hold for any bytes that somebody else wrote. Each function takes such bytes and panics if it does not hold; `tests/fuzz` looks for bytes
//! with which one does, and the tests here replay those that were worth keeping.
#![forbid(unsafe_code)]

mod boot;
mod calls;
mod token;

pub use boot::{boot_image, bundle, device_tree, elf};
pub use calls::syscalls;
pub use token::token;

/// A check by the name of its fuzz target.
pub type Check = fn(&[u8]);

/// All checks.
pub const CHECKS: [(&str, Check); 7] = [
    ("boot_image", boot_image),
    ("bundle", bundle),
    ("device_tree", device_tree),
    ("elf", elf),
    ("message", message),
    ("syscalls", syscalls),
    ("token", token),
];

/// No packet makes a server panic, and what it answers with is a packet.
pub fn message(bytes: &[u8]) {
    let reply = aios_proto::host::fuzz(bytes);
    assert!(reply.is_empty() || aios_proto::packet::header(&reply).is_some(), "a reply without a header");
}
