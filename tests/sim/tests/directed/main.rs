//! One test for each thing that the contract says, driven call by call; every invariant is checked after every event.

mod lending;
mod life;
mod support;
