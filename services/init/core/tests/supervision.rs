//! Scenarios as an operator would tell them, then random event sequences against the invariants of the crate.

use aios_init_core::names::{Asker, NotListed, Provider, resolve};
use aios_init_core::{Breaker, Effect, Event, KILL_GRACE_NS, LogEvent, PowerAction, Reason, Refusal, State, Supervisor};
use aios_manifest::types::{Class, Controls, Device, Entry, Manifest, Program, Restart, Server, Special, System, Targets, Use};

const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

fn entry<'a>(name: &'a str, uses: &[&'a str]) -> Entry<'a> {
    Entry {
        name,
        image: name,
        class: Class::Fair { weight: 64 },
        pool_kib: 512,
        mailbox_pages: 1,
        uses: uses.iter().map(|name| Use { name, rights: 5 }).collect(),
        special: Special::default(),
        controls: Controls::default(),
        spawns: Targets::None,
    }
}

fn server<'a>(name: &'a str, offers: &[&'a str], uses: &[&'a str], depends: &[u16], restart: Restart) -> Server<'a> {
    Server {
        entry: entry(name, uses),
        depends: depends.to_vec(),
        offers: offers.to_vec(),
        devices: if name == "uartd" { vec![Device::Console] } else { vec![] },
        restart,
        stop_grace_ms: 500,
    }
}

fn manifest(servers: Vec<Server<'_>>) -> Manifest<'_> {
    Manifest {
        system: System { name: "test", min_ram_mib: 64, epoch_us: 10_000, server_pools_kib: 4096, program_pools_kib: 0 },
        servers,
        programs: vec![Program { entry: entry("assist", &["/svc/log"]) }],
    }
}

fn three() -> Manifest<'static> {
    let policy = Restart::default();
    manifest(vec![
        server("uartd", &["/svc/console"], &[], &[], policy),
        server("logd", &["/svc/log"], &["/svc/console"], &[0], policy),
        server("shell", &[], &["/svc/console", "/svc/log", "/svc/names"], &[0, 1], policy),
    ])
}

/// A supervisor with a clock and a record of what it wanted.
struct World {
    supervisor: Supervisor,
    now: u64,
    timer: Option<u64>,
    effects: Vec<Effect>,
}

impl World {
    fn new(manifest: &Manifest<'_>) -> Self {
        World { supervisor: Supervisor::new(manifest), now: 0, timer: None, effects: Vec::new() }
    }

    /// Three servers, all running.
    fn up() -> Self {
        let mut world = World::new(&three());
        world.event(Event::Begin);
        for service in 0..3 {
            world.ready(service);
        }
        assert!(world.effects.contains(&Effect::NotifyReady));
        world
    }

    fn event(&mut self, event: Event) -> &[Effect] {
        self.effects = self.supervisor.handle(self.now, event).expect("accepted");
        for effect in &self.effects {
            if let Effect::SetTimer(at) = effect {
                self.timer = Some(*at);
            }
        }
        &self.effects
    }

    fn incarnation(&self, service: usize) -> u32 {
        self.supervisor.status(service, self.now).unwrap().incarnation
    }

    fn state(&self, service: usize) -> State {
        self.supervisor.status(service, self.now).unwrap().state
    }

    fn ready(&mut self, service: usize) {
        let incarnation = self.incarnation(service);
        self.event(Event::Ready { service, incarnation });
        assert!(matches!(self.state(service), State::Running { .. }), "{:?}", self.state(service));
    }

    fn died(&mut self, service: usize, reason: Reason) {
        let incarnation = self.incarnation(service);
        self.event(Event::Died { service, incarnation, reason });
    }

    fn pass(&mut self, ns: u64) -> &[Effect] {
        self.now += ns;
        self.event(Event::Timer)
    }

    fn started(&self, service: usize) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Start { service: s, .. } if *s == service))
    }
}

#[test]
fn servers_start_in_order_and_the_system_is_announced_once() {
    let mut world = World::new(&three());
    world.event(Event::Begin);
    assert!(world.started(0) && !world.started(1) && !world.started(2));
    world.ready(0);
    assert!(world.started(1) && !world.started(2));
    world.ready(1);
    assert!(world.started(2) && !world.effects.contains(&Effect::NotifyReady));
    world.ready(2);
    assert!(world.effects.contains(&Effect::NotifyReady));
    world.died(2, Reason::Panic);
    world.pass(S);
    world.ready(2);
    assert!(!world.effects.contains(&Effect::NotifyReady));
}

