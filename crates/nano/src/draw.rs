//! Random choices that are a function of a seed and a place, so that function `n` does not depend on the others.
//! (A document may show another function of its part as an example; those depend on how the corpus is cut.)

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Numbers that are drawn in a fixed order.
#[derive(Debug)]
pub(crate) struct Draws(ChaCha8Rng);

impl Draws {
    /// The choices of document number `index`.
    pub(crate) fn of(seed: u64, index: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(index);
        Self(random)
    }

    /// A number below `bound`, which is not 0; the bias of the remainder does not matter here.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }

    /// Whether something happens that happens `percent` times of a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which are not empty.
    pub(crate) fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// One of `items`, each as often as its weight says.
    pub(crate) fn weighted<T: Copy>(&mut self, items: &[(T, usize)]) -> T {
        let mut place = self.below(items.iter().map(|(_, weight)| weight).sum());
        for &(item, weight) in items {
            if place < weight {
                return item;
            }
            place -= weight;
        }
        items[0].0
    }

    /// A number of the standard normal distribution (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        // In (0, 1], so that the logarithm is finite.
        let mut uniform = || ((self.0.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
    }

    /// Puts `items` into random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_do_not_depend_on_each_other() {
        let draw = |seed, index| Draws::of(seed, index).below(1 << 30);
        assert_eq!(draw(1, 5), draw(1, 5));
        assert_ne!(draw(1, 5), draw(1, 6));
        assert_ne!(draw(1, 5), draw(2, 5));
    }

    #[test]
    fn weights_decide_how_often() {
        let mut draws = Draws::of(3, 0);
        let n = (0..10_000).filter(|_| draws.weighted(&[(true, 3), (false, 1)])).count();
        assert!((7_300..7_700).contains(&n), "{n}");
        assert!((0..100).all(|_| draws.weighted(&[(true, 1), (false, 0)])));
    }
}
