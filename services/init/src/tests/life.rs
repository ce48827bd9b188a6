//! Start, death, restart, end.

use std::format;
use std::vec::Vec;

use aios_abi::Error;
use aios_abi::call::SLOT_ANY;
use aios_abi::message::FaultCause;
use aios_abi::rights::{Kind, Rights};
use aios_abi::sentinel::{PREFIX, SUFFIX};
use aios_proto::supervisor::{Breaker, Client, Error as Refused, Reason, State};
use aios_proto::types::ErrorCode;
use aios_proto::{Error as CallError, ServiceError, Text};
use aios_service::Event;

use super::MANIFEST;
use super::kernel::Doing;
use super::machine::{MS, Machine};
use crate::boot::{Boot, BootError};
use crate::layout::{STACK_PAGES, STACK_TOP};

const FOREVER: u64 = u64::MAX;

fn name<const MAX: usize>(text: &str) -> Text<'_, MAX> {
    Text::new(text).unwrap()
}

#[test]
fn servers_start_in_order_with_what_their_entries_list() {
    let mut machine = Machine::boot(MANIFEST);
    assert!(machine.kernel.is_there("uartd") && !machine.kernel.is_there("logd"), "logd waits for what it uses");
    let (id, uartd) = machine.kernel.agent("uartd");
    assert_eq!((uartd.doing, uartd.class, uartd.watch, uartd.supervised), (Doing::Running, Some([0, 200, 0]), 1, true));
    let [entry, stack, number, handle, text, length] = uartd.started.unwrap();
    assert_eq!((entry, stack, number, handle, text, length), (0x40_0000, STACK_TOP, 0, 3 << 16 | 1, 0, 0));
    let first = uartd.slots[&3];
    assert_eq!((first.kind, first.rights, first.word), (Kind::Service, Rights::SEND, 1 | 1 << 16));
    assert_eq!(uartd.slots.range(..SLOT_ANY).count(), 1);
    let stack = STACK_TOP - STACK_PAGES * 4096;
    let memory: Vec<_> = uartd.memory.iter().map(|(&at, &(pages, access))| (at, pages, access)).collect();
    assert_eq!(memory, [(0x40_0000, 2, 5), (0x40_2000, 1, 1), (0x40_3000, 32, 3), (0x42_3000, 2, 3), (stack, STACK_PAGES, 3)]);
    assert_eq!(machine.kernel.state().pages[&0], 768 / 4, "the pool is all that it costs");

    machine.ready("uartd");
    let (_, logd) = machine.kernel.agent("logd");
    assert_eq!((logd.class, logd.watch), (Some([1, 500_000, 10_000_000]), 2));
    assert_eq!((logd.slots[&4].kind, logd.slots[&4].rights), (Kind::Console, Rights::WRITE), "its entry lists the early console");
    let ready = format!("{PREFIX}boot;ready{SUFFIX}");
    machine.ready("logd");
    assert!(!machine.kernel.console().contains(&ready));
    let (_, shell) = machine.kernel.agent("shell");
    assert_eq!(shell.slots[&3].rights, Rights(Rights::SEND.0 | 0x7_0000));
    machine.ready("shell");
    assert!(machine.kernel.console().ends_with(&ready));
    assert!(machine.kernel.console().contains("init: uartd: device acme,rocket: the device tree has none"));
    assert!(machine.kernel.log().iter().any(|line| line == "every server is ready"), "what was said before the log was there is not lost");
    machine.crash("uartd");
    assert_eq!(machine.kernel.agent("uartd").0, id, "a restart keeps the id");
}

