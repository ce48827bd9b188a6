//! A recording of what a core's scheduler does, as text.

use alloc::string::String;

use aios_abi::limits::PAGE_SIZE;
use aios_abi::trace::{EVENT_SIZE, HEADER_SIZE, capacity};
use aios_proto::console::Chunk;
use aios_rt::slot::Pool;
use aios_rt::time::{Deadline, now};
use aios_rt::trace::{Mode, Page, bind, end};
use aios_shell_core::recording::{Head, Writer};
use aios_shell_core::statement::TRACE_EVENTS;

use crate::fail::Fail;
use crate::shell::Shell;

/// Where the frame is mapped: far from the program and its memory.
const ADDRESS: u64 = 0x10_0000_0000;
/// How often to look whether the frame is full, ns.
const LOOK_NS: u64 = 20_000_000;
/// Bytes that are printed at once: what the console takes at once, less a line, so that nothing of others gets into the middle of a line.
const CHUNK: usize = Chunk::MAX - 128;

pub fn trace(shell: &mut Shell, core: u64, events: u64, time_ns: u64) -> Result<(), Fail> {
    if events == 0 || events > TRACE_EVENTS {
        return Err(Fail::other(format_args!("1 to {TRACE_EVENTS} events can be recorded at once, not {events}")));
    }
    let pages = (HEADER_SIZE as u64 + events * EVENT_SIZE as u64).div_ceil(PAGE_SIZE as u64);
    let page = Page::new(Pool::OWN, pages, ADDRESS).map_err(|error| Fail::of("memory for the recording", error))?;
    shell.system.observing(|observe| bind(observe, page.frame(), core, 0, Mode::Once))?;
    let waited = wait(shell, &page, events, time_ns);
    // Whatever happened: nobody else can record that core before this is over.
    shell.system.observing(|observe| end(observe, core))?;
    waited?;
    print(shell, &page, events.min(capacity(pages * PAGE_SIZE as u64)))
}

/// Waits until so many events are there, or the time is over.
fn wait(shell: &mut Shell, page: &Page, events: u64, time_ns: u64) -> Result<(), Fail> {
    let until = now().saturating_add(time_ns);
    while now() < until && page.header().is_some_and(|header| header.head < events) {
        shell.sleep_until(Deadline::after(LOOK_NS.min(until.saturating_sub(now()))))?;
    }
    Ok(())
}

fn print(shell: &mut Shell, page: &Page, events: u64) -> Result<(), Fail> {
    let header = page.header().ok_or_else(|| Fail::other("the kernel writes another kind of recording"))?;
    let events = header.head.min(events);
    let (mut writer, mut text) = Writer::new(Head { core: header.core, events, lost: header.lost });
    for number in 0..events {
        let event = page.read(number).ok_or_else(|| Fail::other(format_args!("event {number} is none")))?;
        text += &writer.line(event);
        if text.len() >= CHUNK {
            shell.check_interrupt()?;
            shell.print(&core::mem::replace(&mut text, String::with_capacity(CHUNK + 128)));
        }
    }
    text += &writer.end();
    shell.print(&text);
    Ok(())
}
