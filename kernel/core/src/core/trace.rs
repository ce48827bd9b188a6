//! `TraceBind`: a core writes what its scheduler does into a frame of somebody who may observe.
//!
//! To the kernel this is a mapping: the recording refers to the frame's derivation and is counted at its root. Each write is preceded by a look at the frame's
//! capability and at the observe capability. Whoever removes mappings (after a revocation, or at the end of the frame's owner) asks every core while any
//! is counted; a core looks before it answers, and so the recording is over before the memory is free. It also ends with the agent that asked for it.
//! What is in the frame is never read.
//!
//! While a core records, it looks between calls as if a job waited: no call is quick, and events are written before an agent runs.

use core::sync::atomic::{Ordering, fence};

use aios_abi::Error;
use aios_abi::id::AgentId;
use aios_abi::limits::PAGE_SIZE;
use aios_abi::rights::{Kind, Rights};
use aios_abi::trace::{AGENTS_MAX, EVENT_SIZE, Event, HEADER_SIZE, Header, MAGIC, MODE_ONCE, MODE_RING, VERSION, capacity};

use super::remote::{Asking, Notice, Request};
use super::{Core, Done, Outcome};
use crate::cap::{self, Slot};
use crate::machine::Machine;

const _: () = assert!(PAGE_SIZE.is_multiple_of(EVENT_SIZE) && HEADER_SIZE.is_multiple_of(EVENT_SIZE), "no event crosses a page");

/// Who records a core's scheduler, and where.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Recording {
    /// For whom.
    to: AgentId,
    /// The capability that allows it. Without a reference: it is only looked at.
    observe: Slot,
    /// Where to. The reference on its node is the recording's.
    pub(super) frame: Slot,
    bits: u64,
    mode: u64,
    since_ns: u64,
    /// Events written.
    head: u64,
    lost: u64,
}

impl Recording {
    fn capacity(&self) -> u64 {
        capacity(self.frame.range().1 * PAGE_SIZE as u64)
    }

    fn base(&self) -> u64 {
        self.frame.range().0 * PAGE_SIZE as u64
    }

    /// Whether there is no more to write.
    fn is_full(&self) -> bool {
        self.mode == MODE_ONCE && self.head == self.capacity()
    }

    fn put<M: Machine>(&mut self, machine: &mut M, event: Event) {
        if self.is_full() {
            self.lost += 1;
            return;
        }
        let place = self.head % self.capacity();
        machine.write_bytes(self.base() + HEADER_SIZE as u64 + place * EVENT_SIZE as u64, &event.to_bytes());
        self.head += 1;
    }

    fn put_header<M: Machine>(&self, machine: &mut M, core: u64, bound: bool) {
        // Who sees the head on another core sees the events before it.
        fence(Ordering::Release);
        let header = Header {
            magic: MAGIC,
            version: VERSION,
            core,
            capacity: self.capacity(),
            head: self.head,
            lost: self.lost,
            since_ns: self.since_ns,
            bound: bound as u64,
        };
        for (i, word) in header.to_words().into_iter().enumerate() {
            machine.write(self.base() + i as u64 * 8, word);
        }
    }
}

impl<M: Machine> Core<M> {
    pub(super) fn trace_bind(&mut self, machine: &mut M, me: u16, now: u64) -> Outcome {
        let observe = self.capability(machine, me, self.arg(me, 9), Kind::Observe, Rights::READ, now)?;
        let (handle, core, bits, mode) = (self.arg(me, 0), self.arg(me, 1), self.arg(me, 2), self.arg(me, 3));
        let frame = match handle {
            0 => Slot::EMPTY,
            handle => Slot { word: 0, ..self.capability(machine, me, handle, Kind::Frame, Rights::WRITE, now)? },
        };
        let is_end = frame.kind == Kind::Empty;
        if (is_end && (bits, mode) != (0, 0)) || !matches!(mode, MODE_ONCE | MODE_RING) {
            return Err(Error::BadArgument);
        }
        if core >= machine.cores() as u64 {
            return Err(Error::NoSuchCore);
        }
        let to = self.agents[me].id;
        if !is_end {
            cap::refer(machine, frame.node);
        }
        if core == self.facts.core {
            let recorded = self.record_for(machine, to, observe, frame, (bits, mode), now);
            return recorded.map(|()| Done::Return).inspect_err(|_| self.release_node(machine, &frame, now));
        }
        let outcome = self.ask(machine, me, core as u16, Request::Record { to, observe, frame, bits, mode }, Asking::Status);
        if is_end {
            return outcome;
        }
        if outcome == Ok(Done::Leave) {
            self.agents[me].granting = Some(frame);
        } else {
            self.release_node(machine, &frame, now);
        }
        outcome
    }

