//! Optimizer state in two bytes or one: how a value is rounded, and what the codes mean.
//!
//! A running mean moves by a thousandth of itself per step, less than either format can tell apart, so rounding to
//! nearest would freeze it. Rounding is therefore stochastic and without bias, by numbers that are a function of
//! (step, parameter, element in the device's layout): the same on every run and for every thread. Values that a format
//! holds exactly are kept by rounding to nearest, so state that was written as float32 is read back to the bit, in one
//! byte by devices with the same layout alone, since a block is 256 elements in that order.
//!
//! One byte: blocks of [`BLOCK`] values share the largest magnitude as float32, as in arXiv 2110.02861. The code is
//! the fourth root of the rest, `|value| = largest * (code / n)^4`, where that paper has a table: like its dynamic
//! tree it covers eight orders of magnitude with a relative error that grows slowly towards 0, and unlike a table it
//! is arithmetic that vectorises.
//!
//! Weights that generation multiplies with as bfloat16 ([`crate::CopyFormat`]) are rounded to nearest.

/// Values that share one scale.
pub const BLOCK: usize = 256;
/// Least scale of a block: the values of all codes are normal numbers then, and survive being saved. What is smaller moves
/// no weight beside the `epsilon` of AdamW.
const MIN_SCALE: f32 = 1e-28;

/// How a value between two codes is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearer one; of two bfloat16 that are equally near to the even one.
    Nearest,
    /// To either, without bias; the numbers follow from this key and the element's index.
    Stochastic(u32),
}

/// 16 uniform bits for an element.
#[inline(always)]
const fn noise(key: u32, index: usize) -> u32 {
    mix(key ^ mix(index as u32)) >> 16
}

/// A hash whose every output bit depends on every input bit ("lowbias32" of C. Wellons' hash prospector).
#[inline(always)]
pub const fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Rounds to bfloat16; `index` is the element's, for the rounding. What is above all its numbers becomes an infinity, and
/// a NaN stays one.
#[inline(always)]
pub const fn pack_bf16(value: f32, rounding: Rounding, index: usize) -> u16 {
    let bits = value.to_bits();
    let summand = match rounding {
        Rounding::Nearest => 0x7fff + ((bits >> 16) & 1),
        Rounding::Stochastic(key) => noise(key, index),
    };
    // Adding to an infinity or a NaN could turn it into something else, cutting a NaN into an infinity.
    if value.is_finite() {
        (bits.wrapping_add(summand) >> 16) as u16
    } else {
        (bits >> 16) as u16 | (value.is_nan() as u16) << 6
    }
}

