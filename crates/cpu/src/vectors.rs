//! Slices as vectors: the last, partial vector takes the same instructions as the others.

use crate::simd::{LANES, Simd};

/// The vector at `start`; lanes past the end are `fill`.
#[inline(always)]
pub(crate) fn load_or<S: Simd>(s: S, values: &[f32], start: usize, fill: f32) -> S::V {
    match values[start..].first_chunk::<LANES>() {
        Some(lanes) => s.load(lanes),
        None => s.load_partial(&values[start..], fill),
    }
}

/// The vector at `start`; lanes past the end are 0.
#[inline(always)]
pub(crate) fn load<S: Simd>(s: S, values: &[f32], start: usize) -> S::V {
    load_or(s, values, start, 0.0)
}

/// Stores those lanes of the vector at `start` that exist.
#[inline(always)]
pub(crate) fn store<S: Simd>(s: S, value: S::V, values: &mut [f32], start: usize) {
    match values[start..].first_chunk_mut::<LANES>() {
        Some(lanes) => s.store(value, lanes),
        None => s.store_partial(value, &mut values[start..]),
    }
}

/// The sum of `a[i] * b[i]`.
#[inline(always)]
pub(crate) fn dot<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let mut sum = s.splat(0.0);
    for i in (0..a.len()).step_by(LANES) {
        sum = s.mul_add(load(s, a, i), load(s, b, i), sum);
    }
    s.reduce_add(sum)
}

/// The largest value, negative infinity for none.
#[inline(always)]
pub(crate) fn max<S: Simd>(s: S, values: &[f32]) -> f32 {
    let mut max = s.splat(f32::NEG_INFINITY);
    for i in (0..values.len()).step_by(LANES) {
        max = s.max(load_or(s, values, i, f32::NEG_INFINITY), max);
    }
    s.reduce_max(max)
}
