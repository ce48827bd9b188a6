//! The check that the kernel makes before it believes the record.

use core::fmt;

use crate::layout::{DIRECT_MAP_SIZE, KERNEL_ALIGN, PAGE_SIZE, USER_END};
use crate::{
    BootInfo, CONSOLE_DW8250, CONSOLE_NONE, CONSOLE_PL011, MAGIC, MAX_CORES, MAX_GICR, MAX_RAM, MAX_SEGMENTS, PERM_EXECUTE, PERM_READ,
    PERM_WRITE, PSCI_SMC, Range, VERSION, regs,
};

/// What is wrong with a [`BootInfo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootInfoError {
    /// The magic number is another one: this is no `BootInfo`.
    Magic,
    /// Another version of the record (the value found).
    Version(u32),
    /// Another size of the record (the value found).
    Size(u32),
    /// The exception level at entry is neither 1 nor 2.
    EntryLevel(u32),
    /// No such PSCI conduit.
    Psci(u32),
    /// No such kind of console, or a register width that is not 1, 2 or 4 bytes.
    Console(u32),
    /// The counter frequency is zero or the timer's interrupt no PPI.
    Timer,
    /// A count is zero where at least one is needed, or above the array's capacity. The name of the field.
    Count(&'static str),
    /// A range is empty, not page aligned or not in the direct map window. The name of the field.
    Range(&'static str),
    /// Ranges are not ascending and disjoint, or usable RAM overlaps what is taken. The name of the field.
    Overlap(&'static str),
    /// The secondary entry lies outside stage0's resident range.
    SecondaryEntry,
    /// TCR or MAIR differ from what this kernel expects.
    Translation,
    /// Two cores have the same affinity, or one has bits outside the affinity fields.
    Cores,
    /// A segment of init is unaligned, empty, writable and executable, outside of user space, or out of order; or
    /// the entry is in no executable segment.
    Init,
    /// The seed is longer than its array.
    Seed,
    /// A reserved field is not zero.
    Reserved,
}

impl fmt::Display for BootInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not a boot record"),
            Self::Version(found) => write!(f, "boot record version {found}, expected {VERSION}"),
            Self::Size(found) => write!(f, "boot record of {found} bytes, expected {}", size_of::<BootInfo>()),
            Self::EntryLevel(found) => write!(f, "entered at EL{found}"),
            Self::Psci(found) => write!(f, "unknown PSCI conduit {found}"),
            Self::Console(found) => write!(f, "unknown console kind {found}"),
            Self::Timer => f.write_str("no usable timer"),
            Self::Count(field) => write!(f, "{field}: bad count"),
            Self::Range(field) => write!(f, "{field}: bad range"),
            Self::Overlap(field) => write!(f, "{field}: ranges overlap"),
            Self::SecondaryEntry => f.write_str("secondary entry outside of stage0"),
            Self::Translation => f.write_str("unexpected TCR or MAIR"),
            Self::Cores => f.write_str("bad core list"),
            Self::Init => f.write_str("bad init image"),
            Self::Seed => f.write_str("bad seed length"),
            Self::Reserved => f.write_str("reserved field is not zero"),
        }
    }
}

impl core::error::Error for BootInfoError {}

/// Bits of `MPIDR_EL1` that name a core.
const AFFINITY: u64 = 0xff_00ff_ffff;
/// First INTID that is not a PPI, and first PPI.
const PPIS: core::ops::Range<u32> = 16..32;

impl BootInfo {
    /// Checks that the record is of this version and consistent in itself.
    ///
    /// # Errors
    /// The first [`BootInfoError`] found.
    pub fn validate(&self) -> Result<(), BootInfoError> {
        self.check_header()?;
        self.check_machine()?;
        self.check_taken()?;
        self.check_init()?;
        self.check_ram()
    }

    fn check_header(&self) -> Result<(), BootInfoError> {
        if self.magic != MAGIC {
            return Err(BootInfoError::Magic);
        }
        if self.version != VERSION {
            return Err(BootInfoError::Version(self.version));
        }
        if self.size as usize != size_of::<Self>() {
            return Err(BootInfoError::Size(self.size));
        }
        if self.reserved != 0 || self.console.reserved != 0 {
            return Err(BootInfoError::Reserved);
        }
        Ok(())
    }

    fn check_machine(&self) -> Result<(), BootInfoError> {
        if !(1..=2).contains(&self.entry_el) {
            return Err(BootInfoError::EntryLevel(self.entry_el));
        }
        if self.psci > PSCI_SMC {
            return Err(BootInfoError::Psci(self.psci));
        }
        if self.counter_hz == 0 || !PPIS.contains(&self.timer_intid) {
            return Err(BootInfoError::Timer);
        }
        if self.rng_seed_len as usize > self.rng_seed.len() {
            return Err(BootInfoError::Seed);
        }
        // IPS and AS differ from core to core; the rest is fixed.
        if self.mair != regs::MAIR_EL1 || (self.tcr ^ regs::tcr(0)) & !((7 << 32) | regs::TCR_AS) != 0 {
            return Err(BootInfoError::Translation);
        }
        check_count(self.core_count, MAX_CORES, "cores")?;
        for (index, core) in self.cores().iter().enumerate() {
            if core & !AFFINITY != 0 || self.cores()[..index].contains(core) {
                return Err(BootInfoError::Cores);
            }
        }
        check_count(self.gicr_count, MAX_GICR, "gicr")?;
        check_device(self.gicd, "gicd")?;
        for region in self.gicr() {
            check_device(Range::new(region.base, region.len), "gicr")?;
        }
        match self.console.kind {
            CONSOLE_NONE => Ok(()),
            CONSOLE_PL011 | CONSOLE_DW8250 if matches!(self.console.reg_io_width, 1 | 2 | 4) => {
                check_device(Range::new(self.console.base, self.console.len), "console")
            }
            kind => Err(BootInfoError::Console(kind)),
        }
    }

