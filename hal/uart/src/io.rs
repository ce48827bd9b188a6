//! A UART as a sink for bytes and text.

use core::fmt;

use embedded_io::{ErrorKind, ErrorType, Write, WriteReady};

use crate::{Error, Uart};

/// Wraps a [`Uart`] with the public traits for output: [`embedded_io::Write`] and [`fmt::Write`] (which puts a carriage return
/// before each line feed, as terminals want it).
#[derive(Debug)]
pub struct Io<U>(pub U);

impl embedded_io::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Stuck => ErrorKind::TimedOut,
            Self::DivisorLatchOpen => ErrorKind::Other,
        }
    }
}

impl<U> ErrorType for Io<U> {
    type Error = Error;
}

impl<U: Uart> Write for Io<U> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let Some((first, rest)) = bytes.split_first() else { return Ok(0) };
        self.0.write(*first)?;
        Ok(1 + rest.iter().take_while(|&&byte| self.0.try_write(byte)).count())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.0.drain()
    }
}

impl<U: Uart> WriteReady for Io<U> {
    fn write_ready(&mut self) -> Result<bool, Error> {
        Ok(self.0.tx_ready())
    }
}

impl<U: Uart> fmt::Write for Io<U> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().try_for_each(|byte| {
            if byte == b'\n' {
                self.0.write(b'\r').map_err(|_| fmt::Error)?;
            }
            self.0.write(byte).map_err(|_| fmt::Error)
        })
    }
}
