//! Tables and views.

mod support;

use aios_abi::record::{AgentRecord, CoreRecord, IrqRecord, MemoryRecord, SlotRecord};
use aios_abi::rights::{Kind, Rights};
use aios_abi::{AgentId, SlotHandle};
use aios_logd_core::{Body, Level, Name, Record};
use aios_shell_core::screen::text_cells;
use aios_shell_core::table::{Cell, Column, Style, Table, Tone};
use aios_shell_core::value::{AgentRef, NoAgent, ObjectRef, ServerName, SlotRef};
use aios_shell_core::view;
use support::rng;

const S: u64 = 1_000_000_000;

fn id(slot: u16) -> u64 {
    AgentId::new(slot, 1).0
}

fn agent(slot: u16, name: &str) -> AgentRecord {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    AgentRecord {
        id: id(slot),
        name_low: u64::from_le_bytes(bytes[..8].try_into().unwrap()),
        name_high: u64::from_le_bytes(bytes[8..].try_into().unwrap()),
        state: 2,
        weight: 64,
        cpu_ns: u64::from(slot) * S / 10,
        pages_used: 16,
        pages_quota: 256,
        received: 12,
        ..AgentRecord::default()
    }
}

fn agents() -> Vec<AgentRecord> {
    vec![agent(2, "logd"), agent(1, "uartd"), agent(3, "shell")]
}

fn cores() -> Vec<CoreRecord> {
    vec![CoreRecord {
        up_ns: 10 * S,
        idle_ns: 9 * S,
        agents_ns: 6 * S / 10,
        gone_ns: S / 10,
        kernel_ns: 3 * S / 10,
        running: id(3),
        admitted: 1 << 15,
        ..CoreRecord::default()
    }]
}

const COLUMNS: &[Column] = &[Column::left("name", "NAME"), Column::right("size_bytes", "SIZE"), Column::left("note", "NOTE")];

fn table() -> Table {
    let mut table = Table::new(COLUMNS);
    table.push(vec![Cell::text("a"), Cell::Bytes(4096), Cell::State("well".into(), Tone::Good)]);
    table.push(vec![Cell::text("a rather long name"), Cell::Bytes(16 << 20), Cell::text("x\x1b[2J\ny")]);
    table.push(vec![Cell::text("漢字")]);
    table
}

#[test]
fn columns_are_aligned() {
    let expected = "\
NAME                    SIZE  NOTE
a                    4.0 KiB  well
a rather long name  16.0 MiB  x\\u{1b}[2J\\ny
漢字                       -  -
";
    assert_eq!(table().render(Style::PLAIN), expected);
}

#[test]
fn narrow_terminals_cut_text_and_keep_numbers() {
    let text = table().render(Style { width: Some(32), colour: false });
    assert!(text.contains("a rather l…") && text.contains("16.0 MiB"), "{text}");
    for width in 1..60 {
        let text = table().render(Style { width: Some(width), colour: false });
        assert!(text.lines().all(|line| text_cells(line) <= usize::from(width)), "width {width}:\n{text}");
        assert_eq!(text.lines().count(), 4);
    }
}

#[test]
fn colours_only_on_terminals() {
    let text = table().render(Style { width: Some(80), colour: true });
    assert!(text.contains("\x1b[32mwell\x1b[0m") && text.starts_with("\x1b[1mNAME"), "{text}");
    assert!(!table().render(Style::PLAIN).contains('\x1b'));
}

#[test]
fn json_has_base_units() {
    assert_eq!(
        table().json(),
        "[{\"name\":\"a\",\"size_bytes\":4096,\"note\":\"well\"},\
         {\"name\":\"a rather long name\",\"size_bytes\":16777216,\"note\":\"x\\u001b[2J\\ny\"},\
         {\"name\":\"漢字\",\"size_bytes\":null,\"note\":null}]"
    );
    assert_eq!(Table::new(COLUMNS).json(), "[]");
}

#[test]
fn random_tables_keep_their_width() {
    let mut rng = rng();
    for _ in 0..2_000 {
        let mut table = Table::new(COLUMNS);
        for _ in 0..rng.usize(..5) {
            let row = (0..rng.usize(..5)).map(|_| match rng.u8(..5) {
                0 => Cell::None,
                1 => Cell::Number(rng.u64(..)),
                2 => Cell::Nanos(rng.u64(..)),
                3 => Cell::Permille(rng.u64(..)),
                _ => Cell::Text((0..rng.usize(..40)).map(|_| rng.char(..)).collect()),
            });
            table.push(row.collect());
        }
        let width = rng.u16(1..120);
        let text = table.render(Style { width: Some(width), colour: false });
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(text.lines().all(|line| text_cells(line) <= usize::from(width)), "{text}");
        table.json();
    }
}

#[test]
fn ps_lists_agents_and_balances_the_books() {
    let text = view::ps(&agents(), &cores(), &[]).render(Style::PLAIN);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>().join(" "),
        "1.1 uartd receiving 0 fair 64 100 ms 1.0 % 64.0 KiB 1.0 MiB 12 0"
    );
    assert!(lines[3].contains("shell"));
    let balance = view::balance(&cores());
    assert_eq!((balance.accounted_ns(), balance.error_permille()), (10 * S, 0));
    assert_eq!(balance.render(), "agents 600 ms + gone 100 ms + kernel 300 ms + idle 9.00 s = 100.0 % of 1 core x uptime (10.0 s)\n");
    let mut suspended = agent(9, "x");
    suspended.state = 1 | 1 << 8;
    suspended.class = 1;
    (suspended.weight, suspended.period_ns) = (500_000, 10_000_000);
    let text = view::ps(&[suspended], &[], &[]).render(Style::PLAIN);
    assert!(text.contains("suspended (ready)") && text.contains("edf 0.50/10 ms"), "{text}");
}

