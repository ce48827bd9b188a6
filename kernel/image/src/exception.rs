//! What an exception from EL0 was.
//!
//! Source: Arm ARM DDI 0487, D24.2.40 (`ESR_EL1`: exception classes, and the fault status codes of aborts).

use aios_abi::message::FaultCause;
use aios_core::core::Exception;

/// What to do about a synchronous exception from EL0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// A system call.
    Syscall,
    /// A floating-point or SIMD instruction while another agent's state may be in the registers.
    FloatingPoint,
    /// A fault.
    Fault(Exception),
}

/// Exception class of `SVC` from AArch64; the vectors test for it first.
pub const CLASS_SVC: u64 = 0x15;

/// FAR is not valid, in the syndrome of an external abort.
const FAR_NOT_VALID: u64 = 1 << 10;
/// The bit of an address by which the processor chooses the kernel's tables (Arm ARM D8.2.4; no tags in addresses).
const KERNEL_HALF: u64 = 1 << 55;
/// What a syndrome says of an abort whatever is mapped: class, length of the instruction, cache maintenance, write.
const ALWAYS: u64 = 0x3f << 26 | 1 << 25 | 1 << 8 | 1 << 6;
/// Fault status of a translation fault at the first level of all.
const NOT_TRANSLATED: u64 = 0x04;

/// Which access an abort was of.
enum Abort {
    Fetch,
    Data,
}

/// Decodes a synchronous exception from EL0. `far` is `FAR_EL1`, which counts only where the architecture defines it.
#[must_use]
pub fn decode(esr: u64, far: u64) -> Trap {
    use FaultCause as Cause;
    let fault = |cause, address| Trap::Fault(Exception { cause, syndrome: esr, address });
    match esr >> 26 & 0x3f {
        CLASS_SVC => Trap::Syscall,
        0x07 => Trap::FloatingPoint,
        // Unknown reason: no such instruction, or not for EL0.
        0x00 => fault(Cause::Undefined, 0),
        // WFI and WFE; coprocessors; pointer authentication; LD64B; MSR, MRS, system instructions; SVE; SME; memory copies.
        0x01 | 0x03..=0x06 | 0x08..=0x0a | 0x0c | 0x18 | 0x19 | 0x1b | 0x1d | 0x27 => fault(Cause::Trapped, 0),
        0x20 => abort(esr, far, Abort::Fetch),
        0x24 => abort(esr, far, Abort::Data),
        // PC.
        0x22 => fault(Cause::Alignment, far),
        // SP.
        0x26 => fault(Cause::Alignment, 0),
        0x28 | 0x2c => fault(Cause::FloatingPoint, 0),
        0x2f => fault(Cause::External, 0),
        // Breakpoint, step; BKPT, BRK.
        0x30 | 0x32 | 0x38 | 0x3c => fault(Cause::Debug, 0),
        // Watchpoint.
        0x34 => fault(Cause::Debug, far),
        // Branch target, illegal state, signed pointer, ….
        _ => fault(Cause::Other, 0),
    }
}

/// An SError that hit while EL0 ran. Which access caused it is not known.
#[must_use]
pub const fn system_error(esr: u64) -> Exception {
    Exception { cause: FaultCause::External, syndrome: esr, address: 0 }
}

