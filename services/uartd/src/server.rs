//! The operations. Those that wait are only queued here; the handler's `progress` answers them, at once if it can.

use aios_proto::console::{Chunk, Counters, Error, Events, Failure, Server, Window, op};
use aios_proto::server::Arrived;
use aios_proto::types::{ErrorCode, Notification};
use aios_proto::{Answer, Caller, Later};
use aios_uart::Uart;
use heapless::Vec;

use crate::console::{Console, Line, Reader, Writer};
use crate::subscribers::Full;

/// The answer to a request that was put aside, or for which there was no place.
fn aside<T, R>(result: Result<(), R>) -> Answer<T, Error> {
    match result {
        Ok(()) => Answer::Later,
        Err(_) => Answer::Now(Err(Error::TooManyWaiting.into())),
    }
}

impl<U: Uart, L: Line> Server for Console<U, L> {
    fn write(&mut self, _: &Caller, later: Later<op::Write>, data: Chunk<'_>) -> Answer<(), Error> {
        // Behind those that wait, so that no writer is overtaken.
        if self.writers.is_empty() && self.has_room(data.len()) {
            self.queue(&data);
            return Answer::Now(Ok(()));
        }
        match Vec::from_slice(&data) {
            Ok(data) => aside(self.writers.push_back(Writer { later, data })),
            Err(_) => Answer::Now(Err(ErrorCode::Internal.into())),
        }
    }

    fn read<'s>(&'s mut self, _: &Caller, later: Later<op::Read>, limit: u32) -> Answer<Chunk<'s>, Error> {
        match usize::try_from(limit) {
            Ok(0) | Err(_) => Answer::Now(Err(ErrorCode::InvalidArgument.into())),
            Ok(limit) => aside(self.readers.push_back(Reader { later, limit })),
        }
    }

    fn flush(&mut self, _: &Caller, later: Later<op::Flush>) -> Answer<(), Error> {
        aside(self.flushes.push(later))
    }

    fn subscribe(&mut self, caller: &Caller, wanted: Events, bits: u64, notify: Arrived<'_, Notification>) -> Result<(), Failure> {
        if wanted.is_empty() {
            self.subscribers.remove(caller.agent);
            return Ok(());
        }
        if bits == 0 {
            return Err(ErrorCode::InvalidArgument.into());
        }
        if !self.subscribers.has_room_for(caller.agent) {
            return Err(Error::TooManySubscribers.into());
        }
        self.subscribers.add(caller.agent, wanted, bits, notify.keep()).map_err(|Full| Error::TooManySubscribers.into())
    }

    fn take_events(&mut self, caller: &Caller) -> Result<Events, Failure> {
        self.subscribers.take(caller.agent).ok_or(Error::NotSubscribed.into())
    }

    fn window_size(&mut self, _: &Caller) -> Result<Window, Failure> {
        Ok(self.window)
    }

    fn set_window_size(&mut self, _: &Caller, size: Window) -> Result<(), Failure> {
        if size != self.window {
            self.window = size;
            self.subscribers.post(Events::WINDOW);
        }
        Ok(())
    }

    fn status(&mut self, _: &Caller) -> Result<Counters, Failure> {
        Ok(self.counters)
    }
}