    /// What stage0 hands over in memory: each inside the window, none over another.
    fn check_taken(&self) -> Result<(), BootInfoError> {
        check_pages(self.kernel, "kernel")?;
        check_pages(self.stage0, "stage0")?;
        check_pages(self.boot_info, "boot_info")?;
        check_pages(self.tables, "tables")?;
        check_device(self.dtb, "dtb")?;
        check_device(self.bundle, "bundle")?;
        if !self.kernel.base.is_multiple_of(KERNEL_ALIGN) {
            return Err(BootInfoError::Range("kernel"));
        }
        let entry = self.secondary_entry;
        if !entry.is_multiple_of(4) || !self.stage0.contains(&Range::new(entry, 4)) {
            return Err(BootInfoError::SecondaryEntry);
        }
        let taken = self.taken();
        for (index, (range, name)) in taken.iter().enumerate() {
            if taken[..index].iter().any(|(other, _)| other.overlaps(range)) {
                return Err(BootInfoError::Overlap(name));
            }
        }
        Ok(())
    }

    fn taken(&self) -> [(Range, &'static str); 6] {
        [
            (self.kernel, "kernel"),
            (self.stage0, "stage0"),
            (self.boot_info, "boot_info"),
            (self.tables, "tables"),
            (self.dtb, "dtb"),
            (self.bundle, "bundle"),
        ]
    }

    fn check_ram(&self) -> Result<(), BootInfoError> {
        check_count(self.ram_count, MAX_RAM, "ram")?;
        let mut previous_end = 0;
        let mut usable = 0u64;
        for (index, range) in self.ram().iter().enumerate() {
            check_pages(*range, "ram")?;
            if index > 0 && range.base <= previous_end {
                return Err(BootInfoError::Overlap("ram"));
            }
            previous_end = range.end();
            usable = usable.saturating_add(range.len);
            let frames = self.init.segments().iter().map(|segment| segment.frames());
            if self.taken().iter().map(|(taken, _)| *taken).chain(frames).any(|taken| taken.overlaps(range)) {
                return Err(BootInfoError::Overlap("ram"));
            }
        }
        if usable > self.ram_total {
            return Err(BootInfoError::Range("ram_total"));
        }
        Ok(())
    }

    fn check_init(&self) -> Result<(), BootInfoError> {
        check_count(self.init.segment_count, MAX_SEGMENTS, "init")?;
        let mut previous_end = PAGE_SIZE; // page 0 is never mapped
        let mut entry_found = false;
        for segment in self.init.segments() {
            if segment.reserved != 0 {
                return Err(BootInfoError::Reserved);
            }
            check_pages(segment.frames(), "init")?;
            let known = segment.perms & !(PERM_READ | PERM_WRITE | PERM_EXECUTE) == 0;
            let both = PERM_WRITE | PERM_EXECUTE;
            let end = segment.va.saturating_add(segment.frames().len);
            if !known
                || segment.perms & both == both
                || !segment.va.is_multiple_of(PAGE_SIZE)
                || segment.va < previous_end
                || end > USER_END
            {
                return Err(BootInfoError::Init);
            }
            if self.taken().iter().any(|(taken, _)| taken.overlaps(&segment.frames())) {
                return Err(BootInfoError::Overlap("init"));
            }
            entry_found |= segment.perms & PERM_EXECUTE != 0 && (segment.va..end).contains(&self.init.entry);
            previous_end = end;
        }
        let segments = self.init.segments();
        for (index, segment) in segments.iter().enumerate() {
            if segments[..index].iter().any(|other| other.frames().overlaps(&segment.frames())) {
                return Err(BootInfoError::Overlap("init"));
            }
        }
        if entry_found { Ok(()) } else { Err(BootInfoError::Init) }
    }
}

impl crate::ImageSegment {
    /// The frames that hold this segment.
    #[must_use]
    pub const fn frames(&self) -> Range {
        Range::new(self.pa, self.pages.saturating_mul(PAGE_SIZE))
    }
}

fn check_count(count: u32, max: usize, field: &'static str) -> Result<(), BootInfoError> {
    if count == 0 || count as usize > max { Err(BootInfoError::Count(field)) } else { Ok(()) }
}

/// A range of any alignment, not empty, inside the direct map window.
fn check_device(range: Range, field: &'static str) -> Result<(), BootInfoError> {
    match range.base.checked_add(range.len) {
        Some(end) if range.len != 0 && end <= DIRECT_MAP_SIZE => Ok(()),
        _ => Err(BootInfoError::Range(field)),
    }
}

/// The same, made of whole pages.
fn check_pages(range: Range, field: &'static str) -> Result<(), BootInfoError> {
    if !range.base.is_multiple_of(PAGE_SIZE) || !range.len.is_multiple_of(PAGE_SIZE) {
        return Err(BootInfoError::Range(field));
    }
    check_device(range, field)
}

#[cfg(test)]
mod tests;
