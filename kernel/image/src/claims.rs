//! Places in the agent table: who gets which, with a generation that never repeats.

use aios_abi::limits::AGENTS;

const WORDS: usize = AGENTS / 64;

/// Which places are taken. Place 0 is the kernel's; the lowest free place goes first.
///
/// A place whose generation is used up stays taken for ever, so that no id ever names two agents.
#[derive(Debug)]
pub struct Claims {
    /// Generation of the last agent at each place.
    generations: [u32; AGENTS],
    /// A bit for each place.
    taken: [u64; WORDS],
    /// A bit for each word of `taken` that has no zero left.
    full: u64,
    /// Places from here on don't exist.
    end: u16,
}

impl Claims {
    /// No places: see [`open`](Self::open). All zero, so that it costs no space in the image.
    pub const CLOSED: Self = Self { generations: [0; AGENTS], taken: [0; WORDS], full: 0, end: 0 };

    /// Offers the places from 1 on, so many that each has an address-space id of its own.
    pub fn open(&mut self, asid_bits: u32) {
        self.end = AGENTS.min(1 << asid_bits) as u16;
        self.mark(0);
    }

    /// Takes a place: its number and the new generation, which is never 0.
    pub fn claim(&mut self) -> Option<(u16, u32)> {
        let word = (!self.full).trailing_zeros() as usize;
        let bit = (!self.taken.get(word)?).trailing_zeros();
        let place = (word as u32 * 64 + bit) as u16;
        if place >= self.end {
            return None;
        }
        self.mark(place);
        let generation = &mut self.generations[place as usize];
        *generation += 1;
        Some((place, *generation))
    }

    /// Gives a place back that was claimed.
    pub fn release(&mut self, place: u16) {
        let (word, bit) = (place as usize / 64, 1 << (place % 64));
        if self.generations[place as usize] < u32::MAX {
            self.taken[word] &= !bit;
            self.full &= !(1 << word);
        }
    }

    fn mark(&mut self, place: u16) {
        let word = place as usize / 64;
        self.taken[word] |= 1 << (place % 64);
        if self.taken[word] == u64::MAX {
            self.full |= 1 << word;
        }
    }
}

const _: () = assert!(WORDS == 64, "one word has a bit for each word");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_but_the_kernels_goes_once() {
        let mut claims = Box::new(Claims::CLOSED);
        assert_eq!(claims.claim(), None, "closed");
        claims.open(16);
        for place in 1..AGENTS as u16 {
            assert_eq!(claims.claim(), Some((place, 1)));
        }
        assert_eq!(claims.claim(), None);
        claims.release(77);
        claims.release(4095);
        assert_eq!(claims.claim(), Some((77, 2)));
        assert_eq!(claims.claim(), Some((4095, 2)));
        assert_eq!(claims.claim(), None);
    }

    #[test]
    fn eight_bit_address_space_ids_give_255_places() {
        let mut claims = Box::new(Claims::CLOSED);
        claims.open(8);
        assert_eq!(std::iter::from_fn(|| claims.claim()).count(), 255);
    }

    #[test]
    fn a_used_up_place_is_never_claimed_again() {
        let mut claims = Box::new(Claims::CLOSED);
        claims.open(16);
        claims.generations[1] = u32::MAX - 1;
        assert_eq!(claims.claim(), Some((1, u32::MAX)));
        claims.release(1);
        assert_eq!(claims.claim(), Some((2, 1)));
    }
}
