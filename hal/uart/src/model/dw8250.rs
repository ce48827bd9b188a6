//! Model of the DesignWare 8250.

use core::cell::RefCell;

use aios_mmio::Registers;
use heapless::Deque;

use super::{FIFO, Line};
use crate::{Fault, Layout};

const OVERRUN: u8 = 1 << 1;

/// A DesignWare 8250 as firmware leaves it.
#[derive(Debug)]
pub struct Dw8250Model {
    layout: Layout,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    fifos: bool,
    /// Line control; bit 7 is the divisor latch.
    line: u8,
    enabled: u8,
    /// Bytes with the fault bits that line status shows while they are next.
    received: Deque<(u8, u8), FIFO>,
    overrun: u8,
    /// The fault bits of the next byte have been read.
    faults_read: bool,
    timeout: bool,
    /// The transmitter got empty, and nobody has read the identity since.
    tx_signal: bool,
    busy_detect: bool,
    sending: Deque<u8, FIFO>,
}

impl Dw8250Model {
    /// A device with FIFOs on or off.
    #[must_use]
    pub fn new(layout: Layout, fifos: bool) -> Self {
        let state = State {
            fifos,
            line: 0x03,
            enabled: 0x0f,
            received: Deque::new(),
            overrun: 0,
            faults_read: false,
            timeout: false,
            tx_signal: true,
            busy_detect: false,
            sending: Deque::new(),
        };
        Self { layout, state: RefCell::new(state) }
    }

    /// Firmware's last write to line control came while the device was busy: it was lost, and an interrupt tells.
    pub fn detect_busy(&self) {
        self.state.borrow_mut().busy_detect = true;
    }

    /// Firmware forgot to close the divisor latch.
    pub fn open_divisor_latch(&self) {
        self.state.borrow_mut().line |= 0x80;
    }

    /// The quirk: the timeout interrupt is signalled although the FIFO is empty.
    pub fn stick_timeout(&self) {
        let mut state = self.state.borrow_mut();
        assert!(state.received.is_empty(), "the quirk is about an empty FIFO");
        state.timeout = true;
    }

    fn number(&self, offset: usize, wide: bool) -> usize {
        assert_eq!(self.layout.wide, wide, "width of the access at {offset:#x}");
        assert!(offset.trailing_zeros() >= self.layout.shift.into(), "{offset:#x} is no register");
        offset >> self.layout.shift
    }

    fn read(&self, number: usize) -> u8 {
        let mut state = self.state.borrow_mut();
        assert!(number > 1 || state.line & 0x80 == 0, "the divisor latch hides register {number}");
        match number {
            0 => {
                assert!(!state.received.is_empty() || state.timeout, "data is read only when there is some");
                state.timeout = false;
                state.faults_read = false;
                state.received.pop_front().map_or(0, |(byte, _)| byte)
            }
            1 => state.enabled,
            2 => {
                let cause = state.cause();
                if cause == 0x2 {
                    state.tx_signal = false;
                }
                cause | if state.fifos { 0xc0 } else { 0 }
            }
            3 => state.line,
            5 => {
                let status = state.status();
                state.overrun = 0;
                state.faults_read = true;
                status
            }
            6 => 0,
            31 => {
                state.busy_detect = false;
                u8::from(!state.sending.is_empty()) | u8::from(state.sending.len() < state.room()) << 1
            }
            _ => panic!("read of register {number}"),
        }
    }

    fn write(&self, number: usize, value: u8) {
        let mut state = self.state.borrow_mut();
        assert!(number > 1 || state.line & 0x80 == 0, "the divisor latch hides register {number}");
        match number {
            0 => {
                assert!(state.sending.len() < state.room(), "data is written only when there is room");
                state.tx_signal = false;
                state.sending.push_back(value).expect("there is room");
            }
            1 => {
                assert_eq!(value & !0x0f, 0, "unknown interrupts");
                // Enabling the transmit interrupt while the transmitter is empty signals at once.
                if state.enabled & 2 == 0 && value & 2 != 0 && state.sending.is_empty() {
                    state.tx_signal = true;
                }
                state.enabled = value;
            }
            _ => panic!("write of {value:#x} to register {number}: line settings are firmware's"),
        }
    }
}

impl State {
    fn room(&self) -> usize {
        if self.fifos { FIFO } else { 1 }
    }

    fn faults(&self) -> u8 {
        let next = self.received.front().map_or(0, |&(_, faults)| faults);
        self.overrun | if self.faults_read { 0 } else { next }
    }

    fn status(&self) -> u8 {
        let empty = self.sending.is_empty();
        u8::from(!self.received.is_empty()) | self.faults() | u8::from(empty) << 5 | u8::from(empty) << 6
    }

    /// The most important cause that is enabled; busy detect can't be masked.
    fn cause(&self) -> u8 {
        let enabled = |bit| self.enabled & bit != 0;
        if enabled(4) && self.faults() != 0 {
            0x6
        } else if enabled(1) && self.timeout {
            0xc
        } else if enabled(1) && !self.received.is_empty() {
            0x4
        } else if self.busy_detect {
            0x7
        } else if enabled(2) && self.tx_signal {
            0x2
        } else {
            0x1
        }
    }
}

impl Line for Dw8250Model {
    fn receive(&self, byte: u8, fault: Option<Fault>) {
        let mut state = self.state.borrow_mut();
        let bits = match fault {
            None => 0,
            Some(Fault::Overrun) => OVERRUN,
            Some(Fault::Parity) => 1 << 2,
            Some(Fault::Framing) => 1 << 3,
            Some(Fault::Break) => 1 << 4,
        };
        if state.received.len() == state.room() {
            state.overrun = OVERRUN;
        } else {
            // What was read of an empty queue says nothing about its next byte.
            state.faults_read &= !state.received.is_empty();
            state.received.push_back((byte, bits)).expect("there is room");
        }
    }

    fn pause(&self) {
        let mut state = self.state.borrow_mut();
        if state.fifos && !state.received.is_empty() {
            state.timeout = true;
        }
    }

    fn send(&self) -> Option<u8> {
        let mut state = self.state.borrow_mut();
        let byte = state.sending.pop_front()?;
        if state.sending.is_empty() {
            state.tx_signal = true;
        }
        Some(byte)
    }

    fn interrupt(&self) -> bool {
        self.state.borrow().cause() != 0x1
    }
}

impl Registers for Dw8250Model {
    fn read8(&self, offset: usize) -> u8 {
        self.read(self.number(offset, false))
    }

    fn write8(&self, offset: usize, value: u8) {
        self.write(self.number(offset, false), value);
    }

    fn read32(&self, offset: usize) -> u32 {
        self.read(self.number(offset, true)).into()
    }

    fn write32(&self, offset: usize, value: u32) {
        self.write(self.number(offset, true), u8::try_from(value).expect("8 bits of data"));
    }
}
