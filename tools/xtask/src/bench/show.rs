//! Figures for people: one table of all, and for each operation where its instructions are.

use std::io::stdout;

use super::count::SETTINGS;
use super::{Measured, Report};
use crate::progress::Style;
use crate::table::{Align, Table, grouped};

/// Functions that are shown of an operation.
const FUNCTIONS: usize = 25;
/// Stages that have columns of their own; the others stand in the last one.
const STAGES: [&str; 8] = ["user", "entry", "decode", "capability", "transfer", "schedule", "switch", "exit"];

/// Prints the tables.
pub(super) fn tables(report: &Report, functions: bool) {
    let style = Style::of(&stdout());
    figures(report, style);
    if report.results.iter().any(|measured| !measured.stages.is_empty()) {
        println!();
        stages(report, style);
    }
    if functions {
        for measured in report.results.iter().filter(|measured| !measured.functions.is_empty()) {
            println!("\n{}", style.bold(&measured.name));
            let mut table = Table::new(&[("instructions", Align::Right), ("function", Align::Left)]);
            for (name, sum) in measured.functions.iter().take(FUNCTIONS) {
                table.row([format!("{sum:.1}"), name.clone()]);
            }
            table.lines().iter().for_each(|line| println!("{line}"));
        }
    }
    for failure in &report.errors {
        println!("{}", style.bad(&format!("{}: {}", failure.name, failure.error)));
    }
}

fn figures(report: &Report, style: Style) {
    let [first, second, ..] = SETTINGS;
    let mut table = Table::new(&[
        ("figure", Align::Left),
        (first.cpu, Align::Right),
        (second.cpu, Align::Right),
        ("goal", Align::Right),
        ("seL4", Align::Right),
        ("Linux 6.1", Align::Right),
        ("unit", Align::Left),
    ]);
    let shown = |value: Option<&u64>| value.copied().map_or_else(|| "–".to_owned(), grouped);
    for measured in &report.results {
        let by_core = |cpu| if measured.cores.is_empty() { String::new() } else { shown(measured.cores.get(cpu)) };
        let one = if measured.cores.is_empty() { grouped(measured.value) } else { by_core(first.cpu) };
        table.row([
            measured.name.clone(),
            one,
            by_core(second.cpu),
            shown(measured.goal.as_ref()),
            shown(measured.anchors.get("sel4")),
            shown(measured.anchors.get("linux")),
            measured.unit.to_owned(),
        ]);
    }
    let mut lines = table.lines().into_iter();
    if let Some(header) = lines.next() {
        println!("{}", style.bold(&header));
    }
    for (line, measured) in lines.zip(&report.results) {
        println!("{}", colour(style, measured, &line));
    }
}

/// Red misses its goal, green reaches it.
fn colour(style: Style, measured: &Measured, line: &str) -> String {
    match measured.goal {
        Some(goal) if measured.value > goal => style.bad(line),
        Some(_) => style.good(line),
        None => line.to_owned(),
    }
}

fn stages(report: &Report, style: Style) {
    let head: Vec<(&str, Align)> = std::iter::once(("where", Align::Left))
        .chain(STAGES.iter().map(|stage| (*stage, Align::Right)))
        .chain([("others", Align::Left)])
        .collect();
    let mut table = Table::new(&head);
    for measured in report.results.iter().filter(|measured| !measured.stages.is_empty()) {
        let mut cells: [String; 10] = Default::default();
        cells[0].clone_from(&measured.name);
        let mut others = Vec::new();
        for stage in &measured.stages {
            match STAGES.iter().position(|name| *name == stage.name) {
                Some(place) => cells[place + 1] = format!("{:.0}", stage.instructions),
                None => others.push(format!("{} {:.0}", stage.name, stage.instructions)),
            }
        }
        cells[9] = others.join(", ");
        table.row(cells);
    }
    for (number, line) in table.lines().iter().enumerate() {
        println!("{}", if number == 0 { style.bold(line) } else { line.clone() });
    }
}
