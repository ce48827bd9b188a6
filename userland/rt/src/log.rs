//! The logger behind the macros of `defmt`: what a program says is a number for the text and the arguments' bytes; the text stays on the host.
//!
//! One frame at a time is collected in a buffer of fixed size and sent to the log server as it ends. Nothing here waits or allocates: a frame that
//! is too long, or that the server has no room for, is lost, and the next one that gets through says how many were. Until [`connect`] has found the
//! server all are lost.
//!
//! A frame says nothing of the image that it comes from: the log server learns that from init, by the badge of the capability.
//!
//! Addresses and sizes are logged as `u64` (`{=u64:#x}`), whatever the width of the machine that reads them.
//!
//! A program that uses this needs `defmt` among its own dependencies, too: its macros name it.

use aios_proto::log::{Client, Message, Target};
use aios_proto::names;
use aios_proto::types::Level;

use crate::peer::Init;
use crate::service::Remote;
use crate::slot::Service;

/// Bytes of the longest frame.
pub const FRAME: usize = Message::MAX;
/// Where the log server is found.
const NAME: &str = "/svc/log";

/// A frame that is being collected, and where it goes.
#[derive(Debug)]
struct Sender {
    log: Option<Service>,
    target: &'static str,
    frame: [u8; FRAME],
    /// Bytes of the frame, also those that found no room.
    length: usize,
    /// The logger is between `acquire` and `release`.
    open: bool,
    /// Frames lost since the last one that got through.
    lost: u32,
}

impl Sender {
    const fn new() -> Self {
        Self { log: None, target: "", frame: [0; FRAME], length: 0, open: false, lost: 0 }
    }

    /// Begins a frame. Panics if one is begun already: a `Format` implementation must not log.
    fn begin(&mut self) {
        assert!(!self.open, "logged while formatting what is logged");
        self.open = true;
        self.length = 0;
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        if let Some(place) = self.frame.get_mut(self.length..end) {
            place.copy_from_slice(bytes);
        }
        self.length = end;
    }

    /// Ends the frame and sends it; `level` finds its level by its first two bytes.
    fn end(&mut self, level: impl FnOnce(u16) -> Level) {
        self.open = false;
        let sent = match (self.log, self.frame.get(..self.length)) {
            (Some(log), Some(frame @ &[low, high, ..])) => {
                let (level, target) = (level(u16::from_le_bytes([low, high])), Target::truncated(self.target));
                Client::new(Remote(log)).write_frame(level, target, self.lost, Message::truncated(frame)).is_ok()
            }
            _ => false,
        };
        self.lost = if sent { 0 } else { self.lost.saturating_add(1) };
    }
}

/// Finds the log server, which waits for init's answer; from then on frames go there, as records about `target`. A capability that was found once
/// stays good when the server is restarted; when the server was ended for good, connect again.
///
/// # Errors
/// The name service's, for example `NotListed` if the program's entry does not list `/svc/log`.
pub fn connect(init: Init, target: &'static str) -> Result<(), names::CallError> {
    let log = init.resolve(NAME)?;
    global::with(|sender| {
        sender.log = Some(log);
        sender.target = target;
    });
    Ok(())
}

#[cfg(target_os = "none")]
mod global {
    use core::cell::RefCell;

    use aios_proto::types::Level;

    use super::Sender;

    struct OneThread(RefCell<Sender>);

    // SAFETY: a program has one thread, which nothing interrupts to run other code of the program: no two threads share it.
    unsafe impl Sync for OneThread {}

    static SENDER: OneThread = OneThread(RefCell::new(Sender::new()));

    pub fn with(work: impl FnOnce(&mut Sender)) {
        work(&mut SENDER.0.borrow_mut());
    }

    unsafe extern "C" {
        // Made by the linker script; only their addresses mean something.
        safe static __DEFMT_MARKER_TRACE_END: u8;
        safe static __DEFMT_MARKER_DEBUG_END: u8;
        safe static __DEFMT_MARKER_INFO_END: u8;
        safe static __DEFMT_MARKER_WARN_END: u8;
        safe static __DEFMT_MARKER_ERROR_END: u8;
    }

