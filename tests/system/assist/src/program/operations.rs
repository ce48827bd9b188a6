//! The PQC server's part and its client's: operations that are answered, and operations that are not.

use core::arch::asm;

use aios_abi::limits::{PQC_OPERATIONS, PQC_PAYLOAD};
use aios_abi::rights::Rights;
use aios_assist::random::Random;
use aios_assist::status;
use aios_assist::work::operate;
use aios_proto::Capability as _;
use aios_rt::ipc::{self, Message, Received, Room};
use aios_rt::peer::Init;
use aios_rt::pqc::{self, Operation, Outcome as End, WORDS};
use aios_rt::slot::{Agent, Seed};
use aios_rt::time::{Deadline, Expiry, now};
use aios_rt::{Error, Result, cap};

use super::{BAD_ARGUMENT, Outcome, expect, trouble};

/// How long things may take that do come, ns.
const SOON_NS: u64 = 5_000_000_000;
/// Deadline of operations that nobody answers, and how late its passing may be noticed, ns.
const SHORT_NS: u64 = 50_000_000;
const LATE_NS: u64 = 2_000_000_000;
/// Between two looks for a server, ns.
const PAUSE_NS: u64 = 5_000_000;
/// Badge of the server's registration.
const BADGE: u64 = 0x5e41;