#[test]
fn a_server_comes_back_within_its_backoff_twice_and_then_its_breaker_opens() {
    let mut machine = Machine::up(MANIFEST);
    let (id, _) = machine.kernel.agent("logd");
    for backoff_ms in [100, 200] {
        machine.crash("logd");
        assert_eq!(machine.kernel.agent("logd").1.doing, Doing::New, "callers hear of it at once");
        machine.sleep(backoff_ms - 1);
        assert_eq!(machine.kernel.agent("logd").1.doing, Doing::New);
        machine.sleep(1);
        let (again, sim) = machine.kernel.agent("logd");
        assert_eq!((again, sim.doing, sim.memory.len()), (id, Doing::Running, 5));
        machine.ready("logd");
        assert_eq!(machine.kernel.state().pages[&0], 768 / 4 + 512 / 4 + 2048 / 4, "a restart needs no new memory");
    }
    machine.crash("logd");
    assert!(!machine.kernel.is_there("logd"), "nobody waits for a server that doesn't come back");
    assert_eq!(machine.kernel.state().pages[&0], 768 / 4 + 2048 / 4);
    assert!(machine.kernel.console().contains("circuit breaker opens for 30 s"), "without the log the console takes it");
    {
        let mut shell = Client::new(machine.speak("shell"));
        let page = shell.services(0, FOREVER).unwrap();
        let logd = &page.services[1];
        assert_eq!((page.total, logd.name.as_str(), logd.offers.as_str()), (3, "logd", "/svc/log /svc/history"));
        assert_eq!((logd.state, logd.breaker, logd.agent, logd.restarts, logd.deaths), (State::Open, Breaker::Open, 0, 2, 3));
        assert_eq!((logd.last_reason, logd.until), (Reason::Faulted(1), Some(30_300 * MS)));
    }
    machine.sleep(29_999);
    assert!(!machine.kernel.is_there("logd"));
    machine.sleep(1);
    let (other, sim) = machine.kernel.agent("logd");
    assert_eq!(sim.doing, Doing::Running);
    assert_ne!(other, id);
    machine.ready("logd");
    assert!(machine.kernel.log().iter().any(|line| line.contains("death 3 within its window")));
}

#[test]
fn an_operator_restarts_and_kills() {
    let mut machine = Machine::up(MANIFEST);
    let (id, before) = machine.kernel.agent("logd");
    let mut shell = Client::new(machine.speak("shell"));
    assert_eq!(shell.restart(name("uartd"), FOREVER), Err(CallError::Service(Refused::NotAllowed)));
    assert_eq!(shell.restart(name("nobody"), FOREVER), Err(CallError::Service(Refused::UnknownService)));
    shell.restart(name("logd"), FOREVER).unwrap();
    let (again, after) = machine.kernel.agent("logd");
    assert_eq!((again, after.doing, after.incarnation), (id, Doing::Running, before.incarnation + 1));
    assert_ne!(after.slots[&3].word, before.slots[&3].word, "init knows the runs apart");
    machine.ready("logd");

    let mut shell = Client::new(machine.speak("shell"));
    shell.kill(id.0, FOREVER).unwrap();
    assert_eq!(shell.kill(99, FOREVER), Err(CallError::Service(Refused::UnknownAgent)));
    assert_eq!(shell.kill(id.0, FOREVER), Err(CallError::Service(Refused::NotRunning)), "it waits for its restart");
    machine.sleep(100);
    assert_eq!(machine.kernel.agent("logd").1.doing, Doing::Running);
}

#[test]
fn a_server_that_somebody_ends_behind_inits_back_is_made_anew() {
    let mut machine = Machine::up(MANIFEST);
    let (id, _) = machine.kernel.agent("uartd");
    let bits = machine.kernel.murder(id);
    machine.event(Event::Notification { bits });
    machine.sleep(100);
    let (other, sim) = machine.kernel.agent("uartd");
    assert_eq!(sim.doing, Doing::Running);
    assert_ne!(other, id);
    // The bit of an agent that is there means nothing.
    machine.event(Event::Notification { bits: u64::MAX });
    assert_eq!(machine.kernel.agent("uartd").1.doing, Doing::Running);
}

