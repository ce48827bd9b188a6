//! Floating-point registers, switched lazily: they keep the state of the agent that used them last until another one does. An agent whose state isn't in the
//! registers gets an exception at its first use; the kernel itself uses none (soft-float target).

use core::ptr::NonNull;

use aios_aarch64::barrier::isb;
use aios_aarch64::sysreg::cpacr_el1;
use aios_core::agent::FpRegisters;

unsafe extern "C" {
    /// Stores the registers into a block; `vectors.S`.
    fn fp_save(to: NonNull<FpRegisters>);
    /// Loads the registers from a block; `vectors.S`.
    fn fp_load(from: NonNull<FpRegisters>);
}

/// FP and SIMD don't trap, at EL1 and EL0.
const ALLOWED: u64 = 0b11 << 20;
/// FP, SIMD and everything else that the register knows trap.
const TRAPPED: u64 = 0;

/// Whose state the registers hold.
#[derive(Debug)]
pub struct Fp {
    /// Agent, and the part of its block that the state belongs into.
    owner: Option<(u16, NonNull<FpRegisters>)>,
    /// They don't trap now.
    allowed: bool,
}

impl Fp {
    /// Nobody's, and they trap.
    pub const NOBODY: Self = Self { owner: None, allowed: false };

    /// Lets the registers be used if they hold the state of this agent, which runs next.
    #[inline(always)]
    pub fn prepare(&mut self, agent: u16) {
        let own = matches!(self.owner, Some((owner, _)) if owner == agent);
        if own != self.allowed {
            self.allow(own);
        }
    }

    /// The agent uses the registers from now on. `block` stays where it is until [`forget`](Self::forget).
    pub fn hand_to(&mut self, agent: u16, block: &mut FpRegisters) {
        self.allow(true);
        isb();
        if let Some((_, old)) = self.owner {
            // SAFETY: the block of an agent that is still there, or else `forget` had been called. No reference to it is in use.
            unsafe { fp_save(old) };
        }
        let block = NonNull::from(block);
        // SAFETY: a block in use as one.
        unsafe { fp_load(block) };
        self.owner = Some((agent, block));
    }

    /// Makes sure that the agent's block has what the registers have.
    pub fn save(&mut self, agent: u16) {
        let Some((owner, block)) = self.owner else { return };
        if owner != agent {
            return;
        }
        let allowed = self.allowed;
        self.allow(true);
        isb();
        // SAFETY: as in `hand_to`.
        unsafe { fp_save(block) };
        self.allow(allowed);
    }

    /// The agent's state in the registers is worth nothing any more.
    pub fn forget(&mut self, agent: u16) {
        if matches!(self.owner, Some((owner, _)) if owner == agent) {
            self.owner = None;
        }
    }

    fn allow(&mut self, allowed: bool) {
        // SAFETY: compiled code uses no floating-point registers, so nothing of it depends on the setting. It counts from the next exception return or ISB on.
        unsafe { cpacr_el1::write(if allowed { ALLOWED } else { TRAPPED }) };
        self.allowed = allowed;
    }
}
