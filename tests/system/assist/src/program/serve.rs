//! A server that goes wrong when it is asked to, and the client that asks.

use core::arch::asm;

use aios_assist::status;
use aios_assist::work::{DIE, ECHO, HANG, LOOP, answer};
use aios_rt::ipc::{self, Incoming, Message, Received, Room};
use aios_rt::peer::Init;
use aios_rt::service::HEARTBEAT_NS;
use aios_rt::slot::Service;
use aios_rt::time::{Deadline, now};
use aios_rt::{Error, Result, agent, cap, info};

use super::{BAD_ARGUMENT, Outcome, Trouble, expect, resolve, trouble};

/// The notification bit by which the supervisor asks for an end.
const STOP: u64 = 1;
/// How long a call may take where nothing goes wrong, ns.
const ANSWER_NS: u64 = 5_000_000_000;
/// The deadline of calls that get no answer, and how late its end may be noticed, ns.
const HANG_NS: u64 = 100_000_000;
const LATE_NS: u64 = 2_000_000_000;
/// Between two tries to reach a server that is down, ns.
const PAUSE_NS: u64 = 5_000_000;

/// Answers until it is told to stop.
pub fn serve(init: Init) -> Outcome {
    init.promise(STOP, HEARTBEAT_NS).map_err(trouble)?;
    let mut due = Deadline::after(HEARTBEAT_NS);
    loop {
        if now() >= due.0 {
            // A supervisor that has no room for it hears the next one.
            let _ = init.heartbeat();
            due = Deadline::after(HEARTBEAT_NS);
        }
        match ipc::receive(Room::none(), due) {
            Ok(Received::Call(call)) => obey(&call)?,
            Ok(Received::Notification(bits)) if bits & STOP != 0 => {
                init.stopped().map_err(trouble)?;
                return Ok(status::PASSED);
            }
            // What others may send is theirs to know.
            Ok(_) | Err(Error::MessageTooLong | Error::CapsRefused | Error::Timeout) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn obey(call: &Incoming<'_>) -> Result<()> {
    let [what, word, ..] = call.body.words();
    match what {
        // SAFETY: the instruction is undefined, and ends the program.
        DIE => unsafe { asm!("udf #0") },
        HANG => return Ok(()),
        LOOP => loop {
            core::hint::spin_loop();
        },
        _ => {}
    }
    match ipc::reply(call.id, &Message::words([answer(word), info::incarnation()]), &[]) {
        // The caller waits no more.
        Err(Error::NoSuchMessage) => Ok(()),
        other => other,
    }
}

/// Calls such a server.
pub fn poke(init: Init, name: &str, what: &str, count: u64) -> Outcome {
    let mut client = Client { init, service: resolve(init, name)?, name, asked: now() };
    match what {
        "echo" => client.echo(count),
        "die" => client.die(DIE, ANSWER_NS),
        // Until the supervisor misses its heartbeats.
        "loop" => client.die(LOOP, 10 * HEARTBEAT_NS),
        "hang" => client.hang(),
        "endure" => client.endure(count),
        _ => Err(BAD_ARGUMENT),
    }
}

struct Client<'a> {
    init: Init,
    service: Service,
    name: &'a str,
    /// The last word that was sent.
    asked: u64,
}

impl Client<'_> {
    /// Whether a call is answered as it should be; an error if it is not answered.
    fn ask(&mut self, deadline: Deadline) -> Result<bool> {
        self.asked = self.asked.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let reply = ipc::call(self.service, &Message::words([ECHO, self.asked]), Room::none(), deadline)?;
        Ok(reply.body.words()[0] == answer(self.asked))
    }

    /// Every call is answered, and rightly.
    fn echo(&mut self, count: u64) -> Outcome {
        let mut wrong = 0;
        for _ in 0..count.max(1) {
            wrong += u64::from(!self.ask(Deadline::after(ANSWER_NS))?);
        }
        Ok(wrong)
    }

    /// A call that ends the server ends with an error, and the server is back later.
    fn die(&mut self, what: u64, limit_ns: u64) -> Outcome {
        let began = now();
        let result = ipc::call(self.service, &Message::words([what, 0]), Room::none(), Deadline::after(limit_ns)).map(|_| ());
        let took = now() - began;
        let told = matches!(result, Err(Error::PeerRestarted | Error::PeerDied));
        let wrong = expect(self.init, told, format_args!("a call to a server that died ended with {result:?} after {took} ns"));
        self.find_again()?;
        Ok(wrong + self.echo(1)?)
    }

    /// A call that is never answered ends with its deadline.
    fn hang(&mut self) -> Outcome {
        let until = now() + HANG_NS;
        let result = ipc::call(self.service, &Message::words([HANG, 0]), Room::none(), Deadline(until)).map(|_| ());
        let ended = now();
        let right = result == Err(Error::Timeout) && (until..until + LATE_NS).contains(&ended);
        Ok(expect(self.init, right, format_args!("a call due at {until} ended at {ended} with {result:?}")) + self.echo(1)?)
    }

    /// For so many ms, calls are answered or end with an error; at the end the server answers.
    fn endure(&mut self, ms: u64) -> Outcome {
        let end = now() + ms * 1_000_000;
        let mut wrong = 0;
        while now() < end {
            let until = now() + ANSWER_NS;
            match self.ask(Deadline(until)) {
                Ok(right) => wrong += expect(self.init, right, format_args!("a wrong answer")),
                Err(Error::PeerRestarted | Error::PeerDied) => self.find_again()?,
                Err(error) => wrong += expect(self.init, false, format_args!("a call ended with `{error}`")),
            }
            let late = now().saturating_sub(until);
            wrong += expect(self.init, late < LATE_NS, format_args!("a call ended {late} ns after its deadline"));
            agent::yield_now();
        }
        Ok(wrong + self.echo(1)?)
    }

    /// Waits until a server answers again, which may be another agent than before.
    fn find_again(&mut self) -> core::result::Result<(), Trouble> {
        let until = now() + ANSWER_NS;
        loop {
            match self.ask(Deadline(until)) {
                Ok(_) => return Ok(()),
                Err(_) if now() < until => {}
                Err(error) => return Err(error.into()),
            }
            // Nothing is notified: this only lets time pass.
            let _ = ipc::wait(Deadline::after(PAUSE_NS));
            // As long as there is no such server, the old way is as good as any.
            if let Ok(service) = self.init.resolve(self.name) {
                // A slot that is empty already is as good.
                let _ = cap::drop(self.service);
                self.service = service;
            }
        }
    }
}
