//! The plugin's side of QEMU's interface, and the counting itself.
//!
//! Every translated instruction has a [`Site`] for ever, which QEMU hands to the callback of its execution. Counters are atomics only because the
//! language asks for it: there is one thread.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::report::{self, Row};
use crate::{WARM_UP, mark};

/// Rows at most; what comes later is counted with the last one.
const ROWS: usize = 32;
/// Cores that are told apart.
const CORES: usize = 2;

/// The version of the interface that this was written against.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "QEMU looks for this name")]
pub static qemu_plugin_version: c_int = 1;

type PluginId = u64;
#[repr(C)]
struct Block([u8; 0]);
#[repr(C)]
struct Instruction([u8; 0]);

/// The callback changes no registers and reads none.
const NO_REGISTERS: c_int = 0;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: PluginId, callback: extern "C" fn(PluginId, *mut Block));
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    fn qemu_plugin_insn_data(instruction: *const Instruction) -> *const c_void;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
}

/// An instruction at an address, and how often it was executed in each row.
struct Site {
    pc: u64,
    row: usize,
    counts: [AtomicU64; CORES],
}

/// All sites, one for each instruction of a translation and each row in which it was executed.
static SITES: Mutex<Vec<&'static Site>> = Mutex::new(Vec::new());
static OUT: OnceLock<PathBuf> = OnceLock::new();
static OPEN: AtomicBool = AtomicBool::new(false);
static ROW: AtomicUsize = AtomicUsize::new(0);
/// Instructions of the operation that is open or was open last.
static OPERATION: AtomicU64 = AtomicU64::new(0);
/// Operations that were begun in this row.
static BEGUN: AtomicU64 = AtomicU64::new(0);
/// What ended operations came to.
static ROWS_DONE: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// One instruction of a translation: its sites by row, made as they are needed.
struct Translated {
    pc: u64,
    last: Mutex<Option<&'static Site>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called before each instruction that is no mark.
extern "C" fn executed(core: c_uint, data: *mut c_void) {
    if !OPEN.load(Relaxed) {
        return;
    }
    OPERATION.fetch_add(1, Relaxed);
    if BEGUN.load(Relaxed) <= WARM_UP {
        return;
    }
    // SAFETY: what `translated` handed over, which is never freed.
    let translated = unsafe { &*data.cast::<Translated>() };
    let row = ROW.load(Relaxed);
    let mut last = lock(&translated.last);
    let site = match *last {
        Some(site) if site.row == row => site,
        _ => {
            let site: &'static Site = Box::leak(Box::new(Site { pc: translated.pc, row, counts: Default::default() }));
            lock(&SITES).push(site);
            *last = Some(site);
            site
        }
    };
    site.counts[(core as usize).min(CORES - 1)].fetch_add(1, Relaxed);
}

/// Called before each mark.
extern "C" fn marked(_core: c_uint, data: *mut c_void) {
    match data as usize {
        0 => stray_unless(OPEN.swap(false, Relaxed)),
        1 => {
            end_operation();
            stray_unless(!OPEN.swap(false, Relaxed));
            BEGUN.store(0, Relaxed);
            ROW.store((ROW.load(Relaxed) + 1).min(ROWS - 1), Relaxed);
        }
        2 => {
            stray_unless(!OPEN.load(Relaxed));
            end_operation();
            BEGUN.fetch_add(1, Relaxed);
            OPEN.store(true, Relaxed);
        }
        3 => stray_unless(!OPEN.swap(true, Relaxed)),
        4 => {
            end_operation();
            BEGUN.store(0, Relaxed);
            write_report();
        }
        _ => {}
    }
}

fn with_row(change: impl FnOnce(&mut Row)) {
    let mut rows = lock(&ROWS_DONE);
    let row = ROW.load(Relaxed);
    if rows.len() <= row {
        rows.resize(row + 1, Row::default());
    }
    change(&mut rows[row]);
}

fn stray_unless(so: bool) {
    if !so {
        with_row(|row| row.stray += 1);
    }
}

fn end_operation() {
    let count = OPERATION.swap(0, Relaxed);
    if BEGUN.load(Relaxed) > WARM_UP {
        with_row(|row| row.operations.push(count));
    }
}

fn write_report() {
    let mut rows = lock(&ROWS_DONE).clone();
    let mut counts: BTreeMap<(usize, u64, u32), u64> = BTreeMap::new();
    for site in lock(&SITES).iter() {
        for (core, count) in site.counts.iter().enumerate() {
            let count = count.load(Relaxed);
            if count != 0 {
                *counts.entry((site.row, site.pc, core as u32)).or_default() += count;
            }
        }
    }
    for ((row, pc, core), count) in counts {
        if let Some(row) = rows.get_mut(row) {
            row.counts.insert((pc, core), count);
        }
    }
    write_out(&report::write(&rows));
}

fn write_out(text: &str) {
    let Some(out) = OUT.get() else { return };
    if let Err(error) = std::fs::write(out, text) {
        eprintln!("icount: can't write {}: {error}", out.display());
    }
}

/// Called for each block that QEMU translates.
extern "C" fn translated(_id: PluginId, block: *mut Block) {
    // SAFETY: QEMU's block, for the time of this call.
    for index in 0..unsafe { qemu_plugin_tb_n_insns(block) } {
        // SAFETY: an index below the number of instructions.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, index) };
        // SAFETY: the instruction of that block.
        let bytes = unsafe { qemu_plugin_insn_data(instruction) };
        // SAFETY: at least the four bytes that every A64 instruction has.
        let word = u32::from_le_bytes(unsafe { bytes.cast::<[u8; 4]>().read() });
        let (callback, data): (extern "C" fn(c_uint, *mut c_void), *mut c_void) = match mark(word) {
            Some(number) => (marked, std::ptr::without_provenance_mut(number as usize)),
            None => {
                // SAFETY: the instruction of that block.
                let pc = unsafe { qemu_plugin_insn_vaddr(instruction) };
                (executed, Box::into_raw(Box::new(Translated { pc, last: Mutex::new(None) })).cast())
            }
        };
        // SAFETY: the same; the callback expects this data, which stays for ever.
        unsafe { qemu_plugin_register_vcpu_insn_exec_cb(instruction, callback, NO_REGISTERS, data) };
    }
}

/// Called by QEMU when it loads the plugin.
///
/// # Safety
/// `argv` must be `argc` C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(id: PluginId, _info: *const c_void, argc: c_int, argv: *const *const c_char) -> c_int {
    let mut probe = false;
    for index in 0..usize::try_from(argc).unwrap_or(0) {
        // SAFETY: the caller vouches for so many pointers.
        let argument = unsafe { argv.wrapping_add(index).read() };
        // SAFETY: and for what they point to.
        let argument = unsafe { CStr::from_ptr(argument) }.to_string_lossy();
        match argument.split_once('=') {
            Some(("out", path)) => drop(OUT.set(path.into())),
            Some(("probe", "on")) => probe = true,
            _ => {
                eprintln!("icount: no such argument: {argument} (there are: out=FILE, probe=on)");
                return -1;
            }
        }
    }
    if OUT.get().is_none() {
        eprintln!("icount: out=FILE is missing");
        return -1;
    }
    if probe {
        write_out(&report::write(&[]));
        return -1;
    }
    // SAFETY: the id that QEMU gave.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
    0
}
