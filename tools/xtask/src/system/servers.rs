//! Servers that are killed or fault: they are back within their backoff, twice; the third death in the window opens the circuit breaker, and
//! `restart` closes it. Whoever calls them gets an answer or an error, and never waits for ever.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use toml::Value;

use super::lab::{self, Lab};
use super::shell::{number, row, rows, spawn, text, until, until_alone, uptime_ns};
use super::{CodeCase, manifest};
use crate::machine::{After, Machine};
use crate::profile::Profile;
use crate::qemu::Launch;

/// The cases of this module.
pub const CASES: [CodeCase; 11] = [
    ("servers/kill-log", "direct", |lab, profile| {
        let launch = lab.launch(profile)?;
        deaths(lab, &launch, "logd")
    }),
    ("servers/kill-log-one-core", "direct/smp1", |lab, profile| {
        let launch = lab.launch(profile)?;
        deaths(lab, &launch, "logd")
    }),
    ("servers/kill-console", "direct", kill_console),
    ("servers/kill-shell", "direct", kill_shell),
    ("servers/fault", "direct", fault),
    ("servers/fault-one-core", "direct/smp1", fault),
    ("servers/clients-endure", "direct", clients_endure),
    ("servers/crash-loop", "direct", crash_loop),
    ("servers/stop-start", "direct", stop_start),
    ("servers/endless-loop", "direct", endless_loop),
    ("servers/no-such-core", "direct", no_such_core),
];

/// Backoffs before the first and the second restart (targets/README.md: 100 ms, doubling), ns.
const BACKOFF_NS: [u64; 2] = [100_000_000, 200_000_000];
/// What a restart may take beyond its backoff, on an emulated machine whose host has other things to do, ns.
const SLACK_NS: u64 = 1_500_000_000;
/// Longer than the period of the shell's heartbeat.
const IDLE: Duration = Duration::from_secs(12);
/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(15);

/// What is said when a breaker opens whose manifest says so.
const OUTAGE: &str = "death 3 within its window, circuit breaker opens for 1 s, then it is started again";

/// A server of the test program, for others to call.
const VICTIM: &str = "
name = 'victim'
image = 'assist'
class = { fair = { weight = 100 } }
pool_kib = 512
mailbox_pages = 2
offers = ['/svc/victim']
uses = ['/svc/log:write']
";

/// Whether a server runs, and how often it was restarted.
fn is_running(machine: &mut Machine, server: &str, restarts: u64) -> Result<Option<()>> {
    let row = row(machine, "services", "name", server)?;
    Ok((text(&row, "state")? == "running" && number(&row, "restarts")? == restarts).then_some(()))
}

/// The state and the breaker of a server.
fn state(machine: &mut Machine, server: &str) -> Result<(String, String)> {
    let row = row(machine, "services", "name", server)?;
    Ok((text(&row, "state")?.to_owned(), text(&row, "breaker")?.to_owned()))
}

/// Ends a server by `end` and waits until it is back; the machine's own clock says that it was no later than its backoff allows.
fn comes_back(machine: &mut Machine, server: &str, restarts: u64, backoff_ns: u64, end: &str) -> Result<()> {
    let began = uptime_ns(machine)?;
    lab::succeed(machine, end)?;
    until(machine, LIMIT, &format!("{server} is back"), |machine| is_running(machine, server, restarts))?;
    let took = uptime_ns(machine)? - began;
    if took > backoff_ns + SLACK_NS {
        bail!("{server} was back after {} ms, its backoff is {} ms", took / 1_000_000, backoff_ns / 1_000_000);
    }
    // Clients find it again.
    if server == "logd" {
        lab::succeed(machine, "log")?;
    }
    Ok(())
}

/// A log that comes back twice, and then does not until it is told to.
fn deaths(lab: &mut Lab<'_>, launch: &Launch, server: &str) -> Result<()> {
    let mut machine = lab.boot(launch)?;
    opens_breaker(&mut machine, server)?;
    let reply = lab::run(&mut machine, "log")?;
    if reply.status == 0 || !reply.output.contains("not running") {
        bail!("without a log, `log` must say so and fail; status {}:\n{}", reply.status, reply.output.trim_end());
    }
    lab::succeed(&mut machine, "ps")?;
    closes_breaker(&mut machine, server)?;
    lab::succeed(&mut machine, "log")?;
    lab::succeed(&mut machine, "selftest log")?;
    shut_down(&mut machine)
}

