//! What the kernel's errors mean, for people: one sentence each that says what was wrong and what is allowed.
//!
//! The kernel itself knows no more than a phrase for each; what is said to people is the business of programs. Bounds come from the ABI's.
//! Sentences begin small and have no full stop: they follow the name of whatever went wrong.

use aios_abi::Error;

/// The sentence for a code of the kernel, or for one that it does not have.
pub const fn of_kernel(code: u16) -> &'static str {
    match Error::from_code(code) {
        Some(error) => of(error),
        None => "the kernel refused with a code that this system does not know",
    }
}

/// The sentence for an error of the kernel.
pub const fn of(error: Error) -> &'static str {
    match error {
        Error::UnknownCall => "the kernel has no call of this number: the program was built for another kernel",
        Error::NoCapability => "there is no capability in the slot: it is empty, or was used for something else since",
        Error::WrongKind => "the capability is of another kind than the one that this takes",
        Error::MissingRight => "the capability lacks the right that this takes",
        Error::Expired => "the capability's time is over; whoever gave it can give another",
        Error::Revoked => "the capability was taken away by whoever gave it",
        Error::BadArgument => "an argument is out of its range, misaligned, or not zero where it has to be",
        Error::BadAddress => {
            "an address is not mapped for what is done there; programs have what lies from 0x400000 up to the end of user memory"
        }
        Error::NoMemory => "the memory pool that pays for it has no page left; the boot manifest says how large pools are",
        Error::NoSlots => "the capability table is full; an agent can hold 4,096 capabilities, as far as its pool pays for them",
        Error::QueueFull => "the receiver's mailbox is full; there is room again when it has received",
        Error::MessageTooLong => "the message is longer than its receiver takes; no message is longer than 64 KiB",
        Error::Timeout => "the deadline passed before there was an answer",
        Error::PeerDied => "the agent is gone for ever, or ended before it answered",
        Error::PeerRestarted => "the agent was restarted before it answered; asking again may help",
        Error::RolledBack => "the agent was rolled back before it answered; asking again may help",
        Error::NoSuchMessage => "no call waits for this reply: it was answered, or its caller stopped waiting",
        Error::CapsRefused => "the receiver takes fewer capabilities than came with the message; no message carries more than 4",
        Error::TooDeep => "the capability was derived from others 16 times already, and more are not allowed",
        Error::NotNarrower => "a derived capability may only have fewer rights, a smaller range and an earlier end than its source",
        Error::AlreadyMapped => "something is mapped in this range already; it has to be unmapped first",
        Error::NotMapped => "nothing is mapped in this range",
        Error::Busy => "it is in use: bound, started, mapped, or waited for by somebody; later it may be free",
        Error::WritableCode => "memory may be writable or executable, never both",
        Error::NotAdmitted => "the scheduler has no room for the reservation: all of a core may come to nine tenths of its time",
        Error::NotSeeded => "tokens can't be sealed yet: nobody has delivered the system's key",
        Error::Forged => "the token's seal is not this system's",
        Error::WrongAgent => "the token was made for another agent",
        Error::WrongState => "the agent is not in a state in which this can be done: not suspended, started already, or ending",
        Error::LimitReached => "a bound of the system is reached, such as 4,096 agents, 8 watchers of an agent or 32 regions of its memory",
        Error::WrongVersion => "the program was built for another version of the kernel's interface",
        Error::NoSuchOperation => "there is no operation of this number: it was finished and forgotten, or is another's",
        Error::Pending => "the operation is not finished yet",
        Error::Cancelled => "the operation was cancelled",
        Error::NoServer => "no server is registered that could do this",
        Error::Firmware => "the machine's firmware refused",
        Error::NoSuchCore => "the machine has no such core; `sched` shows those that it has",
        Error::Deadlock => "both would wait for each other for ever",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServiceError, console, log, names, supervisor, types};
    use aios_abi::limits;
    use std::collections::BTreeMap;
    use std::string::{String, ToString};

    /// Notes a sentence; what it has to be like.
    fn note(seen: &mut BTreeMap<String, u32>, code: u32, text: String) {
        assert!(text.split(' ').count() >= 4, "{code}: `{text}` is no sentence");
        assert!(!text.ends_with('.') && !text.starts_with(char::is_uppercase), "{code}: `{text}`");
        assert!(!text.contains("code ("), "{code}: `{text}` shows a bare number");
        if let Some(other) = seen.insert(text.clone(), code) {
            panic!("{code} and {other} both say `{text}`");
        }
    }

    #[test]
    fn each_code_of_the_kernel_has_its_own_sentence() {
        let mut seen = BTreeMap::new();
        for &error in Error::ALL {
            note(&mut seen, error.code().into(), of(error).into());
            assert_eq!(of_kernel(error.code()), of(error));
        }
        note(&mut seen, 0, of_kernel(255).into());
    }

    #[test]
    fn each_code_of_a_server_has_its_own_sentence() {
        fn all<E: ServiceError>(interface: u32, seen: &mut BTreeMap<String, u32>) -> u32 {
            let mut found = 0;
            for code in 0..=u16::MAX {
                // Details are one number, if there is one: 0 is the first case, or the kernel's error 9 is one that there is.
                let with = [&[][..], &[9], &[0]].into_iter().find_map(|detail| E::from_wire(code, detail));
                if let Some(error) = with {
                    note(seen, interface << 16 | u32::from(code), error.to_string());
                    found += 1;
                }
            }
            found
        }
        // Interfaces may say the same of the same thing; no two codes of one may.
        let of = |all: fn(u32, &mut BTreeMap<String, u32>) -> u32, number| all(number, &mut BTreeMap::new());
        assert_eq!(of(all::<types::ErrorCode>, 0), types::ErrorCode::ALL.len() as u32);
        for (count, found) in [(4, of(all::<console::Error>, 1)), (1, of(all::<log::Error>, 2)), (5, of(all::<names::Error>, 3))] {
            assert_eq!(found, count);
        }
        assert!(of(all::<supervisor::Error>, 4) >= 10);
    }

    #[test]
    fn an_error_that_carries_a_code_of_the_kernel_says_what_it_means() {
        let error = supervisor::Error::Kernel(Error::NotAdmitted.code());
        assert_eq!(error.to_string(), std::format!("the kernel refused: {}", of(Error::NotAdmitted)));
        let image = supervisor::Error::BadImage(supervisor::ImageFault::TooLarge);
        assert_eq!(
            image.to_string(),
            std::format!("the program's image can't be started: {}", supervisor::ImageFault::TooLarge.sentence())
        );
    }

    #[test]
    fn bounds_that_are_told_are_those_that_hold() {
        assert_eq!((limits::AGENTS, limits::WATCHERS, limits::REGIONS, limits::MESSAGE_CAPS), (4096, 8, 32, 4));
        assert_eq!((limits::SLOTS_PER_PAGE * limits::SLOT_PAGES, limits::DERIVE_DEPTH, limits::MESSAGE_MAX), (4096, 16, 64 << 10));
        assert_eq!(limits::USER_BASE, 0x40_0000);
    }
}
