//! Derivation nodes and the revocation words in every order in which two cores can get at them.
#![cfg(loom)]

mod shared;

use aios_abi::AgentId;
use aios_core::cap::{self, NodeId, Slot};
use aios_explored::{Arc, AtomicU32, Ordering, UnsafeCell, model, thread};

use shared::{Side, others};

/// Who makes the nodes of a test.
const MAKER: AgentId = AgentId(1 << 32 | 1);
/// Places of a root, of what was derived from it, and of what was derived from that.
const ROOT: u32 = 1;
const MIDDLE: u32 = 2;
const LEAF: u32 = 3;
const FRESH: u32 = 4;

/// A slot with a new node at a place, proved valid.
fn slot(side: &mut Side, index: u32, parent: Option<&Slot>) -> Slot {
    let mut slot = parent.copied().unwrap_or(Slot::EMPTY);
    slot.hang(side, index, parent.map(|parent| (parent.node, parent.root)), MAKER).expect("a free place");
    slot.validate(side, 0).expect("a capability that nobody revoked");
    slot
}

/// A root, a derivation of it, and one of that.
fn line(side: &mut Side) -> [Slot; 3] {
    let root = slot(side, ROOT, None);
    let middle = slot(side, MIDDLE, Some(&root));
    let leaf = slot(side, LEAF, Some(&middle));
    [root, middle, leaf]
}

/// From the moment at which the revoker goes on, no core takes the capability.
#[test]
fn what_was_revoked_is_refused_from_then_on() {
    model(|| {
        let (mut here, mut there) = others();
        let [_, middle, mut leaf] = line(&mut here);
        let told = Arc::new(AtomicU32::new(0));
        let revoker = {
            let told = Arc::clone(&told);
            thread::spawn(move || {
                cap::revoke(&mut there, middle.node, middle.root.index());
                told.store(1, Ordering::Release);
            })
        };
        let known = told.load(Ordering::Acquire) == 1;
        assert!(!(known && leaf.is_known_valid(&here, 0)), "a stale proof is taken for a new one");
        assert!(!(known && leaf.validate(&here, 0).is_ok()), "a revoked capability is accepted");
        revoker.join().expect("the revoker ends");
        assert!(leaf.validate(&here, 0).is_err());
    });
}

/// Two cores revoke in one tree: whoever proves a capability against the last word of the tree sees both.
#[test]
fn revocations_of_two_cores_hide_nothing_of_each_other() {
    model(|| {
        let (mut here, mut there) = others();
        let mut third = here.clone();
        let [root, middle, mut leaf] = line(&mut here);
        let other = slot(&mut here, FRESH, Some(&root));
        let revokers = [
            thread::spawn(move || cap::revoke(&mut there, middle.node, middle.root.index())),
            thread::spawn(move || cap::revoke(&mut third, other.node, other.root.index())),
        ];
        // It may still be valid, but then it may not pass for proved later.
        let _ = leaf.validate(&here, 0);
        for revoker in revokers {
            revoker.join().expect("a revoker ends");
        }
        assert!(leaf.validate(&here, 0).is_err(), "a capability was proved with a word of the tree that hid its revocation");
    });
}

/// What is derived while another core revokes is void, or was derived from what is not revoked.
#[test]
fn nothing_is_derived_past_a_revocation() {
    model(|| {
        let (mut here, mut there) = others();
        let root = slot(&mut here, ROOT, None);
        let mut middle = slot(&mut here, MIDDLE, Some(&root));
        let revoker = thread::spawn(move || cap::revoke(&mut there, root.node, root.root.index()));
        let mut child = None;
        if middle.validate(&here, 0).is_ok() {
            let mut slot = middle;
            slot.hang(&mut here, LEAF, Some((middle.node, middle.root)), MAKER).expect("a free place");
            child = Some(slot);
        }
        revoker.join().expect("the revoker ends");
        assert!(child.is_none_or(|mut child| child.validate(&here, 0).is_err()), "a derivation outlives the revocation of what it came of");
    });
}

/// A token of an epoch is admitted in that epoch only.
#[test]
fn a_token_is_not_admitted_past_a_revocation() {
    model(|| {
        let (mut here, mut there) = others();
        let [root, middle, _] = line(&mut here);
        let epoch = cap::live(&here, middle.node).expect("in use").epoch();
        let revoker = thread::spawn(move || cap::revoke(&mut there, middle.node, root.node.index()));
        let mut admitted = None;
        if cap::live(&here, middle.node).is_some_and(|node| node.epoch() == epoch) && cap::is_valid(&here, middle.node, ROOT) {
            let mut slot = Slot::EMPTY;
            slot.hang(&mut here, FRESH, Some((middle.node, root.node)), MAKER).expect("a free place");
            // As `CapAdmit` does.
            admitted = cap::live(&here, slot.node).is_some_and(|node| node.parent_epoch() == epoch).then_some(slot);
        }
        revoker.join().expect("the revoker ends");
        assert!(admitted.is_none_or(|mut slot| slot.validate(&here, 0).is_err()), "a token outlives its revocation");
    });
}