/// A server that is killed is back within its backoff, twice; the third time its breaker opens, and `services` shows it.
pub fn opens_breaker(machine: &mut Machine, server: &str) -> Result<()> {
    let kill = format!("kill {server}");
    for (restarts, backoff_ns) in (1..).zip(BACKOFF_NS) {
        comes_back(machine, server, restarts, backoff_ns, &kill)?;
    }
    lab::succeed(machine, &kill)?;
    until(machine, LIMIT, "the breaker opens", |machine| Ok((state(machine, server)? == ("open".into(), "open".into())).then_some(())))
}

/// `restart` starts a server whose breaker is open, and forgets its deaths.
pub fn closes_breaker(machine: &mut Machine, server: &str) -> Result<()> {
    lab::succeed(machine, &format!("restart {server}"))?;
    until(machine, LIMIT, "it is back", |machine| is_running(machine, server, 3))?;
    let after = row(machine, "services", "name", server)?;
    if (text(&after, "breaker")?, number(&after, "deaths")?) != ("closed", 0) {
        bail!("`restart` must close the breaker and forget the deaths: {after:?}");
    }
    Ok(())
}

/// The same for the console, through which all of it is said. While its breaker is open nobody can say anything, so this one is open for a second.
fn kill_console(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let manifest = open_for_a_second(lab, "uartd")?;
    let launch = lab.launch_manifest(profile, &manifest)?;
    let mut machine = lab.boot(&launch)?;
    for (restarts, backoff_ns) in (1..).zip(BACKOFF_NS) {
        comes_back(&mut machine, "uartd", restarts, backoff_ns, "kill uartd")?;
        lab::succeed(&mut machine, "log")?;
    }
    // Init says it on the early console, and that it tries again.
    let said = lab::succeed(&mut machine, "kill uartd")?;
    for line in [OUTAGE, "init: uartd: cooldown is over, trial start"] {
        if !said.contains(line) {
            bail!("nobody said `{line}`:\n{said}");
        }
    }
    let (state, breaker) = state(&mut machine, "uartd")?;
    if (state.as_str(), breaker.as_str()) != ("running", "half-open") {
        bail!("after the third death the console must be on trial, it is {state}, {breaker}");
    }
    lab::succeed(&mut machine, "restart uartd")?;
    let after = until(&mut machine, LIMIT, "the console is back", |machine| {
        Ok(is_running(machine, "uartd", 4)?.map(|()| row(machine, "services", "name", "uartd")))
    })??;
    if text(&after, "breaker")? != "closed" {
        bail!("`restart` must close the breaker: {after:?}");
    }
    lab::succeed(&mut machine, "selftest console")?;
    shut_down(&mut machine)
}

/// A manifest in which the breaker of this server is open for a second only, because nobody can say anything meanwhile.
fn open_for_a_second(lab: &Lab<'_>, server: &str) -> Result<String> {
    manifest::edited(&lab.artifacts.manifest, |table| {
        let policy = [("cooldown_s", 1), ("window_s", 30)].map(|(key, value)| (key.to_owned(), Value::from(value)));
        manifest::entry(table, server)?.insert("restart".into(), Value::Table(policy.into_iter().collect()));
        Ok(())
    })
}

/// Even the shell comes back, after its third death when its breaker's time is over; only init can't be killed.
fn kill_shell(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let manifest = open_for_a_second(lab, "shell")?;
    let launch = lab.launch_manifest(profile, &manifest)?;
    let mut machine = lab.boot(&launch)?;
    for attempt in ["kill init", "suspend init", "migrate init 1", "restart init", "stop init"] {
        let reply = lab::run(&mut machine, attempt)?;
        if reply.status == 0 || !reply.output.contains("nobody supervises it") {
            bail!("`{attempt}` ended with status {} and said {}", reply.status, reply.output.trim_end());
        }
    }
    for restarts in 1..=3 {
        let reply = machine.command("kill shell", Some(LIMIT), &mut |_| ()).context("after 'kill shell'")?;
        if (reply.status, reply.after) != (0, After::Ready) {
            bail!("a shell that was killed said `{}`, status {}", reply.output.trim_end(), reply.status);
        }
        // The log shows it on the console.
        if reply.output.contains(OUTAGE) != (restarts == 3) {
            bail!("the line about the open breaker belongs to death 3, this is {restarts}:\n{}", reply.output);
        }
        if is_running(&mut machine, "shell", restarts)?.is_none() {
            bail!("`services` does not show restart {restarts}: {:?}", row(&mut machine, "services", "name", "shell")?);
        }
    }
    lab::succeed(&mut machine, "selftest")?;
    shut_down(&mut machine)
}