#[test]
fn a_restart_waits_until_the_agent_is_empty() {
    let mut machine = Machine::up(MANIFEST);
    machine.kernel.state().slow = true;
    machine.crash("uartd");
    machine.sleep(150);
    let (id, sim) = machine.kernel.agent("uartd");
    assert_eq!(sim.doing, Doing::Clearing);
    machine.kernel.state().agents.get_mut(&id.0).unwrap().doing = Doing::New;
    machine.sleep(1);
    assert_eq!(machine.kernel.agent("uartd").1.doing, Doing::Running);
}

#[test]
fn deaths_are_told_with_their_cause() {
    let mut machine = Machine::up(MANIFEST);
    let (id, _) = machine.kernel.agent("shell");
    machine.fault(id, FaultCause::Panic, 101, "main.rs:1:1: no more");
    machine.sleep(100);
    machine.ready("shell");
    machine.fault(id, FaultCause::Exit, 7, "");
    machine.fault(aios_abi::AgentId(4711), FaultCause::Undefined, 0, "");
    assert_eq!(machine.kernel.state().judged, [(5, 2)], "nobody else may judge it");
    let log = machine.kernel.log();
    assert!(log.iter().any(|line| line == "panicked: main.rs:1:1: no more") && log.iter().any(|line| line == "exited with 7"), "{log:?}");
}

#[test]
fn what_can_not_be_started_is_tried_again_and_given_up() {
    let mut machine = Machine::boot(MANIFEST);
    machine.ready("uartd");
    machine.ready("logd");
    machine.kernel.state().refuse_spawn = Some(Error::NoMemory);
    let (id, _) = machine.kernel.agent("shell");
    let bits = machine.kernel.murder(id);
    machine.event(Event::Notification { bits });
    machine.sleep(400);
    assert!(
        machine
            .kernel
            .log()
            .iter()
            .filter(|line| line.starts_with("can't start: the memory pool that pays for it has no page left"))
            .count()
            >= 2
    );
    let state = machine.service.handler.init.supervisor.status(2, machine.post.now_ns).unwrap().state;
    assert_eq!(state.name(), "open");
    assert_eq!(machine.kernel.state().pages[&0], 768 / 4 + 512 / 4, "nothing is left behind");
}

#[test]
fn silence_is_a_death() {
    let mut machine = Machine::up(MANIFEST);
    machine.ready_with("uartd", 50 * MS);
    machine.sleep(140);
    aios_proto::lifecycle::Client::new(machine.speak("uartd")).heartbeat().unwrap();
    machine.run();
    machine.sleep(149);
    assert_eq!(machine.kernel.agent("uartd").1.incarnation, 1);
    machine.sleep(1);
    assert_eq!(machine.kernel.agent("uartd").1.incarnation, 2);
    let said = |line: &std::string::String| line == "does not answer: no heartbeat, promised every 50 ms";
    assert!(machine.kernel.log().iter().any(said), "{:?}", machine.kernel.log());
    let shell = Client::new(machine.speak("shell")).services(0, FOREVER).map(|page| page.services[0].last_reason);
    assert_eq!(shell, Ok(Reason::Silent));
}

#[test]
fn who_is_suspended_owes_no_heartbeat() {
    let mut machine = Machine::up(MANIFEST);
    machine.ready_with("uartd", 50 * MS);
    let (id, _) = machine.kernel.agent("uartd");
    machine.kernel.state().agents.get_mut(&id.0).unwrap().suspended = true;
    machine.sleep(1000);
    assert_eq!(machine.kernel.agent("uartd").1.incarnation, 1);
    machine.kernel.state().agents.get_mut(&id.0).unwrap().suspended = false;
    machine.sleep(50);
    assert_eq!(machine.kernel.agent("uartd").1.incarnation, 2);
}

#[test]
fn a_heartbeat_that_waits_while_init_is_late_counts() {
    let mut machine = Machine::up(MANIFEST);
    machine.ready_with("uartd", 50 * MS);
    // Init does not run for a second. What it then sees first is the time, and behind it what was sent meanwhile.
    machine.post.now_ns += 1000 * MS;
    machine.event(Event::Timeout);
    aios_proto::lifecycle::Client::new(machine.speak("uartd")).heartbeat().unwrap();
    machine.run();
    machine.sleep(100);
    assert_eq!(machine.kernel.agent("uartd").1.incarnation, 1);
}