/// Who maps finds the capability revoked, or the revoker finds the mapping.
#[test]
fn no_mapping_escapes_a_revocation() {
    model(|| {
        let (mut here, mut there) = others();
        let [_, middle, mut leaf] = line(&mut here);
        let revoker = thread::spawn(move || {
            cap::revoke(&mut there, middle.node, ROOT);
            cap::is_mapped(&there, ROOT)
        });
        cap::count_mapping(&here, leaf.root);
        let mapped = leaf.validate(&here, 0).is_ok();
        if !mapped {
            cap::forget_mapping(&here, leaf.root);
        }
        let found = revoker.join().expect("the revoker ends");
        assert!(found || !mapped, "a page stays mapped, and the revoker does not look for it");
    });
}

/// Who finds no mapping any more may use the memory: whatever was done through the last one is over.
#[test]
fn the_last_mapping_is_over_when_it_is_forgotten() {
    model(|| {
        let (mut here, there) = others();
        let root = slot(&mut here, ROOT, None);
        let page = Arc::new(UnsafeCell::new(0));
        cap::count_mapping(&here, root.root);
        let holder = {
            let page = Arc::clone(&page);
            thread::spawn(move || {
                page.with_mut(|_| ());
                cap::forget_mapping(&there, root.root);
            })
        };
        if !cap::is_mapped(&here, ROOT) {
            page.with_mut(|_| ());
        }
        holder.join().expect("the holder ends");
    });
}

/// Lets go of a node and of what becomes unused by it, as `release_from` does. Answers the nodes that became free.
fn let_go(side: &Side, node: NodeId) -> Vec<NodeId> {
    let mut freed = Vec::new();
    let mut at = node;
    while let Some(unused) = cap::release(side, at) {
        freed.push(at);
        at = unused.parent;
        if at.is_none() {
            break;
        }
    }
    freed
}

/// The last reference to a node goes on one core while its maker dies on another: its parent is let go once.
#[test]
fn a_parent_is_let_go_once() {
    model(|| {
        let (mut here, mut there) = others();
        let root = slot(&mut here, ROOT, None);
        let middle = slot(&mut here, MIDDLE, Some(&root));
        let death = thread::spawn(move || {
            cap::annul(&mut there, MIDDLE);
            if let Some(parent) = cap::orphan(&there, MIDDLE) {
                assert!(let_go(&there, parent).is_empty());
            }
        });
        let freed = let_go(&here, middle.node);
        death.join().expect("the maker's core goes on");
        assert!(freed.is_empty() || freed == [middle.node], "the root was let go while a slot refers to it");
        let root = cap::live(&here, root.node).expect("a slot refers to it");
        assert_eq!(root.references(), 1, "the slot's own reference is left");
    });
}

/// Of two that let go of a node at once, one clears it away.
#[test]
fn the_last_of_two_clears_a_node_away() {
    model(|| {
        let (mut here, there) = others();
        let root = slot(&mut here, ROOT, None);
        cap::refer(&here, root.node);
        let other = thread::spawn(move || let_go(&there, root.node));
        let mut freed = let_go(&here, root.node);
        freed.extend(other.join().expect("the other core goes on"));
        assert_eq!(freed, [root.node]);
    });
}

/// The owner puts another node into a place that another core makes free: neither sees words of the other's node.
#[test]
fn a_place_is_used_again_without_a_trace() {
    model(|| {
        let (mut here, there) = others();
        let root = slot(&mut here, ROOT, None);
        let middle = slot(&mut here, MIDDLE, Some(&root));
        cap::live(&here, middle.node).expect("in use").payload.store(7, Ordering::Relaxed);
        let holder = thread::spawn(move || cap::release(&there, middle.node));
        let mut next = None;
        if cap::is_listed(&here, MIDDLE) {
            let mut slot = Slot::EMPTY;
            slot.hang(&mut here, MIDDLE, None, MAKER).expect("a free place");
            cap::live(&here, slot.node).expect("in use").payload.store(9, Ordering::Relaxed);
            next = Some(slot);
        }
        let unused = holder.join().expect("the holder goes on").expect("it was the last reference");
        assert_eq!((unused.parent, unused.payload.0), (root.node, 7));
        if let Some(mut next) = next {
            let node = cap::live(&here, next.node).expect("in use");
            assert_eq!((node.payload.load(Ordering::Relaxed), node.references(), node.parent().is_none()), (9, 1, true));
            assert!(next.validate(&here, 0).is_ok() && cap::live(&here, middle.node).is_none());
        }
    });
}
