//! What the test program's servers do for its clients: both sides calculate it.

/// Asks a `serve` to answer with [`answer`] of the second word.
pub const ECHO: u64 = 1;
/// Asks a `serve` to fault before it answers.
pub const DIE: u64 = 2;
/// Asks a `serve` to never answer.
pub const HANG: u64 = 3;
/// Asks a `serve` to loop for ever.
pub const LOOP: u64 = 4;

/// What a server answers to a word: another word for each word.
pub const fn answer(word: u64) -> u64 {
    (word ^ 0x5bd1_e995_9bd1_e995).rotate_left(23)
}

/// What the PQC server makes of the `length` bytes of an operation. What is behind them does not count, and is zero in the result.
pub fn operate<const N: usize>(words: [u64; N], length: usize) -> [u64; N] {
    cut(cut(words, length).map(answer), length)
}

fn cut<const N: usize>(mut words: [u64; N], length: usize) -> [u64; N] {
    for (place, word) in words.iter_mut().enumerate() {
        let bytes = length.saturating_sub(place * 8).min(8) as u32;
        *word &= u64::MAX.checked_shr(64 - bytes * 8).unwrap_or(0);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_differ_from_their_questions_and_from_each_other() {
        let words = [0, 1, 2, u64::MAX, 0x5bd1_e995_9bd1_e995];
        for (place, word) in words.iter().enumerate() {
            assert_ne!(answer(*word), *word);
            assert!(words[..place].iter().all(|other| answer(*other) != answer(*word)));
        }
    }

    #[test]
    fn only_the_bytes_of_an_operation_count() {
        let whole = operate([7; 7], 56);
        assert_eq!(operate([7; 7], 0), [0; 7]);
        let part = operate([7; 7], 19);
        assert_eq!(part[..2], whole[..2]);
        assert_eq!(part[2], whole[2] & 0xff_ffff);
        assert_eq!(part[3..], [0; 4]);
        assert_eq!(operate([7, 7, 0xff00_0007, 1, 1, 1, 1], 19), part);
    }
}
