//! One test for each thing that the contract says, driven call by call; every invariant is checked after every event.

mod clearing;
mod errors;
mod exhaustion;
mod faults;
mod inspect;
mod interrupted;
mod lending;
mod life;
mod long;
mod notices;
mod pqc;
mod riding;
mod support;
mod watch;
