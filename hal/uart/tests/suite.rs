//! One suite for both drivers, each on the model of its device, with and without FIFOs.

use aios_uart::model::{Dw8250Model, FIFO, Line, Pl011Model};
use aios_uart::{AnyUart, Dw8250, Error, Fault, Interrupts, Io, Layout, Pl011, Received, Uart};
use embedded_io::{Write as _, WriteReady as _};

const WIDE: Layout = Layout { shift: 2, wide: true };
const NARROW: Layout = Layout { shift: 0, wide: false };
const RECEIVE: Interrupts = Interrupts { receive: true, transmit: false };
const TRANSMIT: Interrupts = Interrupts { receive: false, transmit: true };
const NOTHING: Interrupts = Interrupts { receive: false, transmit: false };

/// Runs `test` on each kind of device, fresh from firmware and initialised. `room` is what its FIFOs hold.
fn each(test: impl Fn(&str, usize, &dyn Line, &mut dyn Uart)) {
    for (fifos, room) in [(true, FIFO), (false, 1)] {
        for enabled in [true, false] {
            let model = Pl011Model::new(fifos, enabled);
            let mut uart = Pl011::new(&model);
            uart.init().expect("a good device");
            test("PL011", room, &model, &mut uart);
        }
        for layout in [WIDE, NARROW] {
            let model = Dw8250Model::new(layout, fifos);
            let mut uart = Dw8250::new(&model, layout);
            uart.init().expect("a good device");
            test("DW 8250", room, &model, &mut uart);
        }
    }
}

fn good(byte: u8) -> Option<Received> {
    Some(Received { byte, fault: None })
}

#[test]
fn bytes_go_out_in_order_until_full() {
    each(|kind, room, line, uart| {
        for round in 0..3 {
            let taken = (0..=255).take_while(|&byte| uart.try_write(byte)).count();
            assert_eq!(taken, room, "{kind}, round {round}");
            assert!(!uart.tx_ready() && !uart.is_idle());
            let sent: Vec<u8> = std::iter::from_fn(|| line.send()).collect();
            assert_eq!(sent, (0..room as u8).collect::<Vec<_>>(), "{kind}, round {round}");
            assert!(uart.tx_ready() && uart.is_idle());
        }
    });
}

#[test]
fn a_device_that_does_not_send_is_stuck() {
    each(|kind, room, _, uart| {
        for byte in 0..room as u8 {
            assert_eq!(uart.write(byte), Ok(()));
        }
        assert_eq!(uart.write(0), Err(Error::Stuck), "{kind}");
        assert_eq!(uart.drain(), Err(Error::Stuck), "{kind}");
    });
}

#[test]
fn bytes_come_in_in_order() {
    each(|_, room, line, uart| {
        assert_eq!(uart.try_read(), None);
        (0..room as u8).for_each(|byte| line.receive(byte, None));
        (0..room as u8).for_each(|byte| assert_eq!(uart.try_read(), good(byte)));
        assert_eq!(uart.try_read(), None);
    });
}

#[test]
fn faults_belong_to_their_byte() {
    each(|kind, room, line, uart| {
        for fault in [Fault::Break, Fault::Framing, Fault::Parity] {
            line.receive(1, Some(fault));
            // Asking about the transmitter in between must not lose it.
            assert!(uart.tx_ready() && uart.is_idle());
            assert_eq!(uart.try_read(), Some(Received { byte: 1, fault: Some(fault) }), "{kind}");
            line.receive(2, None);
            assert_eq!(uart.try_read(), good(2), "{kind}");
        }
        // One byte too many: some byte tells so, and only the surplus one is missing.
        (0..=room as u8).for_each(|byte| line.receive(byte, None));
        let mut received: Vec<_> = std::iter::from_fn(|| uart.try_read()).collect();
        line.receive(99, None);
        received.extend(uart.try_read());
        let bytes: Vec<u8> = received.iter().map(|received| received.byte).collect();
        assert_eq!(bytes, (0..room as u8).chain([99]).collect::<Vec<_>>(), "{kind}");
        assert_eq!(received.iter().filter(|received| received.fault == Some(Fault::Overrun)).count(), 1, "{kind}");
    });
}

#[test]
fn after_init_nothing_signals() {
    each(|kind, _, line, uart| {
        assert!(!line.interrupt(), "{kind}");
        line.receive(1, None);
        line.pause();
        assert!(!line.interrupt(), "{kind}: masked");
        assert_eq!(uart.acknowledge(), NOTHING);
    });
}

#[test]
fn every_byte_is_signalled() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    each(|kind, room, line, uart| {
        let mut random = fastrand::Rng::with_seed(seed);
        uart.set_interrupts(RECEIVE);
        let (mut sent, mut received) = (0u8, 0u8);
        for _ in 0..500 {
            for _ in 0..random.usize(1..=room) {
                line.receive(sent, None);
                sent = sent.wrapping_add(1);
            }
            line.pause();
            assert!(line.interrupt(), "{kind}: bytes wait, and nobody is told");
            assert_eq!(uart.acknowledge(), RECEIVE, "{kind}");
            while let Some(byte) = uart.try_read() {
                assert_eq!(byte, Received { byte: received, fault: None }, "{kind}");
                received = received.wrapping_add(1);
            }
            assert_eq!(sent, received, "{kind}");
            assert!(!line.interrupt(), "{kind}: nothing waits, and the line is active");
        }
    });
}

