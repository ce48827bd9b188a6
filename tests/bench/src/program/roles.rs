//! The code of the agents that are counted: `roles.s`.

use core::arch::global_asm;

use super::agents::CODE;

global_asm!(include_str!("../roles.s"));

macro_rules! roles {
    ($($(#[doc = $doc:literal])* $name:ident = $symbol:ident;)*) => {
        unsafe extern "C" {
            static roles_start: u8;
            static roles_end: u8;
            $(static $symbol: u8;)*
        }

        /// What an agent does.
        #[derive(Clone, Copy)]
        pub enum Role {
            $($(#[doc = $doc])* $name,)*
        }

        impl Role {
            /// Where it begins in an agent that has the code.
            pub fn entry(self) -> u64 {
                let symbol = match self {
                    $(Self::$name => &raw const $symbol,)*
                };
                CODE + (symbol.addr() - (&raw const roles_start).addr()) as u64
            }
        }
    };
}

roles! {
    /// Checks a capability.
    Null = role_null;
    /// Calls with nothing.
    Caller0 = role_caller_0;
    /// Answers nothing.
    Server0 = role_server_0;
    /// Calls with 64 bytes.
    Caller64 = role_caller_64;
    /// Answers 64 bytes.
    Server64 = role_server_64;
    /// The same with floating point in use.
    CallerFp = role_caller_64_fp;
    /// The same with floating point in use.
    ServerFp = role_server_64_fp;
    /// Calls with a buffer.
    CallerLong = role_caller_long;
    /// Answers a buffer with 8 bytes.
    ServerLong = role_server_long;
    /// Notifies.
    Notifier = role_notifier;
    /// Waits for notifications.
    Waiter = role_waiter;
    /// Yields, and comes first.
    YielderFirst = role_yielder_first;
    /// Yields, and comes second.
    YielderSecond = role_yielder_second;
    /// Sends to a mailbox.
    Sender = role_sender;
    /// Takes from its mailbox.
    Taker = role_taker;
    /// Faults.
    Faulter = role_faulter;
    /// Maps where another one faults.
    Pager = role_pager;
    /// Maps and unmaps.
    Mapper = role_mapper;
    /// Makes a device interrupt.
    Trigger = role_trigger;
    /// Is its driver.
    Driver = role_driver;
    /// Starts agents.
    Spawner = role_spawner;
    /// Is started, and ends.
    Newborn = role_newborn;
}

/// The code of all roles; it may lie anywhere.
pub fn code() -> &'static [u8] {
    let start = &raw const roles_start;
    let length = (&raw const roles_end).addr() - start.addr();
    // SAFETY: the two labels are the ends of code in this image, which can be read.
    unsafe { core::slice::from_raw_parts(start, length) }
}