fn abort(esr: u64, far: u64, access: Abort) -> Trap {
    use FaultCause as Cause;
    let known = esr & 0x3f != 0x10 || esr & FAR_NOT_VALID == 0;
    // Whatever the kernel has mapped there, an agent learns the same: what processors with FEAT_E0PD report.
    let esr = if known && far & KERNEL_HALF != 0 { esr & ALWAYS | NOT_TRANSLATED } else { esr };
    let cause = match (esr & 0x3f, access) {
        // Translation, by level of the walk.
        (0x04..=0x07 | 0x2b, Abort::Data) => Cause::DataUnmapped,
        (0x04..=0x07 | 0x2b, Abort::Fetch) => Cause::FetchUnmapped,
        // Access flag, permission.
        (0x08..=0x0f, Abort::Data) => Cause::DataPermission,
        (0x08..=0x0f, Abort::Fetch) => Cause::FetchPermission,
        (0x21, _) => Cause::Alignment,
        // External aborts and memory errors, also of the walk; conflicts in the TLB; atomics where the memory has none.
        (0x10 | 0x13..=0x18 | 0x1b..=0x1f | 0x30 | 0x34 | 0x35, _) => Cause::External,
        _ => Cause::Other,
    };
    Trap::Fault(Exception { cause, syndrome: esr, address: if known { far } else { 0 } })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: u64 = 0x1234_5678;

    fn cause(class: u64, iss: u64) -> (FaultCause, u64) {
        let esr = class << 26 | 1 << 25 | iss;
        match decode(esr, FAR) {
            Trap::Fault(exception) => {
                assert_eq!(exception.syndrome, esr);
                (exception.cause, exception.address)
            }
            other => panic!("{class:#x} is {other:?}"),
        }
    }

    #[test]
    fn classes() {
        use FaultCause::*;
        assert_eq!(decode(0x15 << 26 | 1 << 25 | 77, FAR), Trap::Syscall);
        assert_eq!(decode(0x07 << 26 | 1 << 25, FAR), Trap::FloatingPoint);
        for (class, expected) in [
            (0x00, (Undefined, 0)),
            (0x01, (Trapped, 0)),
            (0x0e, (Other, 0)),
            (0x18, (Trapped, 0)),
            (0x19, (Trapped, 0)),
            (0x22, (Alignment, FAR)),
            (0x26, (Alignment, 0)),
            (0x2c, (FloatingPoint, 0)),
            (0x2f, (External, 0)),
            (0x30, (Debug, 0)),
            (0x32, (Debug, 0)),
            (0x34, (Debug, FAR)),
            (0x3c, (Debug, 0)),
            (0x3f, (Other, 0)),
        ] {
            assert_eq!(cause(class, 0), expected, "class {class:#x}");
        }
    }

    #[test]
    fn aborts() {
        use FaultCause::*;
        for level in 0..4 {
            assert_eq!(cause(0x24, 0x04 | level), (DataUnmapped, FAR));
            assert_eq!(cause(0x20, 0x04 | level), (FetchUnmapped, FAR));
            assert_eq!(cause(0x24, 0x0c | level | 1 << 6), (DataPermission, FAR));
            assert_eq!(cause(0x20, 0x0c | level), (FetchPermission, FAR));
            assert_eq!(cause(0x24, 0x08 | level), (DataPermission, FAR));
            assert_eq!(cause(0x24, level), (Other, FAR));
            assert_eq!(cause(0x20, 0x14 | level), (External, FAR));
        }
        assert_eq!(cause(0x24, 0x21), (Alignment, FAR));
        assert_eq!(cause(0x24, 0x10), (External, FAR));
        assert_eq!(cause(0x24, 0x10 | FAR_NOT_VALID), (External, 0), "an undefined FAR is not shown");
        assert_eq!(cause(0x24, 0x35), (External, FAR));
    }

    /// The kernel's half looks the same to agents wherever they reach: no status, level or other detail of its tables is in a report.
    #[test]
    fn the_kernels_map_does_not_show() {
        for far in [1 << 55, 0xffff_ff80_0000_0000, 0xffff_ffff_8000_0000, u64::MAX] {
            for (class, cause) in [(0x24, FaultCause::DataUnmapped), (0x20, FaultCause::FetchUnmapped)] {
                for write in [0, 1 << 6] {
                    let expected = Exception { cause, syndrome: class << 26 | 1 << 25 | write | 0x04, address: far };
                    for iss in (0..64).chain([0x0f | 1 << 7, 0x0f | 1 << 9, 0x0f | 0x1f << 16, 0x0f | 1 << 36]) {
                        let esr = class << 26 | 1 << 25 | write | iss & !(1 << 6);
                        assert_eq!(decode(esr, far), Trap::Fault(expected), "{esr:#x} at {far:#x}");
                    }
                }
            }
        }
        // An address that nobody has, and one that isn't known.
        assert_eq!(cause(0x24, 0x07), (FaultCause::DataUnmapped, FAR));
        assert_eq!(
            decode(0x24 << 26 | 0x10 | FAR_NOT_VALID, u64::MAX),
            Trap::Fault(Exception { cause: FaultCause::External, syndrome: 0x24 << 26 | 0x10 | FAR_NOT_VALID, address: 0 })
        );
    }

    /// Every syndrome has a meaning, and only system calls and floating point are no faults.
    #[test]
    fn every_syndrome_decodes() {
        for class in 0..64 {
            for iss in (0..64).chain([1 << 10, 0x1ff_ffff]) {
                let trap = decode(class << 26 | iss, FAR);
                assert_eq!(matches!(trap, Trap::Fault(_)), !matches!(class, 0x15 | 0x07), "{class:#x}");
            }
        }
        assert_eq!(system_error(5), Exception { cause: FaultCause::External, syndrome: 5, address: 0 });
    }
}
