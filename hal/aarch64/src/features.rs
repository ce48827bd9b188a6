//! What a core can do, decoded from its identification registers.
//!
//! Source: DDI 0487, section D24 (ID_AA64*_EL1).

/// The identification registers of one core, raw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdRegisters {
    /// MIDR_EL1.
    pub midr: u64,
    /// ID_AA64PFR0_EL1.
    pub pfr0: u64,
    /// ID_AA64PFR1_EL1.
    pub pfr1: u64,
    /// ID_AA64ISAR0_EL1.
    pub isar0: u64,
    /// ID_AA64ISAR1_EL1.
    pub isar1: u64,
    /// ID_AA64ISAR2_EL1.
    pub isar2: u64,
    /// ID_AA64MMFR0_EL1.
    pub mmfr0: u64,
    /// ID_AA64MMFR1_EL1.
    pub mmfr1: u64,
    /// ID_AA64MMFR2_EL1.
    pub mmfr2: u64,
}

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
impl IdRegisters {
    /// Those of the core that this runs on.
    #[must_use]
    pub fn read() -> Self {
        use crate::sysreg;
        Self {
            midr: sysreg::midr_el1::read(),
            pfr0: sysreg::id_aa64pfr0_el1::read(),
            pfr1: sysreg::id_aa64pfr1_el1::read(),
            isar0: sysreg::id_aa64isar0_el1::read(),
            isar1: sysreg::id_aa64isar1_el1::read(),
            isar2: sysreg::id_aa64isar2_el1::read(),
            mmfr0: sysreg::id_aa64mmfr0_el1::read(),
            mmfr1: sysreg::id_aa64mmfr1_el1::read(),
            mmfr2: sysreg::id_aa64mmfr2_el1::read(),
        }
    }
}

/// What a core can do, as far as this system cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Which core it is.
    pub midr: Midr,
    /// Floating point and SIMD.
    pub simd: bool,
    /// Atomic instructions (FEAT_LSE).
    pub lse: bool,
    /// AES rounds.
    pub aes: bool,
    /// 64-bit polynomial multiplication.
    pub pmull: bool,
    /// SHA-1.
    pub sha1: bool,
    /// SHA-256.
    pub sha2: bool,
    /// SHA-512.
    pub sha512: bool,
    /// SHA-3.
    pub sha3: bool,
    /// CRC-32.
    pub crc32: bool,
    /// 8-bit dot products.
    pub dot_product: bool,
    /// Random numbers (RNDR, RNDRRS).
    pub rndr: bool,
    /// Load-acquire with weaker ordering.
    pub lrcpc: bool,
    /// Scalable vectors.
    pub sve: bool,
    /// Branch targets can be restricted.
    pub bti: bool,
    /// Pointers can be signed.
    pub pointer_authentication: bool,
    /// Privileged accesses to user memory can be refused.
    pub pan: bool,
    /// Speculative store bypass can be switched per context, with its own register.
    pub ssbs: bool,
    /// 16-bit address space ids, else 8.
    pub asid16: bool,
    /// Bits of a physical address.
    pub physical_bits: u8,
    /// 4 KiB pages.
    pub page_4k: bool,
    /// Branch prediction across contexts (CSV2): 0 unknown, 1 isolated, 2 also by SCXTNUM, 3 also the branch history.
    pub csv2: u8,
    /// Data loaded under a fault can't be observed by later speculation (CSV3).
    pub csv3: bool,
    /// The branch history before an exception can't steer prediction after it (FEAT_ECBHB).
    pub ecbhb: bool,
    /// An instruction clears the branch history (CLRBHB).
    pub clrbhb: bool,
}

/// The 4-bit field that begins at bit `at`.
const fn field(register: u64, at: u32) -> u8 {
    (register >> at & 0xf) as u8
}

impl Features {
    /// Decodes the registers.
    #[must_use]
    pub const fn decode(id: &IdRegisters) -> Self {
        Self {
            midr: Midr(id.midr as u32),
            // 0xf says no; other values say which variant.
            simd: field(id.pfr0, 20) != 0xf && field(id.pfr0, 16) != 0xf,
            lse: field(id.isar0, 20) >= 2,
            aes: field(id.isar0, 4) >= 1,
            pmull: field(id.isar0, 4) >= 2,
            sha1: field(id.isar0, 8) >= 1,
            sha2: field(id.isar0, 12) >= 1,
            sha512: field(id.isar0, 12) >= 2,
            sha3: field(id.isar0, 32) >= 1,
            crc32: field(id.isar0, 16) >= 1,
            dot_product: field(id.isar0, 44) >= 1,
            rndr: field(id.isar0, 60) >= 1,
            lrcpc: field(id.isar1, 20) >= 1,
            sve: field(id.pfr0, 32) >= 1,
            bti: field(id.pfr1, 0) >= 1,
            // Addresses can be signed by one of three algorithms, each with its own field.
            pointer_authentication: field(id.isar1, 4) >= 1 || field(id.isar1, 8) >= 1 || field(id.isar2, 12) >= 1,
            pan: field(id.mmfr1, 20) >= 1,
            ssbs: field(id.pfr1, 4) >= 2,
            asid16: field(id.mmfr0, 4) >= 2,
            physical_bits: match field(id.mmfr0, 0) {
                0 => 32,
                1 => 36,
                2 => 40,
                3 => 42,
                4 => 44,
                5 => 48,
                // Larger ones need translation formats that this system does not use.
                _ => 52,
            },
            page_4k: field(id.mmfr0, 28) != 0xf,
            csv2: field(id.pfr0, 56),
            csv3: field(id.pfr0, 60) >= 1,
            ecbhb: field(id.mmfr1, 60) >= 1,
            clrbhb: field(id.isar2, 28) >= 1,
        }
    }
}

