//! Lines to statements; messages; completion; help.

mod support;

use aios_abi::AgentId;
use aios_logd_core::Level;
use aios_shell_core::command::{COMMANDS, Count, Kind};
use aios_shell_core::complete::{Names, NoNames, complete};
use aios_shell_core::value::{AgentRef, ObjectRef, SlotRef};
use aios_shell_core::{Joiner, Statement, help, parse};
use support::rng;

fn one(line: &str) -> Statement {
    let mut script = parse(line).unwrap_or_else(|error| panic!("{}", error.render(line)));
    assert_eq!(script.len(), 1, "{line}");
    script.remove(0).1
}

fn refused(line: &str) -> String {
    match parse(line) {
        Ok(script) => panic!("`{line}` is taken as {script:?}"),
        Err(error) => error.render(line),
    }
}

fn name(name: &str) -> AgentRef {
    AgentRef::Name(name.into())
}

#[test]
fn statements_are_understood() {
    let shell = || name("shell");
    for (line, statement) in [
        ("ps", Statement::Ps { json: false }),
        ("  ps   --json ", Statement::Ps { json: true }),
        ("top -n 3 --every=500ms", Statement::Top { every_ns: 500_000_000, count: Some(3) }),
        ("caps", Statement::Caps { agent: None, json: false }),
        ("caps shell --json", Statement::Caps { agent: Some(shell()), json: true }),
        ("caps 3", Statement::Caps { agent: Some(AgentRef::Slot(3)), json: false }),
        ("caps 3.2", Statement::Caps { agent: Some(AgentRef::Id(AgentId::new(3, 2))), json: false }),
        ("who-can /svc/log", Statement::WhoCan { object: ObjectRef::Service("/svc/log".into()), json: false }),
        ("who-can irq:33", Statement::WhoCan { object: ObjectRef::Irq(33), json: false }),
        ("who-can agent:7", Statement::WhoCan { object: ObjectRef::Agent(AgentRef::Slot(7)), json: false }),
        ("log", Statement::Log { follow: false, lines: 20, level: Level::Info, agent: None }),
        ("log -f warn", Statement::Log { follow: true, lines: 20, level: Level::Warn, agent: None }),
        ("log logd -n 5", Statement::Log { follow: false, lines: 5, level: Level::Info, agent: Some(name("logd")) }),
        ("log debug 3", Statement::Log { follow: false, lines: 20, level: Level::Debug, agent: Some(AgentRef::Slot(3)) }),
        ("kill a 2 3.1", Statement::Kill { agents: vec![name("a"), AgentRef::Slot(2), AgentRef::Id(AgentId::new(3, 1))] }),
        ("migrate shell 2", Statement::Migrate { agent: shell(), core: 2 }),
        ("revoke shell 5.2", Statement::Revoke { agent: shell(), slot: SlotRef { index: 5, generation: Some(2) } }),
        ("restart logd", Statement::Restart { server: "logd".into() }),
        (
            "spawn assist flood -x --json 'a b'",
            Statement::Spawn {
                program: "assist".into(),
                arguments: ["flood", "-x", "--json", "a b"].map(String::from).to_vec(),
                core: None,
                wait: false,
            },
        ),
        (
            "spawn assist -- -w '--core' -- x",
            Statement::Spawn {
                program: "assist".into(),
                arguments: ["-w", "--core", "--", "x"].map(String::from).into(),
                core: None,
                wait: false,
            },
        ),
        ("spawn --core 0x1 -w assist", Statement::Spawn { program: "assist".into(), arguments: vec![], core: Some(1), wait: true }),
        ("echo -x 'it''s' \"a\\\"b\" c\\;d", Statement::Echo { words: ["-x", "its", "a\"b", "c;d"].map(String::from).to_vec() }),
        ("echo -- --", Statement::Echo { words: vec!["--".into()] }),
        ("selftest", Statement::SelfTest { tests: vec![] }),
        ("shutdown;", Statement::Shutdown),
    ] {
        assert_eq!(one(line), statement, "{line}");
    }
}

