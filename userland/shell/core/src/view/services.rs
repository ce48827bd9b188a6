//! `services` and `log`.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use aios_logd_core::format::{Message, Source, Stamp};
use aios_logd_core::{Level, Record};

use super::id_cell;
use crate::table::{Cell, Column, Style, Table, Tone};

/// What a server is doing, as its supervisor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    /// Waits for a server that it depends on.
    Waiting,
    /// Started, not ready yet.
    Starting,
    /// Answers requests.
    Running,
    /// Died; is started again.
    Backoff,
    /// Died too often: the circuit breaker is open.
    Open,
    /// Told to stop.
    Stopping,
    /// Down until it is started, or for good because the system stops.
    Stopped,
}

impl ServiceState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            ServiceState::Waiting => "waiting",
            ServiceState::Starting => "starting",
            ServiceState::Running => "running",
            ServiceState::Backoff => "backoff",
            ServiceState::Open => "open",
            ServiceState::Stopping => "stopping",
            ServiceState::Stopped => "stopped",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            ServiceState::Running => Tone::Good,
            ServiceState::Open => Tone::Bad,
            ServiceState::Stopped => Tone::Quiet,
            _ => Tone::Warning,
        }
    }
}

/// One server, as its supervisor reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRow {
    /// Name in the manifest.
    pub name: String,
    /// Agent id, 0 if it never ran.
    pub agent: u64,
    /// What it is doing.
    pub state: ServiceState,
    /// `closed`, `open` or `half-open`.
    pub breaker: String,
    /// Starts so far.
    pub incarnation: u32,
    /// Deaths within the window.
    pub deaths: u32,
    /// When the state ends by itself, ns since boot.
    pub until_ns: Option<u64>,
    /// What ended it last.
    pub last_death: Option<String>,
    /// Services that it offers.
    pub offers: String,
}

const SERVICES: &[Column] = &[
    Column::left("name", "NAME"),
    Column::right("id", "ID"),
    Column::left("state", "STATE"),
    Column::right("next_ns", "NEXT IN"),
    Column::left("breaker", "BREAKER"),
    Column::right("restarts", "RESTARTS"),
    Column::right("deaths", "DEATHS"),
    Column::left("last_death", "LAST DEATH"),
    Column::left("offers", "OFFERS"),
];

/// The servers. NEXT IN is how long until the state ends by itself.
pub fn services(rows: &[ServiceRow], now_ns: u64) -> Table {
    let mut table = Table::new(SERVICES);
    for row in rows {
        let breaker_tone = if row.breaker == "closed" { Tone::Quiet } else { Tone::Bad };
        table.push(vec![
            Cell::text(row.name.as_str()),
            if row.agent == 0 { Cell::None } else { id_cell(row.agent) },
            Cell::State(row.state.name().into(), row.state.tone()),
            row.until_ns.map_or(Cell::None, |until| Cell::Nanos(until.saturating_sub(now_ns))),
            Cell::State(row.breaker.clone(), breaker_tone),
            Cell::Number(row.incarnation.saturating_sub(1).into()),
            Cell::Number(row.deaths.into()),
            row.last_death.as_deref().map_or(Cell::None, Cell::text),
            Cell::text(row.offers.as_str()),
        ]);
    }
    table
}

/// A record of the log, as its server reports it.
pub type LogRow = Record;

/// One line of the log, coloured on a terminal; ends with `\n`. `lost` records came before it and are gone.
pub fn log_line(record: &LogRow, lost: u64, style: Style) -> String {
    let mut text = String::new();
    if lost > 0 {
        text += &format!("... {lost} records lost\n");
    }
    if !style.colour {
        return text + &format!("{record}\n");
    }
    let colour = match record.level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug | Level::Trace => "\x1b[2m",
    };
    let (stamp, label) = (Stamp(record.time_ns), record.level.label());
    let (source, message) = (Source(record), Message(record));
    text + &format!("\x1b[2m[{stamp}]\x1b[0m {colour}{label:<5}\x1b[0m \x1b[1m{source}\x1b[0m  {message}\n")
}