#[test]
fn room_is_signalled() {
    each(|kind, room, line, uart| {
        while uart.try_write(b'x') {}
        uart.set_interrupts(TRANSMIT);
        assert!(!line.interrupt(), "{kind}: there is no room");
        for _ in 0..3 {
            assert_eq!(std::iter::from_fn(|| line.send()).count(), room);
            assert!(line.interrupt(), "{kind}: there is room");
            assert_eq!(uart.acknowledge(), TRANSMIT, "{kind}");
            assert!(!line.interrupt(), "{kind}: acknowledged");
            while uart.try_write(b'y') {}
        }
        uart.set_interrupts(NOTHING);
        while line.send().is_some() {}
        assert!(!line.interrupt(), "{kind}: masked");
    });
}

#[test]
fn both_directions_at_once() {
    each(|kind, _, line, uart| {
        while uart.try_write(b'x') {}
        uart.set_interrupts(Interrupts { receive: true, transmit: true });
        while line.send().is_some() {}
        line.receive(7, None);
        line.pause();
        let mut seen = NOTHING;
        for _ in 0..3 {
            if !line.interrupt() {
                break;
            }
            let pending = uart.acknowledge();
            seen = Interrupts { receive: seen.receive | pending.receive, transmit: seen.transmit | pending.transmit };
            while uart.try_read().is_some() {}
        }
        assert_eq!(seen, Interrupts { receive: true, transmit: true }, "{kind}");
        assert!(!line.interrupt(), "{kind}");
    });
}

#[test]
fn text_and_bytes() {
    each(|kind, room, line, uart| {
        if room == 1 {
            return;
        }
        let mut io = Io(uart);
        std::fmt::Write::write_fmt(&mut io, format_args!("a\nb{}", 1)).expect("room");
        assert_eq!(std::iter::from_fn(|| line.send()).collect::<Vec<_>>(), b"a\r\nb1", "{kind}");
        assert_eq!((io.flush(), io.write(&[])), (Ok(()), Ok(0)));
        // A 16550 tells only that it is empty: of the room that it announced, the five bytes above are used up.
        let taken = io.write(&[b'z'; 100]).expect("room");
        assert!((FIFO - 5..=FIFO).contains(&taken), "{kind}: {taken}");
        assert_eq!(io.write_ready(), Ok(false));
        assert_eq!(io.write(b"z"), Err(Error::Stuck), "{kind}");
    });
}

#[test]
fn the_receive_timeout_that_sticks() {
    let model = Dw8250Model::new(WIDE, true);
    let mut uart = Dw8250::new(&model, WIDE);
    uart.init().expect("a good device");
    uart.set_interrupts(RECEIVE);
    model.stick_timeout();
    assert!(model.interrupt());
    assert_eq!(uart.acknowledge(), NOTHING);
    assert!(!model.interrupt(), "cleared by one read of the empty FIFO");
    model.receive(5, None);
    assert_eq!((uart.acknowledge(), uart.try_read(), uart.try_read()), (RECEIVE, good(5), None));
}

#[test]
fn busy_detect() {
    let model = Dw8250Model::new(WIDE, true);
    let mut uart = Dw8250::new(&model, WIDE);
    model.detect_busy();
    assert_eq!((uart.init(), model.interrupt()), (Ok(()), false));
    uart.set_interrupts(RECEIVE);
    model.detect_busy();
    assert!(model.interrupt());
    assert_eq!((uart.acknowledge(), model.interrupt()), (NOTHING, false));
}

#[test]
fn an_open_divisor_latch_is_refused() {
    let model = Dw8250Model::new(WIDE, true);
    model.open_divisor_latch();
    assert_eq!(AnyUart::dw8250(&model, WIDE).init(), Err(Error::DivisorLatchOpen));
}

#[test]
fn the_kind_is_chosen_at_run_time() {
    let (pl011, dw8250) = (Pl011Model::new(true, false), Dw8250Model::new(WIDE, true));
    let lines: [&dyn Line; 2] = [&pl011, &dw8250];
    let registers: [&dyn aios_mmio::Registers; 2] = [&pl011, &dw8250];
    let mut uarts = [AnyUart::pl011(registers[0]), AnyUart::dw8250(registers[1], WIDE)];
    for (line, uart) in lines.into_iter().zip(&mut uarts) {
        uart.init().expect("a good device");
        uart.set_interrupts(RECEIVE);
        line.receive(b'?', None);
        line.pause();
        assert_eq!((uart.acknowledge(), uart.try_read()), (RECEIVE, good(b'?')));
        assert_eq!((uart.tx_ready(), uart.try_write(b'!'), uart.is_idle(), line.send()), (true, true, false, Some(b'!')));
    }
}
