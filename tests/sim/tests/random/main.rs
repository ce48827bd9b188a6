//! Random histories, judged step by step. `AIOS_SEED` replays one seed of each test, `AIOS_ROUNDS` multiplies how much is tried.

mod arguments;
mod authority;
mod model_caps;
mod model_ipc;
mod naive;
mod observed;
mod seeds;
mod soup;
