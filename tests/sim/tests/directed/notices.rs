//! What crosses cores without being asked for: however much of it comes at once, it arrives, and nothing overflows.

use aios_abi::message::SendInfo;
use aios_abi::{Call, Error};
use aios_sim::Cluster;

use crate::support::*;

/// Derivations in one chain, each of which its maker watches.
const CHAIN: u64 = 14;

#[test]
fn the_death_of_an_agent_tells_another_core_of_hundreds_of_last_uses() {
    let mut cluster = Cluster::new(2, 8000);
    let init = cluster.init;
    let (_, maker) = cluster.spawn_on(init, 1500, 1, 1);
    let (handle, holder) = cluster.spawn_on(init, 1500, 8, 0);
    let service = cluster.connect(holder, 1, maker);
    let take = SendInfo { take_caps: 4, ..SendInfo::default() }.encode();
    let poll = |cluster: &mut Cluster| cluster.call(holder.slot(), Call::IpcRecv, &[(10, take), (12, 0)]).map(drop);
    assert_eq!(poll(&mut cluster), Err(Error::Timeout));
    let slot = maker.slot();
    for chain in 0..32u64 {
        let own = cluster.own_slot(slot, 1);
        let mut at = cluster.call(slot, Call::CapMint, &[(9, own), (0, chain), (1, ALL), (2, 0), (3, 0)]).expect("minted")[0];
        for link in 0..CHAIN {
            cluster.call(slot, Call::Watch, &[(9, at), (0, 1 << (link % 4))]).expect("watched");
            let next = cluster.call(slot, Call::CapDerive, &[(9, at), (0, ALL), (1, 0), (2, 0), (3, 0)]).expect("derived")[0];
            cluster.call(slot, Call::CapDrop, &[(9, at)]).expect("dropped");
            at = next;
        }
        cluster.call(slot, Call::Watch, &[(9, at), (0, 0x100)]).expect("watched");
        let one = SendInfo { caps: 1, move_caps: true, ..SendInfo::default() }.encode();
        cluster.call(slot, Call::IpcSend, &[(9, service), (10, one), (7, at)]).expect("sent");
        // Half of them wait in the mailbox, the others are taken.
        if chain % 2 == 0 {
            poll(&mut cluster).expect("a message");
        }
    }
    assert_eq!(cluster.agent(slot).map(|agent| agent.notifications), Some(0), "all are in use");
    cluster.call(init, Call::AgentControl, &[(9, handle), (0, 2)]).expect("killed");
    cluster.settle();
    assert!(cluster.agent(holder.slot()).is_none());
    assert_eq!(cluster.agent(slot).map(|agent| agent.notifications), Some(0x10f));
}
