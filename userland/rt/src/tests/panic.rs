//! The panic report.

use core::fmt::Write;

use crate::panic::{Text, report};

#[test]
fn the_report_has_place_and_message() {
    let mut text = Text::new();
    let here = core::panic::Location::caller();
    report(Some(here), &format_args!("slot {} is empty", 5), &mut text);
    let seen = core::str::from_utf8(text.as_bytes()).expect("text");
    assert!(seen.contains("tests/panic.rs:") && seen.ends_with(": slot 5 is empty"), "{seen}");
    let mut text = Text::new();
    report(None, &"out", &mut text);
    assert_eq!(text.as_bytes(), b"out");
}

#[test]
fn a_long_text_is_cut_between_characters() {
    for lead in 0..4 {
        let mut text = Text::new();
        for _ in 0..lead {
            text.write_str("-").expect("room");
        }
        let long: std::string::String = core::iter::repeat_n('€', 100).collect();
        assert!(text.write_str(&long).is_err());
        let seen = core::str::from_utf8(text.as_bytes()).expect("whole characters");
        assert!(seen.len() > 256 - 3 && seen.chars().filter(|&c| c == '€').count() == (256 - lead) / 3);
    }
}
