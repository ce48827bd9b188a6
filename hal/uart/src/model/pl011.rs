//! Model of the PL011.

use core::cell::RefCell;

use aios_mmio::Registers;
use heapless::Deque;

use super::{FIFO, Line};
use crate::Fault;

const INT_RECEIVE: u32 = 1 << 4;
const INT_TRANSMIT: u32 = 1 << 5;
const INT_TIMEOUT: u32 = 1 << 6;
const INT_OVERRUN: u32 = 1 << 10;
const DATA_OVERRUN: u32 = 1 << 11;
const ENABLED: u32 = 0x301;

/// A PL011 as it is after reset, or as firmware leaves it.
#[derive(Debug)]
pub struct Pl011Model(RefCell<State>);

#[derive(Debug)]
struct State {
    fifos: bool,
    control: u32,
    mask: u32,
    raw: u32,
    received: Deque<u32, FIFO>,
    /// A byte was lost; the next one that fits carries the mark.
    overrun: bool,
    sending: Deque<u8, FIFO>,
}

impl Pl011Model {
    /// A device with FIFOs on or off, enabled by firmware or not.
    #[must_use]
    pub fn new(fifos: bool, enabled: bool) -> Self {
        let control = if enabled { ENABLED } else { 0x300 };
        // An interrupt may be pending and let through from whoever used the device before.
        Self(RefCell::new(State {
            fifos,
            control,
            mask: 0x7ff,
            raw: INT_OVERRUN,
            received: Deque::new(),
            overrun: false,
            sending: Deque::new(),
        }))
    }
}

impl State {
    fn room(&self) -> usize {
        if self.fifos { FIFO } else { 1 }
    }

    /// Half of the FIFO, the level after reset.
    fn level(&self) -> usize {
        self.room().div_ceil(2)
    }
}

impl Line for Pl011Model {
    fn receive(&self, byte: u8, fault: Option<Fault>) {
        let mut state = self.0.borrow_mut();
        assert_eq!(state.control & ENABLED, ENABLED, "the device must be enabled");
        if state.received.len() == state.room() {
            state.overrun = true;
            state.raw |= INT_OVERRUN;
            return;
        }
        let fault = match fault {
            None => 0,
            Some(Fault::Framing) => 1 << 8,
            Some(Fault::Parity) => 1 << 9,
            Some(Fault::Break) => 1 << 10,
            Some(Fault::Overrun) => DATA_OVERRUN,
        };
        let overrun = if core::mem::take(&mut state.overrun) { DATA_OVERRUN } else { 0 };
        state.received.push_back(u32::from(byte) | fault | overrun).expect("there is room");
        // The interrupt comes when the level is reached, not as long as it is exceeded.
        if state.received.len() == state.level() {
            state.raw |= INT_RECEIVE;
        }
    }

    fn pause(&self) {
        let mut state = self.0.borrow_mut();
        if state.fifos && !state.received.is_empty() {
            state.raw |= INT_TIMEOUT;
        }
    }

    fn send(&self) -> Option<u8> {
        let mut state = self.0.borrow_mut();
        let byte = state.sending.pop_front()?;
        if state.sending.len() == state.level() - 1 {
            state.raw |= INT_TRANSMIT;
        }
        Some(byte)
    }

    fn interrupt(&self) -> bool {
        let state = self.0.borrow();
        state.raw & state.mask != 0
    }
}

impl Registers for Pl011Model {
    fn read8(&self, offset: usize) -> u8 {
        panic!("8-bit read at {offset:#x}");
    }

    fn write8(&self, offset: usize, value: u8) {
        panic!("8-bit write of {value:#x} at {offset:#x}");
    }

    fn read32(&self, offset: usize) -> u32 {
        let mut state = self.0.borrow_mut();
        match offset {
            0x00 => {
                let data = state.received.pop_front().expect("data is read only when there is some");
                if state.received.len() < state.level() {
                    state.raw &= !INT_RECEIVE;
                }
                if state.received.is_empty() {
                    state.raw &= !INT_TIMEOUT;
                }
                data
            }
            0x18 => {
                let (rx, tx, room) = (state.received.len(), state.sending.len(), state.room());
                u32::from(tx > 0) << 3
                    | u32::from(rx == 0) << 4
                    | u32::from(tx == room) << 5
                    | u32::from(rx == room) << 6
                    | u32::from(tx == 0) << 7
            }
            0x2c => 0x60 | u32::from(state.fifos) << 4,
            0x30 => state.control,
            0x38 => state.mask,
            0x3c => state.raw,
            0x40 => state.raw & state.mask,
            _ => panic!("read at {offset:#x}"),
        }
    }

    fn write32(&self, offset: usize, value: u32) {
        let mut state = self.0.borrow_mut();
        match offset {
            0x00 => {
                assert_eq!(state.control & ENABLED, ENABLED, "the device must be enabled");
                assert!(state.sending.len() < state.room(), "data is written only when there is room");
                state.sending.push_back(value as u8).expect("there is room");
                if state.sending.len() >= state.level() {
                    state.raw &= !INT_TRANSMIT;
                }
            }
            0x30 => {
                assert_eq!(state.control & 1, 0, "control is written only while the device is disabled");
                state.control = value;
            }
            0x38 => state.mask = value,
            0x44 => state.raw &= !value,
            _ => panic!("write of {value:#x} at {offset:#x}: line settings are firmware's"),
        }
    }
}
