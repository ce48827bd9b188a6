//! What the exception vectors of a core must do against speculation that user code steers (Spectre-v2 and Spectre-BHB).
//!
//! Sources: Arm's "Spectre-BHB: Speculative Target Reuse Attacks" (Arm Security Center, Spectre-BHB; CVE-2022-23960), whose
//! tables give for each core the number of loop iterations that overwrite its branch history, or say that firmware has to do
//! it; "Firmware interfaces for mitigating cache speculation vulnerabilities", DEN 0070 (ARCH_WORKAROUND_1 and _3).

use crate::features::Features;
use crate::psci::{Answer, FirmwareAnswers};

/// What the vectors taken from EL0 do before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// How the branch history is made harmless.
    pub history: History,
    /// The firmware function to call, if one is needed.
    pub call: Option<Workaround>,
    /// The core is affected by something that neither it nor its firmware offers a remedy for, or it is not known.
    pub unmitigated: bool,
}

/// What is done about the branch history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Nothing: there is no need, or firmware does it.
    Keep,
    /// This many iterations of a loop of taken branches, then a barrier.
    Loop(u8),
    /// The instruction CLRBHB, then a barrier.
    Clear,
}

/// A firmware function that makes earlier branch prediction harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workaround {
    /// ARCH_WORKAROUND_1: branch targets.
    Targets,
    /// ARCH_WORKAROUND_3: branch targets and branch history.
    TargetsAndHistory,
}

impl Workaround {
    /// Function id, by the calling convention.
    #[must_use]
    pub const fn function(self) -> u32 {
        match self {
            Self::Targets => crate::psci::ARCH_WORKAROUND_1,
            Self::TargetsAndHistory => crate::psci::ARCH_WORKAROUND_3,
        }
    }
}

const ARM: u8 = 0x41;
const AMPERE: u8 = 0xc0;

/// Cores that predict too simply to be affected, by (implementer, part).
const UNAFFECTED: &[(u8, u16)] = &[
    (ARM, 0xd03), // Cortex-A53
    (ARM, 0xd04), // Cortex-A35
    (ARM, 0xd05), // Cortex-A55
    (ARM, 0xd46), // Cortex-A510
    (ARM, 0xd80), // Cortex-A520
];

/// Iterations that overwrite the branch history, by (implementer, part).
const LOOPS: &[(u8, u16, u8)] = &[
    (ARM, 0xd07, 8),     // Cortex-A57
    (ARM, 0xd08, 8),     // Cortex-A72
    (AMPERE, 0xac3, 11), // Ampere-1
    (ARM, 0xd0b, 24),    // Cortex-A76
    (ARM, 0xd0e, 24),    // Cortex-A76AE
    (ARM, 0xd0d, 24),    // Cortex-A77
    (ARM, 0xd0c, 24),    // Neoverse-N1
    (ARM, 0xd41, 32),    // Cortex-A78
    (ARM, 0xd42, 32),    // Cortex-A78AE
    (ARM, 0xd4b, 32),    // Cortex-A78C
    (ARM, 0xd44, 32),    // Cortex-X1
    (ARM, 0xd4c, 32),    // Cortex-X1C
    (ARM, 0xd47, 32),    // Cortex-A710
    (ARM, 0xd48, 32),    // Cortex-X2
    (ARM, 0xd49, 32),    // Neoverse-N2
    (ARM, 0xd40, 32),    // Neoverse-V1
    (ARM, 0xd4d, 38),    // Cortex-A715
    (ARM, 0xd81, 38),    // Cortex-A720
    (ARM, 0xd4e, 132),   // Cortex-X3
    (ARM, 0xd4f, 132),   // Neoverse-V2
];

