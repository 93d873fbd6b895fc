//! What a score is worth: pass@k, confidence intervals, paired tests.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Resamples of a bootstrap.
pub const RESAMPLES: usize = 10_000;
/// Seed of every bootstrap: equal data get equal intervals.
const SEED: u64 = 0;
/// Chance that a true value lies within its interval.
const CONFIDENCE: f64 = 0.95;

/// A mean with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Chance that at least one of `k` samples is right, estimated without bias from `n` samples of which `n_right` are:
/// `1 - C(n - c, k) / C(n, k)`, as a product of factors below 1 (Chen et al. 2021, arXiv 2107.03374). `k` is 1 to `n`.
pub fn pass_at_k(n: usize, n_right: usize, k: usize) -> f64 {
    let n_wrong = n.saturating_sub(n_right);
    if n_wrong < k {
        return 1.0;
    }
    let factors: Range<usize> = n_wrong + 1..n + 1;
    1.0 - factors.map(|i| 1.0 - k as f64 / i as f64).product::<f64>()
}

/// The mean of `values`, one for each item, with the interval between the 2.5 % and 97.5 % quantiles of the means of
/// 10,000 resamples of the items (percentile bootstrap; Efron and Tibshirani 1993, chapter 13). None without items.
pub fn bootstrap_mean(values: &[f64]) -> Option<Estimate> {
    if values.is_empty() {
        return None;
    }
    let mut generator = ChaCha8Rng::seed_from_u64(SEED);
    let n = values.len() as u64;
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            // 32 bits of chance times fewer than 2^32 items: the bias is below 1e-6 for every real benchmark.
            let draw = |_| values[((u64::from(generator.next_u32()) * n) >> 32) as usize];
            (0..n).map(draw).sum::<f64>() / n as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some(Estimate {
        value: values.iter().sum::<f64>() / n as f64,
        low: quantile(&means, tail),
        high: quantile(&means, 1.0 - tail),
    })
}

/// Quantile of sorted values, between neighbours in proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// Chance of flips as uneven as these, or more so, if neither side were better: the exact two-sided test of McNemar
/// (1947). `gained` and `lost` are the numbers of items that one side alone got right.
pub fn mcnemar(gained: usize, lost: usize) -> f64 {
    let n = gained + lost;
    // ln C(n, i) - n ln 2, summed up from i = 0, so that no power of 2 is too small to hold.
    let (mut ln_term, mut sum) = (-(n as f64) * std::f64::consts::LN_2, 0.0);
    for i in 0..=gained.min(lost) {
        sum += ln_term.exp();
        ln_term += ((n - i) as f64 / (i + 1) as f64).ln();
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Share of the subsets of `k` of `n` samples, the first `n_right` of them right, that hold a right one.
    fn enumerated(n: usize, n_right: usize, k: usize) -> f64 {
        let subsets = || (0_u32..1 << n).filter(|set| set.count_ones() as usize == k);
        let hits = subsets().filter(|set| set & ((1 << n_right) - 1) != 0).count();
        hits as f64 / subsets().count() as f64
    }

    #[test]
    fn pass_at_k_is_the_share_of_subsets_with_a_right_sample() {
        for n in 1..=9 {
            for n_right in 0..=n {
                for k in 1..=n {
                    let (found, expected) = (pass_at_k(n, n_right, k), enumerated(n, n_right, k));
                    assert!(
                        (found - expected).abs() < 1e-12,
                        "{n} {n_right} {k}: {found} {expected}"
                    );
                }
            }
        }
        // Where the binomials themselves overflow.
        assert!((pass_at_k(100_000, 1, 50_000) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn mcnemar_has_the_values_of_the_binomial() {
        for (gained, lost, expected) in [
            (0, 0, 1.0),
            (3, 3, 1.0),
            (0, 5, 0.0625),
            (6, 1, 0.125),
            (10, 2, 0.038_574_218_75),
            (2, 10, 0.038_574_218_75),
        ] {
            let p = mcnemar(gained, lost);
            assert!((p - expected).abs() < 1e-12, "{gained} {lost}: {p}");
        }
        assert!(mcnemar(5_000, 0) < 1e-300 && (mcnemar(5_000, 5_000) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn an_interval_holds_the_true_mean_about_as_often_as_it_says() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let mut n_held = 0;
        for _ in 0..200 {
            let item = |_| f64::from(u8::from(generator.next_u32() % 10 < 3));
            let values: Vec<f64> = (0..80).map(item).collect();
            let Estimate { low, high, .. } = bootstrap_mean(&values).unwrap();
            n_held += usize::from((low..=high).contains(&0.3));
        }
        assert!((178..=199).contains(&n_held), "{n_held} of 200");
    }

    #[test]
    fn equal_values_have_no_width_and_no_values_no_mean() {
        let all = bootstrap_mean(&[1.0; 7]).unwrap();
        assert_eq!((all.value, all.low, all.high), (1.0, 1.0, 1.0));
        assert_eq!(bootstrap_mean(&[]), None);
        assert_eq!(bootstrap_mean(&[0.0, 1.0, 1.0]), bootstrap_mean(&[0.0, 1.0, 1.0]));
    }

    proptest! {
        #[test]
        fn pass_at_k_grows_with_k_and_stays_a_chance(n in 1_usize..400, right in any::<u16>(), k in any::<u16>()) {
            let (right, k) = (right as usize % (n + 1), 1 + k as usize % n);
            let chance = pass_at_k(n, right, k);
            prop_assert!((0.0..=1.0).contains(&chance));
            prop_assert!(chance <= pass_at_k(n, right, n) + 1e-12);
            prop_assert!((pass_at_k(n, right, 1) - right as f64 / n as f64).abs() < 1e-12);
        }

        #[test]
        fn an_interval_holds_its_mean(values in prop::collection::vec(0.0_f64..1.0, 1..40)) {
            let Estimate { value, low, high } = bootstrap_mean(&values).unwrap();
            prop_assert!(low <= value && value <= high, "{low} {value} {high}");
        }
    }
}