/// A machine with a server that goes wrong when it is asked to, which the test program may call.
fn with_victim(lab: &mut Lab<'_>, profile: &Profile) -> Result<Machine> {
    let manifest = manifest::edited(&lab.artifacts.manifest, |table| {
        manifest::add(table, "server", VICTIM)?;
        manifest::list(manifest::entry(table, "assist")?, "uses")?.push("/svc/victim".into());
        Ok(())
    })?;
    let launch = lab.launch_manifest(profile, &manifest)?;
    lab.boot(&launch)
}

/// A server that faults during a call: the call ends with an error, the server is back, and after its third fault it is not.
fn fault(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let mut machine = with_victim(lab, profile)?;
    lab::succeed(&mut machine, "spawn -w assist poke /svc/victim echo 100")?;
    lab::succeed(&mut machine, "spawn -w assist poke /svc/victim hang")?;
    for (restarts, backoff_ns) in (1..).zip(BACKOFF_NS) {
        comes_back(&mut machine, "victim", restarts, backoff_ns, "spawn -w assist poke /svc/victim die")?;
    }
    // This one does not find it again.
    let reply = lab::run(&mut machine, "spawn -w assist poke /svc/victim die")?;
    let row = row(&mut machine, "services", "name", "victim")?;
    let shown = (text(&row, "state")?, text(&row, "breaker")?, text(&row, "last_death")?);
    if reply.status == 0 || shown != ("open", "open", "undefined or privileged instruction") {
        bail!("after three faults: status {}, {row:?}", reply.status);
    }
    let log = lab::succeed(&mut machine, "log -n 100")?;
    for line in ["victim: undefined or privileged instruction", "death 3 within its window, circuit breaker opens"] {
        if !log.contains(line) {
            bail!("the log does not say `{line}`:\n{log}");
        }
    }
    lab::succeed(&mut machine, "restart victim")?;
    lab::succeed(&mut machine, "spawn -w assist poke /svc/victim echo 100")?;
    lab::succeed(&mut machine, "selftest")?;
    shut_down(&mut machine)
}

/// Clients call all the time, from several cores, while their server is killed.
fn clients_endure(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    const CLIENTS: u32 = 3;
    let mut machine = with_victim(lab, profile)?;
    let agents = rows(&mut machine, "ps")?.len();
    for core in 0..CLIENTS {
        spawn(&mut machine, &format!("--core {core} assist poke /svc/victim endure 2000"))?;
    }
    for (restarts, backoff_ns) in (1..).zip(BACKOFF_NS) {
        std::thread::sleep(Duration::from_millis(lab.random.u64(0..200)));
        comes_back(&mut machine, "victim", restarts, backoff_ns, "kill victim")?;
    }
    lab::succeed(&mut machine, "spawn -w assist poke /svc/victim endure 2000")?;
    until_alone(&mut machine, LIMIT, agents)?;
    let log = lab::succeed(&mut machine, "log -n 100")?;
    let well = log.matches("assist: exited with 0").count();
    if well != CLIENTS as usize + 1 {
        bail!("{well} of {} clients ended well:\n{log}", CLIENTS + 1);
    }
    shut_down(&mut machine)
}

/// A service that is stopped stays down, and its clients get errors, until it is started.
fn stop_start(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let mut machine = with_victim(lab, profile)?;
    for lifeline in ["uartd", "shell"] {
        let reply = lab::run(&mut machine, &format!("stop {lifeline}"))?;
        if reply.status == 0 || !reply.output.contains("nobody could start") {
            bail!("{lifeline} was stopped: {}", reply.output.trim_end());
        }
    }
    for server in ["victim", "logd"] {
        lab::succeed(&mut machine, &format!("stop {server}"))?;
        until(&mut machine, LIMIT, "it is down", |machine| Ok((state(machine, server)?.0 == "stopped").then_some(())))?;
    }
    for refused in ["spawn -w assist poke /svc/victim echo 1", "log"] {
        let reply = lab::run(&mut machine, refused)?;
        if reply.status == 0 {
            bail!("`{refused}` succeeded though its service is stopped:\n{}", reply.output);
        }
    }
    // More than all backoffs.
    std::thread::sleep(Duration::from_secs(1));
    for server in ["logd", "victim"] {
        if state(&mut machine, server)? != ("stopped".into(), "closed".into()) {
            bail!("{server} came back by itself");
        }
        lab::succeed(&mut machine, &format!("start {server}"))?;
        until(&mut machine, LIMIT, "it is back", |machine| is_running(machine, server, 1))?;
        lab::succeed(&mut machine, &format!("start {server}"))?;
    }
    lab::succeed(&mut machine, "spawn -w assist poke /svc/victim echo 100")?;
    lab::succeed(&mut machine, "log")?;
    lab::succeed(&mut machine, "selftest")?;
    shut_down(&mut machine)
}

