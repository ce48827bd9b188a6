//! The program: the device, the console over it, the event loop.

use core::fmt::Write;

use aios_proto::console;
use aios_rt::agent::exit_panic;
use aios_rt::panic::{STATUS, Text};
use aios_rt::peer::Init;
use aios_rt::service::{Alive, HEARTBEAT_NS};
use aios_service::{Config, Service, buffer_size};
use aios_uart::Uart;
use aios_uartd::console::WAITING;
use aios_uartd::{Console, STOP};

use crate::device;

/// Replies that can be owed: every reader, writer and flush that waits.
const PENDING: usize = 3 * WAITING;

/// Runs until it is told to stop.
pub fn run(start: [u64; 4]) -> u64 {
    let init = Init::from_start(start);
    let (mut uart, line) = device::open(init).unwrap_or_else(|failure| give_up(&failure));
    uart.init().unwrap_or_else(|error| give_up(&error));
    let config = Config { take_caps: console::MAX_CAPS, ..Config::default() };
    let mut service = Service::<_, { buffer_size(&[console::MAX_PACKET]) }, PENDING>::new(Console::new(uart, line), config);
    init.promise(STOP, HEARTBEAT_NS).unwrap_or_else(|error| give_up(&error));
    if let Err(error) = service.run(&mut Alive::new(init)) {
        return error.0.into();
    }
    // The supervisor sees the end itself, if it does not hear of it.
    let _ = init.stopped();
    0
}

/// Ends the program with a text for the log.
fn give_up(why: &dyn core::fmt::Display) -> ! {
    let mut text = Text::new();
    // What doesn't fit is left out.
    let _ = write!(text, "{why}");
    exit_panic(STATUS, text.as_bytes())
}
