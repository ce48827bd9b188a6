//! Why the atomics of loom are not used as they are.
#![cfg(loom)]

use std::sync::Mutex;

use aios_explored::{Arc, AtomicU32, Ordering, model, thread};

/// What a reader sees of a word that its owner reads and then writes, while the reader looks twice.
fn seen<W: Send + Sync + 'static>(new: fn() -> W, load: fn(&W) -> u32, store: fn(&W, u32)) -> Vec<(u32, u32)> {
    let all = std::sync::Arc::new(Mutex::new(Vec::new()));
    let found = std::sync::Arc::clone(&all);
    model(move || {
        let word = Arc::new(new());
        let owner = {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                let old = load(&word);
                store(&word, old + 1);
            })
        };
        let pair = (load(&word), load(&word));
        owner.join().expect("the owner ends");
        let mut all = all.lock().expect("no test has failed");
        if !all.contains(&pair) {
            all.push(pair);
        }
    });
    let mut found = found.lock().expect("no test has failed").clone();
    found.sort_unstable();
    found
}

#[test]
fn every_order_is_tried() {
    let found = seen(|| AtomicU32::new(0), |word| word.load(Ordering::Acquire), |word, value| word.store(value, Ordering::Release));
    assert_eq!(found, [(0, 0), (0, 1), (1, 1)]);
}

/// If this fails, loom has learned it, and the turns can go.
#[test]
fn loom_alone_does_not_try_every_order() {
    use loom::sync::atomic::AtomicU32;
    let found = seen(|| AtomicU32::new(0), |word| word.load(Ordering::Acquire), |word, value| word.store(value, Ordering::Release));
    assert_eq!(found, [(0, 0)]);
}
