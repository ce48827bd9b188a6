//! Whole conversations.

mod support;

use aios_shell_core::complete::NoNames;
use aios_shell_core::session::{PROMPT, WAITING_MAX};
use aios_shell_core::{Action, Session, Statement, Style, status};
use support::{Vt, rng};

/// What a console program sees: text with the marks made visible, and the statements to run.
fn seen(actions: &[Action]) -> (String, Vec<Statement>) {
    let (mut text, mut run) = (String::new(), Vec::new());
    for action in actions {
        match action {
            Action::Write(bytes) => text += std::str::from_utf8(bytes).unwrap(),
            Action::Run(statement) => run.push(statement.clone()),
            Action::Interrupt => text += "<interrupt>",
            Action::Eof => text += "<eof>",
        }
    }
    let text = text.replace("\x1b7\x1b[999C\x1b[6n\x1b8", "<width?>");
    (text.replace("\x1b]7770;", "<").replace('\x07', ">"), run)
}

fn started() -> Session {
    let mut session = Session::new();
    assert_eq!(seen(&session.start()).0, "<width?>aios> <prompt>");
    session
}

#[test]
fn a_line_is_run_and_its_status_told() {
    let mut session = started();
    let (text, run) = seen(&session.feed(b"ps; mem\r", &NoNames));
    assert_eq!(text, "ps; mem\r\n<begin>");
    assert_eq!(run, [Statement::Ps { json: false }]);
    let (text, run) = seen(&session.finish(status::SUCCESS, &NoNames));
    assert_eq!((text.as_str(), run), ("<status;0><begin>", vec![Statement::Mem { json: false }]));
    let (text, run) = seen(&session.finish(status::FAILURE, &NoNames));
    assert_eq!((text.as_str(), run.len()), ("<status;1>aios> <prompt>", 0));
}

#[test]
fn and_then_waits_for_success() {
    let mut session = started();
    session.feed(b"ps && mem; uptime\r", &NoNames);
    let (_, run) = seen(&session.finish(status::NO_CAPABILITY, &NoNames));
    assert_eq!(run, [Statement::Uptime { json: false, boot: false }]);
}

#[test]
fn errors_are_shown_and_nothing_runs() {
    let mut session = started();
    let (text, run) = seen(&session.feed(b"ps; nosuch\r", &NoNames));
    assert!(run.is_empty());
    assert!(text.starts_with("ps; nosuch\r\n<begin>error: unknown command `nosuch`"), "{text}");
    assert!(text.ends_with("\r\n<status;127>aios> <prompt>"), "{text}");
    assert!(!text.replace("\r\n", "").contains('\n'), "lines end the way consoles want it");
}

#[test]
fn what_needs_no_capability_is_answered_here() {
    let mut session = started();
    let (text, run) = seen(&session.feed(b"echo a  b;help kill;clear\r", &NoNames));
    assert!(run.is_empty());
    assert!(text.contains("<begin>a b\r\n<status;0><begin>kill: end agents"), "{text}");
    assert!(text.ends_with("<begin><status;0>aios> <prompt>"), "{text}");
    let (text, _) = seen(&session.feed(b"\r", &NoNames));
    assert_eq!(text, "\r\naios> <prompt>");
}

#[test]
fn input_waits_while_a_command_runs() {
    let mut session = started();
    session.feed(b"ps\r", &NoNames);
    assert_eq!(session.feed(b"mem\rupt", &NoNames), []);
    let (text, run) = seen(&session.finish(0, &NoNames));
    assert_eq!((text.as_str(), run), ("<status;0>aios> <prompt>mem\r\n<begin>", vec![Statement::Mem { json: false }]));
    let (text, _) = seen(&session.finish(0, &NoNames));
    assert_eq!(text, "<status;0>aios> <prompt>upt");
    session.feed(b"ime\r", &NoNames);
    let (text, _) = seen(&session.feed(&vec![b'x'; WAITING_MAX + 2], &NoNames));
    assert_eq!(text, ">>", "two beeps for two bytes too many");
}

#[test]
fn control_c_interrupts_and_drops_the_rest() {
    let mut session = started();
    session.feed(b"top; mem\r", &NoNames);
    let (text, _) = seen(&session.feed(b"junk\x03", &NoNames));
    assert_eq!(text, "<interrupt>");
    let (text, run) = seen(&session.finish(status::INTERRUPTED, &NoNames));
    assert_eq!((text.as_str(), run.len()), ("<status;130>aios> <prompt>", 0));
    let (text, _) = seen(&session.feed(b"half\x03", &NoNames));
    assert!(text.ends_with("^C\r\naios> <prompt>"), "{text}");
    let (text, _) = seen(&session.feed(b"\x04", &NoNames));
    assert_eq!(text, "<eof>");
}

#[test]
fn a_terminal_that_answers_is_used() {
    let mut session = started();
    assert_eq!(session.style(), Style::PLAIN);
    session.feed(b"\x1b[24;100R", &NoNames);
    assert_eq!(session.style(), Style { width: Some(100), colour: true });
    let mut session = started();
    session.feed(b"\x1b[A", &NoNames);
    assert_eq!(session.style(), Style { width: Some(80), colour: true });
    session.feed(b"\x1b[1;1R", &NoNames);
    assert_eq!(session.style().width, Some(16));
}