#[test]
fn twice_back_within_the_backoff_and_the_third_death_opens_the_breaker() {
    let mut world = World::up();
    for delay in [100 * MS, 200 * MS] {
        world.event(Event::Kill(1));
        assert!(world.effects.contains(&Effect::Kill(1)));
        world.died(1, Reason::Killed);
        assert_eq!(world.state(1), State::Backoff { until: world.now + delay });
        assert_eq!(world.timer, Some(world.now + delay));
        assert!(world.pass(delay - 1).iter().all(|effect| !matches!(effect, Effect::Start { .. })));
        world.pass(1);
        assert!(world.started(1));
        world.ready(1);
        world.now += S;
    }
    world.died(1, Reason::Killed);
    assert_eq!(world.state(1), State::Open { until: Some(world.now + 30 * S) });
    let status = world.supervisor.status(1, world.now).unwrap();
    assert_eq!((status.breaker, status.deaths_in_window), (Breaker::Open, 3));
    let said = world.effects.iter().any(|effect| matches!(effect, Effect::Log(LogEvent::Opened { deaths: 3, .. })));
    assert!(said);
    assert!(matches!(world.state(2), State::Running { .. }), "others go on");
}

#[test]
fn an_open_breaker_gets_one_trial_and_a_healthy_window_closes_it() {
    let mut world = World::up();
    for _ in 0..3 {
        world.died(0, Reason::Fault(2));
        world.pass(500 * MS);
        if world.started(0) {
            world.ready(0);
        }
    }
    assert!(matches!(world.state(0), State::Open { .. }));
    world.pass(30 * S);
    assert!(world.started(0));
    world.ready(0);
    assert_eq!(world.supervisor.status(0, world.now).unwrap().breaker, Breaker::HalfOpen);
    world.died(0, Reason::Fault(2));
    assert!(matches!(world.state(0), State::Open { .. }), "one death in the trial opens it again");
    world.pass(30 * S);
    world.ready(0);
    world.now += 61 * S;
    assert_eq!(world.supervisor.status(0, world.now).unwrap().breaker, Breaker::Closed);
    world.died(0, Reason::Fault(2));
    assert_eq!(world.state(0), State::Backoff { until: world.now + 100 * MS }, "all is forgiven");
}

#[test]
fn deaths_far_apart_never_open_the_breaker() {
    let mut world = World::up();
    for _ in 0..20 {
        world.died(1, Reason::Panic);
        assert!(matches!(world.state(1), State::Backoff { .. }));
        world.pass(5 * S);
        world.ready(1);
        world.now += 40 * S;
    }
}

#[test]
fn restart_is_immediate_and_closes_the_breaker() {
    let mut world = World::up();
    world.event(Event::Restart(1));
    assert!(world.effects.contains(&Effect::Kill(1)));
    world.died(1, Reason::Killed);
    assert!(world.started(1), "no backoff after a restart that was asked for");
    world.ready(1);
    assert_eq!(world.supervisor.status(1, world.now).unwrap().deaths_in_window, 0);
    for _ in 0..3 {
        world.died(1, Reason::Panic);
        world.pass(S);
        if world.started(1) {
            world.ready(1);
        }
    }
    assert!(matches!(world.state(1), State::Open { .. }));
    world.event(Event::Restart(1));
    assert!(world.started(1));
}