#[test]
fn a_service_that_is_stopped_stays_down_until_it_is_started() {
    let mut machine = Machine::up(MANIFEST);
    let (id, _) = machine.kernel.agent("logd");
    let logd = |machine: &mut Machine| {
        let mut shell = Client::new(machine.speak("shell"));
        let page = shell.services(0, FOREVER).unwrap();
        (page.services[1].state, page.services[1].agent)
    };
    let mut shell = Client::new(machine.speak("shell"));
    assert_eq!(shell.stop(name("uartd"), FOREVER), Err(CallError::Service(Refused::NotAllowed)));
    assert_eq!(shell.start(name("uartd"), FOREVER), Err(CallError::Service(Refused::NotAllowed)));
    assert_eq!(shell.stop(name("init"), FOREVER), Err(CallError::Service(Refused::IsInit)));
    assert_eq!(shell.stop(name("nobody"), FOREVER), Err(CallError::Service(Refused::UnknownService)));
    shell.stop(name("logd"), FOREVER).unwrap();
    assert_eq!(logd(&mut machine), (State::Stopping, id.0));
    assert!(machine.kernel.state().notified.iter().any(|&(_, bits)| bits == 4), "it is asked to stop in good order");
    machine.sleep(600);
    assert_eq!(logd(&mut machine), (State::Stopped, 0));
    assert!(!machine.kernel.is_there("logd"), "nobody waits for it");
    machine.sleep(100_000);
    assert_eq!(logd(&mut machine).0, State::Stopped);
    let mut shell = Client::new(machine.speak("shell"));
    shell.stop(name("logd"), FOREVER).unwrap();
    shell.start(name("logd"), FOREVER).unwrap();
    machine.ready("logd");
    let (state, other) = logd(&mut machine);
    assert_eq!(state, State::Running);
    assert_ne!(other, id.0);
    let mut shell = Client::new(machine.speak("shell"));
    shell.start(name("logd"), FOREVER).unwrap();
    assert_eq!(logd(&mut machine), (State::Running, other), "one that runs goes on");
}

#[test]
fn what_is_down_can_be_stopped_and_started() {
    let mut machine = Machine::up(MANIFEST);
    machine.crash("logd");
    Client::new(machine.speak("shell")).stop(name("logd"), FOREVER).unwrap();
    assert!(!machine.kernel.is_there("logd"));
    machine.sleep(1000);
    assert!(!machine.kernel.is_there("logd"), "the backoff is over, and it stays down");
    Client::new(machine.speak("shell")).start(name("logd"), FOREVER).unwrap();
    assert!(machine.kernel.is_there("logd"));
}

#[test]
fn init_itself_is_out_of_reach_and_says_why() {
    let mut machine = Machine::up(MANIFEST);
    let init = aios_rt::info::agent().0;
    let mut shell = Client::new(machine.speak("shell"));
    let refused = Err(CallError::Service(Refused::IsInit));
    assert_eq!(shell.kill(init, FOREVER), refused);
    assert_eq!(shell.open_agent(init, FOREVER).map(|_| ()), refused);
    assert_eq!(shell.revoke(init, 1, FOREVER), refused);
    assert_eq!(shell.restart(name("init"), FOREVER), refused);
}