/// Registers as the PQC server and does, or doesn't do, so many operations (0: for ever).
pub fn serve(init: Init, how: &str, count: u64) -> Outcome {
    let seed = Seed(init.names().open_seed(Deadline::after(SOON_NS).0).map_err(trouble)?.handle());
    let service = cap::mint_service(Agent::OWN, BADGE, Rights::SEND, Expiry::NONE)?;
    pqc::register(service, seed)?;
    let mut wrong = 0;
    let mut done = 0;
    while count == 0 || done < count {
        let call = match ipc::receive(Room::none(), Deadline::NEVER)? {
            Received::Call(call) => call,
            _ => continue,
        };
        done += 1;
        wrong += expect(init, call.badge == BADGE, format_args!("an operation came with badge {:#x}", call.badge));
        match how {
            "answer" => {
                let length = call.body.len();
                let [words @ .., _] = call.body.words();
                let result: [u64; WORDS] = operate(words, length);
                let bytes = result.map(u64::to_le_bytes);
                match ipc::reply(call.id, &Message::bytes(&bytes.as_flattened()[..length])?, &[]) {
                    // Given up meanwhile.
                    Ok(()) | Err(Error::NoSuchMessage) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            // SAFETY: the instruction is undefined, and ends the program.
            "die" => unsafe { asm!("udf #0") },
            "never" => {}
            _ => return Err(BAD_ARGUMENT),
        }
    }
    Ok(wrong)
}

/// Has operations done. `how` says what kind of server there is.
pub fn ask(init: Init, how: &str, rounds: u64) -> Outcome {
    let rounds = rounds.max(1);
    match how {
        "answer" => answered(init, rounds),
        "died" => died(init),
        "timeout" => (0..rounds).try_fold(0, |wrong, _| Ok(wrong + unanswered(init)?)),
        "none" => Ok(nobody(init)),
        _ => Err(BAD_ARGUMENT),
    }
}

/// Starts an operation as soon as there is a server.
fn start(payload: &[u8], deadline: Deadline, bits: u64) -> Result<Operation> {
    let until = now() + SOON_NS;
    loop {
        match pqc::start(payload, None, deadline, bits) {
            Err(Error::NoServer | Error::QueueFull) if now() < until => {
                // Nothing is notified: this only lets time pass.
                let _ = ipc::wait(Deadline::after(PAUSE_NS));
            }
            other => return other,
        }
    }
}

/// The end of an operation, which raises a bit.
fn end(operation: Operation) -> Result<End> {
    let until = Deadline::after(SOON_NS);
    loop {
        match pqc::poll(operation)? {
            Some(outcome) => return Ok(outcome),
            // A bit may be left over from an operation that had ended when it was looked at; without one, there is nothing more to come.
            None => drop(ipc::wait(until)?),
        }
    }
}

/// Every operation is answered, as many at a time as may be open, each with its own answer.
fn answered(init: Init, rounds: u64) -> Outcome {
    let mut random = Random::new(now());
    let mut wrong = 0;
    for round in 0..rounds {
        let mut open = [None; PQC_OPERATIONS];
        for (place, open) in open.iter_mut().enumerate() {
            let words: [u64; WORDS] = core::array::from_fn(|_| random.word());
            let length = random.below(PQC_PAYLOAD as u64 + 1) as usize;
            let bytes = words.map(u64::to_le_bytes);
            let operation = start(&bytes.as_flattened()[..length], Deadline::after(SOON_NS), 1 << place)?;
            *open = Some((operation, words, length));
        }
        let more = pqc::start(&[], None, Deadline::after(SOON_NS), 0);
        wrong += expect(init, more == Err(Error::LimitReached), format_args!("one operation too many: {more:?}"));
        for (place, (operation, words, length)) in open.into_iter().flatten().enumerate() {
            if round % 8 == 7 && place == 0 {
                pqc::cancel(operation)?;
                wrong += gone(init, operation);
                continue;
            }
            let outcome = end(operation);
            let right = outcome == Ok(End { words: operate(words, length), length });
            wrong +=
                expect(init, right, format_args!("operation {place} of round {round}: {outcome:x?}, then {:x?}", pqc::poll(operation)));
            if right {
                wrong += gone(init, operation);
            }
        }
    }
    Ok(wrong)
}

/// A handle whose operation is over names nothing.
fn gone(init: Init, operation: Operation) -> u64 {
    let results = [pqc::poll(operation).map(|_| ()), pqc::cancel(operation)];
    expect(init, results == [Err(Error::NoSuchOperation); 2], format_args!("an operation that is over: {results:?}"))
}

/// An operation whose server dies ends with that, long before its deadline, and then there is no server.
fn died(init: Init) -> Outcome {
    let operation = start(b"die", Deadline::after(SOON_NS), 1)?;
    let began = now();
    let result = end(operation).map(|_| ());
    let took = now() - began;
    let right = result == Err(Error::PeerDied) && took < SOON_NS;
    let wrong = expect(init, right, format_args!("the server died, and the operation ended after {took} ns with {result:?}"));
    Ok(wrong + gone(init, operation) + nobody(init))
}

/// An operation that is not answered ends with its deadline; one that is given up ends at once.
fn unanswered(init: Init) -> Outcome {
    let operation = start(b"wait", Deadline::after(SOON_NS), 0)?;
    pqc::cancel(operation)?;
    let mut wrong = gone(init, operation);
    let until = now() + SHORT_NS;
    let operation = start(b"wait", Deadline(until), 1)?;
    let early = pqc::poll(operation);
    wrong += expect(init, early == Ok(None) || now() >= until, format_args!("an operation ended early: {early:?}"));
    let result = end(operation).map(|_| ());
    let at = now();
    let right = result == Err(Error::Timeout) && (until..until + LATE_NS).contains(&at);
    wrong += expect(init, right, format_args!("an operation due at {until} ended at {at} with {result:?}"));
    wrong += gone(init, operation);
    let late = pqc::start(b"late", None, Deadline(1), 0);
    Ok(wrong + expect(init, late == Err(Error::Timeout), format_args!("an operation that is due already: {late:?}")))
}

/// Without a server, nothing is begun.
fn nobody(init: Init) -> u64 {
    let result = pqc::start(b"nobody", None, Deadline::after(SOON_NS), 0);
    match result {
        Err(Error::NoServer) => status::PASSED,
        other => expect(init, false, format_args!("without a server: {other:?}")),
    }
}
