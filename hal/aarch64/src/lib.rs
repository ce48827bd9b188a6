//! AArch64 mechanisms: barriers, system registers, GICv3, PSCI.
#![no_std]

