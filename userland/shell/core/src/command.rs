//! The commands: one table that parser, completion and help all read.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use aios_logd_core::Level;

use crate::value::{AgentRef, ObjectRef, SlotRef, duration_ns, level_names, number};

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// What is typed.
    pub name: &'static str,
    /// One line of help.
    pub summary: &'static str,
    /// More help, in lines.
    pub details: &'static [&'static str],
    /// Arguments in order. Optional ones come after all others and may be skipped.
    pub arguments: &'static [Argument],
    /// Flags.
    pub flags: &'static [Flag],
}

/// An argument of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name in usage lines.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// How many of it.
    pub count: Count,
    /// One line of help.
    pub help: &'static str,
}

/// How many words an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Exactly one.
    One,
    /// None or one.
    Optional,
    /// One or more. Only as the last argument.
    Some,
    /// Any number, taken as they are, flags of other commands included. Only as the last argument.
    Rest,
}

/// A flag of a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Flag {
    /// `--long`.
    pub long: &'static str,
    /// `-s`.
    pub short: Option<char>,
    /// The name and kind of its value, if it takes one.
    pub value: Option<(&'static str, Kind)>,
    /// One line of help.
    pub help: &'static str,
}

/// What a word may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An agent.
    Agent,
    /// A server of the boot manifest, by name.
    Server,
    /// A program of the boot manifest, by name.
    Program,
    /// A command of this table.
    Command,
    /// A log level.
    Level,
    /// A core's number.
    Core,
    /// A number.
    Number,
    /// A time.
    Duration,
    /// A capability slot.
    Slot,
    /// An object of capabilities.
    Object,
    /// Anything.
    Text,
}

/// A word that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An agent.
    Agent(AgentRef),
    /// A command.
    Command(&'static Command),
    /// A log level.
    Level(Level),
    /// A number, or a time in ns.
    Number(u64),
    /// A slot.
    Slot(SlotRef),
    /// An object.
    Object(ObjectRef),
    /// A name or any text.
    Text(String),
}

impl Kind {
    /// Understands a word, or not.
    pub fn parse(self, word: &str) -> Option<Value> {
        match self {
            Kind::Agent => AgentRef::parse(word).map(Value::Agent),
            Kind::Server | Kind::Program => {
                let name =
                    word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                name.then(|| Value::Text(word.into()))
            }
            Kind::Command => find(word).map(Value::Command),
            Kind::Level => Level::from_name(word).map(Value::Level),
            Kind::Core => number(word).filter(|&core| core < 1 << 16).map(Value::Number),
            Kind::Number => number(word).map(Value::Number),
            Kind::Duration => duration_ns(word).map(Value::Number),
            Kind::Slot => SlotRef::parse(word).map(Value::Slot),
            Kind::Object => ObjectRef::parse(word).map(Value::Object),
            Kind::Text => Some(Value::Text(word.into())),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Agent => "an agent: a name, `3`, or `3.1`",
            Kind::Server => "a server's name",
            Kind::Program => "a program's name",
            Kind::Command => "a command",
            Kind::Level => {
                f.write_str("one of ")?;
                return f.write_str(&level_names().collect::<Vec<_>>().join(", "));
            }
            Kind::Core => "a core's number",
            Kind::Number => "a number, decimal or with 0x",
            Kind::Duration => "a time, such as 500ms, 2s or 1m",
            Kind::Slot => "a slot, `5` or `5.2`",
            Kind::Object => ObjectRef::FORMS,
            Kind::Text => "any text",
        })
    }
}

/// The command with this name.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

const JSON: Flag = Flag { long: "json", short: None, value: None, help: "print JSON instead of a table" };

const fn agent(help: &'static str) -> Argument {
    Argument { name: "agent", kind: Kind::Agent, count: Count::One, help }
}

const fn plain(name: &'static str, summary: &'static str, details: &'static [&'static str]) -> Command {
    Command { name, summary, details, arguments: &[], flags: &[] }
}