    /// Begins a recording of this core, or ends it if there is no frame. The reference on the frame's node goes along, unless this fails.
    pub(super) fn record_for(
        &mut self,
        machine: &mut M,
        to: AgentId,
        mut observe: Slot,
        mut frame: Slot,
        (bits, mode): (u64, u64),
        now: u64,
    ) -> Result<(), Error> {
        self.write_events(machine, now);
        let own = self.recording.as_ref().map(|recording| recording.to == to);
        match (frame.kind, own) {
            (Kind::Empty, None) => return Err(Error::WrongState),
            (Kind::Empty, Some(true)) => {
                self.close_recording(machine, now);
                return Ok(());
            }
            (_, Some(_)) => return Err(Error::Busy),
            (_, None) => {}
        }
        if self.alive > AGENTS_MAX {
            return Err(Error::LimitReached);
        }
        // As for any mapping: who revokes it now sees it, or is seen.
        cap::count_mapping(machine, frame.root);
        if let Err(error) = frame.validate(machine, now).and_then(|()| observe.validate(machine, now)) {
            cap::forget_mapping(machine, frame.root);
            return Err(error);
        }
        let mut recording = Recording { to, observe, frame, bits, mode, since_ns: now, head: 0, lost: 0 };
        self.sched.begin(&mut self.agents, self.facts.core as u16, self.context, now, |event| recording.put(machine, event));
        recording.put_header(machine, self.facts.core, true);
        self.recording = Some(recording);
        self.jobs_waiting = true;
        Ok(())
    }

    /// Writes the events that wait, if the core records; answers whether something came of it that matters to others.
    pub(super) fn write_events(&mut self, machine: &mut M, now: u64) -> bool {
        let Some(recording) = &mut self.recording else { return false };
        if recording.frame.validate(machine, now).and_then(|()| recording.observe.validate(machine, now)).is_err() {
            self.close_recording(machine, now);
            return true;
        }
        if !self.sched.is_recording() {
            return false;
        }
        let before = recording.head;
        self.sched.drain(|event| recording.put(machine, event));
        let lost = self.sched.lost();
        if lost != 0 {
            recording.lost += lost;
            if self.alive <= AGENTS_MAX {
                self.sched.begin(&mut self.agents, self.facts.core as u16, self.context, now, |event| recording.put(machine, event));
            } else {
                self.sched.end();
            }
        }
        if recording.is_full() {
            self.sched.end();
        }
        if recording.head == before && lost == 0 {
            return false;
        }
        recording.put_header(machine, self.facts.core, true);
        let half = recording.capacity().div_ceil(2);
        let (to, bits) = (recording.to, recording.bits);
        let crossed = recording.head / half != before / half || recording.is_full();
        if crossed && bits != 0 {
            self.tell(machine, Notice::Raise { to, bits }, now);
            return true;
        }
        false
    }

    /// Ends the recording. What waits is written if the frame may still be written.
    fn close_recording(&mut self, machine: &mut M, now: u64) {
        let Some(mut recording) = self.recording.take() else { return };
        if recording.frame.validate(machine, now).is_ok() {
            self.sched.drain(|event| recording.put(machine, event));
            recording.put_header(machine, self.facts.core, false);
        }
        self.sched.end();
        cap::forget_mapping(machine, recording.frame.root);
        self.release_node(machine, &recording.frame, now);
    }

    /// An agent is gone, or starts anew.
    pub(super) fn stop_recording_for(&mut self, machine: &mut M, id: AgentId, now: u64) {
        if self.recording.as_ref().is_some_and(|recording| recording.to == id) {
            self.close_recording(machine, now);
        }
    }
}
