//! What `head.S` reads: parameters of the resident part. They are written here, and read there with the MMU off or at EL2.

use core::mem::offset_of;
use core::ptr;

use aios_handoff::layout::{DIRECT_MAP_BASE, PAGE_SIZE};
use aios_handoff::{Console, Range, regs};

use crate::raw;

/// The layout is known to `head.S` (`P_…`).
#[repr(C)]
#[derive(Clone, Copy)]
struct Params {
    ttbr0: u64,
    ttbr1: u64,
    tcr: u64,
    mair: u64,
    sctlr: u64,
    uart_base: u64,
    uart_kind: u32,
    uart_shift: u32,
    uart_width: u32,
    psci: u32,
}

const _: () = {
    assert!(offset_of!(Params, ttbr1) == 8);
    assert!(offset_of!(Params, tcr) == 16);
    assert!(offset_of!(Params, mair) == 24);
    assert!(offset_of!(Params, sctlr) == 32);
    assert!(offset_of!(Params, uart_base) == 40);
    assert!(offset_of!(Params, uart_kind) == 48);
    assert!(offset_of!(Params, uart_shift) == 52);
    assert!(offset_of!(Params, uart_width) == 56);
    assert!(offset_of!(Params, psci) == 60);
    // Numbers that `head.S` repeats.
    assert!(regs::SCTLR_EL1_OFF == 0x30d0_0800);
    assert!(DIRECT_MAP_BASE == 0xffff_ff80_0000_0000);
};

unsafe extern "C" {
    static mut resident_params: Params;
    static resident_tables: u8;
    static secondary_entry: u8;
    static __resident_text_end: u8;
    static __resident_end: u8;
}

/// A copy of the parameters.
fn read() -> Params {
    let params = &raw const resident_params;
    // SAFETY: `head.S` reserves a zeroed page for them (all zero is a valid value). One core runs, without interrupts, and no
    // reference to them exists anywhere.
    unsafe { ptr::read_volatile(params) }
}

fn write(params: Params) {
    let place = &raw mut resident_params;
    // SAFETY: as above.
    unsafe { ptr::write_volatile(place, params) };
}

/// Makes `console` the one for reports.
pub fn set_console(console: &Console) {
    write(Params {
        uart_base: console.base,
        uart_kind: console.kind,
        uart_shift: console.reg_shift,
        uart_width: console.reg_io_width,
        ..read()
    });
}

/// The console for reports. Only kind, base, register shift and register width are meant.
pub fn console() -> Console {
    let params = read();
    Console {
        kind: params.uart_kind,
        base: params.uart_base,
        reg_shift: params.uart_shift,
        reg_io_width: params.uart_width,
        ..Console::default()
    }
}

/// Sets how the firmware is called, as in the boot record.
pub fn set_psci(conduit: u32) {
    write(Params { psci: conduit, ..read() });
}

/// How the firmware is called.
pub fn psci() -> u32 {
    read().psci
}

/// Sets the translation registers of secondary cores; the boot core takes TTBR0 from here as well.
pub fn set_translation(ttbr0: u64, ttbr1: u64, tcr: u64, mair: u64) {
    write(Params { ttbr0, ttbr1, tcr, mair, sctlr: regs::SCTLR_EL1, ..read() });
}

/// The whole resident part.
pub fn range() -> Range {
    raw::between(raw::base(), (&raw const __resident_end).addr() as u64)
}

/// Its code.
pub fn text() -> Range {
    raw::between(raw::base(), (&raw const __resident_text_end).addr() as u64)
}

/// The pages for its translation tables.
pub fn tables() -> Range {
    Range::new((&raw const resident_tables).addr() as u64, 3 * PAGE_SIZE)
}

/// Where secondary cores start.
pub fn secondary_entry_pa() -> u64 {
    (&raw const secondary_entry).addr() as u64
}
