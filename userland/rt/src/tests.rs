//! Every wrapper against the fake kernel, which checks that the registers are as the ABI has them.

use std::boxed::Box;
use std::cell::RefCell;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use aios_abi::{Call, Error, SlotHandle};

use crate::slot::Service;
use crate::sys::{Regs, fake};

mod calls;
#[cfg(feature = "heap")]
mod heap;
mod ipc;
mod panic;
#[cfg(feature = "service")]
mod peer;
#[cfg(feature = "service")]
mod service;
mod strict;

/// A slot for tests.
const SLOT: SlotHandle = SlotHandle::new(5, 2);
const WORD: u64 = SLOT.0 as u64;
const SERVICE: Service = Service(SLOT);

/// What was called, in order.
type Log = Rc<RefCell<Vec<(Call, Regs)>>>;

/// A kernel that answers every call with these registers.
fn answering(answer: Regs) -> (fake::Installed, Log) {
    let log = Log::default();
    let calls = log.clone();
    let kernel = fake::install(move |call, regs| {
        calls.borrow_mut().push((call, *regs));
        *regs = answer;
        Ok(())
    });
    (kernel, log)
}

/// The one call that `work` makes, and what it returned.
fn observe<R>(answer: Regs, work: impl FnOnce() -> R) -> ((Call, Regs), R) {
    let (_kernel, log) = answering(answer);
    let result = work();
    let calls = log.borrow();
    assert_eq!(calls.len(), 1, "{calls:x?}");
    (calls[0], result)
}

/// The text of a panic.
fn panic_text(work: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload: Box<dyn std::any::Any + Send> = catch_unwind(work).expect_err("a panic");
    match payload.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => String::from(*payload.downcast_ref::<&str>().expect("a text")),
    }
}

#[test]
fn a_failed_call_changes_nothing_and_says_why() {
    for &error in Error::ALL {
        let _kernel = fake::install(move |_, regs| {
            regs.x = [u64::MAX; 8];
            Err(error)
        });
        let mut regs = Regs::at(WORD);
        assert_eq!(crate::sys::syscall(Call::CapDrop, &mut regs), Err(error));
        assert_eq!(regs, Regs::at(WORD));
    }
    assert_eq!(crate::sys::result(0), Ok(()));
    for unknown in [39, 256, 0x1_0001, u64::MAX] {
        assert_eq!(crate::sys::result(unknown), Err(Error::WrongVersion));
    }
}

#[test]
fn the_information_page_is_read_by_word() {
    use aios_abi::info::{Clock, Info, features};
    let _kernel = fake::install(|_, _| Ok(()));
    fake::set_info(Info {
        agent: 0x3_0000_0004,
        incarnation: 9,
        features: features::LSE,
        clock: Clock::new(1, 24_000_000),
        ..Info::default()
    });
    assert_eq!((crate::info::agent().slot(), crate::info::agent().generation()), (3, 4));
    assert_eq!(crate::info::incarnation(), 9);
    assert!(crate::info::has(features::LSE) && !crate::info::has(features::LSE | features::AES));
    assert_eq!(crate::info::clock(), Clock::new(1, 24_000_000));
}