#[test]
fn a_console_that_is_down_for_long_is_announced_on_the_line() {
    let manifest = MANIFEST.replace("devices = [\"console\", \"acme,rocket#3\"]", "devices = [\"console\"]\nrestart = { cooldown_s = 2 }");
    let mut machine = Machine::up(&manifest);
    for backoff_ms in [100, 200] {
        machine.crash("uartd");
        machine.sleep(backoff_ms);
        machine.ready("uartd");
    }
    assert!(!machine.kernel.console().contains("init: uartd"));
    machine.crash("uartd");
    let said = machine
        .kernel
        .console()
        .contains("init: uartd: access to unmapped memory; death 3 within its window, circuit breaker opens for 2 s, then");
    assert!(said, "{}", machine.kernel.console());
    machine.sleep(2000);
    assert!(machine.kernel.console().contains("init: uartd: cooldown is over, trial start"));
    assert!(machine.kernel.is_there("uartd"));
}

#[test]
fn programs_run_and_are_waited_for() {
    let mut machine = Machine::up(MANIFEST);
    let mut shell = Client::new(machine.speak("shell"));
    assert_eq!(shell.spawn(name("nothing"), name(""), None, FOREVER), Err(CallError::Service(Refused::UnknownProgram)));
    assert_eq!(shell.spawn(name("other"), name(""), None, FOREVER), Err(CallError::Service(Refused::NotAllowed)));
    {
        let page = shell.programs(0, FOREVER).unwrap();
        assert_eq!((page.total, page.programs.iter().map(|name| name.as_str()).collect::<Vec<_>>()), (1, Vec::from(["job"])));
    }
    let first = shell.spawn(name("job"), name("12 of them"), None, FOREVER).unwrap();
    let second = shell.spawn(name("job"), name(""), None, FOREVER).unwrap();
    let pool = 2;
    let sim = machine.kernel.state().agents[&first].clone();
    let [_, stack, number, _, text, length] = sim.started.unwrap();
    assert_eq!((stack, number, text, length), (STACK_TOP - 16, 12, STACK_TOP - 16, 10));
    assert_eq!(sim.pool, machine.kernel.state().agents[&second].pool);
    let pages: i64 = machine.kernel.state().pages.iter().filter(|(other, _)| **other != 0).map(|(_, pages)| *pages).sum();
    assert_eq!(pages, pool * 1024 / 4, "programs are paid from their own pool");

    assert_eq!(Client::new(machine.speak("shell")).wait(first, 0), Err(CallError::Timeout), "it runs");
    machine.run();
    machine.fault(aios_abi::AgentId(first), FaultCause::Exit, 3, "");
    let mut shell = Client::new(machine.speak("shell"));
    assert_eq!(shell.wait(first, FOREVER), Ok(Reason::Exited(3)));
    assert_eq!(shell.wait(4711, FOREVER), Err(CallError::Service(Refused::UnknownAgent)));
    shell.kill(second, FOREVER).unwrap();
    assert_eq!(shell.wait(second, FOREVER), Ok(Reason::Killed));
    let third = shell.spawn(name("job"), name(""), None, FOREVER).unwrap();
    let bits = machine.kernel.murder(aios_abi::AgentId(third));
    machine.event(Event::Notification { bits });
    assert_eq!(Client::new(machine.speak("shell")).wait(third, FOREVER), Ok(Reason::Killed));
    let pages: i64 = machine.kernel.state().pages.iter().filter(|(other, _)| **other != 0).map(|(_, pages)| *pages).sum();
    assert_eq!(pages, 0);
}

#[test]
fn a_program_with_a_reservation_starts_on_the_core_that_it_is_to_run_on_or_not_at_all() {
    let edf = "class = { edf = { budget_us = 500, period_us = 10_000 } }\npool_kib = 1_024\nmailbox_pages = 2";
    let mut machine = Machine::up(&MANIFEST.replace("class = { fair = { weight = 100 } }\npool_kib = 1_024\nmailbox_pages = 2", edf));
    let mut shell = Client::new(machine.speak("shell"));
    let job = shell.spawn(name("job"), name(""), Some(3), FOREVER).unwrap();
    let refused = shell.spawn(name("job"), name(""), Some(4), FOREVER);
    assert_eq!(refused, Err(CallError::Service(Refused::Kernel(Error::NoSuchCore.code()))));
    let state = machine.kernel.state();
    let sim = &state.agents[&job];
    assert_eq!((sim.core, sim.class, sim.doing), (3, Some([1, 500_000, 10_000_000]), Doing::Running));
    let left = state.agents.iter().filter(|(id, sim)| **id != job && sim.name == "job" && sim.doing != Doing::Gone).count();
    assert_eq!(left, 0, "what can't be where it is to be does not stay");
}

