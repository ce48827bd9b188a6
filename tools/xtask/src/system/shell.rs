//! What tests ask the shell for, beyond a command and its status: its tables as values, programs, the machine's own time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::lab;
use crate::machine::Machine;

/// A row of a table, or an object.
pub type Row = serde_json::Map<String, Value>;

/// Between two looks at something that is to change.
const PAUSE: Duration = Duration::from_millis(10);

/// What a command prints with `--json`.
pub fn json(machine: &mut Machine, command: &str) -> Result<Value> {
    let line = format!("{command} --json");
    let output = lab::succeed(machine, &line)?;
    // Urgent lines of the log are shown between others, and a table is one line.
    let found = output.lines().map(str::trim).filter(|line| line.starts_with(['[', '{'])).find_map(|line| serde_json::from_str(line).ok());
    found.with_context(|| format!("'{line}' printed no JSON:\n{output}"))
}

/// The rows of a table.
pub fn rows(machine: &mut Machine, command: &str) -> Result<Vec<Row>> {
    match json(machine, command)? {
        Value::Array(rows) => Ok(rows.into_iter().filter_map(|row| if let Value::Object(row) = row { Some(row) } else { None }).collect()),
        other => bail!("'{command}' printed no table: {other}"),
    }
}

/// A number of a row.
pub fn number(row: &Row, key: &str) -> Result<u64> {
    row.get(key).and_then(Value::as_u64).with_context(|| format!("no number `{key}` in {row:?}"))
}

/// A text of a row.
pub fn text<'r>(row: &'r Row, key: &str) -> Result<&'r str> {
    row.get(key).and_then(Value::as_str).with_context(|| format!("no text `{key}` in {row:?}"))
}

/// The row in which `key` is `value`.
pub fn row(machine: &mut Machine, command: &str, key: &str, value: &str) -> Result<Row> {
    let rows = rows(machine, command)?;
    let found = rows.iter().find(|row| row.get(key).and_then(Value::as_str) == Some(value)).cloned();
    found.with_context(|| format!("'{command}' shows no {key} {value}: {rows:?}"))
}

/// Whether an agent of this id is there.
pub fn is_there(machine: &mut Machine, id: &str) -> Result<bool> {
    Ok(rows(machine, "ps")?.iter().any(|row| row.get("id").and_then(Value::as_str) == Some(id)))
}

/// Starts a program; the words are those of `spawn`. Answers its id.
pub fn spawn(machine: &mut Machine, words: &str) -> Result<String> {
    let line = format!("spawn {words}");
    let output = lab::succeed(machine, &line)?;
    let id = output.lines().find_map(|line| line.split_once(" is agent ")).map(|(_, id)| id.trim().to_owned());
    id.with_context(|| format!("'{line}' names no agent:\n{output}"))
}

/// Time since boot as the machine has it, ns.
pub fn uptime_ns(machine: &mut Machine) -> Result<u64> {
    number(rows(machine, "uptime")?.first().context("`uptime` printed no row")?, "uptime_ns")
}

/// Looks again and again until it is so; answers what was found.
pub fn until<T>(machine: &mut Machine, limit: Duration, what: &str, mut look: impl FnMut(&mut Machine) -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look(machine)? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("not within {} s: {what}", limit.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits until no agent but those of the servers is there, and none is about to go.
pub fn until_alone(machine: &mut Machine, limit: Duration, agents: usize) -> Result<()> {
    until(machine, limit, "only the servers are left", |machine| Ok((rows(machine, "ps")?.len() == agents).then_some(())))
}

/// The rows of `mem`: use and pages. They must sum to the RAM, which `mem` itself checks as well.
pub fn memory(machine: &mut Machine) -> Result<Vec<(String, u64)>> {
    let Value::Object(memory) = json(machine, "mem")? else { bail!("`mem` printed no object") };
    let uses = memory.get("uses").and_then(Value::as_array).context("`mem` shows no uses")?;
    let uses: Vec<(String, u64)> = uses
        .iter()
        .filter_map(Value::as_object)
        .map(|row| Ok((text(row, "use")?.to_owned(), number(row, "pages")?)))
        .collect::<Result<_>>()?;
    let (sum, total) = (uses.iter().map(|(_, pages)| pages * 4096).sum::<u64>(), number(&memory, "total_bytes")?);
    if sum != total {
        bail!("the rows of `mem` sum to {sum} bytes, the RAM has {total}: {uses:?}");
    }
    Ok(uses)
}

/// Pages by which each use of memory grew, those that did not left out.
pub fn growth(before: &[(String, u64)], after: &[(String, u64)]) -> Vec<String> {
    let pairs = before.iter().zip(after).filter(|(before, after)| before.1 != after.1);
    pairs.map(|(before, after)| format!("{}: {} -> {} pages", before.0, before.1, after.1)).collect()
}
