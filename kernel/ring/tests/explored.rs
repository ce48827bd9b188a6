//! Every order in which two cores can get at the shared words.
#![cfg(loom)]

use core::ptr::NonNull;

use aios_explored::{Arc, Ordering, UnsafeCell, model, thread};
use aios_ring::{Homes, Passage, Ring};

/// A value of two words that must stay together.
type Value = (u64, u64);

const fn value(number: u64) -> Value {
    (number, !number)
}

/// Sends values, and looks for some meanwhile and for the rest afterwards: what comes is what went.
fn exchange<const N: usize>(count: u64, looks: usize) {
    let ring = Arc::new(Ring::<Value, N>::new(value(u64::MAX)));
    let sender = {
        let ring = Arc::clone(&ring);
        thread::spawn(move || {
            // A full ring says so, and changes nothing: what was refused is not sent again here.
            // SAFETY: the only sender.
            (0..count).filter(|&number| unsafe { ring.push(value(number)) }).collect::<Vec<_>>()
        })
    };
    let mut taken = Vec::new();
    for _ in 0..looks {
        // SAFETY: the only receiver.
        taken.extend(unsafe { ring.pop() });
    }
    let sent = sender.join().expect("the sender ends");
    // SAFETY: as above.
    taken.extend(core::iter::from_fn(|| unsafe { ring.pop() }));
    assert_eq!(taken, sent.iter().map(|&number| value(number)).collect::<Vec<_>>());
    assert!(sent.len() as u64 >= count.min(N as u64), "a ring with room takes values");
}

#[test]
fn what_is_taken_is_what_was_sent() {
    model(|| exchange::<2>(3, 1));
}

#[test]
fn a_ring_of_one_place_goes_back_and_forth() {
    model(|| exchange::<1>(2, 2));
}

/// Who reads that an agent is to be on its own core finds it there, whole.
#[test]
fn a_reader_of_the_home_finds_the_agent() {
    model(|| {
        let shared = Arc::new((Passage::<UnsafeCell<u64>>::new(), Homes::<1>::new()));
        shared.1.set(0, Some(0));
        let mover = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let agent = Box::new(UnsafeCell::new(1));
                // SAFETY: nobody else has it yet.
                agent.with_mut(|place| unsafe { *place = 7 });
                let agent = NonNull::from(Box::leak(agent));
                assert!(shared.0.put(agent));
                shared.1.set(0, Some(1));
            })
        };
        let look = || {
            // SAFETY: it was leaked above, and `take` gives it to nobody else.
            let agent = shared.0.take().map(|agent| unsafe { Box::from_raw(agent.as_ptr()) });
            // SAFETY: it is this thread's alone.
            agent.map(|agent| agent.with(|place| unsafe { *place }))
        };
        let home = shared.1.get(0);
        let arrived = look();
        assert!(home != Some(1) || arrived.is_some(), "the home is told before the agent can be found");
        mover.join().expect("the mover ends");
        assert_eq!((arrived.or_else(look), look()), (Some(7), None), "an agent is lost, torn, or there twice");
    });
}

/// The next one is put there only after the last one was taken, by a sender that sees what the taker did.
#[test]
fn two_agents_go_one_after_the_other() {
    model(|| {
        let passage = Arc::new(Passage::<u64>::new());
        let mover = {
            let passage = Arc::clone(&passage);
            thread::spawn(move || {
                (1..=2)
                    .filter(|&number| passage.put(NonNull::without_provenance(core::num::NonZero::new(number * 8).expect("not zero"))))
                    .count()
            })
        };
        let mut taken = Vec::new();
        taken.extend(passage.take());
        let put = mover.join().expect("the mover ends");
        taken.extend(passage.take());
        assert_eq!(taken.len(), put);
        assert!(taken.is_sorted() && passage.is_free());
    });
}

/// A peer that writes whatever it likes to both indices, at any time, makes neither side leave the ring or wait.
#[test]
fn corrupted_indices_lead_nowhere() {
    const N: usize = 2;
    for (head, tail) in [(0, u32::MAX), (u32::MAX, 0), (5, 1 << 31), (1, 3), (3, 1), (u32::MAX, 1)] {
        model(move || {
            let ring = Arc::new(Ring::<u64, N>::new(0));
            let peer = {
                let ring = Arc::clone(&ring);
                thread::spawn(move || {
                    let (of_receiver, of_sender) = ring.indices();
                    of_receiver.store(head, Ordering::Relaxed);
                    of_sender.store(tail, Ordering::Relaxed);
                })
            };
            // SAFETY: the only thread that sends and receives.
            let _ = unsafe { ring.push(1) };
            // SAFETY: as above.
            let taken = unsafe { ring.pop() };
            assert!(taken.is_none_or(|value| value <= 1), "a value that nobody sent");
            peer.join().expect("the peer ends");
            // SAFETY: as above.
            let left = core::iter::from_fn(|| unsafe { ring.pop() }).take(N + 1).count();
            assert!(left <= N, "a ring holds {left} values");
        });
    }
}
