//! Owned pages, and the directory of derivation nodes.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use aios_abi::limits::NODES_PER_PAGE;
use aios_core::cap::{GENERATIONS, NODES, Node, NodePage};
use aios_core::machine::Object;
use aios_handoff::layout::PAGE_SIZE;
use spin::Mutex;

use crate::ram;

/// An owned page that holds a `T`. It goes back with [`release`](Self::release) only; a dropped one is lost.
#[derive(Debug)]
pub struct Page<T>(NonNull<T>, PhantomData<T>);

impl<T: Object> Page<T> {
    /// Takes a page and fills it.
    pub fn take() -> Option<Self> {
        const { assert!(size_of::<T>() <= PAGE_SIZE as usize && align_of::<T>() <= PAGE_SIZE as usize, "an object fits a page") };
        let place = NonNull::new(ram::direct::<T>(ram::take(1)?))?;
        // SAFETY: a free page, aligned and large enough, that is this value's from now on.
        unsafe { place.write(T::EMPTY) };
        Some(Self(place, PhantomData))
    }

    /// Makes a pointer of the page, for another core.
    pub const fn into_raw(self) -> NonNull<T> {
        self.0
    }

    /// Makes a page of such a pointer again.
    ///
    /// # Safety
    /// The pointer comes of [`into_raw`](Self::into_raw), and this is its only use.
    pub const unsafe fn from_raw(page: NonNull<T>) -> Self {
        Self(page, PhantomData)
    }

    /// Gives the page back.
    pub fn release(self) {
        // SAFETY: the page holds a `T`, and nobody can reach it afterwards.
        unsafe { self.0.drop_in_place() };
        ram::give(ram::physical(self.0.as_ptr()), 1);
    }
}

impl<T> Deref for Page<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: `take` put a `T` there, which this value owns.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Page<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }
}

/// The pages of derivation nodes by number, for all cores: the address of a page, or, of a free number, [`LINK`], the next free number, and the
/// generation that the number's last page spent. Number 0 is never used, and ends the list of free ones.
#[derive(Clone, Copy, Debug)]
pub struct Nodes {
    pages: &'static [AtomicUsize],
}

/// The first free number. Whoever holds it may change the directory.
static FREE: Mutex<usize> = Mutex::new(0);

const LINK: usize = 1;
/// Bits of an entry below the generation that was spent.
const SPENT_SHIFT: u32 = 18;

const _: () = assert!(NODES / NODES_PER_PAGE < 1 << (SPENT_SHIFT - 1), "a number fits between the mark and the generation");
const _: () = assert!(GENERATIONS.leading_zeros() >= SPENT_SHIFT, "a generation fits above the number");

/// The entry of a free number.
const fn free_entry(next: usize, spent: u64) -> usize {
    (spent as usize) << SPENT_SHIFT | next << 1 | LINK
}

impl Nodes {
    /// No nodes.
    pub const NONE: Self = Self { pages: &[] };

    /// An empty directory in these words. Made once.
    pub fn new(pages: &'static [AtomicUsize]) -> Self {
        for (number, place) in pages.iter().enumerate() {
            let next = if number + 1 < pages.len() { number + 1 } else { 0 };
            place.store(free_entry(next, 0), Ordering::Relaxed);
        }
        *FREE.lock() = usize::from(pages.len() > 1);
        Self { pages }
    }

    /// The node with this index, if its page is there.
    #[inline(always)]
    pub fn get(&self, index: u32) -> Option<&Node> {
        let entry = self.pages.get(index as usize / NODES_PER_PAGE)?.load(Ordering::Acquire);
        if entry & LINK != 0 {
            return None;
        }
        let page: *const NodePage = core::ptr::with_exposed_provenance(entry);
        // SAFETY: `add` put a page of nodes there; it is taken away only once no core can look at it.
        let page = unsafe { &*page };
        Some(&page.0[index as usize % NODES_PER_PAGE])
    }

    /// Adds a page of fresh nodes and answers its number. `None` when there is no memory or no number.
    pub fn add(&self) -> Option<u32> {
        let mut free = FREE.lock();
        let number = *free;
        if number == 0 {
            return None;
        }
        let page = Page::<NodePage>::take()?;
        let place = self.pages.get(number)?;
        let entry = place.load(Ordering::Relaxed);
        *free = (entry % (1 << SPENT_SHIFT)) >> 1;
        page.open((entry >> SPENT_SHIFT) as u64);
        place.store(page.0.as_ptr().expose_provenance(), Ordering::Release);
        Some(number as u32)
    }

    /// Lets no core find a page of nodes any more: its address stays, marked.
    pub fn hide(&self, number: u32) {
        if let Some(place) = self.pages.get(number as usize) {
            place.fetch_or(LINK, Ordering::AcqRel);
        }
    }

    /// Takes a hidden page of nodes away. No core looks at it any more.
    pub fn remove(&self, number: u32) {
        let Some(place) = self.pages.get(number as usize) else { return };
        let mut free = FREE.lock();
        let entry = place.load(Ordering::Relaxed) & !LINK;
        let Some(page) = NonNull::new(core::ptr::with_exposed_provenance_mut::<NodePage>(entry)) else { return };
        let page = Page(page, PhantomData);
        let spent = page.spent();
        place.store(free_entry(*free, spent), Ordering::Release);
        // A number without generations left is lost: nothing could be told apart from what it named.
        if spent < GENERATIONS {
            *free = number as usize;
        }
        page.release();
    }
}
