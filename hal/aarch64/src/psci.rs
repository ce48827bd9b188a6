//! Firmware calls: cores and power (PSCI), and what firmware knows of speculation (SMCCC).
//!
//! Sources: PSCI, DEN 0022 (version 1.0 and later, backwards to 0.2); SMC calling convention, DEN 0028; DEN 0070.

use core::fmt;

const PSCI_VERSION: u32 = 0x8400_0000;
const CPU_OFF: u32 = 0x8400_0002;
const CPU_ON: u32 = 0xc400_0003;
const AFFINITY_INFO: u32 = 0xc400_0004;
const SYSTEM_OFF: u32 = 0x8400_0008;
const SYSTEM_RESET: u32 = 0x8400_0009;
const PSCI_FEATURES: u32 = 0x8400_000a;
const SMCCC_VERSION: u32 = 0x8000_0000;
const ARCH_FEATURES: u32 = 0x8000_0001;
/// Function id: makes earlier branch targets harmless.
pub const ARCH_WORKAROUND_1: u32 = 0x8000_8000;
/// Function id: makes earlier branch targets and history harmless.
pub const ARCH_WORKAROUND_3: u32 = 0x8000_3fff;

/// A way to call firmware: the function id in w0, arguments in x1 to x3, the result in x0.
pub trait Call {
    /// Calls `function`.
    ///
    /// # Safety
    /// Firmware does what the function says: start a core at an address, switch this one off. The caller must be ready for it.
    unsafe fn call(&self, function: u32, arguments: [u64; 3]) -> u64;
}

/// The instruction by which firmware is called; the device tree says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// HVC: firmware, or a hypervisor in its place, at EL2.
    Hvc,
    /// SMC: firmware at EL3.
    Smc,
}

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
impl Call for Conduit {
    unsafe fn call(&self, function: u32, arguments: [u64; 3]) -> u64 {
        let mut result = u64::from(function);
        let [x1, x2, x3] = arguments;
        // The first versions of the convention let firmware change x0 to x17, as any C function may.
        match self {
            // SAFETY: the caller vouches for the function; registers that may change are declared.
            Self::Hvc => unsafe {
                core::arch::asm!("hvc #0", inout("x0") result, in("x1") x1, in("x2") x2, in("x3") x3, clobber_abi("C"), options(nostack));
            },
            // SAFETY: as above.
            Self::Smc => unsafe {
                core::arch::asm!("smc #0", inout("x0") result, in("x1") x1, in("x2") x2, in("x3") x3, clobber_abi("C"), options(nostack));
            },
        }
        result
    }
}

/// Why firmware refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It does not have the function.
    NotSupported,
    /// The core does not exist.
    InvalidParameters,
    /// It is not allowed to.
    Denied,
    /// The core runs already.
    AlreadyOn,
    /// The core is being started already.
    OnPending,
    /// Something went wrong within firmware.
    InternalFailure,
    /// There is no such core on this machine.
    NotPresent,
    /// The core can't be used.
    Disabled,
    /// The address to start at is not one.
    InvalidAddress,
    /// A result that the specification does not know.
    Unknown(i32),
}

impl Error {
    const fn decode(result: i32) -> Self {
        match result {
            -1 => Self::NotSupported,
            -2 => Self::InvalidParameters,
            -3 => Self::Denied,
            -4 => Self::AlreadyOn,
            -5 => Self::OnPending,
            -6 => Self::InternalFailure,
            -7 => Self::NotPresent,
            -8 => Self::Disabled,
            -9 => Self::InvalidAddress,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NotSupported => "not supported by firmware",
            Self::InvalidParameters => "no such core, or bad parameters",
            Self::Denied => "denied by firmware",
            Self::AlreadyOn => "core is on already",
            Self::OnPending => "core is being started already",
            Self::InternalFailure => "internal failure of firmware",
            Self::NotPresent => "core is not present",
            Self::Disabled => "core is disabled",
            Self::InvalidAddress => "invalid start address",
            Self::Unknown(result) => return write!(f, "unknown firmware result {result}"),
        };
        f.write_str(text)
    }
}