#[test]
fn as_many_programs_run_as_there_is_memory_for() {
    let mut machine = Machine::up(&MANIFEST.replace("pool_kib = 1_024", "pool_kib = 256"));
    let mut shell = Client::new(machine.speak("shell"));
    for _ in 0..crate::programs::RUNNING_MAX {
        shell.spawn(name("job"), name(""), None, FOREVER).unwrap();
    }
    assert_eq!(shell.spawn(name("job"), name(""), None, FOREVER), Err(CallError::Service(Refused::TooManyPrograms)));
}

#[test]
fn the_system_stops_in_the_reverse_order() {
    let mut machine = Machine::up(MANIFEST);
    let order: Vec<_> = ["shell", "logd", "uartd"].iter().map(|name| machine.kernel.agent(name).0).collect();
    let mut shell = Client::new(machine.speak("shell"));
    let program = shell.spawn(name("job"), name(""), None, FOREVER).unwrap();
    shell.shutdown(FOREVER).unwrap();
    machine.run();
    assert_eq!(machine.kernel.state().agents[&program].doing, Doing::Gone);
    assert_eq!(Client::new(machine.speak("shell")).spawn(name("job"), name(""), None, FOREVER), Err(CallError::Service(Refused::Stopping)));
    for id in &order {
        assert_eq!(machine.kernel.state().notified.last(), Some(&(id.0, 4)), "it is asked to stop");
        assert_ne!(machine.kernel.state().agents[&id.0].doing, Doing::Gone);
        assert_eq!(machine.kernel.state().power, None);
        if *id == order[1] {
            // One that ends by itself; the others have to be killed after their grace time.
            machine.fault(*id, FaultCause::Exit, 0, "");
        } else {
            machine.sleep(500);
        }
        assert_eq!(machine.kernel.state().agents[&id.0].doing, Doing::Gone);
    }
    assert_eq!(machine.kernel.state().power, Some(0));
    assert_eq!(machine.kernel.slots_made(), 2, "the pool of the programs, and where faults went");
    assert!(machine.kernel.console().ends_with("init: the machine stays on: the machine's firmware refused\r\n"));
}

#[test]
fn a_run_that_is_over_is_not_heard() {
    let mut machine = Machine::up(MANIFEST);
    let badge = machine.speak("shell").badge;
    machine.crash("shell");
    machine.sleep(100);
    let mut shell = machine.speak("shell");
    assert_ne!(shell.badge, badge);
    shell.badge = badge;
    let refused = Err(CallError::Refused(ErrorCode::UnknownBadge.code()));
    assert_eq!(Client::new(shell).restart(name("logd"), FOREVER), refused);
    let mut nobody = machine.speak("shell");
    nobody.badge = 0;
    assert_eq!(Client::new(nobody).restart(name("logd"), FOREVER), refused);
}

#[test]
fn a_bundle_that_is_no_good_says_why() {
    let _kernel = super::kernel::boot();
    let read = |bundle: &[u8]| Boot::read(bundle, super::TREE).map(|_| ()).map_err(|error| format!("{error}"));
    assert_eq!(read(b"nothing"), Err("bundle is cut off".into()));
    let mut writer = aios_bundle::BundleWriter::new();
    writer.add("init", aios_bundle::Kind::Program, Vec::from([1])).unwrap();
    assert_eq!(read(&writer.finish().unwrap()), Err(format!("{}", BootError::NoManifest)));
    writer.add("manifest", aios_bundle::Kind::Manifest, Vec::from([1])).unwrap();
    assert_eq!(read(&writer.finish().unwrap()), Err("manifest is cut short".into()));
}
