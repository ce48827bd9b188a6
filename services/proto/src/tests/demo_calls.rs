//! The test interface from a client through a dispatcher into a server and back.

use aios_abi::SlotHandle;

use crate::client::TransportError;
use crate::demo::demo::{self, Blob, CallError, Client, Error, Failure, Many, Numbers, Thing, Word};
use crate::demo::kinds::{Colour, Frame, Notification};
use crate::demo::{bare, kinds};
use crate::host::Loopback;
use crate::server::Arrived;
use crate::types::ErrorCode;
use crate::{Answer, Caller, CapList, Capability, Grant, Later, ReplyInfo, ServiceError, Transport};

#[derive(Default)]
struct Demo {
    word: String,
    fail: Option<Error>,
    seen: Vec<SlotHandle>,
    told: Vec<String>,
    later: Option<Later<demo::op::Wait>>,
}

impl demo::Server for Demo {
    fn ping(&mut self, _: &Caller) -> Result<(), Failure> {
        Ok(())
    }

    fn count(&mut self, _: &Caller, numbers: Numbers) -> Result<Numbers, Failure> {
        Ok(numbers)
    }

    fn echo<'s>(
        &'s mut self,
        _: &Caller,
        r#type: Thing<'_>,
        caller_: Blob<'_>,
        maybe: Option<Word<'_>>,
        many: Many,
    ) -> Result<(Thing<'s>, Blob<'s>), Failure> {
        if let Some(fail) = self.fail {
            return Err(fail.into());
        }
        self.word = format!("{:?} {caller_:?} {maybe:?} {many:?}", r#type);
        Ok((Thing::Word(Word::truncated(&self.word)), Blob::truncated(self.word.as_bytes())))
    }

    fn lend(
        &mut self,
        _: &Caller,
        first: Arrived<'_, Frame>,
        size: kinds::Amount,
        second: Arrived<'_, Notification>,
    ) -> Result<(), Failure> {
        assert_eq!(size, 77);
        self.seen = vec![first.handle(), second.handle()];
        Ok(())
    }

    fn swap(&mut self, _: &Caller, mine: Arrived<'_, Frame>) -> Result<(Grant<Frame>, kinds::Amount, Grant<Notification>), Failure> {
        let kept = mine.keep();
        Ok((Grant::Move(kept), 5, Grant::Move(Notification::from_handle(SlotHandle::new(9, 9)))))
    }

    fn wait(&mut self, _: &Caller, later: Later<demo::op::Wait>, long: u64) -> Answer<Word<'_>, Error> {
        if long == 0 {
            return Answer::Now(Ok(Word::truncated("at once")));
        }
        self.later = Some(later);
        Answer::Later
    }

    fn tell(&mut self, _: &Caller, word: Word<'_>, notify: Arrived<'_, Notification>) {
        self.told.push(word.to_string());
        self.seen = vec![notify.keep().handle()];
    }

    fn brim(&mut self, _: &Caller, bytes: [u8; 32], more: [u8; 20], frame: Arrived<'_, Frame>) -> Result<(), Failure> {
        assert_eq!((bytes, more), ([1; 32], [2; 20]));
        self.seen = vec![frame.handle()];
        Ok(())
    }
}

/// Runs calls against a server.
fn with<R>(server: &mut Demo, run: impl FnOnce(&mut Client<&mut dyn Transport>) -> R) -> R {
    let mut loopback = Loopback::new(|caller, request, out| demo::dispatch(server, caller, request, out));
    run(&mut Client::new(&mut loopback))
}

#[test]
fn data_goes_there_and_back() {
    let mut server = Demo::default();
    with(&mut server, |client| {
        client.ping(0).unwrap();
        let numbers = Numbers {
            a: true,
            b: (u8::MAX, u16::MAX, u32::MAX, u64::MAX),
            c: (i8::MIN, i16::MIN, i32::MIN, i64::MIN),
            d: (f32::MIN_POSITIVE, f64::MAX),
            e: char::MAX,
            f: [1, 200, u16::MAX],
        };
        assert_eq!(client.count(numbers, 0), Ok(numbers));
        let words = heapless::Vec::from_slice(&[Word::truncated("a"), Word::truncated("b")]).unwrap();
        for thing in [Thing::None, Thing::Word(Word::truncated("w")), Thing::Amount((Colour::Green, 9)), Thing::Words(words)] {
            let expected = format!("{thing:?} [1, 2] Some(\"m\") Many(257)");
            let many = Many::F0.or(Many::F8);
            let (word, blob) = client.echo(thing, Blob::new(&[1, 2]).unwrap(), Some(Word::new("m").unwrap()), many, 0).unwrap();
            assert_eq!(blob.as_slice(), expected.as_bytes());
            assert_eq!(word, Thing::Word(Word::truncated(&expected)));
        }
    });
}

#[test]
fn capabilities_go_there_and_back() {
    let mut server = Demo::default();
    let (first, second) = (SlotHandle::new(1, 1), SlotHandle::new(2, 2));
    with(&mut server, |client| {
        client.lend(&Frame::from_handle(first), 77, &Notification::from_handle(second), 0).unwrap();
        let (frame, amount, notification) = client.swap(Frame::from_handle(first), 0).unwrap();
        assert_eq!((frame.handle(), amount, notification.handle()), (first, 5, SlotHandle::new(9, 9)));
        client.tell(Word::truncated("hear"), Notification::from_handle(second)).unwrap();
        client.brim([1; 32], [2; 20], &Frame::from_handle(first), 0).unwrap();
    });
    assert_eq!(server.told, ["hear"]);
    assert_eq!(server.seen, [first]);
}

