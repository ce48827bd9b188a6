//! Tokens that somebody changed.

use aios_abi::call::TOKEN_SIZE;
use aios_abi::rights::Rights;
use aios_abi::{Call, Error};
use aios_sim::World;

/// A token with any of its bits changed is not admitted; unchanged it is, by its agent. The bytes are the changes.
pub fn token(bytes: &[u8]) {
    let mut world = World::new(600);
    let init = world.init;
    world.checking = false;
    let (_, agent) = world.spawn(init, 100, 1);
    let slot = agent.slot();
    let pool = world.own_slot(init, 2);
    world.core.set_key([7; 32]).expect("seeded");
    let frame = world.call(init, Call::FrameAlloc, &[(9, pool), (0, 1)]).expect("a frame")[0];
    let buffer = world.memory(init, &[0; TOKEN_SIZE]);
    let to = [(9, frame), (0, agent.0), (1, Rights::READ.0 as u64), (2, 0), (11, buffer)];
    world.call(init, Call::CapExport, &to).expect("exported");
    let good = world.peek(init, buffer, TOKEN_SIZE);
    let mut changed = good.clone();
    for (byte, change) in changed.iter_mut().zip(bytes) {
        *byte ^= change;
    }
    let place = world.memory(slot, &changed);
    let admitted = world.call(slot, Call::CapAdmit, &[(11, place)]);
    if changed == good {
        assert!(admitted.is_ok(), "{admitted:?}");
    } else {
        assert!(matches!(admitted, Err(Error::Forged | Error::WrongVersion)), "{admitted:?}");
    }
    world.check();
}
