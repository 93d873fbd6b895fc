//! Counter-based randomness: every choice has its own key, so no choice depends on which came before it.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// The place of a random choice in a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Seed of the run.
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// What is chosen, for example `propose` or `references`.
    pub(crate) purpose: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) kind: &'a str,
    /// Position of the task or prompt in its batch.
    pub(crate) index: usize,
    /// Number of the sample or attempt.
    pub(crate) sample: usize,
}

impl Place<'_> {
    /// The choice's own 64 bits, for a sampler or a domain.
    pub(crate) fn bits(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.digest();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// The choice's own generator.
    pub(crate) fn generator(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(self.digest())
    }

    /// SHA-256 of the place; texts carry their lengths, so that no two places read the same.
    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for number in [self.seed, self.step, self.index as u64, self.sample as u64] {
            hash.update(number.to_le_bytes());
        }
        for text in [self.purpose, self.domain, self.kind] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().into()
    }
}

/// A uniform number below `bound`, which is more than 0 (Lemire's method, arXiv 1805.10941).
pub(crate) fn below(generator: &mut ChaCha8Rng, bound: u64) -> u64 {
    loop {
        let product = u128::from(generator.next_u64()) * u128::from(bound);
        if product as u64 >= bound.wrapping_neg() % bound {
            return (product >> 64) as u64;
        }
    }
}

/// Up to `count` different items of a line of length `total` that is cut into items without gaps, each
/// drawn with a chance in proportion to its length among those not drawn yet. `span_at` gives the
/// half-open span of the item that covers a position. Returns the items' first positions in drawing order.
///
/// Takes `count²` steps whatever the length of the line, and the same number of draws always.
pub(crate) fn draw_distinct(
    generator: &mut ChaCha8Rng,
    total: u64,
    count: usize,
    span_at: impl Fn(u64) -> (u64, u64),
) -> Vec<u64> {
    let (mut drawn, mut taken, mut left) = (Vec::new(), Vec::<(u64, u64)>::new(), total);
    while drawn.len() < count && left > 0 {
        let mut position = below(generator, left);
        for &(start, end) in &taken {
            if position < start {
                break;
            }
            position += end - start;
        }
        let span = span_at(position);
        drawn.push(span.0);
        taken.insert(taken.partition_point(|&(start, _)| start < span.0), span);
        left -= span.1 - span.0;
    }
    drawn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: Place<'static> = Place {
        seed: 1,
        step: 2,
        purpose: "propose",
        domain: "code",
        kind: "deduction",
        index: 3,
        sample: 4,
    };

    #[test]
    fn every_part_of_a_place_counts() {
        let others = [
            Place { seed: 9, ..PLACE },
            Place { step: 9, ..PLACE },
            Place { purpose: "solve", ..PLACE },
            Place { domain: "math", ..PLACE },
            Place { kind: "abduction", ..PLACE },
            Place { index: 9, ..PLACE },
            Place { sample: 9, ..PLACE },
            Place { domain: "coded", kind: "eduction", ..PLACE },
        ];
        for other in others {
            assert_ne!(other.bits(), PLACE.bits(), "{other:?}");
        }
    }

    #[test]
    fn the_function_is_fixed() {
        // Resumed runs of later versions depend on these values.
        assert_eq!(PLACE.bits(), 3_856_440_891_842_924_514);
        assert_eq!(below(&mut PLACE.generator(), 1_000_000), 241_574);
    }

    #[test]
    fn draws_are_about_uniform() {
        let mut generator = PLACE.generator();
        let mut counts = [0_u32; 3];
        for _ in 0..3_000 {
            counts[below(&mut generator, 3) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (900..1_100).contains(&count)), "{counts:?}");
    }

    #[test]
    fn long_items_come_first_more_often() {
        // Two items of lengths 1 and 9.
        let span_at = |position| if position == 0 { (0, 1) } else { (1, 10) };
        let mut generator = PLACE.generator();
        let long_first =
            (0..1_000).filter(|_| draw_distinct(&mut generator, 10, 2, span_at)[0] == 1).count();
        assert!((860..940).contains(&long_first), "{long_first}");
    }

    proptest! {
        #[test]
        fn draws_are_distinct_and_complete(total in 0_u64..60, count in 0_usize..80, seed in any::<u64>()) {
            let mut generator = Place { seed, ..PLACE }.generator();
            let mut drawn = draw_distinct(&mut generator, total, count, |position| (position, position + 1));
            prop_assert_eq!(drawn.len(), count.min(total as usize));
            drawn.sort_unstable();
            drawn.dedup();
            prop_assert_eq!(drawn.len(), count.min(total as usize));
            prop_assert!(drawn.iter().all(|&item| item < total));
        }
    }
}