#[test]
fn separators_join_commands() {
    let script = parse("ps; mem&&uptime ;reboot").unwrap();
    let joiners: Vec<Joiner> = script.iter().map(|(joiner, _)| *joiner).collect();
    assert_eq!(joiners, [Joiner::Always, Joiner::Always, Joiner::IfSuccess, Joiner::Always]);
    assert!(parse("").unwrap().is_empty() && parse("   ").unwrap().is_empty());
}

#[test]
fn messages_point_at_the_place() {
    assert_eq!(refused("ps; nosuch"), "error: unknown command `nosuch`; `help` lists what there is\n  ps; nosuch\n      ^~~~~~\n");
    assert_eq!(refused("kill"), "error: `kill` needs agent, an agent: a name, `3`, or `3.1`\n  kill\n      ^\nusage: kill <agent>...\n");
    assert_eq!(refused("echo 漢 | ps").lines().nth(2), Some("          ^"), "columns count as the terminal shows them");
    for (line, parts) in [
        ("servces", &["did you mean `services`?"][..]),
        ("ps --jsn", &["`ps` has no flag `--jsn`; it has --json", "usage: ps [--json]"]),
        ("kill -9 x", &["`kill` has no flag `-9`; it has none"]),
        ("ps x", &["`ps` takes no more arguments", "     ^"]),
        ("ps --json=1", &["--json takes no value"]),
        (
            "spawn assist spin --core 1",
            &["--core of `spawn` stands before", "usage: spawn [--core <number>] [-w|--wait] <program> [argument]..."],
        ),
        ("spawn assist -w", &["--wait of `spawn` stands before", "               ^~"]),
        ("spawn assist --core=1", &["--core of `spawn` stands before"]),
        ("ps --json --json", &["--json is given twice"]),
        ("top -n", &["--count needs a number"]),
        ("top -n x", &["count must be a number", "         ^"]),
        ("top --every 5h", &["every must be a time, such as 500ms"]),
        ("migrate shell x", &["core must be a core's number"]),
        ("migrate shell 65536", &["core must be a core's number"]),
        ("log fatal!", &["agent must be an agent"]),
        ("help nosuch", &["command must be a command"]),
        ("who-can irq:x", &["object must be an agent, /svc/NAME"]),
        ("restart 3", &["server must be a server's name"]),
        ("echo 'x", &["this ' is never closed", "       ^"]),
        ("echo \"x\\\"", &["this \" is never closed"]),
        ("echo x\\", &["nothing follows the backslash"]),
        ("ps > file", &["`>` has no meaning here"]),
        ("ps & mem", &["`&` has no meaning here"]),
        ("echo $(ps)", &["`$` has no meaning here"]),
        ("; ps", &["a command is missing here", "  ^"]),
        ("ps;; mem", &["a command is missing here"]),
        ("ps &&", &["a command is missing here", "     ^~"]),
    ] {
        let message = refused(line);
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in:\n{message}");
        }
    }
    assert_eq!(parse("nosuch").unwrap_err().status(), 127);
    assert_eq!(parse("kill").unwrap_err().status(), 2);
}

#[test]
fn every_command_of_the_table_becomes_a_statement() {
    let word = |kind: Kind| match kind {
        Kind::Command => "ps",
        Kind::Level => "warn",
        Kind::Core | Kind::Number => "1",
        Kind::Duration => "1s",
        Kind::Slot => "5",
        _ => "logd",
    };
    for command in COMMANDS {
        let mut least = String::from(command.name);
        let mut most = least.clone();
        for flag in command.flags {
            most += &format!(" --{}", flag.long);
            most += &flag.value.map(|(_, kind)| format!(" {}", word(kind))).unwrap_or_default();
        }
        for argument in command.arguments {
            let text = format!(" {}", word(argument.kind));
            if matches!(argument.count, Count::One | Count::Some) {
                least += &text;
            }
            most += &text;
        }
        for line in [least, most] {
            parse(&line).unwrap_or_else(|error| panic!("{}", error.render(&line)));
        }
        let explained = help::explain(command);
        assert!(explained.contains(&command.usage()) && help::overview().contains(command.summary));
        let order = command
            .arguments
            .windows(2)
            .all(|pair| matches!(pair[0].count, Count::One | Count::Optional) && pair[0].count as u8 <= pair[1].count as u8);
        assert!(order, "{}: required arguments first, repeated ones last", command.name);
    }
}

