//! The core's port to the hardware, as one processor core implements it.

use core::sync::atomic::{AtomicU64, Ordering};

use aios_aarch64::tlb::{self, Stale};
use aios_aarch64::{barrier, cache, sysreg};
use aios_abi::AgentId;
use aios_abi::info::Info;
use aios_abi::limits::PAGE_SIZE;
use aios_core::agent::{Agent, Registers};
use aios_core::cap::Node;
use aios_core::core::Packet;
use aios_core::machine::{Lane, Machine, Memory, Object};
use aios_handoff::GicrRegion;
use aios_kernel::claims::Claims;
use aios_kernel::time::Timebase;
use spin::Mutex;

use crate::fp::Fp;
use crate::gic::Gic;
use crate::page::{Nodes, Page};
use crate::{console, power, ram, rings};

/// Who has which place in the agent table; for all cores.
static CLAIMS: Mutex<Claims> = Mutex::new(Claims::CLOSED);
/// The last stamp; for all cores.
static STAMP: AtomicU64 = AtomicU64::new(0);

/// `CNTV_CTL_EL0.ENABLE`.
const TIMER_ENABLE: u64 = 1;
/// `ISR_EL1.I`: an interrupt waits.
const INTERRUPT_WAITS: u64 = 1 << 7;

/// Offers the places of the agent table.
pub fn open_claims(asid_bits: u32) {
    CLAIMS.lock().open(asid_bits);
}

/// What stays the same for all agents and cores from boot on.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// The clock.
    pub time: Timebase,
    /// Counter frequency, Hz.
    pub frequency: u64,
    /// What every core can do, as the information page says it.
    pub features: u64,
    /// Physical address of the table that maps nothing.
    pub nothing: u64,
    /// Number of this core.
    pub core: u16,
}

/// One processor core.
#[derive(Debug)]
pub struct Hardware {
    /// Its floating-point registers.
    pub fp: Fp,
    board: Board,
    nodes: Nodes,
    gic: Option<Gic>,
    /// The counter when the kernel was entered, and the time that this was.
    ticks: u64,
    now: u64,
    /// `TTBR0_EL1` as it is.
    space: u64,
    /// Words were written that an agent must see before it goes on.
    written: bool,
    /// The core whose turn it is to be heard.
    turn: usize,
}

impl Hardware {
    /// Nothing works yet.
    pub const OFF: Self = Self {
        fp: Fp::NOBODY,
        board: Board { time: Timebase::STOPPED, frequency: 0, features: 0, nothing: 0, core: 0 },
        nodes: Nodes::NONE,
        gic: None,
        ticks: 0,
        now: 0,
        space: 0,
        written: false,
        turn: 0,
    };

    /// A core whose `TTBR0_EL1` holds [`Board::nothing`].
    pub fn new(board: Board, nodes: Nodes, gic: Gic) -> Self {
        Self { board, nodes, gic: Some(gic), space: board.nothing, ..Self::OFF }
    }

    /// Reads the clock: the kernel was entered, or has waited. This time is `now` for everything until the next reading.
    #[inline(always)]
    pub fn enter(&mut self) -> u64 {
        self.ticks = sysreg::cntvct_el0::read();
        self.now = self.board.time.nanoseconds(self.ticks);
        self.now
    }

    /// When the kernel was entered, or last waited.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// What another core of the same board has. Its part of the interrupt controller comes with [`join`](Self::join).
    pub fn sibling(&self, core: u16) -> Self {
        Self { board: Board { core, ..self.board }, nodes: self.nodes, gic: self.gic, space: self.board.nothing, ..Self::OFF }
    }

    /// Called by another core than the boot core: it takes part in interrupts from now on. Whether that worked.
    pub fn join(&mut self, regions: &[GicrRegion], affinity: u64) -> bool {
        self.gic = self.gic.and_then(|gic| gic.join(regions, affinity).ok());
        self.gic.is_some()
    }

    /// The table that maps nothing.
    pub const fn nothing(&self) -> u64 {
        self.board.nothing
    }

    /// The interrupt line of the timer.
    pub fn timer(&self) -> Option<u32> {
        self.gic.as_ref().map(Gic::timer)
    }

    /// Makes this the agent that the next exception return leads to; answers where its registers are.
    #[inline(always)]
    pub fn leave_to(&mut self, slot: u16, agent: &mut Agent<Self>) -> *mut Registers {
        let space = u64::from(agent.space.asid()) << 48 | agent.space.root();
        if space != self.space {
            self.load_space(space);
        }
        self.fp.prepare(slot);
        if core::mem::take(&mut self.written) {
            // Table walkers look from here on. The exception return is the rest of the barrier.
            barrier::dsb_ishst();
        }
        &raw mut agent.registers
    }

    fn load_space(&mut self, space: u64) {
        // SAFETY: the kernel uses no address of the lower half; the tables are an agent's whole, or the empty one.
        unsafe { sysreg::ttbr0_el1::write(space) };
        self.space = space;
    }
}

impl Memory for Hardware {
    fn alloc(&mut self, pages: u64) -> Option<u64> {
        let address = ram::take(pages)?;
        ram::zero(address, pages);
        Some(address)
    }

    fn free(&mut self, address: u64, pages: u64) {
        ram::give(address, pages);
    }

    #[inline(always)]
    fn read(&self, address: u64) -> u64 {
        ram::read(address)
    }

