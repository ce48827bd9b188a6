/// Types without operations.
pub mod kinds {
    /// How much.
    pub type Amount = u32;

    /// In which colour.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, ::serde::Serialize, ::serde::Deserialize)]
    pub enum Colour {
        /// Red.
        Red,
        /// Green.
        Green,
    }

    impl Colour {
        /// Every case.
        pub const ALL: &'static [Self] = &[Self::Red, Self::Green];

        /// The name of the case in WIT.
        pub const fn name(&self) -> &'static str {
            match self {
                Self::Red => "red",
                Self::Green => "green",
            }
        }

        /// What WIT says of the case, for people.
        pub const fn sentence(&self) -> &'static str {
            match self {
                Self::Red => "red",
                Self::Green => "green",
            }
        }
    }

    crate::server::capability! {
        /// Memory.
        Frame
    }

    crate::server::capability! {
        /// Bits.
        Notification
    }
}

/// Everything that the generator can do, once.
pub mod demo {
    crate::value::flags! {
        /// What a capability allows.
        Rights: u32 {
            /// To look.
            LOOK = 0x10000,
            /// To touch.
            TOUCH = 0x20000,
        }
    }

    /// What can go wrong.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, ::serde::Serialize, ::serde::Deserialize)]
    pub enum Error {
        /// Without detail.
        Plain,
        /// With one.
        Detailed(super::kinds::Amount),
        /// With two.
        Deep((u8, i64)),
    }

    impl Error {
        /// The name of the case in WIT.
        pub const fn name(&self) -> &'static str {
            match self {
                Self::Plain => "plain",
                Self::Detailed(..) => "detailed",
                Self::Deep(..) => "deep",
            }
        }