#[test]
fn a_stopped_server_stays_down_until_it_is_started() {
    let mut world = World::up();
    world.event(Event::Stop(1));
    assert!(world.effects.contains(&Effect::Stop(1)) && !world.effects.contains(&Effect::Kill(1)));
    world.died(1, Reason::Exit(0));
    assert_eq!(world.state(1), State::Stopped);
    world.pass(1_000 * S);
    assert_eq!(world.state(1), State::Stopped);
    assert_eq!(world.supervisor.status(1, world.now).unwrap().deaths_in_window, 0, "it was no death");
    world.event(Event::Start(1));
    assert!(world.started(1));
    world.ready(1);
    world.event(Event::Start(1));
    assert!(matches!(world.state(1), State::Running { .. }) && !world.started(1), "one that runs goes on");
    // One that does not stop by itself is killed.
    world.event(Event::Stop(1));
    world.pass(S);
    assert!(world.effects.contains(&Effect::Kill(1)));
    world.died(1, Reason::Killed);
    assert_eq!(world.state(1), State::Stopped);
    // One that is down is not started by its policy, and one whose breaker is open starts when somebody says so.
    world.event(Event::Restart(1));
    world.ready(1);
    world.died(1, Reason::Panic);
    world.event(Event::Stop(1));
    world.pass(1_000 * S);
    assert_eq!(world.state(1), State::Stopped);
    world.event(Event::Stop(1));
    assert_eq!(world.state(1), State::Stopped);
    world.event(Event::Start(1));
    assert!(world.started(1));
}

#[test]
fn a_start_that_hangs_is_a_death() {
    let mut world = World::new(&three());
    world.event(Event::Begin);
    world.pass(5 * S);
    assert!(world.effects.contains(&Effect::Kill(0)));
    world.died(0, Reason::Killed);
    assert!(matches!(world.state(0), State::Backoff { .. }));
    let status = world.supervisor.status(0, world.now).unwrap();
    assert_eq!(status.last_death, Some(Reason::StartTimeout), "why it was killed, not that it was");
}

#[test]
fn a_dependant_waits_until_its_dependency_is_back() {
    let mut world = World::up();
    world.died(0, Reason::Panic);
    world.died(2, Reason::Panic);
    world.pass(100 * MS);
    assert!(world.started(0) && !world.started(2));
    world.ready(0);
    assert!(world.started(2));
}

#[test]
fn stale_reports_are_ignored() {
    let mut world = World::up();
    world.died(1, Reason::Panic);
    world.pass(100 * MS);
    assert_eq!(world.incarnation(1), 2);
    world.event(Event::Ready { service: 1, incarnation: 1 });
    assert!(matches!(world.state(1), State::Starting { .. }));
    world.event(Event::Died { service: 1, incarnation: 1, reason: Reason::Panic });
    assert!(matches!(world.state(1), State::Starting { .. }));
    world.event(Event::Died { service: 99, incarnation: 1, reason: Reason::Panic });
    world.event(Event::Begin);
}

#[test]
fn shutdown_stops_in_reverse_order() {
    let mut world = World::up();
    world.event(Event::Shutdown(PowerAction::Off));
    for service in [2, 1, 0] {
        assert!(world.effects.contains(&Effect::Stop(service)), "{:?}", world.effects);
        assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::Power(_))));
        world.died(service, Reason::Exit(0));
    }
    assert_eq!(world.effects.last(), Some(&Effect::Power(PowerAction::Off)));
    assert_eq!(world.supervisor.handle(world.now, Event::Kill(0)), Err(Refusal::ShuttingDown));
}

#[test]
fn shutdown_is_bounded_when_nobody_listens() {
    let mut world = World::up();
    let begin = world.now;
    world.event(Event::Shutdown(PowerAction::Reboot));
    let mut killed = 0;
    for _ in 0..100 {
        killed += world.effects.iter().filter(|effect| matches!(effect, Effect::Kill(_))).count();
        if world.effects.last() == Some(&Effect::Power(PowerAction::Reboot)) {
            break;
        }
        world.now = world.timer.expect("something is waited for");
        world.event(Event::Timer);
    }
    assert_eq!(world.effects.last(), Some(&Effect::Power(PowerAction::Reboot)));
    assert_eq!(killed, 3);
    assert_eq!(world.now - begin, 3 * (500 * MS + KILL_GRACE_NS));
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    let mut world = World::up();
    assert_eq!(world.supervisor.handle(0, Event::Restart(3)), Err(Refusal::NoSuchService));
    world.died(1, Reason::Panic);
    assert_eq!(world.supervisor.handle(world.now, Event::Kill(1)), Err(Refusal::NotRunning));
    world.event(Event::Shutdown(PowerAction::Off));
    assert_eq!(world.supervisor.handle(world.now, Event::Shutdown(PowerAction::Off)), Err(Refusal::ShuttingDown));
}