#[test]
fn errors_keep_their_details() {
    for error in [Error::Plain, Error::Detailed(u32::MAX), Error::Deep((7, i64::MIN))] {
        let mut server = Demo { fail: Some(error), ..Demo::default() };
        let answer = with(&mut server, |client| client.echo(Thing::None, Blob::default(), None, Many::NONE, 0).map(|_| ()));
        assert_eq!(answer, Err(CallError::Service(error)));
    }
    assert_eq!(Error::Deep((7, -1)).code(), 1026);
    assert_eq!(Error::Deep((7, -1)).to_string(), "with two ((7, -1))");
    assert_eq!(Error::from_wire(1026, &[]), None);
    assert_eq!(Error::from_wire(1024, &[0]), None);
}

#[test]
fn answers_come_now_or_later() {
    let mut server = Demo::default();
    with(&mut server, |client| {
        assert_eq!(client.wait(0, 0).map(|word| word.to_string()), Ok("at once".into()));
        // The loopback has nobody who answers later.
        assert_eq!(client.wait(1, 0).map(drop), Err(CallError::Timeout));
    });
    assert!(server.later.is_some());
}

#[test]
fn interfaces_without_errors_have_the_common_ones() {
    struct Bare;
    impl bare::Server for Bare {
        fn fail(&mut self, caller: &Caller, code: u16) -> Result<u16, bare::Failure> {
            assert_eq!(caller.agent, 1);
            if code == 0 { Ok(1) } else { Err(ErrorCode::NotFound.into()) }
        }
    }
    let mut client = bare::Client::new(Loopback::new(|caller, request, out| bare::dispatch(&mut Bare, caller, request, out)));
    client.link.transport().incarnation = 4;
    assert_eq!(client.fail(0, 0), Ok(1));
    assert_eq!(client.link.incarnation(), 4);
    let error = client.fail(1, 0).unwrap_err();
    assert_eq!(error, bare::CallError::Refused(ErrorCode::NotFound.code()));
    assert_eq!(error.to_string(), "what the request names does not exist, as far as the caller may know");
}

/// A peer that answers with bytes of its own.
struct Forger {
    reply: Vec<u8>,
    caps: CapList,
    error: Option<TransportError>,
    dropped: usize,
}

impl Transport for Forger {
    fn call(&mut self, buffer: &mut [u8], _: usize, _: &CapList, _: u8, _: u64) -> Result<ReplyInfo, TransportError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let length = self.reply.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.reply[..length]);
        Ok(ReplyInfo { length, caps: crate::Received::new(self.caps.slots()), incarnation: 0 })
    }

    fn send(&mut self, _: &[u8], _: &CapList) -> Result<(), TransportError> {
        self.error.map_or(Ok(()), Err)
    }

    fn drop_capability(&mut self, _: SlotHandle) {
        self.dropped += 1;
    }
}

#[test]
fn replies_are_not_believed() {
    let mut random = super::random();
    let mut caps = CapList::NONE;
    assert!(caps.push(SlotHandle::new(1, 1), true) && caps.push(SlotHandle::new(2, 1), true));
    let good = crate::host::packet(&demo::INTERFACE, &demo::op::SWAP, 1, &mut crate::host::Longest);
    let mut client = Client::new(Forger { reply: good.clone(), caps, error: None, dropped: 0 });
    assert!(client.swap(Frame::from_handle(SlotHandle::NONE), 0).is_ok());
    for _ in 0..20_000 {
        let mut reply = good.clone();
        let place = random.usize(..reply.len());
        reply[place] ^= 1 << random.u8(..8);
        reply.truncate(random.usize(reply.len() / 2..=reply.len()));
        let forger = client.link.transport();
        (forger.reply, forger.dropped) = (reply, 0);
        match client.swap(Frame::from_handle(SlotHandle::NONE), 0) {
            // A changed amount is an amount.
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, CallError::BadReply);
                assert_eq!(client.link.transport().dropped, 2, "capabilities of a bad reply stay in the table");
            }
        }
    }
    client.link.transport().reply = good;
    client.link.transport().caps = CapList::NONE;
    assert_eq!(client.swap(Frame::from_handle(SlotHandle::NONE), 0).map(drop), Err(CallError::BadReply));
}

#[test]
fn ends_of_the_peer_are_cases_of_their_own() {
    use aios_abi::Error as Kernel;
    let mut client = Client::new(Forger { reply: Vec::new(), caps: CapList::NONE, error: None, dropped: 0 });
    for (kernel, expected) in [
        (Kernel::PeerDied, CallError::PeerDied),
        (Kernel::PeerRestarted, CallError::PeerRestarted),
        (Kernel::RolledBack, CallError::PeerRestarted),
        (Kernel::Timeout, CallError::Timeout),
        (Kernel::NoCapability, CallError::Refused(Kernel::NoCapability.code())),
    ] {
        client.link.transport().error = Some(kernel.into());
        assert_eq!(client.ping(0), Err(expected));
        assert_eq!(client.tell(Word::default(), Notification::from_handle(SlotHandle::NONE)), Err(expected));
    }
    assert_eq!(CallError::Refused(2).to_string(), crate::sentence::of_kernel(2));
    assert_eq!(CallError::from(Word::new("thirteen bytes").unwrap_err()), CallError::TooLong);
}