        /// What WIT says of the case, for people.
        pub const fn sentence(&self) -> &'static str {
            match self {
                Self::Plain => "without detail",
                Self::Detailed(..) => "with one",
                Self::Deep(..) => "with two",
            }
        }
    }

    impl crate::ServiceError for Error {
        fn code(&self) -> u16 {
            match self {
                Self::Plain => 1024,
                Self::Detailed(..) => 1025,
                Self::Deep(..) => 1026,
            }
        }

        fn put_detail(&self, buffer: &mut [u8]) -> Option<usize> {
            match self {
                Self::Detailed(detail) => crate::value::encode(detail, buffer),
                Self::Deep(detail) => crate::value::encode(detail, buffer),
                _ => Some(0),
            }
        }

        fn from_wire(code: u16, detail: &[u8]) -> Option<Self> {
            match (code, detail) {
                (1024, []) => Some(Self::Plain),
                (1025, detail) => crate::value::decode(detail).map(Self::Detailed),
                (1026, detail) => crate::value::decode(detail).map(Self::Deep),
                _ => None,
            }
        }
    }

    impl ::core::fmt::Display for Error {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            f.write_str(self.sentence())?;
            match self {
                Self::Detailed(detail) => write!(f, " ({detail:?})"),
                Self::Deep(detail) => write!(f, " ({detail:?})"),
                _ => Ok(()),
            }
        }
    }

    /// A short text.
    pub type Word<'a> = crate::Text<'a, 12>;

    /// Some bytes.
    pub type Blob<'a> = crate::Bytes<'a, 300>;

    /// Some words.
    pub type Words<'a> = ::heapless::Vec<Word<'a>, 3>;

    /// Numbers of every kind.
    #[derive(Clone, Copy, PartialEq, Debug, ::serde::Serialize, ::serde::Deserialize)]
    pub struct Numbers {
        /// Truth.
        pub a: bool,
        /// Unsigned.
        pub b: (u8, u16, u32, u64),
        /// Signed.
        pub c: (i8, i16, i32, i64),
        /// Floating.
        pub d: (f32, f64),
        /// A character.
        pub e: char,
        /// A fixed number of them.
        pub f: [u16; 3],
    }

    /// One of several things.
    #[derive(Clone, PartialEq, Eq, Debug, ::serde::Serialize, ::serde::Deserialize)]
    pub enum Thing<'a> {
        /// Nothing.
        None,
        /// A word.
        Word(#[serde(borrow)] Word<'a>),
        /// A coloured amount.
        Amount((super::kinds::Colour, super::kinds::Amount)),
        /// Several words.
        Words(#[serde(borrow)] Words<'a>),
    }

    impl Thing<'_> {
        /// The name of the case in WIT.
        pub const fn name(&self) -> &'static str {
            match self {
                Self::None => "none",
                Self::Word(..) => "word",
                Self::Amount(..) => "amount",
                Self::Words(..) => "words",
            }
        }

        /// What WIT says of the case, for people.
        pub const fn sentence(&self) -> &'static str {
            match self {
                Self::None => "nothing",
                Self::Word(..) => "a word",
                Self::Amount(..) => "a coloured amount",
                Self::Words(..) => "several words",
            }
        }
    }

    crate::value::flags! {
        /// More flags than fit in a byte.
        Many: u16 {
            /// 0
            F0 = 0x1,
            /// 1
            F1 = 0x2,
            /// 2
            F2 = 0x4,
            /// 3
            F3 = 0x8,
            /// 4
            F4 = 0x10,
            /// 5
            F5 = 0x20,
            /// 6
            F6 = 0x40,
            /// 7
            F7 = 0x80,
            /// 8
            F8 = 0x100,
        }
    }

    /// Number of this interface in packet headers.
    pub const NUMBER: u16 = 28673;
    /// Its major version.
    pub const MAJOR: u8 = 3;
    /// Bytes of its longest packet, either way.
    pub const MAX_PACKET: usize = 367;
    /// Most capabilities that ride on a request.
    pub const MAX_CAPS: u8 = 2;
    /// Hash of its wire format.
    pub const SCHEMA: u64 = 0x9b68e388815ecf34;

    /// What is known of its operations.
    pub const INTERFACE: crate::Interface = crate::Interface {
        name: "demo:demo/demo",
        number: NUMBER,
        major: MAJOR,
        schema: SCHEMA,
        operations: &[op::PING, op::COUNT, op::ECHO, op::LEND, op::SWAP, op::WAIT, op::TELL, op::BRIM],
        rights: &[("look", Rights::LOOK.bits()), ("touch", Rights::TOUCH.bits())],
    };

    /// Why a server of this interface doesn't do what it was asked.
    pub type Failure = crate::Failure<Error>;
    /// What a call can end with instead of a result.
    pub type CallError = crate::Error<Error>;

    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            Self::Service(error)
        }
    }

    /// The operations, as table entries and as types.
    pub mod op {
        /// What is known of `ping`.
        pub const PING: crate::OperationInfo = crate::OperationInfo {
            number: 1,
            name: "ping",
            max_request: 8,
            max_reply: 21,
            caps_in: 0,
            caps_out: 0,
            right: 0,
            mark: crate::Mark { pending: false, oneway: false, idempotent: true },
            #[cfg(any(test, feature = "host"))]
            request: &[],
            #[cfg(any(test, feature = "host"))]
            reply: &[],
        };

        /// `ping`, as a type.
        #[derive(Clone, Copy, Debug)]
        pub enum Ping {}

        impl crate::Operation for Ping {
            const INTERFACE: u16 = super::NUMBER;
            const MAJOR: u8 = super::MAJOR;
            const INFO: &'static crate::OperationInfo = &PING;
            type Output<'a> = ();
            type Error = super::Error;

            fn put((): Self::Output<'_>, out: &mut crate::Outgoing<'_>) -> Option<()> {
                out.put::<Self, _>(&())
            }
        }

        /// What is known of `count`.
        pub const COUNT: crate::OperationInfo = crate::OperationInfo {
            number: 2,
            name: "count",
            max_request: 73,
            max_reply: 73,
            caps_in: 0,
            caps_out: 0,
            right: 0,
            mark: crate::Mark { pending: false, oneway: false, idempotent: false },
            #[cfg(any(test, feature = "host"))]
            request: &[crate::host::Shape::Record(&[crate::host::Shape::Bool, crate::host::Shape::Record(&[crate::host::Shape::U8, crate::host::Shape::U16, crate::host::Shape::U32, crate::host::Shape::U64]), crate::host::Shape::Record(&[crate::host::Shape::I8, crate::host::Shape::I16, crate::host::Shape::I32, crate::host::Shape::I64]), crate::host::Shape::Record(&[crate::host::Shape::F32, crate::host::Shape::F64]), crate::host::Shape::Char, crate::host::Shape::Array(&crate::host::Shape::U16, 3)])],
            #[cfg(any(test, feature = "host"))]
            reply: &[crate::host::Shape::Record(&[crate::host::Shape::Bool, crate::host::Shape::Record(&[crate::host::Shape::U8, crate::host::Shape::U16, crate::host::Shape::U32, crate::host::Shape::U64]), crate::host::Shape::Record(&[crate::host::Shape::I8, crate::host::Shape::I16, crate::host::Shape::I32, crate::host::Shape::I64]), crate::host::Shape::Record(&[crate::host::Shape::F32, crate::host::Shape::F64]), crate::host::Shape::Char, crate::host::Shape::Array(&crate::host::Shape::U16, 3)])],
        };

        /// `count`, as a type.
        #[derive(Clone, Copy, Debug)]
        pub enum Count {}

        impl crate::Operation for Count {
            const INTERFACE: u16 = super::NUMBER;
            const MAJOR: u8 = super::MAJOR;
            const INFO: &'static crate::OperationInfo = &COUNT;
            type Output<'a> = super::Numbers;
            type Error = super::Error;

            fn put(r0: Self::Output<'_>, out: &mut crate::Outgoing<'_>) -> Option<()> {
                out.put::<Self, _>(&(r0,))
            }
        }

        /// What is known of `echo`.
        pub const ECHO: crate::OperationInfo = crate::OperationInfo {
            number: 3,
            name: "echo",
            max_request: 367,
            max_reply: 351,
            caps_in: 0,
            caps_out: 0,
            right: super::Rights::TOUCH.bits(),
            mark: crate::Mark { pending: false, oneway: false, idempotent: false },
            #[cfg(any(test, feature = "host"))]
            request: &[crate::host::Shape::Variant(&[None, Some(crate::host::Shape::Text(12)), Some(crate::host::Shape::Record(&[crate::host::Shape::Variant(&[None, None]), crate::host::Shape::U32])), Some(crate::host::Shape::List(&crate::host::Shape::Text(12), 3))]), crate::host::Shape::Bytes(300), crate::host::Shape::Option(&crate::host::Shape::Text(12)), crate::host::Shape::Flags(9)],
            #[cfg(any(test, feature = "host"))]
            reply: &[crate::host::Shape::Variant(&[None, Some(crate::host::Shape::Text(12)), Some(crate::host::Shape::Record(&[crate::host::Shape::Variant(&[None, None]), crate::host::Shape::U32])), Some(crate::host::Shape::List(&crate::host::Shape::Text(12), 3))]), crate::host::Shape::Bytes(300)],
        };

        /// `echo`, as a type.
        #[derive(Clone, Copy, Debug)]
        pub enum Echo {}

        impl crate::Operation for Echo {
            const INTERFACE: u16 = super::NUMBER;
            const MAJOR: u8 = super::MAJOR;
            const INFO: &'static crate::OperationInfo = &ECHO;
            type Output<'a> = (super::Thing<'a>, super::Blob<'a>);
            type Error = super::Error;

            fn put((r0, r1): Self::Output<'_>, out: &mut crate::Outgoing<'_>) -> Option<()> {
                out.put::<Self, _>(&(r0, r1))
            }
        }

        /// What is known of `lend`.
        pub const LEND: crate::OperationInfo = crate::OperationInfo {
            number: 4,
            name: "lend",
            max_request: 13,
            max_reply: 21,
            caps_in: 2,
            caps_out: 0,
            right: 0,
            mark: crate::Mark { pending: false, oneway: false, idempotent: false },
            #[cfg(any(test, feature = "host"))]
            request: &[crate::host::Shape::U32],
            #[cfg(any(test, feature = "host"))]
            reply: &[],
        };

        /// `lend`, as a type.
        #[derive(Clone, Copy, Debug)]
        pub enum Lend {}

        impl crate::Operation for Lend {
            const INTERFACE: u16 = super::NUMBER;
            const MAJOR: u8 = super::MAJOR;
            const INFO: &'static crate::OperationInfo = &LEND;
            type Output<'a> = ();
            type Error = super::Error;

            fn put((): Self::Output<'_>, out: &mut crate::Outgoing<'_>) -> Option<()> {
                out.put::<Self, _>(&())
            }
        }

        /// What is known of `swap`.
        pub const SWAP: crate::OperationInfo = crate::OperationInfo {
            number: 5,
            name: "swap",
            max_request: 8,
            max_reply: 21,
            caps_in: 1,
            caps_out: 2,
            right: 0,
            mark: crate::Mark { pending: false, oneway: false, idempotent: false },
            #[cfg(any(test, feature = "host"))]
            request: &[],
            #[cfg(any(test, feature = "host"))]
            reply: &[crate::host::Shape::U32],
        };

        /// `swap`, as a type.
        #[derive(Clone, Copy, Debug)]
        pub enum Swap {}

        impl crate::Operation for Swap {
            const INTERFACE: u16 = super::NUMBER;
            const MAJOR: u8 = super::MAJOR;
            const INFO: &'static crate::OperationInfo = &SWAP;
            type Output<'a> = (crate::Grant<super::super::kinds::Frame>, super::super::kinds::Amount, crate::Grant<super::super::kinds::Notification>);
            type Error = super::Error;

            fn put((r0, r1, r2): Self::Output<'_>, out: &mut crate::Outgoing<'_>) -> Option<()> {
                out.grant(r0)?;
                out.grant(r2)?;
                out.put::<Self, _>(&(r1,))
            }
        }

        /// What is known of `wait`.
        pub const WAIT: crate::OperationInfo = crate::OperationInfo {
            number: 6,
            name: "wait",
            max_request: 18,
            max_reply: 21,
            caps_in: 0,
            caps_out: 0,
            right: 0,
            mark: crate::Mark { pending: true, oneway: false, idempotent: false },
            #[cfg(any(test, feature = "host"))]
            request: &[crate::host::Shape::U64],
            #[cfg(any(test, feature = "host"))]
            reply: &[crate::host::Shape::Text(12)],
        };

        /// `wait`, as a type.
        #[derive(Clone, Copy, Debug)]
        pub enum Wait {}

        impl crate::Operation for Wait {
            const INTERFACE: u16 = super::NUMBER;
            const MAJOR: u8 = super::MAJOR;
            const INFO: &'static crate::OperationInfo = &WAIT;
            type Output<'a> = super::Word<'a>;
            type Error = super::Error;

            fn put(r0: Self::Output<'_>, out: &mut crate::Outgoing<'_>) -> Option<()> {
                out.put::<Self, _>(&(r0,))
            }
        }

        /// What is known of `tell`.
        pub const TELL: crate::OperationInfo = crate::OperationInfo {
            number: 16,
            name: "tell",
            max_request: 21,
            max_reply: 0,
            caps_in: 1,
            caps_out: 0,
            right: 0,
            mark: crate::Mark { pending: false, oneway: true, idempotent: false },
            #[cfg(any(test, feature = "host"))]
            request: &[crate::host::Shape::Text(12)],
            #[cfg(any(test, feature = "host"))]
            reply: &[],
        };

        /// `tell`, as a type.
        #[derive(Clone, Copy, Debug)]
        pub enum Tell {}

        impl crate::Operation for Tell {
            const INTERFACE: u16 = super::NUMBER;
            const MAJOR: u8 = super::MAJOR;
            const INFO: &'static crate::OperationInfo = &TELL;
            type Output<'a> = ();
            type Error = super::Error;

            fn put((): Self::Output<'_>, out: &mut crate::Outgoing<'_>) -> Option<()> {
                out.put::<Self, _>(&())
            }
        }

        /// What is known of `brim`.
        pub const BRIM: crate::OperationInfo = crate::OperationInfo {
            number: 17,
            name: "brim",
            max_request: 65,
            max_reply: 21,
            caps_in: 1,
            caps_out: 0,
            right: 0,
            mark: crate::Mark { pending: false, oneway: false, idempotent: false },
            #[cfg(any(test, feature = "host"))]
            request: &[crate::host::Shape::Array(&crate::host::Shape::U8, 32), crate::host::Shape::Array(&crate::host::Shape::U8, 20)],
            #[cfg(any(test, feature = "host"))]
            reply: &[],
        };

        /// `brim`, as a type.
        #[derive(Clone, Copy, Debug)]
        pub enum Brim {}

        impl crate::Operation for Brim {
            const INTERFACE: u16 = super::NUMBER;
            const MAJOR: u8 = super::MAJOR;
            const INFO: &'static crate::OperationInfo = &BRIM;
            type Output<'a> = ();
            type Error = super::Error;

            fn put((): Self::Output<'_>, out: &mut crate::Outgoing<'_>) -> Option<()> {
                out.put::<Self, _>(&())
            }
        }
    }

    /// What a server of this interface does. Every method is called with a packet that has passed all checks.
    pub trait Server {
        /// Nothing in, nothing out.
        fn ping(&mut self, caller: &crate::Caller) -> Result<(), Failure>;

        /// All numbers there and back.
        fn count(&mut self, caller: &crate::Caller, numbers: Numbers) -> Result<Numbers, Failure>;

        /// Borrowed data there and back; `type` and `caller` are names that Rust or the generator uses.
        fn echo<'s>(&'s mut self, caller: &crate::Caller, r#type: Thing<'_>, caller_: Blob<'_>, maybe: Option<Word<'_>>, many: Many) -> Result<(Thing<'s>, Blob<'s>), Failure>;

        /// Lends capabilities.
        fn lend(&mut self, caller: &crate::Caller, first: crate::server::Arrived<'_, super::kinds::Frame>, size: super::kinds::Amount, second: crate::server::Arrived<'_, super::kinds::Notification>) -> Result<(), Failure>;

        /// Gives one and gets two back.
        fn swap(&mut self, caller: &crate::Caller, mine: crate::server::Arrived<'_, super::kinds::Frame>) -> Result<(crate::Grant<super::kinds::Frame>, super::kinds::Amount, crate::Grant<super::kinds::Notification>), Failure>;

        /// Answered when it is time.
        fn wait<'s>(&'s mut self, caller: &crate::Caller, later: crate::Later<op::Wait>, long: u64) -> crate::Answer<Word<'s>, Error>;

        /// Never answered.
        fn tell(&mut self, caller: &crate::Caller, word: Word<'_>, notify: crate::server::Arrived<'_, super::kinds::Notification>);

        /// Just as long as registers are without a capability.
        fn brim(&mut self, caller: &crate::Caller, bytes: [u8; 32], more: [u8; 20], frame: crate::server::Arrived<'_, super::kinds::Frame>) -> Result<(), Failure>;
    }

    /// Reads a packet, refuses what is wrong with it, has the server handle it, and writes the reply.
    pub fn dispatch<S: Server + ?Sized>(server: &mut S, caller: &crate::Caller, request: &crate::Incoming<'_>, out: &mut crate::Outgoing<'_>) -> crate::Outcome {
        let (operation, payload) = match request.check(&INTERFACE, caller) {
            Ok(checked) => checked,
            Err(code) => return out.refuse(request, code),
        };
        let outcome = match operation.number {
            1 => crate::value::decode::<()>(payload).map(|()| crate::server::finish::<op::Ping>(server.ping(caller), out)),
            2 => crate::value::decode(payload).map(|(numbers,)| crate::server::finish::<op::Count>(server.count(caller, numbers), out)),
            3 => crate::value::decode(payload).map(|(r#type, caller_, maybe, many)| crate::server::finish::<op::Echo>(server.echo(caller, r#type, caller_, maybe, many), out)),
            4 => crate::value::decode(payload).map(|(size,)| crate::server::finish::<op::Lend>(server.lend(caller, crate::server::Arrived::new(request.caps, 0), size, crate::server::Arrived::new(request.caps, 1)), out)),
            5 => crate::value::decode::<()>(payload).map(|()| crate::server::finish::<op::Swap>(server.swap(caller, crate::server::Arrived::new(request.caps, 0)), out)),
            6 => crate::value::decode(payload).zip(request.ticket).map(|((long,), ticket)| crate::server::finish_or_wait::<op::Wait>(server.wait(caller, crate::Later::new(ticket), long), out)),
            16 => crate::value::decode(payload).map(|(word,)| { server.tell(caller, word, crate::server::Arrived::new(request.caps, 0)); crate::Outcome::Done }),
            17 => crate::value::decode(payload).map(|(bytes, more)| crate::server::finish::<op::Brim>(server.brim(caller, bytes, more, crate::server::Arrived::new(request.caps, 0)), out)),
            _ => return out.refuse(request, crate::types::ErrorCode::BadOperation),
        };
        outcome.unwrap_or_else(|| out.refuse(request, crate::types::ErrorCode::BadSchema))
    }

    /// A server that supports nothing: an answer of `not-supported` says that a packet has passed all checks.
    #[cfg(any(test, feature = "host"))]
    #[derive(Clone, Copy, Default, Debug)]
    pub struct Null;

    #[cfg(any(test, feature = "host"))]
    #[allow(unused_variables)]
    impl Server for Null {
        fn ping(&mut self, caller: &crate::Caller) -> Result<(), Failure> {
            Err(crate::types::ErrorCode::NotSupported.into())
        }

        fn count(&mut self, caller: &crate::Caller, numbers: Numbers) -> Result<Numbers, Failure> {
            Err(crate::types::ErrorCode::NotSupported.into())
        }

        fn echo<'s>(&'s mut self, caller: &crate::Caller, r#type: Thing<'_>, caller_: Blob<'_>, maybe: Option<Word<'_>>, many: Many) -> Result<(Thing<'s>, Blob<'s>), Failure> {
            Err(crate::types::ErrorCode::NotSupported.into())
        }

        fn lend(&mut self, caller: &crate::Caller, first: crate::server::Arrived<'_, super::kinds::Frame>, size: super::kinds::Amount, second: crate::server::Arrived<'_, super::kinds::Notification>) -> Result<(), Failure> {
            Err(crate::types::ErrorCode::NotSupported.into())
        }

        fn swap(&mut self, caller: &crate::Caller, mine: crate::server::Arrived<'_, super::kinds::Frame>) -> Result<(crate::Grant<super::kinds::Frame>, super::kinds::Amount, crate::Grant<super::kinds::Notification>), Failure> {
            Err(crate::types::ErrorCode::NotSupported.into())
        }

        fn wait<'s>(&'s mut self, caller: &crate::Caller, later: crate::Later<op::Wait>, long: u64) -> crate::Answer<Word<'s>, Error> {
            crate::Answer::Now(Err(crate::types::ErrorCode::NotSupported.into()))
        }

        fn tell(&mut self, caller: &crate::Caller, word: Word<'_>, notify: crate::server::Arrived<'_, super::kinds::Notification>) {
        }

        fn brim(&mut self, caller: &crate::Caller, bytes: [u8; 32], more: [u8; 20], frame: crate::server::Arrived<'_, super::kinds::Frame>) -> Result<(), Failure> {
            Err(crate::types::ErrorCode::NotSupported.into())
        }
    }

    /// Calls to a server of this interface.
    #[derive(Debug)]
    pub struct Client<T> {
        /// Transport and buffer.
        pub link: crate::Link<T, MAX_PACKET>,
    }

    impl<T: crate::Transport> Client<T> {
        /// A client over this transport.
        pub const fn new(transport: T) -> Self {
            Self { link: crate::Link::new(transport) }
        }

        /// Nothing in, nothing out.
        pub fn ping(&mut self, deadline_ns: u64) -> Result<(), CallError> {
            let ((), _) = self.link.call::<op::Ping, _>(&(), crate::CapList::NONE, deadline_ns)?;
            Ok(())
        }

        /// All numbers there and back.
        pub fn count(&mut self, numbers: Numbers, deadline_ns: u64) -> Result<Numbers, CallError> {
            let ((r0,), _) = self.link.call::<op::Count, _>(&(numbers,), crate::CapList::NONE, deadline_ns)?;
            Ok(r0)
        }

        /// Borrowed data there and back; `type` and `caller` are names that Rust or the generator uses.
        pub fn echo<'c>(&'c mut self, r#type: Thing<'_>, caller_: Blob<'_>, maybe: Option<Word<'_>>, many: Many, deadline_ns: u64) -> Result<(Thing<'c>, Blob<'c>), CallError> {
            let ((r0, r1), _) = self.link.call::<op::Echo, _>(&(r#type, caller_, maybe, many), crate::CapList::NONE, deadline_ns)?;
            Ok((r0, r1))
        }

        /// Lends capabilities.
        pub fn lend(&mut self, first: &super::kinds::Frame, size: super::kinds::Amount, second: &super::kinds::Notification, deadline_ns: u64) -> Result<(), CallError> {
            let mut caps = crate::CapList::NONE;
            if !caps.push(crate::Capability::handle(first), false) {
                return Err(CallError::TooLong);
            }
            if !caps.push(crate::Capability::handle(second), false) {
                return Err(CallError::TooLong);
            }
            let ((), _) = self.link.call::<op::Lend, _>(&(size,), caps, deadline_ns)?;
            Ok(())
        }

        /// Gives one and gets two back.
        pub fn swap(&mut self, mine: super::kinds::Frame, deadline_ns: u64) -> Result<(super::kinds::Frame, super::kinds::Amount, super::kinds::Notification), CallError> {
            let mut caps = crate::CapList::NONE;
            if !caps.push(crate::Capability::handle(&mine), true) {
                return Err(CallError::TooLong);
            }
            let ((r1,), caps) = self.link.call::<op::Swap, _>(&(), caps, deadline_ns)?;
            let r0 = crate::Capability::from_handle(caps.keep(0));
            let r2 = crate::Capability::from_handle(caps.keep(1));
            Ok((r0, r1, r2))
        }

        /// Answered when it is time.
        pub fn wait<'c>(&'c mut self, long: u64, deadline_ns: u64) -> Result<Word<'c>, CallError> {
            let ((r0,), _) = self.link.call::<op::Wait, _>(&(long,), crate::CapList::NONE, deadline_ns)?;
            Ok(r0)
        }

        /// Never answered.
        pub fn tell(&mut self, word: Word<'_>, notify: super::kinds::Notification) -> Result<(), CallError> {
            let mut caps = crate::CapList::NONE;
            if !caps.push(crate::Capability::handle(&notify), true) {
                return Err(CallError::TooLong);
            }
            self.link.send::<op::Tell>(&(word,), caps)
        }

        /// Just as long as registers are without a capability.
        pub fn brim(&mut self, bytes: [u8; 32], more: [u8; 20], frame: &super::kinds::Frame, deadline_ns: u64) -> Result<(), CallError> {
            let mut caps = crate::CapList::NONE;
            if !caps.push(crate::Capability::handle(frame), false) {
                return Err(CallError::TooLong);
            }
            let ((), _) = self.link.call::<op::Brim, _>(&(bytes, more), caps, deadline_ns)?;
            Ok(())
        }
    }
}

