//! init: the root of authority.
//!
//! The kernel gives it everything; the boot manifest says who gets what of it. It starts the servers in order, each with exactly what its entry
//! lists, answers their questions for names, and supervises them. It only receives and replies, and never waits for anybody that it supervises.
//!
//! | module      | what                                                                        |
//! |-------------|-----------------------------------------------------------------------------|
//! | `boot`      | what init finds when it starts, checked                                     |
//! | `layout`    | from an image in the bundle to pieces of memory                             |
//! | `memory`    | the memory of a program, filled and mapped                                  |
//! | `child`     | an agent, from spawn to end                                                 |
//! | `badge`     | who speaks                                                                  |
//! | `grants`    | what was given to whom                                                      |
//! | `devices`   | devices of the manifest, as the device tree describes them                  |
//! | `supervise` | the state, the supervisor's effects, faults                                 |
//! | `programs`  | programs that were started on demand                                        |
//! | `names`     | the interface `aios:names/names`                                            |
//! | `operator`  | the interface `aios:supervisor/supervisor`                                  |
//! | `lifecycle` | the interface `aios:supervisor/lifecycle`                                   |
//! | `serve`     | the loop's side: dispatch, time                                             |
//! | `journal`   | what init says, on its way to the log                                       |
//! | `early`     | the early console                                                           |
//! | `ports`     | the mailbox                                                                 |
//!
//! # How a program starts
//! The first slot that a spawner fills holds a capability to init, for names, supervision and, if the entry lists it, control; the next one the early
//! console, for entries that list that. `x0` is the number that the program's arguments begin with (0 for servers), `x1` the handle of the first
//! slot, `x2` and `x3` address and length of the arguments' text. Everything else is got through names.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

mod badge;
mod boot;
mod child;
mod devices;
mod early;
mod grants;
mod journal;
mod layout;
mod lifecycle;
mod memory;
mod names;
mod operator;
mod ports;
mod programs;
mod serve;
mod supervise;
#[cfg(test)]
mod tests;

use aios_abi::call::init::SLOT_POWER;
use aios_abi::sentinel::BOOT;
use aios_rt::machine::power_off;
use aios_rt::slot::Slot;
use aios_service::{Config, Service, buffer_size};
use alloc::boxed::Box;

/// Bytes of the longest packet of init's interfaces.
const BUFFER: usize = buffer_size(&[aios_proto::names::MAX_PACKET, aios_proto::supervisor::MAX_PACKET, aios_proto::lifecycle::MAX_PACKET]);
const CONFIG: Config = Config { take_caps: aios_proto::lifecycle::MAX_CAPS, pending_ns: u64::MAX, watch_bits: 0 };

aios_rt::entry!(run);

fn run([bundle, bundle_length, tree, tree_length]: [u64; 4]) -> u64 {
    early::mark(BOOT, "init");
    // SAFETY: these are the words that the kernel started init with.
    let bundle = unsafe { boot::given(bundle, bundle_length) };
    // SAFETY: the same.
    let tree = unsafe { boot::given(tree, tree_length) };
    match boot::Boot::read(bundle, tree) {
        Ok(boot) => {
            let init = serve::Serving::new(supervise::Init::new(boot));
            let mut service = Box::new(Service::<_, BUFFER, { programs::WAITING_MAX }>::new(init, CONFIG));
            if let Err(error) = service.run(&mut ports::Mail) {
                early::line(format_args!("can't receive any more: {}", aios_proto::sentence::of_kernel(error.0)));
            }
        }
        Err(error) => early::line(format_args!("{error}")),
    }
    // Comes back only if the machine can't be switched off; then the end of init stops it.
    let _ = power_off(Slot::first(SLOT_POWER).cast());
    1
}