#[test]
fn top_sorts_by_what_was_used_meanwhile() {
    let before = agents();
    let mut now = agents();
    now[1].cpu_ns += S / 2;
    now[2].cpu_ns += S / 4;
    let table = view::top(&before, &now, S, &[]);
    let names: Vec<&Cell> = table.rows().iter().map(|row| &row[1]).collect();
    assert_eq!(names, [&Cell::text("uartd"), &Cell::text("shell"), &Cell::text("logd")]);
    assert_eq!(table.rows()[0][6], Cell::Permille(500));
}

#[test]
fn caps_say_what_they_name() {
    let slot = |kind: Kind, object, word, rights: Rights| SlotRecord {
        handle: SlotHandle::new(5, 2).0.into(),
        kind: kind as u64,
        object,
        word,
        rights: rights.0.into(),
        node: 7,
        ..SlotRecord::default()
    };
    let slots = [
        slot(Kind::Service, id(2), 3, Rights::SEND.or(Rights(1 << 16))),
        slot(Kind::Agent, id(3), 0, Rights::KILL.or(Rights::READ)),
        SlotRecord { mapped: 0x40_0000, ..slot(Kind::Frame, 0x40200, 2, Rights::ALL) },
        SlotRecord { expiry: 5 * S, parent: 3, deriver: id(1), ..slot(Kind::Irq, 33, 1, Rights::BIND) },
        SlotRecord { status: 6, expiry: 1, ..slot(Kind::Power, 0, 0, Rights::NONE) },
    ];
    let gone = view::caps(&slots, &agents()[1..], 2 * S).render(Style::PLAIN);
    assert_eq!(gone.lines().filter(|line| line.contains("agent is gone")).count(), 1, "{gone}");
    let text = view::caps(&slots, &agents(), 2 * S).render(Style::PLAIN);
    assert!(!text.contains("gone"), "{text}");
    for part in [
        "5.2  service  logd(2) badge 0x3",
        "send 0x10000",
        "shell(3)",
        "read kill",
        "0x40200000 2 pages at 0x400000",
        "all",
        "bind              3.00 s     7       3  uartd(1)",
        "expired",
        "capability revoked",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let text = view::who_can(&[(id(3), slots[0])], &agents(), 0).render(Style::PLAIN);
    assert!(text.contains("3.1  shell   5.2  service  logd(2) badge 0x3"), "{text}");

    let logd = Some(AgentId(id(2)));
    assert!(ObjectRef::parse("logd").unwrap().matches(&slots[0], logd));
    assert!(ObjectRef::parse("/svc/log").unwrap().matches(&slots[0], logd));
    assert!(!ObjectRef::parse("/svc/log").unwrap().matches(&slots[1], Some(AgentId(id(3)))));
    assert!(ObjectRef::parse("frame:0x40201fff").unwrap().matches(&slots[2], None));
    assert!(!ObjectRef::parse("frame:0x40202000").unwrap().matches(&slots[2], None));
    assert!(!ObjectRef::parse("device:0x40200000").unwrap().matches(&slots[2], None));
    assert!(ObjectRef::parse("irq:33").unwrap().matches(&slots[3], None));
    assert!(ObjectRef::parse("power").unwrap().matches(&slots[4], None));
    assert!(SlotRef::parse("5").unwrap().names(&slots[0]) && SlotRef::parse("5.2").unwrap().names(&slots[0]));
    assert!(!SlotRef::parse("5.3").unwrap().names(&slots[0]));
}

#[test]
fn names_lead_to_agents() {
    let mut all = agents();
    let resolve = |word: &str, agents: &[AgentRecord]| AgentRef::parse(word).unwrap().resolve(agents, &[]);
    assert_eq!(resolve("logd", &all), Ok(AgentId::new(2, 1)));
    assert_eq!(resolve("3", &all), Ok(AgentId::new(3, 1)));
    assert_eq!(resolve("3.1", &all), Ok(AgentId::new(3, 1)));
    assert!(matches!(resolve("3.2", &all), Err(NoAgent::Unknown(_))));
    all.push(agent(4, "logd"));
    assert_eq!(resolve("logd", &all).unwrap_err().to_string(), "several agents are called `logd`: say 2.1 or 4.1");
    for word in ["", "-x", "a b", "3.", "x.1", "70000", "a_name_of_17_bytes", "a;b", "\u{1b}"] {
        assert_eq!(AgentRef::parse(word), None, "{word}");
    }
}

#[test]
fn mem_says_when_it_does_not_add_up() {
    let record = MemoryRecord {
        total: 16384,
        reserved: 84,
        kernel: 200,
        free: 16000,
        objects: 100,
        promised: 256,
        agents: 3,
        ..MemoryRecord::default()
    };
    let memory = view::mem(&record);
    assert!(memory.is_balanced());
    assert_eq!(memory.render(), "sum 64.0 MiB = RAM; 1.0 MiB of the free promised to pools; 3 agents\n");
    let memory = view::mem(&MemoryRecord { free: 15999, ..record });
    assert!(!memory.is_balanced() && memory.render().contains("1 pages unaccounted for"), "{}", memory.render());
}

#[test]
fn other_views_render() {
    let text = view::sched(&cores(), &agents()).render(Style::PLAIN);
    assert!(text.contains("10.0 %") && text.contains("50.0 %") && text.contains("shell(3)"), "{text}");
    let line = IrqRecord { line: 33, agent: id(1), bits: 1, count: 9, masked: 1, core: 0 };
    let text = view::irq(&[line], &agents()).render(Style::PLAIN);
    assert!(text.contains("33  uartd(1)     0      9  awaits ack   0x1"), "{text}");
    let (table, text) = view::uptime(75 * S, &cores(), 3);
    assert_eq!(text, "up 1m15s, 1 core 10.0 % busy, 3 agents\n");
    assert_eq!(table.json(), "[{\"uptime_ns\":75000000000,\"cores\":1,\"busy_permille\":100,\"agents\":3}]");
    let row = view::ServiceRow {
        name: "logd".into(),
        agent: id(2),
        state: view::ServiceState::Open,
        breaker: "open".into(),
        incarnation: 3,
        deaths: 3,
        until_ns: Some(30 * S),
        last_death: Some("killed".into()),
        offers: "/svc/log".into(),
    };
    let text = view::services(&[row], 10 * S).render(Style::PLAIN);
    assert!(text.contains("logd  2.1  open    20.0 s  open"), "{text}");
}

#[test]
fn log_lines_are_coloured_and_harmless() {
    let record = Record {
        sequence: 0,
        time_ns: 12_345_678_000,
        level: Level::Warn,
        agent: AgentId::new(3, 1),
        name: Name::new("shell"),
        target: String::new(),
        body: Body::from("x\x1b]7770;status;0\x07"),
    };
    let plain = view::log_line(&record, 2, Style::PLAIN);
    assert_eq!(plain, "... 2 records lost\n[   12.345678] WARN  shell(3)  x\\u{1b}]7770;status;0\\u{7}\n");
    let coloured = view::log_line(&record, 0, Style { width: None, colour: true });
    assert!(coloured.contains("\x1b[33mWARN \x1b[0m \x1b[1mshell(3)\x1b[0m  x\\u{1b}]"), "{coloured:?}");
}

#[test]
fn the_name_of_a_server_means_the_server_whoever_else_bears_it() {
    let agents = [agents(), vec![agent(9, "logd"), agent(10, "job"), agent(11, "job")]].concat();
    let mut servers = vec![ServerName { name: "logd".into(), agent: Some(AgentId(id(2))) }];
    let logd = AgentRef::parse("logd").unwrap();
    assert!(matches!(logd.resolve(&agents, &[]), Err(NoAgent::Ambiguous(..))));
    assert_eq!(logd.resolve(&agents, &servers), Ok(AgentId(id(2))));
    assert!(matches!(AgentRef::parse("job").unwrap().resolve(&agents, &servers), Err(NoAgent::Ambiguous(..))));
    let shown = |servers: &[ServerName]| {
        let text = view::ps(&agents, &cores(), servers).render(Style::PLAIN);
        text.lines().filter(|line| line.contains("logd")).map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&servers), ["logd", "~logd"]);
    servers[0].agent = None;
    assert!(matches!(logd.resolve(&agents, &servers), Err(NoAgent::Down(_))));
    assert_eq!(shown(&servers), ["~logd", "~logd"]);
}