const fn report(name: &'static str, summary: &'static str, details: &'static [&'static str]) -> Command {
    Command { name, summary, details, arguments: &[], flags: &[JSON] }
}

/// Every command, in the order in which help lists them.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "help",
        summary: "list the commands, or explain one",
        details: &[],
        arguments: &[Argument { name: "command", kind: Kind::Command, count: Count::Optional, help: "the command to explain" }],
        flags: &[],
    },
    report(
        "ps",
        "list the agents",
        &[
            "Each agent with its id, state, core, scheduling class, processor time and its share since boot,",
            "memory used and granted, messages received, and restarts. The last lines balance the books:",
            "time of agents, kernel and idle against cores times uptime. `~logd` is a program's child that calls itself",
            "like a server and is none: in commands, the name of a server always means the server.",
        ],
    ),
    Command {
        name: "top",
        summary: "show the busiest agents, again and again",
        details: &["Shares are of the time between two pictures. Ctrl-C ends it."],
        arguments: &[],
        flags: &[
            Flag { long: "every", short: Some('d'), value: Some(("time", Kind::Duration)), help: "time between pictures (1s)" },
            Flag { long: "count", short: Some('n'), value: Some(("number", Kind::Number)), help: "pictures, then stop (until Ctrl-C)" },
        ],
    },
    Command {
        name: "caps",
        summary: "list the capabilities that an agent holds",
        details: &["Each slot with its object, rights, expiry, and the capability that it was derived from."],
        arguments: &[Argument { name: "agent", kind: Kind::Agent, count: Count::Optional, help: "whose; this shell's if not given" }],
        flags: &[JSON],
    },
    Command {
        name: "who-can",
        summary: "list who holds a capability to an object",
        details: &["Asks the live capability graph. For an agent: control of it, its services and its pool."],
        arguments: &[Argument { name: "object", kind: Kind::Object, count: Count::One, help: ObjectRef::FORMS }],
        flags: &[JSON],
    },
    report("mem", "show where the memory is", &["The rows sum to the machine's RAM."]),
    report("sched", "show the cores and their schedulers", &[]),
    report("irq", "list the interrupt lines in use", &[]),
    Command {
        name: "log",
        summary: "show the log",
        details: &["The least urgent level may be given, and an agent: `log warn`, `log logd`, `log -f debug 3`."],
        arguments: &[
            Argument {
                name: "level",
                kind: Kind::Level,
                count: Count::Optional,
                help: "least urgent level: error, warn, info (if not given), debug, trace",
            },
            Argument { name: "agent", kind: Kind::Agent, count: Count::Optional, help: "only this agent's records" },
        ],
        flags: &[
            Flag { long: "follow", short: Some('f'), value: None, help: "go on with what comes, until Ctrl-C" },
            Flag { long: "lines", short: Some('n'), value: Some(("number", Kind::Number)), help: "how many of the last records (20)" },
        ],
    },
    Command {
        name: "spawn",
        summary: "start a program",
        details: &[
            "The program runs with the capabilities that its entry in the boot manifest lists. What stands behind its name is its own; a word",
            "there that looks like a flag of `spawn` takes a `--` before it.",
        ],
        arguments: &[
            Argument { name: "program", kind: Kind::Program, count: Count::One, help: "program of the boot manifest" },
            Argument { name: "argument", kind: Kind::Text, count: Count::Rest, help: "handed to the program" },
        ],
        flags: &[
            Flag {
                long: "core",
                short: None,
                value: Some(("number", Kind::Core)),
                help: "where it runs, from its first instruction on (0)",
            },
            Flag { long: "wait", short: Some('w'), value: None, help: "wait for its end, and fail unless that is an exit with status 0" },
        ],
    },
    Command {
        name: "kill",
        summary: "end agents and all that they spawned",
        details: &["A server of the boot manifest comes back by its restart policy."],
        arguments: &[Argument { name: "agent", kind: Kind::Agent, count: Count::Some, help: "whom" }],
        flags: &[],
    },
    Command {
        name: "suspend",
        summary: "halt an agent until it is resumed",
        details: &["Init, this shell and its console can't be suspended: nobody could resume them."],
        arguments: &[agent("whom")],
        flags: &[],
    },
    Command { name: "resume", summary: "let a suspended agent go on", details: &[], arguments: &[agent("whom")], flags: &[] },
    Command {
        name: "migrate",
        summary: "move an agent to another core",
        details: &[
            "Not while others wait for it or it waits for them, and not one that has an interrupt line or a reservation (EDF): these stay.",
        ],
        arguments: &[agent("whom"), Argument { name: "core", kind: Kind::Core, count: Count::One, help: "where to" }],
        flags: &[],
    },
    Command {
        name: "restart",
        summary: "restart a server now and close its circuit breaker",
        details: &["It is killed and started again at once. Its clients' open calls end with an error."],
        arguments: &[Argument { name: "server", kind: Kind::Server, count: Count::One, help: "server of the boot manifest" }],
        flags: &[],
    },
    Command {
        name: "stop",
        summary: "stop a server until it is started",
        details: &["It is asked to stop in good order, then killed. Who calls it meanwhile gets an error. `services` shows it as stopped."],
        arguments: &[Argument { name: "server", kind: Kind::Server, count: Count::One, help: "server of the boot manifest" }],
        flags: &[],
    },
    Command {
        name: "start",
        summary: "start a server that is down",
        details: &["Whatever the reason: stopped, in backoff, or given up; its circuit breaker closes. A server that runs goes on."],
        arguments: &[Argument { name: "server", kind: Kind::Server, count: Count::One, help: "server of the boot manifest" }],
        flags: &[],
    },
    report(
        "services",
        "list the servers and their supervision",
        &["State, restarts, deaths within the window, circuit breaker, and what ended the server last."],
    ),
    Command {
        name: "revoke",
        summary: "take a capability away from an agent",
        details: &["All capabilities derived from it go too, on every core, at once."],
        arguments: &[agent("whose"), Argument { name: "slot", kind: Kind::Slot, count: Count::One, help: "which, as `caps` shows it" }],
        flags: &[],
    },
    Command {
        name: "trace",
        summary: "record what a core's scheduler does, and print it",
        details: &[
            "Every operation with its outcome, until there are as many or the time is over. Stored in a file, the output",
            "is checked by `cargo xtask replay FILE`: the same operations must have the same outcome on another machine.",
        ],
        arguments: &[],
        flags: &[
            Flag { long: "core", short: Some('c'), value: Some(("number", Kind::Core)), help: "whose scheduler (0)" },
            Flag { long: "events", short: Some('n'), value: Some(("number", Kind::Number)), help: "how many events, at most 4094 (4094)" },
            Flag { long: "time", short: Some('t'), value: Some(("time", Kind::Duration)), help: "how long at most (2s)" },
        ],
    },
    Command {
        name: "uptime",
        summary: "show how long the system has been up",
        details: &[],
        arguments: &[],
        flags: &[JSON, Flag { long: "boot", short: None, value: None, help: "show when the first prompt was reached, from the reset on" }],
    },
    Command {
        name: "selftest",
        summary: "check the running system",
        details: &["Runs every test, or those named. Ends with status 1 if one fails."],
        arguments: &[Argument { name: "test", kind: Kind::Text, count: Count::Rest, help: "which tests" }],
        flags: &[],
    },
    plain("shutdown", "stop all servers in order and power off", &[]),
    plain("reboot", "stop all servers in order and reset the machine", &[]),
    plain("clear", "clear the screen", &[]),
    Command {
        name: "echo",
        summary: "print its arguments",
        details: &[],
        arguments: &[Argument { name: "text", kind: Kind::Text, count: Count::Rest, help: "what to print" }],
        flags: &[],
    },
];