#[test]
fn help_reads_well() {
    let log = COMMANDS.iter().find(|command| command.name == "log").unwrap();
    assert_eq!(log.usage(), "log [level] [agent] [-f|--follow] [-n|--lines <number>]");
    let explained = help::explain(log);
    assert!(explained.starts_with("log: show the log\nusage: log "), "{explained}");
    assert!(explained.contains("  -f|--follow          go on with what comes"), "{explained}");
    assert!(help::overview().lines().all(|line| line.len() <= 120));
}

struct Some3;

impl Names for Some3 {
    fn agents(&self) -> Vec<String> {
        ["logd", "shell", "uartd", "2.1"].map(String::from).to_vec()
    }
    fn servers(&self) -> Vec<String> {
        ["logd", "uartd"].map(String::from).to_vec()
    }
    fn programs(&self) -> Vec<String> {
        ["assist", "watchdog"].map(String::from).to_vec()
    }
    fn services(&self) -> Vec<String> {
        ["/svc/log", "/svc/console"].map(String::from).to_vec()
    }
}

fn candidates(before: &str) -> Vec<String> {
    complete(before, &Some3).candidates
}

#[test]
fn words_are_completed() {
    assert_eq!(candidates("s"), ["sched", "selftest", "services", "shutdown", "spawn", "start", "stop", "suspend"]);
    assert_eq!(candidates("ps; up"), ["uptime"]);
    assert_eq!(candidates("ps&&mi"), ["migrate"]);
    assert_eq!(candidates("kill "), ["2.1", "logd", "shell", "uartd"]);
    assert_eq!(candidates("kill shell u"), ["uartd"]);
    assert_eq!(candidates("restart "), ["logd", "uartd"]);
    assert_eq!(candidates("stop u"), ["uartd"]);
    assert_eq!(candidates("start "), ["logd", "uartd"]);
    assert_eq!(candidates("spawn w"), ["watchdog"]);
    assert_eq!(candidates("help who"), ["who-can"]);
    assert_eq!(candidates("who-can /svc/"), ["/svc/console", "/svc/log"]);
    assert_eq!(candidates("who-can p"), ["power"]);
    assert_eq!(candidates("log w"), ["warn"]);
    assert_eq!(candidates("log l"), ["logd"]);
    assert_eq!(candidates("log warn s"), ["shell"]);
    assert_eq!(candidates("log --"), ["--follow", "--lines"]);
    assert_eq!(candidates("top --every "), [""; 0]);
    assert_eq!(candidates("migrate shell "), [""; 0]);
    assert_eq!(candidates("caps shell "), [""; 0]);
    assert_eq!(candidates("nosuch x"), [""; 0]);
    assert_eq!(candidates("echo 'a b; ki"), [""; 0]);
    let completion = complete("restart ", &Some3);
    assert_eq!((completion.start, completion.common()), (8, ""));
    assert_eq!(complete("s", &NoNames).common(), "s");
    assert_eq!(complete("se", &NoNames).common(), "se");
    assert_eq!(complete("sel", &NoNames).common(), "selftest");
}

#[test]
fn random_lines_never_panic() {
    let mut rng = rng();
    let pieces = [
        "ps",
        "log",
        "kill",
        "spawn",
        "top",
        "who-can",
        "echo",
        ";",
        "&&",
        "&",
        "|",
        "'",
        "\"",
        "\\",
        " ",
        "  ",
        "--",
        "-n",
        "--json",
        "--every=",
        "1s",
        "3.1",
        "irq:",
        "frame:0x",
        "漢",
        "ü",
        "\u{301}",
        "$",
        "(",
        "-",
        "=",
        "0x",
        ".",
        "99999999999999999999",
        "\u{fffd}",
    ];
    for _ in 0..20_000 {
        let line: String = (0..rng.usize(..12)).map(|_| *rng.choice(pieces.iter()).unwrap()).collect();
        if let Err(error) = parse(&line) {
            let message = error.render(&line);
            assert!(message.starts_with("error: ") && message.lines().count() >= 3);
            assert!(line.is_char_boundary(error.span.start) && error.span.end <= line.len());
        }
        let completion = complete(&line, &Some3);
        assert!(line.is_char_boundary(completion.start));
    }
}