/// An interface without errors of its own.
pub mod bare {
    /// Number of this interface in packet headers.
    pub const NUMBER: u16 = 28674;
    /// Its major version.
    pub const MAJOR: u8 = 3;
    /// Bytes of its longest packet, either way.
    pub const MAX_PACKET: usize = 11;
    /// Most capabilities that ride on a request.
    pub const MAX_CAPS: u8 = 0;
    /// Hash of its wire format.
    pub const SCHEMA: u64 = 0x5a45bd408d51ed92;

    /// What is known of its operations.
    pub const INTERFACE: crate::Interface = crate::Interface {
        name: "demo:demo/bare",
        number: NUMBER,
        major: MAJOR,
        schema: SCHEMA,
        operations: &[op::FAIL],
        rights: &[],
    };

    /// Why a server of this interface doesn't do what it was asked.
    pub type Failure = crate::Failure<crate::NoError>;
    /// What a call can end with instead of a result.
    pub type CallError = crate::Error<crate::NoError>;

    /// The operations, as table entries and as types.
    pub mod op {
        /// What is known of `fail`.
        pub const FAIL: crate::OperationInfo = crate::OperationInfo {
            number: 1,
            name: "fail",
            max_request: 11,
            max_reply: 11,
            caps_in: 0,
            caps_out: 0,
            right: 0,
            mark: crate::Mark { pending: false, oneway: false, idempotent: false },
            #[cfg(any(test, feature = "host"))]
            request: &[crate::host::Shape::U16],
            #[cfg(any(test, feature = "host"))]
            reply: &[crate::host::Shape::U16],
        };

