//! From the words that the program is started with to what it does.

use core::fmt::{Arguments as Line, Write};

use aios_assist::arguments::Arguments;
use aios_assist::{End, Test, status};
use aios_proto::log::{Client, Message, Target};
use aios_proto::types::Level;
use aios_proto::{Error as CallError, ServiceError};
use aios_rt::Error;
use aios_rt::panic::Text;
use aios_rt::peer::Init;
use aios_rt::service::Remote;
use aios_rt::slot::Service;

mod faults;
mod load;
mod operations;
mod registers;
mod serve;
mod time;

/// How a test that checks something comes to its status.
type Outcome = Result<u64, Trouble>;

/// A test that could not be set up: the code of the error that kept it from that, or 0.
struct Trouble(u16);

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self(error.code())
    }
}

/// An argument is missing or wrong.
const BAD_ARGUMENT: Trouble = Trouble(0);

/// Runs the test that the words ask for.
pub fn run(start: [u64; 4]) -> u64 {
    let init = Init::from_start(start);
    let Some((test, arguments)) = Arguments::parse(text(start)).and_then(|arguments| Some((arguments.test()?, arguments))) else {
        say(init, format_args!("no such test: {}", text(start)));
        return status::UNKNOWN;
    };
    let result = perform(test, &arguments, init).unwrap_or_else(|Trouble(code)| status::SETUP | u64::from(code));
    if !matches!((test.end, result), (End::Given, _) | (_, status::PASSED)) {
        say(init, format_args!("{} failed, status {result:#x}", test.name));
    }
    result
}

/// The words that the program was started with.
fn text([.., address, length]: [u64; 4]) -> &'static str {
    if address == 0 {
        return "";
    }
    let words = core::ptr::with_exposed_provenance(address as usize);
    // SAFETY: the supervisor has put so many bytes there, above the stack, where nothing else writes.
    let bytes = unsafe { core::slice::from_raw_parts(words, length as usize) };
    core::str::from_utf8(bytes).unwrap_or_default()
}

fn perform(test: &Test, arguments: &Arguments<'_>, init: Init) -> Outcome {
    let number = |place| arguments.number(place).ok_or(BAD_ARGUMENT);
    Ok(match test.name {
        "exit" => number(0)?,
        "panic" => panic!("as asked, with {}", arguments.word(0)),
        "spin" => load::spin(),
        "flood" => load::flood(init, arguments.word(0))?,
        "eat-memory" => load::eat_memory()?,
        "canary" => registers::canary(init, number(0)?),
        "leak-registers" => registers::leaks(init),
        "bad-syscalls" => registers::hostile(init, number(0)?, number(1)?)?,
        "edf" => time::deadlines(number(0)?, number(1)?, number(2)?)?,
        "info-page" => time::info_page()?,
        "serve" => serve::serve(init)?,
        "poke" => serve::poke(init, arguments.word(0), arguments.word(1), number(2)?)?,
        "pqc-serve" => operations::serve(init, arguments.word(0), number(1)?)?,
        "pqc-ask" => operations::ask(init, arguments.word(0), number(1)?)?,
        "log" => log(init, number(0)?)?,
        name => faults::provoke(name),
    })
}

/// Logs a number at every level, as frames that are decoded on the host.
fn log(init: Init, number: u64) -> Outcome {
    aios_rt::log::connect(init, "assist").map_err(trouble)?;
    defmt::trace!("trace of {=u64}", number);
    defmt::debug!("debug of {=u64}", number);
    defmt::info!("info of {=u64}", number);
    defmt::warn!("warning of {=u64:#x}", number);
    defmt::error!("error of {=u64}, {=str}", number, "as asked");
    Ok(status::PASSED)
}

/// A capability to the service of this name.
fn resolve(init: Init, name: &str) -> Result<Service, Trouble> {
    init.resolve(name).map_err(trouble)
}

/// What a service answered, as a test's trouble.
fn trouble<E: ServiceError>(error: CallError<E>) -> Trouble {
    Trouble(match error {
        CallError::Service(error) => error.code(),
        CallError::PeerDied => Error::PeerDied.code(),
        CallError::PeerRestarted => Error::PeerRestarted.code(),
        CallError::Timeout => Error::Timeout.code(),
        CallError::Refused(code) => code,
        CallError::BadReply | CallError::TooLong => u16::MAX,
    })
}

/// The way to the log, if the program may write to it.
struct Log(Option<Service>);

impl Log {
    /// Asks for it now: a program that does harm to itself may not be able to later.
    fn open(init: Init) -> Self {
        Self(init.resolve("/svc/log").ok())
    }

    /// Writes a line.
    fn say(&self, line: Line<'_>) {
        let Some(log) = self.0 else { return };
        let mut text = Text::new();
        // A line that is cut still says what matters.
        let _ = text.write_fmt(line);
        // The exit status says it, too.
        let _ = Client::new(Remote(log)).write(Level::Warn, Target::truncated("assist"), Message::truncated(text.as_bytes()));
    }
}

/// Writes a line to the log.
fn say(init: Init, line: Line<'_>) {
    Log::open(init).say(line);
}

/// Says something unless it is so; answers what to add to the count of what is wrong.
fn expect(init: Init, so: bool, otherwise: Line<'_>) -> u64 {
    if !so {
        say(init, otherwise);
    }
    u64::from(!so)
}