impl core::error::Error for Error {}

/// What a core is doing, as firmware knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    On,
    /// It is off.
    Off,
    /// It is being started.
    OnPending,
}

/// What firmware says about a workaround on the core that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The core needs it, and the function is there.
    Needed,
    /// The core does not need it.
    NotNeeded,
    /// Firmware does not know the function.
    NotSupported,
}

/// What firmware says about the workarounds on the core that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareAnswers {
    /// About [`ARCH_WORKAROUND_1`].
    pub workaround_1: Answer,
    /// About [`ARCH_WORKAROUND_3`].
    pub workaround_3: Answer,
}

/// Firmware with PSCI 0.2 or later.
#[derive(Clone, Copy, Debug)]
pub struct Psci<C>(pub C);

impl<C: Call> Psci<C> {
    /// Asks a function that changes nothing.
    fn ask(&self, function: u32, argument: u64) -> i32 {
        // SAFETY: only functions that answer a question come here. Results are 32-bit numbers.
        unsafe { self.0.call(function, [argument, 0, 0]) as i32 }
    }

    /// Version, as (major, minor).
    ///
    /// # Errors
    /// When there is no PSCI behind the conduit.
    pub fn version(&self) -> Result<(u16, u16), Error> {
        match self.ask(PSCI_VERSION, 0) {
            version if version < 0 => Err(Error::decode(version)),
            version => Ok(((version >> 16) as u16, version as u16)),
        }
    }

    /// Starts the core `affinity` at physical address `entry`, with the MMU off and `context` in x0.
    ///
    /// # Errors
    /// When firmware can't or won't.
    ///
    /// # Safety
    /// At `entry` must be code that makes the core run soundly from that state on, and what `context` stands for must be its.
    pub unsafe fn cpu_on(&self, affinity: u64, entry: u64, context: u64) -> Result<(), Error> {
        // SAFETY: the caller vouches for what the core will do.
        match unsafe { self.0.call(CPU_ON, [affinity, entry, context]) } as i32 {
            0 => Ok(()),
            error => Err(Error::decode(error)),
        }
    }

    /// Switches this core off. Returns only when firmware refuses.
    ///
    /// # Safety
    /// Nothing may wait for this core, and its data that others need must be visible to them.
    pub unsafe fn cpu_off(&self) -> Error {
        // SAFETY: the caller vouches that the core can go.
        Error::decode(unsafe { self.0.call(CPU_OFF, [0; 3]) } as i32)
    }

    /// What the core `affinity` is doing.
    ///
    /// # Errors
    /// When there is no such core.
    pub fn affinity_info(&self, affinity: u64) -> Result<Power, Error> {
        match self.ask(AFFINITY_INFO, affinity) {
            0 => Ok(Power::On),
            1 => Ok(Power::Off),
            2 => Ok(Power::OnPending),
            error => Err(Error::decode(error)),
        }
    }

    /// Switches the machine off. Returns only when firmware refuses.
    pub fn system_off(&self) -> Error {
        // SAFETY: nothing runs afterwards that could be harmed.
        Error::decode(unsafe { self.0.call(SYSTEM_OFF, [0; 3]) } as i32)
    }

    /// Starts the machine anew. Returns only when firmware refuses.
    pub fn system_reset(&self) -> Error {
        // SAFETY: nothing runs afterwards that could be harmed.
        Error::decode(unsafe { self.0.call(SYSTEM_RESET, [0; 3]) } as i32)
    }