#[test]
fn tab_completes_then_lists() {
    let mut session = started();
    assert_eq!(seen(&session.feed(b"upt\t", &NoNames)).0, "uptime ");
    session.feed(b"\x15\x08", &NoNames);
    let (text, _) = seen(&session.feed(b"\x15s", &NoNames));
    assert!(text.ends_with('s'), "{text}");
    assert_eq!(seen(&session.feed(b"\t", &NoNames)).0, ">");
    let (text, _) = seen(&session.feed(b"\t", &NoNames));
    assert_eq!(text, "\r\nsched     selftest  services  shutdown  spawn     start     stop      suspend\r\naios> s");
}

#[test]
fn notices_spare_the_line() {
    let mut session = started();
    session.feed(b"\x1b[24;80R", &NoNames);
    session.feed(b"kill lo", &NoNames);
    let mut terminal = Vt::new(80);
    terminal.write(b"aios> kill lo");
    for action in session.notice("logd restarted\n") {
        let Action::Write(bytes) = action else { panic!() };
        terminal.write(&bytes);
    }
    assert_eq!(terminal.text(), "logd restarted\naios> kill lo");
}

#[test]
fn random_bytes_never_panic_and_stay_bounded() {
    let mut rng = rng();
    let pieces: &[&[u8]] = &[
        b"\x1b[A",
        b"\x1b[D",
        b"\x1b[3~",
        b"\x1b[24;90R",
        b"\x1b]",
        b"\x1b",
        b"\t",
        b"\r",
        b"\n",
        b"\x03",
        b"\x04",
        b"\x12",
        b"\x0c",
        b"ps",
        b"kill ",
        b"; ",
        b"&& ",
        b"'",
        b"\x7f",
        b"\x17",
        b"\x15",
        b"echo x",
        b"help\r",
    ];
    for _ in 0..300 {
        let mut session = Session::new();
        session.start();
        let mut running = false;
        for _ in 0..100 {
            let mut input = Vec::new();
            for _ in 0..rng.usize(1..6) {
                match rng.u8(..3) {
                    0 => input.extend((0..rng.usize(1..20)).map(|_| rng.u8(..))),
                    _ => input.extend_from_slice(rng.choice(pieces.iter()).unwrap()),
                }
            }
            let actions = match rng.u8(..8) {
                0 if running => {
                    running = false;
                    session.finish(rng.u16(..3), &NoNames)
                }
                1 => session.idle(&NoNames),
                2 => session.notice("notice\n"),
                _ => session.feed(&input, &NoNames),
            };
            for action in actions {
                match action {
                    Action::Run(_) => {
                        assert!(!running, "one command at a time");
                        running = true;
                    }
                    Action::Interrupt => assert!(running),
                    Action::Write(bytes) => assert!(bytes.len() < 256 * 1024),
                    Action::Eof => {}
                }
            }
        }
    }
}

#[test]
fn what_the_terminal_shows_is_prompt_and_line() {
    let mut rng = rng();
    for _ in 0..100 {
        let mut session = Session::new();
        session.start();
        session.feed(b"\x1b[24;40R", &NoNames);
        let mut terminal = Vt::new(40);
        terminal.write(PROMPT.as_bytes());
        let mut typed = String::new();
        for _ in 0..60 {
            let piece = *rng.choice(["a", "bc", " ", "漢", "x y z"].iter()).unwrap();
            typed += piece;
            for action in session.feed(piece.as_bytes(), &NoNames) {
                let Action::Write(bytes) = action else { panic!() };
                terminal.write(&bytes);
            }
        }
        let mut expected = Vt::new(40);
        expected.write(format!("{PROMPT}{typed}").as_bytes());
        assert_eq!(terminal.text(), expected.text());
    }
}

#[test]
fn a_line_of_which_a_part_was_lost_does_nothing() {
    let refused = |text: &str| text.contains("<begin>error: a part of the line had no room") && text.ends_with("<status;2>aios> <prompt>");
    let mut session = started();
    let long = format!("uptime; echo {}\r", "x".repeat(2000));
    let (text, run) = seen(&session.feed(long.as_bytes(), &NoNames));
    assert!(run.is_empty() && refused(&text), "{text}");
    // Neither does one of which a part was lost while a command ran.
    let (_, run) = seen(&session.feed(b"ps\r", &NoNames));
    assert_eq!(run.len(), 1, "the next line is a new one");
    session.feed(&[b"mem\r".as_slice(), b"echo ", &[b'x'; WAITING_MAX]].concat(), &NoNames);
    let (_, run) = seen(&session.finish(0, &NoNames));
    assert_eq!(run, [Statement::Mem { json: false }], "what was there before is whole");
    session.finish(0, &NoNames);
    let (text, run) = seen(&session.feed(b"; uptime\r", &NoNames));
    assert!(run.is_empty() && refused(&text), "{text}");
    // Who shortens the line sees what there is.
    session.feed(format!("uptime{}", " ".repeat(2000)).as_bytes(), &NoNames);
    let (_, run) = seen(&session.feed(b"\x17\x15uptime\r", &NoNames));
    assert_eq!(run.len(), 1);
}
