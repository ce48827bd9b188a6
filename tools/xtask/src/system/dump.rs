//! What `cargo xtask dump` shows is what the machine itself shows, or what it said as it died.

use std::time::Duration;

use aios_dump::Program;
use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::CodeCase;
use super::lab::{self, Lab};
use super::stub::{self, PC, PSTATE, Stub};
use crate::dump;
use crate::machine::Stop;
use crate::profile::Profile;
use crate::progress::Progress;
use crate::qemu::Launch;

/// The cases of this module.
pub const CASES: [CodeCase; 2] = [("dump/alive", "direct", alive), ("dump/panic", "direct", panic)];

/// After so long nobody is at work any more.
const SETTLED: Duration = Duration::from_millis(500);
/// How long the machine may take to die.
const LIMIT: Duration = Duration::from_secs(20);

/// A machine whose memory is in a file, and the kernel that it runs.
struct Subject {
    launch: Launch,
    program: Program,
}

impl Subject {
    fn new(lab: &Lab<'_>, profile: &Profile) -> Result<Self> {
        let mut launch = lab.launch(profile)?;
        launch.memory_file = Some(lab.path("ram.bin")?);
        let program = dump::program(lab.workspace, Some(&lab.artifacts.programs.kernel), &Progress::new(true))?;
        Ok(Self { launch, program })
    }

    /// What is in the file now.
    fn dump(&self) -> Result<Value> {
        let file = self.launch.memory_file.as_deref().context("the machine has a memory file")?;
        Ok(dump::object(&dump::read(&mut dump::open(file)?, &self.program)?))
    }
}

/// Agents, one agent's capabilities, and the books, of a machine that rests.
fn alive(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let subject = Subject::new(lab, profile)?;
    let mut machine = lab.boot(&subject.launch)?;
    let mut shown = |line: &str| -> Result<Value> {
        let output = lab::succeed(&mut machine, line)?;
        serde_json::from_str(output.trim()).with_context(|| format!("'{line}' printed no JSON:\n{output}"))
    };
    let (agents, capabilities) = (shown("ps --json")?, shown("caps logd --json")?);
    std::thread::sleep(SETTLED);
    let dump = subject.dump()?;
    same_agents(&agents, &dump["agents"])?;
    let logd = agents.as_array().into_iter().flatten().find(|agent| agent["name"] == "logd").context("`ps` shows no logd")?;
    let dumped = &dump["capabilities"][logd["id"].as_str().unwrap_or_default()];
    if *dumped != capabilities {
        bail!("logd's capabilities are\n{capabilities}\nbut the dump shows\n{dumped}");
    }
    if dump["epitaph"] != Value::Null || dump["notes"].as_array().is_none_or(|notes| !notes.is_empty()) {
        bail!("the dump finds fault with a machine that is well: {} {}", dump["epitaph"], dump["notes"]);
    }
    let (uses, total) = (&dump["memory"]["uses"], &dump["memory"]["total_bytes"]);
    let sum: u64 = uses.as_array().into_iter().flatten().filter_map(|row| row["bytes"].as_u64()).sum();
    if sum == 0 || Some(sum) != total.as_u64() {
        bail!("the memory's uses in the dump sum to {sum} bytes of {total}");
    }
    if dump["cores"].as_array().map(Vec::len) != Some(profile.smp as usize) {
        bail!("the dump shows other than {} cores: {}", profile.smp, dump["cores"]);
    }
    machine.shutdown().context("the machine did not shut down")
}

/// Compares what `ps` said with the dump, but for what the command itself changed.
fn same_agents(shown: &Value, dumped: &Value) -> Result<()> {
    let (shown, dumped) = (shown.as_array().context("`ps` shows no list")?, dumped.as_array().context("the dump has no agents")?);
    let names = |agents: &[Value]| agents.iter().map(|agent| agent["name"].to_string()).collect::<Vec<_>>().join(", ");
    if shown.is_empty() || shown.len() != dumped.len() {
        bail!("`ps` shows {}, the dump {}", names(shown), names(dumped));
    }
    for (there, here) in shown.iter().zip(dumped) {
        // Whoever asked was running then, and has had an answer since.
        let settled: &[&str] = if there["name"] == "shell" { &[] } else { &["state", "memory_bytes"] };
        for key in ["id", "name", "core", "class", "quota_bytes", "restarts"].iter().chain(settled) {
            if there[key] != here[key] {
                bail!("{}: {key} is {} in `ps` and {} in the dump", there["name"], there[key], here[key]);
            }
        }
    }
    Ok(())
}

/// A kernel that jumps to where nothing is leaves an epitaph that says so.
fn panic(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let profile = Profile { smp: 1, ..profile.clone() };
    let mut subject = Subject::new(lab, &profile)?;
    let socket = lab.path("stub.sock")?;
    // One that an earlier run left behind.
    let _ = std::fs::remove_file(&socket);
    subject.launch.extra = stub::arguments(&socket);
    let mut machine = lab.boot(&subject.launch)?;
    std::thread::sleep(SETTLED);
    // The direct map has no memory at the first megabytes, which are the machine's flash.
    let nowhere = aios_handoff::layout::direct_va(lab.random.u64(1..1 << 20) * 4);
    let mut stub = Stub::stop(&socket)?;
    break_kernel(&mut stub, nowhere)?;
    // A core that waits for an interrupt goes on at the next one: a key.
    machine.type_bytes(b" ")?;
    let Err(Stop::Panic(reason)) = machine.wait_off(LIMIT) else { bail!("the kernel did not panic at {nowhere:#x}") };
    let dump = subject.dump()?;
    let epitaph = &dump["epitaph"];
    if epitaph["elr"] != nowhere || epitaph["far"] != nowhere || epitaph["core"] != 0 || epitaph["cause"] != VECTOR_SYNC_EL1H {
        bail!("the epitaph does not tell of a jump to {nowhere:#x}: {epitaph}");
    }
    if reason.is_empty() || epitaph["message"].as_str().and_then(|text| text.lines().next()) != Some(reason.as_str()) {
        bail!("the epitaph says {}, the console said {reason:?}", epitaph["message"]);
    }
    if dump["agents"].as_array().is_none_or(|agents| !agents.iter().any(|agent| agent["name"] == "shell")) {
        bail!("the dump of the dead machine has no shell: {}", dump["agents"]);
    }
    Ok(())
}

/// The epitaph's cause for a synchronous exception in the kernel on its own stack.
const VECTOR_SYNC_EL1H: u64 = 0x104;

/// Stops the machine in the kernel and sends it to an address.
fn break_kernel(stub: &mut Stub, address: u64) -> Result<()> {
    const TRIES: usize = 50;
    /// PSTATE.M of EL1 with its own stack pointer.
    const EL1H: u64 = 0b0101;
    for _ in 0..TRIES {
        if stub.register(PSTATE)? & 0xf == EL1H {
            stub.set_register(PC, address)?;
            return stub.go_on();
        }
        stub.go_on()?;
        std::thread::sleep(Duration::from_millis(20));
        stub.interrupt()?;
    }
    bail!("the machine was never found in the kernel")
}