    #[inline(always)]
    fn write(&mut self, address: u64, word: u64) {
        ram::write(address, word);
        self.written = true;
    }

    fn copy(&mut self, to: u64, from: u64, length: usize) {
        ram::copy(to, from, length);
    }

    fn read_bytes(&self, address: u64, bytes: &mut [u8]) {
        ram::read_bytes(address, bytes);
    }

    fn write_bytes(&mut self, address: u64, bytes: &[u8]) {
        ram::write_bytes(address, bytes);
    }

    fn flush_page(&mut self, asid: u16, address: u64) {
        tlb::invalidate(Stale::Pages { asid, address, count: 1 });
    }

    fn flush_space(&mut self, asid: u16) {
        tlb::invalidate(Stale::Space { asid });
    }

    fn sync_code(&mut self, address: u64, pages: u64) {
        let start = ram::direct::<u8>(address).addr() as u64;
        // SAFETY: pages of RAM, which are mapped there.
        unsafe { cache::clean_to_unification(start, pages * PAGE_SIZE as u64) };
        cache::invalidate_instructions();
    }

    fn interrupt_pending(&self) -> bool {
        let waiting: u64;
        // SAFETY: reading has no effect but the value.
        unsafe { core::arch::asm!("mrs {}, isr_el1", out(reg) waiting, options(nomem, nostack, preserves_flags)) };
        waiting & INTERRUPT_WAITS != 0
    }
}

impl Machine for Hardware {
    type Page<T: Object> = Page<T>;

    fn page<T: Object>(&mut self) -> Option<Page<T>> {
        Page::take()
    }

    fn release<T: Object>(&mut self, page: Page<T>) {
        page.release();
    }

    #[inline(always)]
    fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index)
    }

    fn add_nodes(&mut self) -> Option<u32> {
        self.nodes.add()
    }

    fn hide_nodes(&mut self, number: u32) {
        self.nodes.hide(number);
    }

    fn remove_nodes(&mut self, number: u32) {
        self.nodes.remove(number);
    }

    fn stamp(&mut self) -> u64 {
        STAMP.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn claim_agent(&mut self) -> Option<(u16, u32)> {
        let (slot, generation) = CLAIMS.lock().claim()?;
        rings::set_home(slot, Some(self.board.core));
        Some((slot, generation))
    }

    fn release_agent(&mut self, slot: u16) {
        rings::set_home(slot, None);
        CLAIMS.lock().release(slot);
    }

    fn cores(&self) -> u16 {
        rings::cores()
    }

    fn home(&self, slot: u16) -> Option<u16> {
        rings::home(slot)
    }

    fn set_home(&mut self, slot: u16, core: u16) {
        match self.board.core {
            here if here == core => rings::set_home(slot, Some(core)),
            here => rings::move_home(slot, here, core),
        }
    }

    fn post(&mut self, core: u16, lane: Lane, packet: Packet) -> bool {
        rings::post(self.board.core.into(), core.into(), lane, packet)
    }

    fn take(&mut self, lane: Lane) -> Option<Packet> {
        let (from, packet) = rings::take(self.board.core.into(), lane, self.turn)?;
        self.turn = from + 1;
        Some(packet)
    }

    fn can_send_agent(&self, core: u16) -> bool {
        rings::is_free(self.board.core.into(), core.into())
    }

    fn send_agent(&mut self, core: u16, agent: Page<Agent<Self>>) -> Result<(), Page<Agent<Self>>> {
        rings::send_agent(self.board.core.into(), core.into(), agent)
    }

    fn take_agent(&mut self) -> Option<Page<Agent<Self>>> {
        rings::take_agent(self.board.core.into())
    }

    fn is_device(&self, first_page: u64, pages: u64) -> bool {
        ram::is_device(first_page, pages)
    }

    fn set_timer(&mut self, at_ns: u64) {
        if at_ns == u64::MAX {
            sysreg::cntv_ctl_el0::set(0);
        } else {
            sysreg::cntv_cval_el0::set(self.board.time.deadline(self.ticks, self.now, at_ns));
            sysreg::cntv_ctl_el0::set(TIMER_ENABLE);
        }
    }

    fn line(&mut self, line: u32, enable: bool) {
        if let Some(gic) = &self.gic {
            // A line that doesn't exist never fires: that is all that an error could say.
            let _ = gic.switch(line, enable);
        }
    }

    fn console(&mut self, bytes: &[u8]) {
        console::write(bytes);
    }

    fn power(&mut self, reset: bool) {
        power::end(reset);
    }

    fn describe(&mut self, page: u64, agent: AgentId, incarnation: u32) {
        let Board { time, frequency, features, .. } = self.board;
        let cores = rings::cores().into();
        let info = Info { agent: agent.0, incarnation: incarnation.into(), frequency, clock: time.clock, features, cores };
        for (address, word) in (page..).step_by(8).zip(info.to_words()) {
            self.write(address, word);
        }
    }

    fn forget(&mut self, slot: u16) {
        self.fp.forget(slot);
        if self.space >> 48 == u64::from(slot) {
            self.load_space(self.board.nothing);
            // From here on, nothing is fetched through the old tables any more.
            barrier::isb();
        }
    }

    fn save_fp(&mut self, slot: u16) {
        self.fp.save(slot);
    }
}