        /// `fail`, as a type.
        #[derive(Clone, Copy, Debug)]
        pub enum Fail {}

        impl crate::Operation for Fail {
            const INTERFACE: u16 = super::NUMBER;
            const MAJOR: u8 = super::MAJOR;
            const INFO: &'static crate::OperationInfo = &FAIL;
            type Output<'a> = u16;
            type Error = crate::NoError;

            fn put(r0: Self::Output<'_>, out: &mut crate::Outgoing<'_>) -> Option<()> {
                out.put::<Self, _>(&(r0,))
            }
        }
    }

    /// What a server of this interface does. Every method is called with a packet that has passed all checks.
    pub trait Server {
        /// Fails at will.
        fn fail(&mut self, caller: &crate::Caller, code: u16) -> Result<u16, Failure>;
    }

    /// Reads a packet, refuses what is wrong with it, has the server handle it, and writes the reply.
    pub fn dispatch<S: Server + ?Sized>(server: &mut S, caller: &crate::Caller, request: &crate::Incoming<'_>, out: &mut crate::Outgoing<'_>) -> crate::Outcome {
        let (operation, payload) = match request.check(&INTERFACE, caller) {
            Ok(checked) => checked,
            Err(code) => return out.refuse(request, code),
        };
        let outcome = match operation.number {
            1 => crate::value::decode(payload).map(|(code,)| crate::server::finish::<op::Fail>(server.fail(caller, code), out)),
            _ => return out.refuse(request, crate::types::ErrorCode::BadOperation),
        };
        outcome.unwrap_or_else(|| out.refuse(request, crate::types::ErrorCode::BadSchema))
    }