/// What the vectors of a core with these features must do, given what its firmware answered on that core.
#[must_use]
pub fn vectors_for(core: &Features, firmware: &FirmwareAnswers) -> Vectors {
    const NOTHING: Vectors = Vectors { history: History::Keep, call: None, unmitigated: false };
    let key = (core.midr.implementer(), core.midr.part());
    if UNAFFECTED.contains(&key) {
        return NOTHING;
    }
    let isolated_targets = core.csv2 >= 1;
    let isolated_history = core.csv2 >= 3 || core.ecbhb;
    let loops = LOOPS.iter().find(|&&(implementer, part, _)| (implementer, part) == key).map(|&(_, _, count)| count);
    // Firmware knows its core: one function for both, and an answer that none is needed.
    let both = firmware.workaround_3 == Answer::Needed;
    let needs_no_history = isolated_history || firmware.workaround_3 == Answer::NotNeeded;
    let needs_no_targets = isolated_targets || firmware.workaround_1 == Answer::NotNeeded;

    let (history, history_by_call) = if needs_no_history {
        (History::Keep, false)
    } else if core.clrbhb {
        (History::Clear, false)
    } else if let Some(count) = loops {
        (History::Loop(count), false)
    } else {
        (History::Keep, true)
    };
    let call = match (needs_no_targets, history_by_call) {
        (true, false) => None,
        (_, _) if both => Some(Workaround::TargetsAndHistory),
        (false, _) if firmware.workaround_1 == Answer::Needed => Some(Workaround::Targets),
        (_, _) => None,
    };
    // The call that does both makes the loop superfluous.
    let history = if call == Some(Workaround::TargetsAndHistory) { History::Keep } else { history };
    let targets_open = !needs_no_targets && call.is_none();
    let history_open = history_by_call && call != Some(Workaround::TargetsAndHistory);
    Vectors { history, call, unmitigated: targets_open || history_open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{IdRegisters, Midr};

    const SILENT: FirmwareAnswers = FirmwareAnswers { workaround_1: Answer::NotSupported, workaround_3: Answer::NotSupported };

    fn core(midr: u32, csv2: u8) -> Features {
        let none = Features::decode(&IdRegisters::default());
        Features { midr: Midr(midr), csv2, ..none }
    }

    #[test]
    fn the_board() {
        let keep = Vectors { history: History::Keep, call: None, unmitigated: false };
        let loops = Vectors { history: History::Loop(24), call: None, unmitigated: false };
        assert_eq!(vectors_for(&core(0x412f_d050, 0), &SILENT), keep, "Cortex-A55");
        assert_eq!(vectors_for(&core(0x414f_d0b0, 1), &SILENT), loops, "Cortex-A76");
        let answers = FirmwareAnswers { workaround_1: Answer::NotNeeded, workaround_3: Answer::Needed };
        assert_eq!(vectors_for(&core(0x414f_d0b0, 1), &answers), loops, "the loop is cheaper than the call");
    }

    #[test]
    fn without_isolation_of_targets() {
        let a72 = core(0x410f_d083, 0);
        let with = |workaround_1, workaround_3| vectors_for(&a72, &FirmwareAnswers { workaround_1, workaround_3 });
        let both = Vectors { history: History::Keep, call: Some(Workaround::TargetsAndHistory), unmitigated: false };
        assert_eq!(with(Answer::Needed, Answer::Needed), both);
        let old = Vectors { history: History::Loop(8), call: Some(Workaround::Targets), unmitigated: false };
        assert_eq!(with(Answer::Needed, Answer::NotSupported), old);
        let open = Vectors { history: History::Loop(8), call: None, unmitigated: true };
        assert_eq!(vectors_for(&a72, &SILENT), open);
    }

    #[test]
    fn hardware_remedies_come_first() {
        let keep = Vectors { history: History::Keep, call: None, unmitigated: false };
        assert_eq!(vectors_for(&core(0x410f_d4f0, 3), &SILENT), keep, "CSV2_3");
        assert_eq!(vectors_for(&Features { ecbhb: true, ..core(0x410f_d4f0, 2) }, &SILENT), keep, "ECBHB");
        let clear = Vectors { history: History::Clear, call: None, unmitigated: false };
        assert_eq!(vectors_for(&Features { clrbhb: true, ..core(0x410f_d4f0, 2) }, &SILENT), clear);
        assert_eq!(vectors_for(&core(0x410f_d4f0, 2), &SILENT).history, History::Loop(132), "Neoverse-V2 without either");
    }

    #[test]
    fn unknown_cores_are_not_called_safe() {
        let unknown = core(0x990f_1230, 1);
        assert!(vectors_for(&unknown, &SILENT).unmitigated);
        let answers = FirmwareAnswers { workaround_1: Answer::NotSupported, workaround_3: Answer::NotNeeded };
        assert!(!vectors_for(&unknown, &answers).unmitigated);
        let a75 = core(0x413f_d0a0, 1);
        let answers = FirmwareAnswers { workaround_1: Answer::NotNeeded, workaround_3: Answer::Needed };
        let call = Vectors { history: History::Keep, call: Some(Workaround::TargetsAndHistory), unmitigated: false };
        assert_eq!(vectors_for(&a75, &answers), call, "its history is too long for a loop");
    }

    #[test]
    fn each_core_is_listed_once() {
        let all = || UNAFFECTED.iter().copied().chain(LOOPS.iter().map(|&(implementer, part, _)| (implementer, part)));
        for key in all() {
            assert_eq!(all().filter(|&other| other == key).count(), 1, "{key:x?}");
        }
    }
}