/// MIDR_EL1: which core it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Midr(pub u32);

impl Midr {
    /// Who designed it; 0x41 is Arm.
    #[must_use]
    pub const fn implementer(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// The designer's part number.
    #[must_use]
    pub const fn part(self) -> u16 {
        (self.0 >> 4 & 0xfff) as u16
    }

    /// Major revision: n of rNpM.
    #[must_use]
    pub const fn variant(self) -> u8 {
        (self.0 >> 20 & 0xf) as u8
    }

    /// Minor revision: m of rNpM.
    #[must_use]
    pub const fn revision(self) -> u8 {
        (self.0 & 0xf) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The registers of a Cortex-A76 r4p0 without the cryptographic extension, from its Technical Reference Manual, 100798.
    const A76: IdRegisters = IdRegisters {
        midr: 0x414f_d0b0,
        pfr0: 0x1100_0000_1111_1112,
        pfr1: 0x0000_0000_0000_0010,
        isar0: 0x0000_1000_1021_0000,
        isar1: 0x0000_0000_0010_0001,
        isar2: 0,
        mmfr0: 0x0000_0000_0010_1122,
        mmfr1: 0x0000_0000_1021_2122,
        mmfr2: 0x0000_0000_0000_1011,
    };

    #[test]
    fn cortex_a76() {
        let plain = Features::decode(&A76);
        let crypto = Features::decode(&IdRegisters { isar0: A76.isar0 | 0x1120, ..A76 });
        assert!(!plain.aes && !plain.pmull && !plain.sha1 && !plain.sha2);
        assert!(crypto.aes && crypto.pmull && crypto.sha1 && crypto.sha2 && !crypto.sha512 && !crypto.sha3);
        for core in [plain, crypto] {
            assert!(core.simd && core.lse && core.crc32 && core.dot_product && core.lrcpc && core.pan && core.asid16 && core.page_4k);
            assert!(!core.rndr && !core.sve && !core.bti && !core.pointer_authentication && !core.ssbs && !core.ecbhb && !core.clrbhb);
            assert_eq!((core.physical_bits, core.csv2, core.csv3), (40, 1, true));
            assert_eq!((core.midr.implementer(), core.midr.part()), (0x41, 0xd0b));
            assert_eq!((core.midr.variant(), core.midr.revision()), (4, 0));
        }
    }

    #[test]
    fn baseline_core_has_nothing() {
        let core = Features::decode(&IdRegisters { pfr0: 0x0000_0000_00ff_0011, mmfr0: 0xf000_0000, ..IdRegisters::default() });
        assert!(!core.simd && !core.lse && !core.aes && !core.pan && !core.asid16 && !core.page_4k && !core.csv3);
        assert_eq!((core.physical_bits, core.csv2), (32, 0));
    }

    /// Each feature depends on the field that the architecture gives it, and on no other.
    #[test]
    fn one_field_each() {
        let base = IdRegisters::default();
        let with = |change: fn(&mut IdRegisters)| {
            let mut id = base;
            change(&mut id);
            Features::decode(&id)
        };
        let none = Features::decode(&base);
        assert_eq!(with(|id| id.isar0 = 2 << 20), Features { lse: true, ..none });
        assert_eq!(with(|id| id.isar0 = 1 << 20), none, "1 is reserved");
        assert_eq!(with(|id| id.isar0 = 2 << 12), Features { sha2: true, sha512: true, ..none });
        assert_eq!(with(|id| id.isar0 = 1 << 44), Features { dot_product: true, ..none });
        assert_eq!(with(|id| id.isar0 = 1 << 60), Features { rndr: true, ..none });
        assert_eq!(with(|id| id.isar2 = 1 << 28), Features { clrbhb: true, ..none });
        assert_eq!(with(|id| id.isar2 = 5 << 12), Features { pointer_authentication: true, ..none });
        assert_eq!(with(|id| id.mmfr1 = 1 << 60), Features { ecbhb: true, ..none });
        assert_eq!(with(|id| id.mmfr1 = 1 << 20), Features { pan: true, ..none });
        assert_eq!(with(|id| id.pfr0 = 3 << 56), Features { csv2: 3, ..none });
        assert_eq!(with(|id| id.pfr1 = 2 << 4), Features { ssbs: true, ..none });
    }
}
