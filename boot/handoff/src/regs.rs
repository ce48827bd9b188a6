//! Values of the translation and control registers that stage0 sets and the kernel relies on, on every core.
//!
//! Register layouts: Arm ARM DDI 0487, D19.2 (`MAIR_EL1`, `TCR_EL1`, `SCTLR_EL1`). All three are written whole, never read
//! and modified: firmware leaves SCTLR as 0 on some machines and with its RES1 bits on others.

/// `AttrIndx` of Device-nGnRnE memory.
pub const ATTR_DEVICE: u64 = 0;
/// `AttrIndx` of Normal memory, inner and outer write-back, read and write allocate.
pub const ATTR_NORMAL: u64 = 1;
/// `AttrIndx` of Normal non-cacheable memory (buffers shared with devices that don't snoop).
pub const ATTR_NORMAL_NC: u64 = 2;
/// `MAIR_EL1`: the three attributes above.
pub const MAIR_EL1: u64 = (0xff << (8 * ATTR_NORMAL)) | (0x44 << (8 * ATTR_NORMAL_NC));

/// `TCR_EL1.IPS`, bit position.
const TCR_IPS_SHIFT: u64 = 32;
/// `TCR_EL1.AS`: ASIDs have 16 bits.
pub const TCR_AS: u64 = 1 << 36;
/// `TCR_EL1` without IPS and AS: T0SZ = T1SZ = 25 (39 bits), 4 KiB granule on both sides, table walks inner-shareable
/// write-back; ASID from TTBR0 (A1 = 0), no top-byte-ignore, no hardware access or dirty flag (Cortex-A55 erratum 1024718).
const TCR_FIXED: u64 =
    25 | (0b01 << 8) | (0b01 << 10) | (0b11 << 12) | (25 << 16) | (0b01 << 24) | (0b01 << 26) | (0b11 << 28) | (0b10 << 30);

/// The `TCR_EL1` for a core with this `ID_AA64MMFR0_EL1`.
///
/// IPS follows PARange (at most 48 bits: larger ones need another descriptor format); AS is set when the core has 16-bit ASIDs.
#[must_use]
pub const fn tcr(id_aa64mmfr0: u64) -> u64 {
    let pa_range = id_aa64mmfr0 & 0xf;
    let ips = if pa_range > 5 { 5 } else { pa_range };
    let asid16 = (id_aa64mmfr0 >> 4) & 0xf == 2;
    TCR_FIXED | (ips << TCR_IPS_SHIFT) | if asid16 { TCR_AS } else { 0 }
}

/// RES1 bits of `SCTLR_EL1` in Armv8.0: LSMAOE, nTLSMD, SPAN, EIS, TSCXT, EOS. Later extensions give them a meaning, in which 1
/// is the old behaviour (SPAN = 1: an exception doesn't set PAN).
pub const SCTLR_EL1_RES1: u64 = (1 << 29) | (1 << 28) | (1 << 23) | (1 << 22) | (1 << 20) | (1 << 11);
/// `SCTLR_EL1.M`: MMU on.
pub const SCTLR_M: u64 = 1 << 0;
/// `SCTLR_EL1.C`: data cache on.
pub const SCTLR_C: u64 = 1 << 2;
/// `SCTLR_EL1.SA`: stack pointer alignment check at EL1.
pub const SCTLR_SA: u64 = 1 << 3;
/// `SCTLR_EL1.SA0`: stack pointer alignment check at EL0.
pub const SCTLR_SA0: u64 = 1 << 4;
/// `SCTLR_EL1.SED`: SETEND is undefined at EL0.
pub const SCTLR_SED: u64 = 1 << 8;
/// `SCTLR_EL1.I`: instruction cache on.
pub const SCTLR_I: u64 = 1 << 12;
/// `SCTLR_EL1.DZE`: EL0 may zero cache lines (`DC ZVA`).
pub const SCTLR_DZE: u64 = 1 << 14;
/// `SCTLR_EL1.UCT`: EL0 may read `CTR_EL0`.
pub const SCTLR_UCT: u64 = 1 << 15;
/// `SCTLR_EL1.WXN`: writable memory is never executable, whatever the tables say.
pub const SCTLR_WXN: u64 = 1 << 19;
/// `SCTLR_EL1.SPAN`: an exception to EL1 leaves PAN as it is.
pub const SCTLR_SPAN: u64 = 1 << 23;
/// `SCTLR_EL1.UCI`: EL0 may clean caches by address.
pub const SCTLR_UCI: u64 = 1 << 26;

/// `SCTLR_EL1` with MMU and caches off, little-endian: the state in which a core starts.
pub const SCTLR_EL1_OFF: u64 = SCTLR_EL1_RES1;
/// `SCTLR_EL1` at kernel entry: MMU and caches on, W^X enforced, EL0 may read CTR and maintain caches; nTWI = nTWE = 0, so that
/// WFI and WFE trap at EL0; alignment faults only for Device memory and exclusives.
pub const SCTLR_EL1: u64 =
    SCTLR_EL1_RES1 | SCTLR_M | SCTLR_C | SCTLR_SA | SCTLR_SA0 | SCTLR_SED | SCTLR_I | SCTLR_DZE | SCTLR_UCT | SCTLR_WXN | SCTLR_UCI;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn register_values() {
        assert_eq!(MAIR_EL1, 0x44_ff00);
        assert_eq!(SCTLR_EL1_OFF, 0x30d0_0800);
        // Cortex-A76: PARange 40 bits, 16-bit ASIDs.
        assert_eq!(tcr(0x0010_1122), 0x12_b519_3519);
        // An 8-bit-ASID core with 52-bit addresses is clipped to 48.
        assert_eq!(tcr(0x6) >> 32, 5);
    }
}