/// The value of a bfloat16.
#[inline(always)]
pub const fn unpack_bf16(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

/// Largest code magnitude.
#[inline(always)]
const fn n_codes(is_signed: bool) -> f32 {
    if is_signed { 127.0 } else { 255.0 }
}

#[inline(always)]
fn fourth_power(code: f32, n: f32) -> f32 {
    let root = code / n;
    let square = root * root;
    square * square
}

/// Packs one block and returns its scale. `first` is the index of its first element, for the rounding.
///
/// Unsigned values above 0 do not become 0: a second moment of 0 beside a first moment that is not would make a step
/// without bounds.
#[inline(always)]
pub fn pack_block(
    values: &[f32],
    is_signed: bool,
    rounding: Rounding,
    first: usize,
    codes: &mut [u8],
) -> f32 {
    let mut largest = 0.0_f32;
    for value in values {
        largest = largest.max(value.abs());
    }
    if largest == 0.0 || (is_signed && largest < MIN_SCALE) {
        codes.fill(0);
        return 0.0;
    }
    let scale = largest.max(MIN_SCALE);
    let n = n_codes(is_signed);
    for (index, (code, &value)) in codes.iter_mut().zip(values).enumerate() {
        let ratio = value.abs() / scale;
        let root = ratio.sqrt().sqrt() * n;
        let magnitude = match rounding {
            Rounding::Nearest => (root + 0.5).floor(),
            Rounding::Stochastic(key) => {
                let below = root.floor().min(n - 1.0);
                let (low, high) = (fourth_power(below, n), fourth_power(below + 1.0, n));
                let threshold = noise(key, first + index) as f32 / 65536.0;
                if ratio - low > threshold * (high - low) { below + 1.0 } else { below }
            }
        };
        let magnitude = if is_signed || value == 0.0 { magnitude } else { magnitude.max(1.0) };
        *code = if is_signed {
            (magnitude.copysign(value) as i32) as u8
        } else {
            (magnitude as i32) as u8
        };
    }
    scale
}

/// The values of one block.
#[inline(always)]
pub fn unpack_block(codes: &[u8], is_signed: bool, scale: f32, out: &mut [f32]) {
    let n = n_codes(is_signed);
    for (value, &code) in out.iter_mut().zip(codes) {
        let code = if is_signed { f32::from(code as i8) } else { f32::from(code) };
        *value = (fourth_power(code, n) * scale).copysign(code);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(values: &[f32], is_signed: bool, rounding: Rounding) -> (Vec<u8>, f32, Vec<f32>) {
        let mut codes = vec![9; values.len()];
        let scale = pack_block(values, is_signed, rounding, 7, &mut codes);
        let mut out = vec![0.0; values.len()];
        unpack_block(&codes, is_signed, scale, &mut out);
        (codes, scale, out)
    }

    fn magnitudes() -> impl Strategy<Value = Vec<f32>> {
        let value = (prop_oneof![-30.0_f32..4.0, -103.0_f32..-50.0], prop::bool::ANY)
            .prop_map(|(e, negative)| if negative { -e.exp() } else { e.exp() });
        prop::collection::vec(prop_oneof![value, Just(0.0)], 1..BLOCK)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_unpacked_packs_to_the_same_bits(values in magnitudes(), is_signed: bool, key: u32) {
            let values: Vec<f32> =
                values.iter().map(|v| if is_signed { *v } else { v.abs() }).collect();
            let (codes, scale, out) = block(&values, is_signed, Rounding::Stochastic(key));
            let (codes_again, scale_again, out_again) = block(&out, is_signed, Rounding::Nearest);
            prop_assert_eq!(codes, codes_again);
            prop_assert_eq!(scale.to_bits(), scale_again.to_bits());
            prop_assert!(values.iter().all(|value| value.abs() < MIN_SCALE) || scale >= MIN_SCALE);
            prop_assert_eq!(&out, &out_again);
            for (value, out) in values.iter().zip(&out) {
                // A step of the code next to the value, or what is left of the smallest one.
                if scale == 0.0 {
                    prop_assert_eq!(*out, 0.0);
                    continue;
                }
                let ratio = (value.abs() / scale).powf(0.25);
                let step = 4.0 * ratio.powi(3) / n_codes(is_signed) + 1e-7;
                prop_assert!((value - out).abs() <= scale * 1.6 * step, "{} {}", value, out);
                prop_assert!(is_signed || *value == 0.0 || *out > 0.0);
            }
        }

        #[test]
        fn bf16_is_its_own_fixed_point(bits: u16, key: u32, index in 0_usize..1 << 30) {
            let value = unpack_bf16(bits);
            prop_assume!(value.is_finite());
            for rounding in [Rounding::Nearest, Rounding::Stochastic(key)] {
                prop_assert_eq!(pack_bf16(value, rounding, index), bits);
            }
        }
    }

    #[test]
    fn state_has_the_bits_of_the_kernels() {
        // `state_has_the_bits_of_packing_rs` in kernels/tests/optimizer.cpp packs the same values and has the same number.
        let values = |n: u32, is_signed: bool| -> Vec<f32> {
            let value = |i: u32| {
                let random = mix(i + 1);
                let is_small = i / BLOCK as u32 % 4 == 3;
                let exponent = if is_small { random >> 24 & 31 } else { 70 + (random >> 24) % 60 };
                let sign = if is_signed { random << 31 } else { 0 };
                let bits = sign | exponent << 23 | random & 0x7f_ffff;
                if i.is_multiple_of(11) { 0.0 } else { f32::from_bits(bits) }
            };
            (0..n).map(value).collect()
        };
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for &byte in bytes {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        };
        let float_bytes = |values: &[f32]| -> Vec<u8> {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        let sizes = [1, 256, 1000, 5003];
        let ways = [Rounding::Nearest, Rounding::Stochastic(77)];
        for is_signed in [true, false] {
            for (n, rounding) in sizes.iter().flat_map(|&n| ways.map(|rounding| (n, rounding))) {
                let (mut codes, mut scales, mut unpacked) = (vec![], vec![], vec![]);
                for (index, block) in values(n, is_signed).chunks(BLOCK).enumerate() {
                    let (mut part, mut out) = (vec![0; block.len()], vec![0.0; block.len()]);
                    let scale = pack_block(block, is_signed, rounding, index * BLOCK, &mut part);
                    unpack_block(&part, is_signed, scale, &mut out);
                    codes.extend(part);
                    scales.push(scale);
                    unpacked.extend(out);
                }
                add(&codes);
                add(&float_bytes(&scales));
                add(&float_bytes(&unpacked));
            }
        }
        for n in sizes {
            let halves = values(n, true).into_iter().enumerate();
            let halves = halves.map(|(i, value)| pack_bf16(value, Rounding::Stochastic(77), i));
            add(&halves.flat_map(u16::to_le_bytes).collect::<Vec<_>>());
        }
        assert_eq!(hash, 16_334_552_861_137_076_700);
    }

    #[test]
    fn rounding_is_without_bias() {
        let value = 1.002_f32;
        let n = 20_000;
        let mean = |pack: &dyn Fn(u32) -> f32| {
            (0..n).map(|key| f64::from(pack(key))).sum::<f64>() / f64::from(n)
        };
        let bf16 = mean(&|key| unpack_bf16(pack_bf16(value, Rounding::Stochastic(key), 3)));
        assert!((bf16 - f64::from(value)).abs() < 2e-4, "{bf16}");
        for is_signed in [true, false] {
            for small in [0.3_f32, 0.011, 1e-6] {
                let int8 =
                    mean(&|key| block(&[1.0, small], is_signed, Rounding::Stochastic(key)).2[1]);
                assert!((int8 / f64::from(small) - 1.0).abs() < 0.01, "{int8} {small}");
            }
        }
    }

    #[test]
    fn ties_of_bf16_go_to_even() {
        let nearest = |bits| pack_bf16(f32::from_bits(bits), Rounding::Nearest, 0);
        for (bits, wanted) in [
            (0x3f80_7fff, 0x3f80),
            (0x3f80_8000, 0x3f80),
            (0x3f80_8001, 0x3f81),
            (0x3f81_7fff, 0x3f81),
            (0x3f81_8000, 0x3f82),
            (0xbf81_8000, 0xbf82),
            // Subnormal numbers, a carry into the exponent, and what is nearer to infinity than to the largest number.
            (0x0000_8000, 0x0000),
            (0x0000_8001, 0x0001),
            (0x3fff_8000, 0x4000),
            (0x7f7f_7fff, 0x7f7f),
            (0xff7f_8000, 0xff80),
        ] {
            assert_eq!(nearest(bits), wanted, "{bits:x}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays() {
        for bits in [0x7f80_0001, 0xff80_8000, 0x7fff_ffff, 0x7fc0_0000] {
            for rounding in [Rounding::Nearest, Rounding::Stochastic(3)] {
                let half = pack_bf16(f32::from_bits(bits), rounding, 1);
                assert!(unpack_bf16(half).is_nan(), "{bits:x} became {half:x}");
            }
        }
    }

    #[test]
    fn infinities_stay() {
        assert_eq!(
            unpack_bf16(pack_bf16(f32::INFINITY, Rounding::Stochastic(9), 1)),
            f32::INFINITY
        );
        assert_eq!(
            unpack_bf16(pack_bf16(-0.0, Rounding::Nearest, 0)).to_bits(),
            (-0.0_f32).to_bits()
        );
    }
}