#[test]
fn an_empty_system_is_up_and_goes_down() {
    let mut world = World::new(&manifest(vec![]));
    assert!(world.event(Event::Begin).contains(&Effect::NotifyReady));
    assert!(world.event(Event::Shutdown(PowerAction::Off)).contains(&Effect::Power(PowerAction::Off)));
}

#[test]
fn names_resolve_only_as_listed() {
    let manifest = three();
    assert_eq!(resolve(&manifest, Asker::Server(2), "/svc/log"), Ok((Provider::Server(1), 5)));
    assert_eq!(resolve(&manifest, Asker::Server(2), "/svc/names"), Ok((Provider::Names, 5)));
    assert_eq!(resolve(&manifest, Asker::Server(2), "/svc/supervisor"), Err(NotListed));
    assert_eq!(resolve(&manifest, Asker::Server(0), "/svc/log"), Err(NotListed));
    assert_eq!(resolve(&manifest, Asker::Program(0), "/svc/log"), Ok((Provider::Server(1), 5)));
    assert_eq!(resolve(&manifest, Asker::Program(0), "/svc/console"), Err(NotListed));
    assert_eq!(resolve(&manifest, Asker::Program(1), "/svc/log"), Err(NotListed));
    assert_eq!(resolve(&manifest, Asker::Server(2), "/svc/nosuch"), Err(NotListed));
}

fn seed() -> u64 {
    let seed = std::env::var("AIOS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("AIOS_SEED={seed}");
    seed
}

/// What a random run remembers of each server, kept apart from the supervisor's own books.
#[derive(Default, Clone)]
struct Model {
    alive: bool,
    running: bool,
    killed: bool,
    asked: bool,
    held: bool,
    incarnation: u32,
    deaths: Vec<u64>,
}

#[test]
fn random_events_keep_the_invariants() {
    let mut rng = fastrand::Rng::with_seed(seed());
    for _ in 0..2_000 {
        random_run(&mut rng);
    }
}

fn random_manifest(rng: &mut fastrand::Rng) -> Manifest<'static> {
    let count = rng.u16(1..8);
    let servers = (0..count)
        .map(|index| {
            let depends: Vec<u16> = (0..index).filter(|_| rng.u8(..3) == 0).collect();
            let policy = Restart {
                backoff_initial_ms: rng.u32(1..500),
                backoff_max_ms: rng.u32(500..3000),
                window_s: rng.u32(10..60),
                limit: rng.u8(1..6),
                cooldown_s: rng.u32(0..20),
                start_timeout_ms: rng.u32(1..4000),
            };
            let mut server = server("any", &[], &[], &depends, policy);
            server.stop_grace_ms = rng.u32(0..1000);
            server
        })
        .collect();
    manifest(servers)
}

