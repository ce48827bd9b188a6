//! Small worlds of the kernel core, explored to the last state.
//!
//! What is explored is the shipped crate: two [`Core`](aios_core::core::Core)s on a machine that is cheap to copy ([`machine`]), and agents that make any
//! call of a short list whenever they can. Everything that could come in another order comes in every order: which agent acts, when a core sees what
//! another has sent, when time passes, and, where a world says so, where interrupts stop long work. [`explore`] visits every state; two states are the same
//! if [`digest`] says so.
//!
//! | property | says | checked in |
//! |---|---|---|
//! | P1 | nobody gets a right that nobody gave | [`rights`] |
//! | P2 | what is revoked, expired or derived from such works nowhere | [`rights`], [`deed`] |
//! | P3 | a call gets one reply or one error, and its own; one that is refused changes nothing | [`deed`], [`audit`] |
//! | P4 | pages are paid by who has them, and come back | [`audit`] |
//! | P5 | memory that two agents reach is a frame that both have; new memory shows nothing old | [`audit`], [`machine`] |
//! | P6 | who or what is gone is never mistaken for what came in its place | [`deed`] |
//! | P7 | who could run gets to run | [`state`] |
#![forbid(unsafe_code)]

pub mod audit;
pub mod deed;
pub mod digest;
pub mod explore;
pub mod machine;
pub mod rights;
pub mod state;
pub mod worlds;

/// Ways in which the machine misbehaves, to show that a property can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Rights grow on the way from core to core.
    RightsGrow,
    /// Stamps repeat.
    SameStamp,
    /// Pages of derivation nodes begin anew when their number is used again.
    SameNode,
    /// Answers are lost.
    NoAnswer,
    /// A reply to another core brings what the one before it brought.
    OldReply,
    /// Pages that are given back to a pool on another core are lost.
    NoCredit,
    /// New memory shows what was in it.
    OldContents,
    /// Translations stay when they are flushed.
    NoFlush,
    /// A place in the agent table keeps its generation.
    SameGeneration,
}
