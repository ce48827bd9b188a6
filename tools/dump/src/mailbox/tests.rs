use std::collections::{HashMap, VecDeque};

use aios_abi::{AgentId, id::MessageId};
use aios_core::cap::Slot;
use aios_core::machine::Memory as Port;
use aios_core::mailbox::{Envelope, Mailbox};

use super::*;

/// Words of memory. The mailbox uses nothing else.
#[derive(Default)]
struct Words(HashMap<u64, u64>);

impl Port for Words {
    fn alloc(&mut self, _: u64) -> Option<u64> {
        None
    }
    fn free(&mut self, _: u64, _: u64) {}
    fn read(&self, address: u64) -> u64 {
        self.0.get(&address).copied().unwrap_or(0)
    }
    fn write(&mut self, address: u64, word: u64) {
        self.0.insert(address, word);
    }
    fn copy(&mut self, _: u64, _: u64, _: usize) {}
    fn read_bytes(&self, _: u64, _: &mut [u8]) {}
    fn write_bytes(&mut self, _: u64, _: &[u8]) {}
    fn flush_page(&mut self, _: u16, _: u64) {}
    fn flush_space(&mut self, _: u16) {}
    fn sync_code(&mut self, _: u64, _: u64) {}
    fn interrupt_pending(&self) -> bool {
        false
    }
}

const RECEIVER: u64 = 3;
const PAGES: [u64; 2] = [0x4010_0000, 0x4007_3000];

/// What the kernel's mailbox holds is what is read, however often it wrapped around.
#[test]
fn the_kernels_own_records_are_read() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut memory, mut mailbox, mut expected) = (Words::default(), Mailbox::EMPTY, VecDeque::new());
    PAGES.iter().for_each(|&page| mailbox.add_page(page).unwrap());
    let size = mailbox.size_bytes() / 8;
    let mut head = 0;
    for step in 1..=2_000 {
        if random.bool() {
            let caps = random.u8(0..=4);
            let kinds = [Received::Message, Received::Call, Received::Fault];
            let envelope = Envelope {
                length: random.u32(0..500),
                caps,
                kind: kinds[random.usize(0..3)],
                sender: AgentId(random.u64(..)),
                badge: random.u64(..),
                rights: random.u32(..),
                message: MessageId(step),
            };
            if mailbox.check(&envelope).is_err() {
                continue;
            }
            let first = random.u64(..);
            let start = mailbox.begin(&mut memory, &envelope, &vec![Slot::EMPTY; caps.into()]);
            mailbox.write(&mut memory, start, 0, first);
            mailbox.commit(&envelope);
            expected.push_back(Letter {
                receiver: RECEIVER,
                sender: envelope.sender.0,
                kind: envelope.kind,
                sender_waits: false,
                length: envelope.length.into(),
                caps: caps.into(),
                badge: envelope.badge,
                message: step,
                head: (envelope.length >= 8).then_some(first),
            });
        } else if let Some((envelope, ..)) = mailbox.first(&memory) {
            let before = mailbox.used_bytes();
            mailbox.pop(&envelope);
            head = if mailbox.is_empty() { 0 } else { (head + (before - mailbox.used_bytes()) / 8) % size };
            expected.pop_front();
        }
        let ring = Ring { read: |address| Ok(memory.read(address)), pages: PAGES.into(), head, used: mailbox.used_bytes() / 8 };
        assert_eq!(ring.letters(RECEIVER).unwrap(), Vec::from(expected.clone()), "step {step}");
    }
}

#[test]
fn a_broken_ring_is_refused() {
    let noise = |address: u64| Ok(address.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for (pages, head, used) in [(0, 0, 1), (1, 512, 6), (1, 0, 513), (2, 1023, 7)] {
        let ring = Ring { read: noise, pages: vec![0; pages], head, used };
        assert!(matches!(ring.letters(RECEIVER), Err(Error::Broken(_))), "{pages} {head} {used}");
    }
}
