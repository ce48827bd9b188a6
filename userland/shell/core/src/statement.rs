//! What a command line asks for, in types that the shell's binary can act on without looking at a word again.

use alloc::string::String;
use alloc::vec::Vec;

use aios_logd_core::Level;

use crate::command::{Command, Value};
use crate::parser::{Arguments, text};
use crate::value::{AgentRef, ObjectRef, SlotRef};

/// Time between two pictures of `top` if none is given, ns.
pub const TOP_EVERY_NS: u64 = 1_000_000_000;
/// Events that `trace` records at most: a frame of the largest size.
pub const TRACE_EVENTS: u64 = aios_abi::trace::capacity(aios_abi::limits::FRAME_PAGES * aios_abi::limits::PAGE_SIZE as u64);
/// Time for which `trace` records at most if none is given, ns.
pub const TRACE_NS: u64 = 2_000_000_000;
/// Records that `log` shows if no number is given.
pub const LOG_LINES: u64 = 20;

/// One command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is an argument of the command, explained in the table of commands")]
pub enum Statement {
    /// `help`; the session answers it itself.
    Help { command: Option<&'static Command> },
    /// `ps`
    Ps { json: bool },
    /// `top`; no `count` = until interrupted.
    Top { every_ns: u64, count: Option<u64> },
    /// `caps`; no agent = the shell itself.
    Caps { agent: Option<AgentRef>, json: bool },
    /// `who-can`
    WhoCan { object: ObjectRef, json: bool },
    /// `mem`
    Mem { json: bool },
    /// `sched`
    Sched { json: bool },
    /// `irq`
    Irq { json: bool },
    /// `log`
    Log { follow: bool, lines: u64, level: Level, agent: Option<AgentRef> },
    /// `spawn`; no core = the shell's.
    Spawn { program: String, arguments: Vec<String>, core: Option<u64>, wait: bool },
    /// `kill`
    Kill { agents: Vec<AgentRef> },
    /// `suspend`
    Suspend { agent: AgentRef },
    /// `resume`
    Resume { agent: AgentRef },
    /// `migrate`
    Migrate { agent: AgentRef, core: u64 },
    /// `restart`
    Restart { server: String },
    /// `stop`
    Stop { server: String },
    /// `start`
    Start { server: String },
    /// `services`
    Services { json: bool },
    /// `revoke`
    Revoke { agent: AgentRef, slot: SlotRef },
    /// `trace`
    Trace { core: u64, events: u64, time_ns: u64 },
    /// `uptime`
    Uptime { json: bool, boot: bool },
    /// `selftest`; no test = all.
    SelfTest { tests: Vec<String> },
    /// `shutdown`
    Shutdown,
    /// `reboot`
    Reboot,
    /// `clear`; the session answers it itself.
    Clear,
    /// `echo`; the session answers it itself.
    Echo { words: Vec<String> },
}

impl Statement {
    /// The statement for a command whose arguments were checked by the table. `None` only if the table has a command
    /// or an argument that this function does not know; a test walks the table.
    pub(crate) fn build(command: &'static Command, mut arguments: Arguments) -> Option<Statement> {
        let a = &mut arguments;
        let json = a.has("json");
        Some(match command.name {
            "help" => Statement::Help {
                command: match a.take("command") {
                    Some(Value::Command(command)) => Some(command),
                    _ => None,
                },
            },
            "ps" => Statement::Ps { json },
            "top" => Statement::Top { every_ns: number(a, "every").unwrap_or(TOP_EVERY_NS), count: number(a, "count") },
            "caps" => Statement::Caps { agent: agent(a), json },
            "who-can" => match a.take("object") {
                Some(Value::Object(object)) => Statement::WhoCan { object, json },
                _ => return None,
            },
            "mem" => Statement::Mem { json },
            "sched" => Statement::Sched { json },
            "irq" => Statement::Irq { json },
            "log" => Statement::Log {
                follow: a.has("follow"),
                lines: number(a, "lines").unwrap_or(LOG_LINES),
                level: match a.take("level") {
                    Some(Value::Level(level)) => level,
                    _ => Level::Info,
                },
                agent: agent(a),
            },
            "spawn" => Statement::Spawn {
                program: text(a.take("program")?)?,
                arguments: texts(a, "argument"),
                core: number(a, "core"),
                wait: a.has("wait"),
            },
            "kill" => Statement::Kill {
                agents: a
                    .take_all("agent")
                    .into_iter()
                    .filter_map(|value| match value {
                        Value::Agent(agent) => Some(agent),
                        _ => None,
                    })
                    .collect(),
            },
            "suspend" => Statement::Suspend { agent: agent(a)? },
            "resume" => Statement::Resume { agent: agent(a)? },
            "migrate" => match a.take("core") {
                Some(Value::Number(core)) => Statement::Migrate { agent: agent(a)?, core },
                _ => return None,
            },
            "restart" => Statement::Restart { server: text(a.take("server")?)? },
            "stop" => Statement::Stop { server: text(a.take("server")?)? },
            "start" => Statement::Start { server: text(a.take("server")?)? },
            "services" => Statement::Services { json },
            "revoke" => match a.take("slot") {
                Some(Value::Slot(slot)) => Statement::Revoke { agent: agent(a)?, slot },
                _ => return None,
            },
            "trace" => Statement::Trace {
                core: number(a, "core").unwrap_or(0),
                events: number(a, "events").unwrap_or(TRACE_EVENTS),
                time_ns: number(a, "time").unwrap_or(TRACE_NS),
            },
            "uptime" => Statement::Uptime { json, boot: a.has("boot") },
            "selftest" => Statement::SelfTest { tests: texts(a, "test") },
            "shutdown" => Statement::Shutdown,
            "reboot" => Statement::Reboot,
            "clear" => Statement::Clear,
            "echo" => Statement::Echo { words: texts(a, "text") },
            _ => return None,
        })
    }
}

fn agent(arguments: &mut Arguments) -> Option<AgentRef> {
    match arguments.take("agent")? {
        Value::Agent(agent) => Some(agent),
        _ => None,
    }
}

fn number(arguments: &Arguments, flag: &str) -> Option<u64> {
    match arguments.value(flag)? {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn texts(arguments: &mut Arguments, name: &str) -> Vec<String> {
    arguments.take_all(name).into_iter().filter_map(text).collect()
}