    /// The level of the format string with this number. One of none (`println`) counts as information.
    pub fn level(index: u16) -> Level {
        let ends = [
            (&raw const __DEFMT_MARKER_TRACE_END, Level::Trace),
            (&raw const __DEFMT_MARKER_DEBUG_END, Level::Debug),
            (&raw const __DEFMT_MARKER_INFO_END, Level::Info),
            (&raw const __DEFMT_MARKER_WARN_END, Level::Warn),
            (&raw const __DEFMT_MARKER_ERROR_END, Level::Error),
        ];
        ends.into_iter().find(|(end, _)| usize::from(index) < end.addr()).map_or(Level::Info, |(_, level)| level)
    }
}

/// On a development machine there is no log server: frames go nowhere.
#[cfg(not(target_os = "none"))]
mod global {
    use aios_proto::types::Level;

    use super::Sender;

    pub fn with(work: impl FnOnce(&mut Sender)) {
        work(&mut Sender::new());
    }

    pub fn level(_: u16) -> Level {
        Level::Info
    }

    defmt::timestamp!("");
}

#[defmt::global_logger]
struct Logger;

// SAFETY: a program has one thread, and `begin` refuses a second frame before the first one's end; on a development machine nothing is kept.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        global::with(Sender::begin);
    }

    unsafe fn flush() {}

    unsafe fn release() {
        global::with(|sender| sender.end(global::level));
    }

    unsafe fn write(bytes: &[u8]) {
        global::with(|sender| sender.push(bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::vec::Vec;

    use aios_abi::message::SendInfo;
    use aios_abi::{Call, Error, SlotHandle};

    use super::*;
    use crate::sys::fake;

    /// A kernel that takes messages, or refuses them as full; counts what it took, and keeps the length of the last one.
    fn kernel(full: Rc<Cell<bool>>, taken: Rc<Cell<(u32, u32)>>) -> fake::Installed {
        fake::install(move |call, regs| match call {
            Call::IpcSend if full.get() => Err(Error::QueueFull),
            Call::IpcSend => {
                taken.set((taken.get().0 + 1, SendInfo::decode(regs.x10).map_or(0, |info| info.length)));
                Ok(())
            }
            other => panic!("{}: nothing may wait", other.name()),
        })
    }

    fn frame(sender: &mut Sender, bytes: &[u8]) {
        sender.begin();
        bytes.chunks(3).for_each(|bytes| sender.push(bytes));
        sender.end(|_| Level::Info);
    }

    #[test]
    fn frames_are_sent_or_counted() {
        let (full, taken) = (Rc::new(Cell::new(false)), Rc::new(Cell::new((0, 0))));
        let _kernel = kernel(full.clone(), taken.clone());
        let mut sender = Sender::new();
        frame(&mut sender, &[1, 0, 7]);
        assert_eq!((taken.get().0, sender.lost), (0, 1), "nobody to send it to");
        sender.log = Some(Service(SlotHandle::new(5, 1)));
        frame(&mut sender, &[1, 0, 7]);
        assert_eq!((taken.get().0, sender.lost), (1, 0));
        let short = taken.get().1;
        frame(&mut sender, &[1, 0, 7, 8]);
        assert_eq!(taken.get(), (2, short + 1));
        frame(&mut sender, &Vec::from([1; FRAME]));
        assert_eq!((taken.get().0, sender.lost), (3, 0), "the longest one");
        frame(&mut sender, &Vec::from([1; FRAME + 1]));
        frame(&mut sender, &Vec::from([1; 5 * FRAME]));
        frame(&mut sender, &[1]);
        assert_eq!((taken.get().0, sender.lost), (3, 3), "too long, and no frame");
        full.set(true);
        frame(&mut sender, &[1, 0]);
        assert_eq!((taken.get().0, sender.lost), (3, 4));
        full.set(false);
        frame(&mut sender, &[1, 0]);
        assert_eq!((taken.get().0, sender.lost), (4, 0));
    }

    #[test]
    #[should_panic = "logged while formatting"]
    fn a_frame_in_a_frame_is_a_mistake() {
        let mut sender = Sender::new();
        sender.begin();
        sender.begin();
    }
}