/// A server that loops for ever is missed and restarted; one that an operator suspended is not.
fn endless_loop(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let mut machine = with_victim(lab, profile)?;
    lab::succeed(&mut machine, "suspend logd")?;
    let end = lab::run(&mut machine, "spawn -w assist poke /svc/victim loop")?;
    lab::succeed(&mut machine, "resume logd")?;
    if end.status != 0 || is_running(&mut machine, "victim", 1)?.is_none() || is_running(&mut machine, "logd", 0)?.is_none() {
        bail!("status {}, {:?}:\n{}", end.status, rows(&mut machine, "services")?, end.output);
    }
    let row = row(&mut machine, "services", "name", "victim")?;
    let log = lab::succeed(&mut machine, "log -n 100")?;
    if text(&row, "last_death")? != "not heard of in time" || !log.contains("victim: does not answer: no heartbeat, promised every 3000 ms")
    {
        bail!("{row:?}, and the log does not say why:\n{log}");
    }
    // A shell that waits for its operator longer than between two of its heartbeats still hears of keys, and is not missed.
    std::thread::sleep(IDLE);
    if is_running(&mut machine, "shell", 0)?.is_none() {
        bail!("an idle shell was restarted: {:?}", rows(&mut machine, "services")?);
    }
    shut_down(&mut machine)
}

/// A program starts where it is to run, or not at all.
fn no_such_core(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    let launch = lab.launch(profile)?;
    let mut machine = lab.boot(&launch)?;
    let agents = rows(&mut machine, "ps")?.len();
    let reply = lab::run(&mut machine, &format!("spawn --core {} assist spin", profile.smp))?;
    if reply.status == 0
        || !reply.output.contains(&format!("there is no core {}", profile.smp))
        || rows(&mut machine, "ps")?.len() != agents
    {
        bail!("status {}, {} agents were there before:\n{}", reply.status, agents, reply.output);
    }
    // One that has a reservation is there from the beginning: nothing could move it later.
    let there = profile.smp - 1;
    let id = spawn(&mut machine, &format!("--core {there} watchdog edf 300000 10000000 100000"))?;
    let watchdog = row(&mut machine, "ps", "id", &id)?;
    if number(&watchdog, "core")? != u64::from(there) || !text(&watchdog, "class")?.starts_with("edf ") {
        bail!("it was to run on core {there}: {watchdog:?}");
    }
    lab::succeed(&mut machine, &format!("kill {id}"))?;
    shut_down(&mut machine)
}

/// A server that can never start harms nobody, and neither do programs that end badly again and again.
fn crash_loop(lab: &mut Lab<'_>, profile: &Profile) -> Result<()> {
    const CRASHES: [&str; 4] = ["null-write", "undefined", "panic", "stack-overflow"];
    let manifest = manifest::edited(&lab.artifacts.manifest, |table| {
        // Without a device, a console has nothing to do.
        manifest::add(
            table,
            "server",
            "name = 'crasher'\nimage = 'uartd'\nclass = { fair = { weight = 1024 } }\npool_kib = 512\nmailbox_pages = 1\n\
             restart = { backoff_initial_ms = 1, backoff_max_ms = 1, limit = 8 }",
        )
    })?;
    let launch = lab.launch_manifest(profile, &manifest)?;
    let mut machine = lab.boot(&launch)?;
    until(&mut machine, LIMIT, "the breaker opens", |machine| Ok((state(machine, "crasher")?.1 == "open").then_some(())))?;
    let row = row(&mut machine, "services", "name", "crasher")?;
    if number(&row, "deaths")? != 8 {
        bail!("the breaker opens at the eighth death: {row:?}");
    }
    let agents = rows(&mut machine, "ps")?.len();
    for round in 0..40 {
        let core = round % profile.smp;
        let crash = CRASHES[lab.random.usize(..CRASHES.len())];
        let reply = lab::run(&mut machine, &format!("spawn -w assist {crash}"))?;
        if reply.status == 0 {
            bail!("`{crash}` ended well");
        }
        spawn(&mut machine, &format!("assist {crash}")).with_context(|| format!("round {round} on core {core}"))?;
    }
    until_alone(&mut machine, LIMIT, agents)?;
    lab::succeed(&mut machine, "mem")?;
    lab::succeed(&mut machine, "selftest")?;
    shut_down(&mut machine)
}

fn shut_down(machine: &mut Machine) -> Result<()> {
    machine.shutdown().context("the machine did not shut down")
}
