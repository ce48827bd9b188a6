//! What the log promises, told as scenarios and checked with random requests against a plain model.

use aios_abi::AgentId;
use aios_logd_core::{Access, Body, Caller, CursorId, Effect, Error, Filter, Level, Limits, Log, Name, Record, Reply, Request, Start};

const ALL: Access = Access { write: true, read: true, control: true };

fn agent(slot: u16) -> AgentId {
    AgentId::new(slot, 1)
}

fn caller(slot: u16) -> Caller {
    Caller { agent: agent(slot), access: ALL }
}

fn small() -> Log {
    Log::new(Limits { rings: 3, bytes_per_ring: 1000, body_size: 200, ..Limits::default() })
}

fn write(log: &mut Log, slot: u16, level: Level, text: &str) -> Vec<Effect> {
    let (reply, effects) = log.handle(0, caller(slot), Request::Write { level, target: String::new(), body: Body::from(text) });
    assert!(matches!(reply, Reply::Written(_)), "{reply:?}");
    effects
}

fn open(log: &mut Log, slot: u16, filter: Filter, from: Start) -> CursorId {
    match log.handle(0, caller(slot), Request::Open { filter, from }).0 {
        Reply::Opened(id) => id,
        other => panic!("{other:?}"),
    }
}

fn next(log: &mut Log, slot: u16, cursor: CursorId) -> (Vec<Record>, u64, bool) {
    match log.handle(0, caller(slot), Request::Next { cursor, count: 100, wait: false }).0 {
        Reply::Records { records, lost, more } => (records, lost, more),
        other => panic!("{other:?}"),
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| match &record.body {
            Body::Text(text) => text.clone(),
            Body::Defmt { frame, .. } => format!("{frame:?}"),
        })
        .collect()
}

#[test]
fn lines_read_as_promised() {
    let mut record = Record {
        sequence: 0,
        time_ns: 12_345_678_901,
        level: Level::Info,
        agent: agent(3),
        name: Name::new("shell"),
        target: "shell".into(),
        body: Body::from("message\r\n"),
    };
    assert_eq!(record.to_string(), "[   12.345678] INFO  shell(3)  message");
    record.target = "jobs\t".into();
    assert_eq!(record.to_string(), "[   12.345678] INFO  shell(3)  jobs\\t: message");
    record.target.clear();
    record.level = Level::Error;
    record.agent = AgentId::KERNEL;
    record.body = Body::Defmt { image_digest_tag: 0xabc, frame: vec![1, 0xff] };
    assert_eq!(record.to_string(), "[   12.345678] ERROR kernel  defmt 0000000000000abc 01ff");
    record.agent = agent(9);
    record.name = Name::new("\x1b[2J");
    record.body = Body::from("a\nb\x1b]7770;status;0\x07\u{202e}ü\u{9b}31m");
    let line = record.to_string();
    assert!(line.ends_with(r"\u{1b}[2J(9)  a\nb\u{1b}]7770;status;0\u{7}\u{202e}ü\u{9b}31m"), "{line}");
    assert!(line.chars().all(|c| !c.is_control()));
}

#[test]
fn names_are_cut_at_characters() {
    assert_eq!(Name::new("0123456789abcdefg").as_str(), "0123456789abcdef");
    assert_eq!(Name::new("0123456789abcdeü").as_str(), "0123456789abcde");
    for level in Level::ALL {
        assert_eq!(Level::from_name(level.name()), Some(level));
        assert_eq!(Level::from_code(level as u8), Some(level));
    }
    assert_eq!((Level::from_name("fatal"), Level::from_code(0)), (None, None));
}

#[test]
fn a_flood_costs_nobody_else_a_record() {
    let mut log = small();
    write(&mut log, 1, Level::Info, "quiet");
    for number in 0..1000 {
        write(&mut log, 2, Level::Info, &format!("flood {number}"));
    }
    write(&mut log, 1, Level::Warn, "still here");
    let cursor = open(&mut log, 9, Filter { agent: Some(agent(1)), ..Filter::ALL }, Start::Oldest);
    assert_eq!(texts(&next(&mut log, 9, cursor).0), ["quiet", "still here"]);
    let Reply::Usage { rings, lost_with_rings } = log.handle(0, caller(9), Request::Usage).0 else { panic!() };
    let flood = rings.iter().find(|ring| ring.agent == agent(2)).unwrap();
    assert!(flood.bytes <= 1000 && flood.records + flood.lost as usize == 1000);
    assert_eq!((rings.iter().find(|ring| ring.agent == agent(1)).unwrap().lost, lost_with_rings), (0, 0));
}

