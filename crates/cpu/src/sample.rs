//! Sampling one token from a row of logits.

use azr_transformer::SampleSpec;

use crate::head::{RowSums, SUM_VALUES, SumRow};
use crate::simd::{Backend, Kernel, LANES, Simd};
use crate::vectors::{load_or, store};

/// Turns logits into `exp((logit - max) / temperature)`.
struct Exponentials<'a> {
    values: &'a mut [f32],
    max: f32,
    inv_temperature: f32,
}

impl Kernel for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (shift, scale) = (s.splat(self.max), s.splat(self.inv_temperature));
        for i in (0..self.values.len()).step_by(LANES) {
            let z = s.mul(s.sub(load_or(s, self.values, i, f32::NEG_INFINITY), shift), scale);
            store(s, s.exp(z), self.values, i);
        }
    }
}

/// The sampled id and its log-probability under the full softmax, at temperature 1 when greedy.
/// Overwrites `logits`.
pub(crate) fn sample(backend: Backend, logits: &mut [f32], spec: &SampleSpec) -> (u32, f32) {
    let is_greedy = spec.temperature == 0.0;
    let inv_temperature = if is_greedy { 1.0 } else { 1.0 / spec.temperature };
    let sums = backend.run(SumRow { logits, inv_temperature });
    if is_greedy {
        let token = logits.iter().position(|&logit| logit == sums.max).unwrap_or(0);
        return (token as u32, sums.logprob(sums.max, inv_temperature));
    }
    let RowSums { max, sum, .. } = sums;
    backend.run(Exponentials { values: logits, max, inv_temperature });
    let token = if spec.top_p < 1.0 {
        draw_from_nucleus(logits, sum, spec)
    } else {
        draw(logits, spec.uniform)
    };
    (token as u32, (f64::from(logits[token]).ln() - sum.ln()) as f32)
}

/// Inverse transform over ids in ascending order.
fn draw(masses: &[f32], uniform: f32) -> usize {
    let mass_of = |part: &[f32]| part.iter().map(|&mass| f64::from(mass)).sum::<f64>();
    let parts: Vec<f64> = masses.chunks(SUM_VALUES).map(mass_of).collect();
    let mut left = f64::from(uniform) * parts.iter().sum::<f64>();
    let mut last = 0;
    for (index, mass) in parts.iter().enumerate() {
        if left >= *mass {
            left -= mass;
            continue;
        }
        for (offset, &mass) in masses[index * SUM_VALUES..].iter().take(SUM_VALUES).enumerate() {
            if mass > 0.0 {
                last = index * SUM_VALUES + offset;
            }
            if left < f64::from(mass) {
                return last;
            }
            left -= f64::from(mass);
        }
    }
    // Reached by rounding only: the last id that has any mass.
    masses.iter().rposition(|&mass| mass > 0.0).unwrap_or(last)
}

/// Inverse transform over the nucleus: the likeliest ids whose mass reaches `top_p`, the lower id first among equals.
fn draw_from_nucleus(masses: &[f32], sum: f64, spec: &SampleSpec) -> usize {
    // Ids below this bound have less than `1 - top_p` together, so the nucleus is complete without them.
    let bound = (sum * f64::from(1.0 - spec.top_p) / masses.len() as f64) as f32;
    let mut candidates: Vec<usize> = (0..masses.len()).filter(|&id| masses[id] >= bound).collect();
    candidates.sort_unstable_by(|&a, &b| masses[b].total_cmp(&masses[a]).then(a.cmp(&b)));
    let (mut mass, mut n_ids) = (0.0, 0);
    for &id in &candidates {
        mass += f64::from(masses[id]);
        n_ids += 1;
        if mass >= f64::from(spec.top_p) * sum {
            break;
        }
    }
    candidates.truncate(n_ids);
    candidates.sort_unstable();
    let mut left = f64::from(spec.uniform) * mass;
    for &id in &candidates {
        left -= f64::from(masses[id]);
        if left < 0.0 {
            return id;
        }
    }
    candidates.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uniform_number_walks_through_the_ids() {
        let masses = [0.0, 1.0, 0.0, 2.0, 1.0, 0.0];
        for (uniform, token) in
            [(0.0, 1), (0.2499, 1), (0.25, 3), (0.7499, 3), (0.75, 4), (0.999_999_9, 4)]
        {
            assert_eq!(draw(&masses, uniform), token, "{uniform}");
        }
    }

    #[test]
    fn a_nucleus_leaves_out_the_tail() {
        let masses = [1.0, 4.0, 2.0, 1.0, 0.5];
        let spec = |top_p, uniform| SampleSpec { temperature: 1.0, top_p, uniform };
        // 4 and 2 reach 0.7 of 8.5; of the two ones the lower id comes first.
        for (top_p, last) in [(0.4, 1), (0.7, 2), (0.71, 2), (0.93, 3), (0.99, 4)] {
            assert_eq!(draw_from_nucleus(&masses, 8.5, &spec(top_p, 0.999_999)), last, "{top_p}");
        }
        assert_eq!(draw_from_nucleus(&masses, 8.5, &spec(0.71, 0.0)), 0);
        assert_eq!(draw_from_nucleus(&masses, 8.5, &spec(0.7, 0.0)), 1);
    }

    #[test]
    fn logits_that_are_not_numbers_give_some_token() {
        for set in crate::InstructionSet::available() {
            let backend = set.backend().unwrap();
            for top_p in [0.5, 1.0] {
                let spec = SampleSpec { temperature: 1.0, top_p, uniform: 0.5 };
                assert!(sample(backend, &mut [f32::NAN; 20], &spec).0 < 20);
                assert!(sample(backend, &mut [f32::NEG_INFINITY; 20], &spec).0 < 20);
            }
        }
    }
}
