//! AVX2 and FMA: two registers for sixteen lanes, 16 registers.
#![expect(
    unsafe_code,
    reason = "intrinsics are unsafe to call outside functions that enable their feature"
)]

use std::arch::x86_64::*;

use super::{Kernel, LANES, Simd};
use crate::tile::{Element, Tile, multiply};

/// Proof that the machine has AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

/// Lanes 0 to 7 and 8 to 15.
type Pair = [__m256; 2];
/// The same of integers: lanes, or pairs of int16.
type IntPair = [__m256i; 2];

impl Avx2 {
    /// The proof, if the machine has them.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Runs `kernel` compiled with AVX2 and FMA.
    #[inline]
    pub(crate) fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn inner<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: a value of this type proves that the features were detected.
        unsafe { inner(self, kernel) }
    }
}

/// Calls an intrinsic.
macro_rules! call {
    ($intrinsic:expr) => {
        // SAFETY: a value of the type this is a method of proves that the features were detected; loads and stores
        // are given references to as many values as they take.
        unsafe { $intrinsic }
    };
}

impl Simd for Avx2 {
    type V = Pair;
    type I = IntPair;
    type P = IntPair;

    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn fits(rows: usize, panels: usize) -> bool {
        rows * panels <= 6
    }

    // SAFETY: the contract is the trait's; this adds nothing to it.
    unsafe fn multiply<E: Element>(self, rows: usize, tile: &Tile<E>) {
        // SAFETY: the trait's contract; the value `simd` exists only where the machine has these instructions.
        #[target_feature(enable = "avx2,fma")]
        unsafe fn inner<E: Element>(simd: Avx2, rows: usize, tile: &Tile<E>) {
            // SAFETY: passed on from the caller.
            unsafe { multiply(simd, rows, tile) }
        }
        // SAFETY: a value of this type proves that the features were detected; the rest is the caller's.
        unsafe { inner(self, rows, tile) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Pair {
        [call!(_mm256_set1_ps(value)); 2]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Pair {
        call!([_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))])
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u16; LANES]) -> Pair {
        call!({
            let from = from.as_ptr().cast::<__m128i>();
            [widen_bf16(_mm_loadu_si128(from)), widen_bf16(_mm_loadu_si128(from.add(1)))]
        })
    }

    #[inline(always)]
    fn store(self, value: Pair, to: &mut [f32; LANES]) {
        call!({
            _mm256_storeu_ps(to.as_mut_ptr(), value[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), value[1]);
        });
    }

    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        call!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sub(self, a: Pair, b: Pair) -> Pair {
        call!([_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul(self, a: Pair, b: Pair) -> Pair {
        call!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn div(self, a: Pair, b: Pair) -> Pair {
        call!([_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn max(self, a: Pair, b: Pair) -> Pair {
        call!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn min(self, a: Pair, b: Pair) -> Pair {
        call!([_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul_add(self, a: Pair, b: Pair, c: Pair) -> Pair {
        call!([_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])])
    }

    #[inline(always)]
    fn sqrt(self, a: Pair) -> Pair {
        call!([_mm256_sqrt_ps(a[0]), _mm256_sqrt_ps(a[1])])
    }

    #[inline(always)]
    fn round(self, a: Pair) -> Pair {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        call!([_mm256_round_ps::<NEAREST>(a[0]), _mm256_round_ps::<NEAREST>(a[1])])
    }

    #[inline(always)]
    fn zero_below(self, value: Pair, x: Pair, bound: f32) -> Pair {
        call!({
            let bound = _mm256_set1_ps(bound);
            [
                _mm256_and_ps(value[0], _mm256_cmp_ps::<_CMP_NLT_UQ>(x[0], bound)),
                _mm256_and_ps(value[1], _mm256_cmp_ps::<_CMP_NLT_UQ>(x[1], bound)),
            ]
        })
    }

    #[inline(always)]
    fn int_zero(self) -> IntPair {
        call!([_mm256_setzero_si256(); 2])
    }

    #[inline(always)]
    fn splat_pair(self, pair: i32) -> IntPair {
        call!([_mm256_set1_epi32(pair); 2])
    }

    #[inline(always)]
    fn load_pairs(self, from: &[i8; 2 * LANES]) -> IntPair {
        call!({
            let from = from.as_ptr().cast::<__m128i>();
            [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from)),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(1))),
            ]
        })
    }

    #[inline(always)]
    fn add_products(self, sum: IntPair, a: IntPair, b: IntPair) -> IntPair {
        call!([
            _mm256_add_epi32(sum[0], _mm256_madd_epi16(a[0], b[0])),
            _mm256_add_epi32(sum[1], _mm256_madd_epi16(a[1], b[1])),
        ])
    }

    #[inline(always)]
    fn to_float(self, a: IntPair) -> Pair {
        call!([_mm256_cvtepi32_ps(a[0]), _mm256_cvtepi32_ps(a[1])])
    }

    #[inline(always)]
    fn transpose(self, vectors: [Pair; LANES]) -> [Pair; LANES] {
        let mut out = vectors;
        for half in 0..2 {
            for rows in 0..2 {
                let mut square = [vectors[0][0]; 8];
                for i in 0..8 {
                    square[i] = vectors[8 * rows + i][half];
                }
                let square = transpose_square(square);
                for i in 0..8 {
                    out[8 * half + i][rows] = square[i];
                }
            }
        }
        out
    }

    #[inline(always)]
    fn exp2_integral(self, a: Pair) -> Pair {
        [exp2_half(a[0]), exp2_half(a[1])]
    }
}

/// A bfloat16 is the upper half of a float32.
#[inline(always)]
fn widen_bf16(halves: __m128i) -> __m256 {
    call!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves))))
}

#[inline(always)]
fn exp2_half(a: __m256) -> __m256 {
    call!(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
        _mm256_cvtps_epi32(a),
        _mm256_set1_epi32(127)
    ))))
}

/// The transpose of eight registers of eight lanes.
#[inline(always)]
fn transpose_square(rows: [__m256; 8]) -> [__m256; 8] {
    call!({
        let (mut pairs, mut fours, mut out) = (rows, rows, rows);
        for i in (0..8).step_by(2) {
            pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
            pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
        }
        for i in (0..8).step_by(4) {
            fours[i] = _mm256_shuffle_ps::<0x44>(pairs[i], pairs[i + 2]);
            fours[i + 1] = _mm256_shuffle_ps::<0xee>(pairs[i], pairs[i + 2]);
            fours[i + 2] = _mm256_shuffle_ps::<0x44>(pairs[i + 1], pairs[i + 3]);
            fours[i + 3] = _mm256_shuffle_ps::<0xee>(pairs[i + 1], pairs[i + 3]);
        }
        for i in 0..4 {
            out[i] = _mm256_permute2f128_ps::<0x20>(fours[i], fours[4 + i]);
            out[4 + i] = _mm256_permute2f128_ps::<0x31>(fours[i], fours[4 + i]);
        }
        out
    })
}