#[test]
fn cursors_merge_filter_and_count_what_they_lose() {
    let mut log = small();
    let all = open(&mut log, 9, Filter::ALL, Start::Now);
    let warnings = open(&mut log, 9, Filter { level: Level::Warn, agent: None }, Start::Now);
    for number in 0..4 {
        write(&mut log, 1, Level::Info, &format!("a{number}"));
        write(&mut log, 2, Level::Warn, &format!("b{number}"));
    }
    assert_eq!(texts(&next(&mut log, 9, all).0), ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3"]);
    assert_eq!(texts(&next(&mut log, 9, warnings).0), ["b0", "b1", "b2", "b3"]);
    for number in 0..100 {
        write(&mut log, 2, Level::Warn, &format!("c{number}"));
    }
    let (records, lost, more) = next(&mut log, 9, all);
    assert_eq!(records.len() as u64 + lost, 100);
    assert!(lost > 0 && !more);
    assert_eq!(next(&mut log, 9, all), (vec![], 0, false));
}

#[test]
fn the_tail_is_what_came_last() {
    let mut log = small();
    for number in 0..6 {
        write(&mut log, number % 2 + 1, Level::Info, &number.to_string());
    }
    let cursor = open(&mut log, 9, Filter::ALL, Start::Tail(3));
    assert_eq!(texts(&next(&mut log, 9, cursor).0), ["3", "4", "5"]);
    let cursor = open(&mut log, 9, Filter { agent: Some(agent(1)), ..Filter::ALL }, Start::Tail(2));
    assert_eq!(texts(&next(&mut log, 9, cursor).0), ["2", "4"]);
    let cursor = open(&mut log, 9, Filter::ALL, Start::At(4));
    let (records, lost, _) = next(&mut log, 9, cursor);
    assert!(records.iter().all(|record| record.sequence >= 4) && lost == 0 && !records.is_empty(), "{records:?}");
    log.handle(0, caller(9), Request::Close(cursor));
    let cursor = open(&mut log, 9, Filter::ALL, Start::Tail(0));
    assert!(next(&mut log, 9, cursor).0.is_empty());
}

#[test]
fn a_follower_is_woken_once_by_what_it_wants() {
    let mut log = small();
    let filter = Filter { level: Level::Warn, agent: Some(agent(1)) };
    let cursor = open(&mut log, 9, filter, Start::Now);
    let wait = Request::Next { cursor, count: 10, wait: true };
    assert_eq!(log.handle(0, caller(9), wait.clone()).0, Reply::Pending);
    assert!(!write(&mut log, 2, Level::Error, "other agent").contains(&Effect::Wake(cursor)));
    assert!(!write(&mut log, 1, Level::Info, "not urgent").contains(&Effect::Wake(cursor)));
    assert!(write(&mut log, 1, Level::Warn, "now").contains(&Effect::Wake(cursor)));
    assert!(!write(&mut log, 1, Level::Warn, "again").contains(&Effect::Wake(cursor)));
    let Reply::Records { records, .. } = log.handle(0, caller(9), wait.clone()).0 else { panic!() };
    assert_eq!(texts(&records), ["now", "again"]);
    assert_eq!(log.handle(0, caller(9), wait).0, Reply::Pending);
}

#[test]
fn live_output_follows_its_level() {
    let mut log = small();
    log.handle(0, caller(9), Request::SetName { agent: agent(1), name: Name::new("uartd") });
    let effects = write(&mut log, 1, Level::Info, "hello");
    assert!(matches!(&effects[..], [Effect::Live(record)] if record.to_string().ends_with("INFO  uartd(1)  hello")));
    assert!(write(&mut log, 1, Level::Debug, "detail").is_empty());
    log.handle(0, caller(9), Request::SetLiveLevel(None));
    assert!(write(&mut log, 1, Level::Error, "silent").is_empty());
}

#[test]
fn rights_sizes_and_owners_are_checked() {
    let mut log = small();
    let nobody = Caller { agent: agent(5), access: Access::default() };
    let cursor = open(&mut log, 9, Filter::ALL, Start::Now);
    for request in [
        Request::Write { level: Level::Info, target: String::new(), body: Body::from("x") },
        Request::Open { filter: Filter::ALL, from: Start::Now },
        Request::Next { cursor, count: 1, wait: false },
        Request::Usage,
        Request::SetName { agent: agent(1), name: Name::new("init") },
        Request::Forget(agent(9)),
        Request::SetLiveLevel(None),
    ] {
        assert_eq!(log.handle(0, nobody, request).0, Reply::Refused(Error::NoRight));
    }
    let long = Request::Write { level: Level::Info, target: "xxx".into(), body: Body::Text("x".repeat(198)) };
    assert_eq!(log.handle(0, caller(1), long).0, Reply::Refused(Error::TooLong(200)));
    let stolen = Request::Next { cursor, count: 1, wait: false };
    assert_eq!(log.handle(0, caller(8), stolen).0, Reply::Refused(Error::UnknownCursor));
    log.handle(0, caller(8), Request::Close(cursor));
    next(&mut log, 9, cursor);
    for _ in 1..Limits::default().cursors_per_caller {
        open(&mut log, 9, Filter::ALL, Start::Now);
    }
    let more = Request::Open { filter: Filter::ALL, from: Start::Now };
    assert_eq!(log.handle(0, caller(9), more).0, Reply::Refused(Error::TooManyCursors));
    log.handle(0, caller(1), Request::Forget(agent(9)));
    open(&mut log, 9, Filter::ALL, Start::Now);
}

#[test]
fn too_many_agents_take_the_quietest_ring() {
    let mut log = small();
    for slot in 1..=3 {
        write(&mut log, slot, Level::Info, "mine");
    }
    write(&mut log, 1, Level::Info, "again");
    let cursor = open(&mut log, 9, Filter::ALL, Start::Oldest);
    write(&mut log, 4, Level::Info, "new");
    let (records, lost, _) = next(&mut log, 9, cursor);
    assert_eq!(records.iter().map(|record| record.agent.slot()).collect::<Vec<_>>(), [1, 3, 1, 4]);
    assert_eq!(lost, 1);
    let Reply::Usage { lost_with_rings, .. } = log.handle(0, caller(9), Request::Usage).0 else { panic!() };
    assert_eq!(lost_with_rings, 1);
}

#[test]
fn random_requests_keep_order_budgets_and_counts() {
    let seed = std::env::var("AIOS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("AIOS_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let limits = Limits {
            rings: rng.usize(1..5),
            bytes_per_ring: rng.usize(300..2000),
            body_size: 150,
            records_per_read: rng.usize(1..20),
            bytes_per_read: rng.usize(1..1000),
            ..Limits::default()
        };
        let mut log = Log::new(limits);
        let filter = Filter { level: Level::Info, agent: rng.bool().then(|| agent(1)) };
        let cursor = open(&mut log, 9, filter, Start::Now);
        let (mut wanted, mut seen, mut last) = (0, 0, None);
        for step in 0..400u64 {
            let slot = rng.u16(1..6);
            let level = Level::ALL[rng.usize(..5)];
            let size = rng.usize(..170);
            let body = match rng.bool() {
                true => Body::Text("x".repeat(size)),
                false => Body::Defmt { image_digest_tag: 1, frame: vec![0; size] },
            };
            match log.handle(step, caller(slot), Request::Write { level, target: String::new(), body }).0 {
                Reply::Written(_) => {
                    wanted += u64::from(level <= Level::Info && filter.agent.is_none_or(|only| only == agent(slot)));
                }
                refused => assert!(matches!(refused, Reply::Refused(Error::TooLong(_))) && size > 150),
            }
            if rng.u8(..6) == 0 {
                let (records, lost, _) = next(&mut log, 9, cursor);
                seen += records.len() as u64 + lost;
                for record in &records {
                    assert!(last.is_none_or(|last| record.sequence > last) && filter.admits(record));
                    last = Some(record.sequence);
                }
            }
            if let Reply::Usage { rings, .. } = log.handle(0, caller(9), Request::Usage).0 {
                assert!(rings.len() <= limits.rings);
                assert!(rings.iter().all(|ring| ring.bytes <= limits.bytes_per_ring));
            }
        }
        loop {
            let (records, lost, more) = next(&mut log, 9, cursor);
            seen += records.len() as u64 + lost;
            if !more {
                break;
            }
        }
        assert_eq!(seen, wanted, "each wanted record is seen once or counted as lost");
    }
}