    /// A server that supports nothing: an answer of `not-supported` says that a packet has passed all checks.
    #[cfg(any(test, feature = "host"))]
    #[derive(Clone, Copy, Default, Debug)]
    pub struct Null;

    #[cfg(any(test, feature = "host"))]
    #[allow(unused_variables)]
    impl Server for Null {
        fn fail(&mut self, caller: &crate::Caller, code: u16) -> Result<u16, Failure> {
            Err(crate::types::ErrorCode::NotSupported.into())
        }
    }

    /// Calls to a server of this interface.
    #[derive(Debug)]
    pub struct Client<T> {
        /// Transport and buffer.
        pub link: crate::Link<T, MAX_PACKET>,
    }

    impl<T: crate::Transport> Client<T> {
        /// A client over this transport.
        pub const fn new(transport: T) -> Self {
            Self { link: crate::Link::new(transport) }
        }

        /// Fails at will.
        pub fn fail(&mut self, code: u16, deadline_ns: u64) -> Result<u16, CallError> {
            let ((r0,), _) = self.link.call::<op::Fail, _>(&(code,), crate::CapList::NONE, deadline_ns)?;
            Ok(r0)
        }
    }
}

/// Every interface that has operations.
pub const INTERFACES: &[crate::Interface] = &[
    demo::INTERFACE,
    bare::INTERFACE,
];

/// The dispatcher of every interface, in front of a server that does nothing: for tests and fuzzers.
#[cfg(any(test, feature = "host"))]
pub const DISPATCHERS: &[(&crate::Interface, crate::host::Dispatcher)] = &[
    (&demo::INTERFACE, |caller, request, out| demo::dispatch(&mut demo::Null, caller, request, out)),
    (&bare::INTERFACE, |caller, request, out| bare::dispatch(&mut bare::Null, caller, request, out)),
];
