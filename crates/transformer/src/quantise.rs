//! Int8 weights and int16 activations: the rule by which float32 values become integer codes with one scale.
//!
//! A row of values, the weights of one output or the activations of one row, has the scale `largest / n`, with
//! `largest` its largest magnitude and `n` the largest code: [`WEIGHT_CODES`] or [`ACTIVATION_CODES`]. A value's code is
//! `value / scale`, rounded to the nearest integer, ties to even, and stands for `code * scale`. Both divisions are
//! float32's, whose results are the same on every device, so that all devices have the same codes. The largest magnitude
//! gets exactly the code `n` or `-n`, and no code exceeds it.
//!
//! * A row whose scale would be below the smallest normal number, zeros above all, has the scale 0 and codes of 0.
//! * A row with a value that is not finite has the scale NaN and codes of 0, so that everything that is made of it is
//!   NaN, as in float32, and generation fails instead of going on with numbers that mean nothing.
//!
//! Activations have 13 bits rather than 16: two products of such a code and a weight's are below 2^21, so that int32 sums
//! of 4096 of them are exact, while their steps are a thirtieth of the weights', both relative to the largest of a row.

/// Largest code of a weight; they are symmetric, -128 is not used.
pub const WEIGHT_CODES: i16 = 127;
/// Largest code of an activation.
pub const ACTIVATION_CODES: i16 = 4095;

/// The scale of a row whose largest magnitude is `largest`, which is not finite if any of its values is not.
#[inline(always)]
pub fn scale(largest: f32, n_codes: i16) -> f32 {
    let scale = largest / f32::from(n_codes);
    if scale.is_normal() {
        scale
    } else if largest.is_finite() {
        0.0
    } else {
        f32::NAN
    }
}

/// What values are divided by to become codes: the scale, or infinity where all codes are 0.
#[inline(always)]
pub fn divisor(scale: f32) -> f32 {
    if scale > 0.0 { scale } else { f32::INFINITY }
}

/// Writes the codes of `values`, of which there are as many, and returns their scale.
pub fn quantise(values: &[f32], n_codes: i16, codes: &mut [i16]) -> f32 {
    let is_finite = values.iter().all(|value| value.is_finite());
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = scale(if is_finite { largest } else { f32::NAN }, n_codes);
    let divisor = divisor(scale);
    for (code, value) in codes.iter_mut().zip(values) {
        // The conversion makes 0 of what is not a number.
        *code = (value / divisor).round_ties_even() as i16;
    }
    scale
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codes(values: &[f32], n_codes: i16) -> (Vec<i16>, f32) {
        let mut codes = vec![77; values.len()];
        let scale = quantise(values, n_codes, &mut codes);
        (codes, scale)
    }

    #[test]
    fn ties_go_to_even_and_the_largest_gets_the_largest_code() {
        let (codes, scale) = codes(&[127.0, -127.0, 0.5, 1.5, 2.5, -0.5, -2.5, 0.49, 0.0], 127);
        assert_eq!(codes, [127, -127, 0, 2, 2, 0, -2, 0, 0]);
        assert_eq!(scale, 1.0);
    }

    #[test]
    fn rows_without_a_scale_are_zeros_or_nothing() {
        assert_eq!(codes(&[0.0, -0.0], 127), (vec![0, 0], 0.0));
        assert_eq!(codes(&[1e-39, 1e-37], 127), (vec![0, 0], 0.0));
        assert_eq!(codes(&[], 127), (vec![], 0.0));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (codes, scale) = codes(&[1.0, bad, -2.0], 4095);
            assert_eq!(codes, [0, 0, 0]);
            assert!(scale.is_nan());
        }
        let (codes, scale) = codes(&[f32::MAX, f32::MIN, 1.0], 127);
        assert_eq!(codes, [127, -127, 0]);
        assert!(scale.is_finite());
    }

    proptest! {
        #[test]
        fn a_code_is_within_half_a_step_of_its_value(
            values in proptest::collection::vec(-1.0_f32..1.0, 1..40),
            exponent in -100_i32..100,
            n_codes in prop_oneof![Just(WEIGHT_CODES), Just(ACTIVATION_CODES)],
        ) {
            let values: Vec<f32> = values.iter().map(|value| value * 2.0_f32.powi(exponent)).collect();
            let (codes, scale) = codes(&values, n_codes);
            prop_assume!(scale > 0.0);
            // Each of the two divisions is off by at most half a unit in the last place of a quotient up to `n_codes`.
            let rounding = 1.01 * f64::from(n_codes) * f64::from(f32::EPSILON);
            for (value, code) in values.iter().zip(&codes) {
                prop_assert!(code.abs() <= n_codes);
                let error = f64::from(*value) - f64::from(*code) * f64::from(scale);
                prop_assert!(error.abs() <= (0.5 + rounding) * f64::from(scale), "{} as {}", value, code);
            }
            prop_assert!(codes.iter().any(|code| code.abs() == n_codes));
        }
    }
}