fn random_run(rng: &mut fastrand::Rng) {
    let manifest = random_manifest(rng);
    let count = manifest.servers.len();
    let mut supervisor = Supervisor::new(&manifest);
    let mut models = vec![Model::default(); count];
    let (mut now, mut timer, mut powered, mut stop_asked) = (0, None, false, 0);
    let mut forgiven = vec![0; count];
    let steps = rng.usize(50..300);
    let mut step = 0;
    loop {
        let stop_now = step == steps;
        step += 1;
        assert!(step < steps + 200, "shutdown ends");
        let event = if step == 1 {
            Event::Begin
        } else if stop_now {
            Event::Shutdown(PowerAction::Off)
        } else if step > steps {
            // Nobody answers any more: only the timer is left, and it must be enough.
            now = timer.expect("a shutdown that isn't over waits for the timer");
            Event::Timer
        } else {
            random_event(rng, &mut models, &mut now, timer)
        };
        let before = supervisor.clone();
        let effects = match supervisor.handle(now, event) {
            Ok(effects) => effects,
            Err(_) => continue,
        };
        match event {
            Event::Restart(service) => {
                forgiven[service] = now;
                models[service].asked = models[service].alive;
                models[service].held = false;
            }
            Event::Stop(service) => {
                models[service].asked = models[service].alive;
                models[service].held = true;
            }
            Event::Start(service) => {
                let state = before.status(service, now).unwrap().state;
                // One that runs goes on, and nothing is forgiven.
                if !matches!(state, State::Starting { .. } | State::Running { .. }) {
                    forgiven[service] = now;
                    models[service].asked = models[service].alive;
                }
                models[service].held = false;
            }
            Event::Shutdown(_) => stop_asked = now,
            Event::Ready { service, incarnation } => {
                let model = &mut models[service];
                model.running |= model.alive && !model.killed && model.incarnation == incarnation;
            }
            _ => {}
        }
        assert!(effects.len() <= supervisor.effects_max());
        for effect in &effects {
            match *effect {
                Effect::Start { service, incarnation } => {
                    for &on in &manifest.servers[service].depends {
                        assert!(models[usize::from(on)].running, "{service} started before {on} runs");
                    }
                    assert!(!models[service].alive, "{service} started twice");
                    assert!(!models[service].held, "{service} started though it is stopped");
                    assert!(!supervisor.is_stopping());
                    assert_eq!(incarnation, models[service].incarnation + 1);
                    let restart = &manifest.servers[service].restart;
                    let window = u64::from(restart.window_s) * S;
                    let recent = models[service].deaths.iter().filter(|&&at| at >= forgiven[service] && now - at < window);
                    let cooled = restart.cooldown_s > 0
                        && models[service].deaths.last().is_none_or(|at| now - at >= u64::from(restart.cooldown_s) * S);
                    assert!(recent.count() < usize::from(restart.limit) || cooled, "{service} exceeds its breaker");
                    models[service] = Model { alive: true, running: false, killed: false, incarnation, ..models[service].clone() };
                }
                Effect::Stop(service) | Effect::Kill(service) => {
                    assert!(models[service].alive);
                    models[service].running = false;
                    models[service].killed = true;
                }
                Effect::SetTimer(at) => {
                    assert!(at >= now);
                    timer = Some(at);
                }
                Effect::Power(_) => powered = true,
                _ => {}
            }
        }
        for (service, model) in models.iter_mut().enumerate() {
            let state = supervisor.status(service, now).unwrap().state;
            assert_eq!(model.running, matches!(state, State::Running { .. }), "{service} is {state:?}");
            if let Some(deadline) = state.deadline()
                && !supervisor.is_stopping()
            {
                assert!(timer.is_some_and(|at| at <= deadline), "{service} waits for {deadline}, timer is {timer:?}");
            }
            if state == State::Waiting && !supervisor.is_stopping() {
                let depends = &manifest.servers[service].depends;
                let blocked =
                    depends.iter().any(|&on| !matches!(supervisor.status(usize::from(on), now).unwrap().state, State::Running { .. }));
                assert!(blocked, "{service} is forgotten");
            }
        }
        if powered {
            break;
        }
    }
    let budget: u64 = manifest.servers.iter().map(|s| u64::from(s.stop_grace_ms) * MS + KILL_GRACE_NS).sum();
    assert!(now - stop_asked <= budget, "shutdown took {} ns, its bound is {budget}", now - stop_asked);
}

fn random_event(rng: &mut fastrand::Rng, models: &mut [Model], now: &mut u64, timer: Option<u64>) -> Event {
    *now += rng.u64(0..2 * S);
    let service = rng.usize(..models.len());
    // Mostly true reports, sometimes of another incarnation.
    let stale = rng.u8(..10) == 0;
    let incarnation = models[service].incarnation.wrapping_sub(u32::from(stale));
    match rng.u8(..14) {
        0..=4 => Event::Ready { service, incarnation },
        5..=7 if models[service].alive && !stale => {
            let model = &mut models[service];
            model.alive = false;
            model.running = false;
            // A death that an operator asked for is no sign of illness.
            if !std::mem::take(&mut model.asked) {
                model.deaths.push(*now);
            }
            Event::Died { service, incarnation, reason: Reason::Panic }
        }
        5..=7 => Event::Died { service, incarnation: incarnation.wrapping_sub(1), reason: Reason::Panic },
        8 => Event::Restart(service),
        9 => Event::Kill(service),
        10 => Event::Stop(service),
        11 => Event::Start(service),
        _ => {
            *now = (*now).max(timer.unwrap_or(0));
            Event::Timer
        }
    }
}
