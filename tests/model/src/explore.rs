//! Every state that can be reached, breadth first: so the trace to a fault is as short as there is one.
//!
//! A state is large, so none is kept but those on the path to the one that is looked at. What is kept of a state is its digest, where it came from, and
//! by which action. The states of a level are visited in the order in which their ancestors were: each ancestor is made again once a level at most.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

/// What is explored.
pub trait System {
    /// A state.
    type State: Clone;
    /// What can happen.
    type Action: Copy + Debug;

    /// Where everything begins.
    fn start(&self) -> Self::State;
    /// What can happen in a state.
    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>);
    /// Has it happen; says which property it broke.
    fn step(&self, state: &mut Self::State, action: Self::Action) -> Result<(), String>;
    /// Two states with the same digest have the same future.
    fn digest(&self, state: &Self::State) -> u128;
    /// Properties of a state.
    fn judge(&self, state: &Self::State) -> Result<(), String>;
}

/// A property that doesn't hold, and the shortest way there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken<A> {
    /// What is wrong.
    pub what: String,
    /// What happened.
    pub trace: Vec<A>,
}

/// What exploring came to.
#[derive(Clone, Debug)]
pub struct Outcome<A> {
    /// Different states.
    pub states: usize,
    /// Steps taken.
    pub steps: u64,
    /// Most steps from the start.
    pub depth: u32,
    /// Every state was visited.
    pub closed: bool,
    /// What was found.
    pub broken: Option<Broken<A>>,
    /// How long it took.
    pub time: Duration,
}

struct Known<A> {
    parent: u32,
    action: Option<A>,
}

/// A digest is as good as random already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }
    fn write_u128(&mut self, word: u128) {
        self.0 ^= word as u64;
    }
}

/// Explores until there is nothing new, a property is broken, or there are so many states.
pub fn explore<S: System>(system: &S, limit: usize) -> Outcome<S::Action> {
    let began = Instant::now();
    let start = system.start();
    let mut seen: HashSet<u128, BuildHasherDefault<Identity>> = HashSet::default();
    seen.insert(system.digest(&start));
    let mut known = vec![Known { parent: 0, action: None }];
    let mut outcome = Outcome { states: 1, steps: 0, depth: 0, closed: false, broken: None, time: Duration::ZERO };
    let mut path: Vec<(u32, S::State)> = vec![(0, start)];
    let (mut level, mut actions, mut way) = (0..1, Vec::new(), Vec::new());
    if let Err(what) = system.judge(&path[0].1) {
        outcome.broken = Some(Broken { what, trace: Vec::new() });
        return outcome;
    }
    while !level.is_empty() {
        let first_new = known.len();
        for at in level {
            if known.len() >= limit {
                outcome.states = known.len();
                outcome.time = began.elapsed();
                return outcome;
            }
            lead(system, &known, &mut path, &mut way, at as u32);
            let state = &path[path.len() - 1].1;
            actions.clear();
            system.actions(state, &mut actions);
            for &action in &actions {
                let mut next = state.clone();
                outcome.steps += 1;
                let stepped = system.step(&mut next, action);
                let digest = if stepped.is_ok() { system.digest(&next) } else { 0 };
                let judged = stepped.and_then(|()| if seen.insert(digest) { system.judge(&next).map(|()| true) } else { Ok(false) });
                match judged {
                    Ok(true) => known.push(Known { parent: at as u32, action: Some(action) }),
                    Ok(false) => {}
                    Err(what) => {
                        let mut trace = Vec::new();
                        let mut back = at;
                        while let Some(action) = known[back].action {
                            trace.push(action);
                            back = known[back].parent as usize;
                        }
                        trace.reverse();
                        trace.push(action);
                        outcome.broken = Some(Broken { what, trace });
                        outcome.states = known.len();
                        outcome.time = began.elapsed();
                        return outcome;
                    }
                }
            }
        }
        level = first_new..known.len();
        outcome.depth += !level.is_empty() as u32;
    }
    outcome.closed = true;
    outcome.states = known.len();
    outcome.time = began.elapsed();
    outcome
}

/// Makes the state of a known node the last one of the path.
fn lead<S: System>(system: &S, known: &[Known<S::Action>], path: &mut Vec<(u32, S::State)>, way: &mut Vec<u32>, target: u32) {
    way.clear();
    let mut at = target;
    loop {
        while path.last().is_some_and(|last| last.0 > at) {
            path.pop();
        }
        if path.last().is_some_and(|last| last.0 == at) {
            break;
        }
        way.push(at);
        at = known[at as usize].parent;
    }
    while let Some(next) = way.pop() {
        let mut state = path[path.len() - 1].1.clone();
        if let Some(action) = known[next as usize].action {
            let again = system.step(&mut state, action);
            debug_assert!(again.is_ok(), "the same step from the same state");
        }
        path.push((next, state));
    }
}

#[cfg(test)]
mod tests {
    use super::{System, explore};

    /// Two counters that count to a bound, and may never be both at it.
    struct Counters {
        bound: u8,
        safe: bool,
    }

    impl System for Counters {
        type State = (u8, u8);
        type Action = bool;
        fn start(&self) -> (u8, u8) {
            (0, 0)
        }
        fn actions(&self, state: &(u8, u8), actions: &mut Vec<bool>) {
            actions.extend((state.0 < self.bound).then_some(false));
            actions.extend((state.1 < self.bound).then_some(true));
        }
        fn step(&self, state: &mut (u8, u8), second: bool) -> Result<(), String> {
            *(if second { &mut state.1 } else { &mut state.0 }) += 1;
            Ok(())
        }
        fn digest(&self, state: &(u8, u8)) -> u128 {
            state.0 as u128 * 1000 + state.1 as u128
        }
        fn judge(&self, state: &(u8, u8)) -> Result<(), String> {
            if !self.safe && *state == (self.bound, self.bound) { Err("both".into()) } else { Ok(()) }
        }
    }

    #[test]
    fn all_states_are_visited_once() {
        let outcome = explore(&Counters { bound: 9, safe: true }, usize::MAX);
        assert!(outcome.closed && outcome.broken.is_none());
        assert_eq!((outcome.states, outcome.steps, outcome.depth), (100, 180, 18));
    }

    #[test]
    fn a_fault_comes_with_the_shortest_trace() {
        let outcome = explore(&Counters { bound: 3, safe: false }, usize::MAX);
        assert_eq!(outcome.broken.map(|broken| broken.trace.len()), Some(6));
        assert!(!explore(&Counters { bound: 9, safe: true }, 50).closed);
    }
}