    /// What firmware says about workarounds on this core. Each core has to ask for itself.
    #[must_use]
    pub fn answers(&self) -> FirmwareAnswers {
        // Older firmware may not survive unknown functions: ask step by step, each by what the step before promises.
        let has_version = self.version().is_ok_and(|(major, _)| major >= 1) && self.ask(PSCI_FEATURES, SMCCC_VERSION.into()) >= 0;
        let has_features = has_version && self.ask(SMCCC_VERSION, 0) >= 0x1_0001;
        let answer = |function: u32| {
            if !has_features {
                return Answer::NotSupported;
            }
            match self.ask(ARCH_FEATURES, function.into()) {
                0 => Answer::Needed,
                1 => Answer::NotNeeded,
                _ => Answer::NotSupported,
            }
        };
        FirmwareAnswers { workaround_1: answer(ARCH_WORKAROUND_1), workaround_3: answer(ARCH_WORKAROUND_3) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::cell::RefCell;
    use std::vec::Vec;

    /// Firmware that answers by a function, and remembers what it was asked.
    struct Fake<F>(F, RefCell<Vec<(u32, [u64; 3])>>);

    impl<F: Fn(u32, [u64; 3]) -> i64> Call for Fake<F> {
        unsafe fn call(&self, function: u32, arguments: [u64; 3]) -> u64 {
            self.1.borrow_mut().push((function, arguments));
            self.0(function, arguments) as u64
        }
    }

    fn firmware<F: Fn(u32, [u64; 3]) -> i64>(answer: F) -> Psci<Fake<F>> {
        Psci(Fake(answer, RefCell::default()))
    }

    #[test]
    fn cores() {
        let psci = firmware(|_, [core, ..]| if core == 0x100 { 0 } else { -2 });
        // SAFETY: the fake starts nothing.
        assert_eq!(unsafe { psci.cpu_on(0x100, 0x4000_0000, 7) }, Ok(()));
        // SAFETY: as above.
        assert_eq!(unsafe { psci.cpu_on(0x101, 0, 0) }, Err(Error::InvalidParameters));
        assert_eq!(psci.0.1.borrow()[0], (0xc400_0003, [0x100, 0x4000_0000, 7]));
        let power = firmware(|_, [core, ..]| core as i64);
        let states: Vec<_> = (0..4).map(|core| power.affinity_info(core)).collect();
        assert_eq!(states, [Ok(Power::On), Ok(Power::Off), Ok(Power::OnPending), Err(Error::Unknown(3))]);
    }

    #[test]
    fn results_are_32_bits_wide() {
        // A 32-bit function may leave anything in the upper half.
        assert_eq!(firmware(|_, _| 0x0000_0000_ffff_ffff).version(), Err(Error::NotSupported));
        assert_eq!(firmware(|_, _| -1).version(), Err(Error::NotSupported));
        assert_eq!(firmware(|_, _| 0x7777_0000_0001_0001).version(), Ok((1, 1)));
    }

    #[test]
    fn refusals() {
        assert_eq!(firmware(|_, _| -3).system_off(), Error::Denied);
        assert_eq!(firmware(|_, _| -1).system_reset(), Error::NotSupported);
        for result in -12..0 {
            assert!(!std::format!("{}", Error::decode(result)).is_empty());
        }
    }

    #[test]
    fn questions_about_workarounds_come_step_by_step() {
        let silent = FirmwareAnswers { workaround_1: Answer::NotSupported, workaround_3: Answer::NotSupported };
        let old = firmware(|function, _| if function == PSCI_VERSION { 2 } else { panic!("unknown to version 0.2: {function:#x}") });
        assert_eq!(old.answers(), silent);
        let no_smccc = firmware(|function, _| match function {
            PSCI_VERSION => 0x1_0000,
            PSCI_FEATURES => -1,
            _ => panic!("unknown: {function:#x}"),
        });
        assert_eq!(no_smccc.answers(), silent);
        let new = firmware(|function, [argument, ..]| match (function, argument as u32) {
            (PSCI_VERSION, _) => 0x1_0001,
            (PSCI_FEATURES, SMCCC_VERSION) => 0,
            (SMCCC_VERSION, _) => 0x1_0002,
            (ARCH_FEATURES, ARCH_WORKAROUND_1) => 1,
            (ARCH_FEATURES, ARCH_WORKAROUND_3) => 0,
            other => panic!("{other:x?}"),
        });
        assert_eq!(new.answers(), FirmwareAnswers { workaround_1: Answer::NotNeeded, workaround_3: Answer::Needed });
    }
}
