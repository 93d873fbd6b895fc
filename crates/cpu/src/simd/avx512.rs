//! AVX-512F and AVX-512BW, with or without VNNI: one register for sixteen lanes, 32 registers.
#![expect(
    unsafe_code,
    reason = "intrinsics are unsafe to call outside functions that enable their feature"
)]

use std::arch::x86_64::*;

use super::{Kernel, LANES, Simd};
use crate::tile::{Element, Tile, multiply};

/// Proof that the machine has AVX-512F and AVX-512BW, and VNNI if that is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512<const VNNI: bool = false>(());

impl<const VNNI: bool> Avx512<VNNI> {
    /// The proof, if the machine has them.
    pub(crate) fn detect() -> Option<Self> {
        // FMA and AVX2 come with every AVX-512F machine; asking keeps the enabled set true to what was asked.
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && (!VNNI || is_x86_feature_detected!("avx512vnni"));
        found.then_some(Self(()))
    }
}

impl Avx512<false> {
    /// Runs `kernel` compiled with AVX-512F and AVX-512BW.
    #[inline]
    pub(crate) fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx2,fma")]
        fn inner<K: Kernel>(simd: impl Simd, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: a value of this type proves that the features were detected.
        unsafe { inner(self, kernel) }
    }
}

impl Avx512<true> {
    /// Runs `kernel` compiled with VNNI as well.
    #[inline]
    pub(crate) fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
        fn inner<K: Kernel>(simd: impl Simd, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: as above.
        unsafe { inner(self, kernel) }
    }
}

/// Calls an intrinsic.
macro_rules! call {
    ($intrinsic:expr) => {
        // SAFETY: a value of the type this is a method of proves that the features were detected; loads and stores
        // are given references to as many values as they take, or a mask that covers the length of their slice.
        unsafe { $intrinsic }
    };
}

#[inline(always)]
fn mask(len: usize) -> __mmask16 {
    ((1_u32 << len.min(LANES)) - 1) as __mmask16
}

impl<const VNNI: bool> Simd for Avx512<VNNI> {
    type V = __m512;
    type I = __m512i;
    type P = __m512i;

    const TILE_ROWS: usize = 14;

    #[inline(always)]
    fn fits(rows: usize, panels: usize) -> bool {
        // Operands take one register per panel and one more.
        rows * panels + panels < 32 && rows <= Self::TILE_ROWS
    }

    // SAFETY: the contract is the trait's; this adds nothing to it.
    unsafe fn multiply<E: Element>(self, rows: usize, tile: &Tile<E>) {
        // SAFETY: the trait's contract; the value `simd` exists only where the machine has these instructions.
        #[target_feature(enable = "avx512f,avx512bw,avx2,fma")]
        unsafe fn inner<E: Element>(simd: impl Simd, rows: usize, tile: &Tile<E>) {
            // SAFETY: passed on from the caller.
            unsafe { multiply(simd, rows, tile) }
        }
        // SAFETY: a value of this type proves that the features were detected; the rest is the caller's.
        unsafe { inner(self, rows, tile) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        call!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        call!(_mm512_loadu_ps(from.as_ptr()))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u16; LANES]) -> __m512 {
        call!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(
            _mm256_loadu_si256(from.as_ptr().cast())
        ))))
    }

    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32; LANES]) {
        call!(_mm512_storeu_ps(to.as_mut_ptr(), value))
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32], fill: f32) -> __m512 {
        call!(_mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask(from.len()), from.as_ptr()))
    }

    #[inline(always)]
    fn store_partial(self, value: __m512, to: &mut [f32]) {
        call!(_mm512_mask_storeu_ps(to.as_mut_ptr(), mask(to.len()), value))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        call!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        call!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        call!(_mm512_sqrt_ps(a))
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        call!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }

    #[inline(always)]
    fn zero_below(self, value: __m512, x: __m512, bound: f32) -> __m512 {
        call!(_mm512_maskz_mov_ps(
            _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(bound)),
            value
        ))
    }

    #[inline(always)]
    fn int_zero(self) -> __m512i {
        call!(_mm512_setzero_si512())
    }

    #[inline(always)]
    fn splat_pair(self, pair: i32) -> __m512i {
        call!(_mm512_set1_epi32(pair))
    }

    #[inline(always)]
    fn load_pairs(self, from: &[i8; 2 * LANES]) -> __m512i {
        call!(_mm512_cvtepi8_epi16(_mm256_loadu_si256(from.as_ptr().cast())))
    }

    #[inline(always)]
    fn add_products(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        if VNNI {
            call!(_mm512_dpwssd_epi32(sum, a, b))
        } else {
            call!(_mm512_add_epi32(sum, _mm512_madd_epi16(a, b)))
        }
    }

    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        call!(_mm512_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn transpose(self, vectors: [__m512; LANES]) -> [__m512; LANES] {
        call!({
            let (mut pairs, mut fours, mut out) = (vectors, vectors, vectors);
            for i in (0..LANES).step_by(2) {
                pairs[i] = _mm512_unpacklo_ps(vectors[i], vectors[i + 1]);
                pairs[i + 1] = _mm512_unpackhi_ps(vectors[i], vectors[i + 1]);
            }
            // Quarter q of fours[4 r + c] is column 4 q + c of rows 4 r to 4 r + 3.
            for i in (0..LANES).step_by(4) {
                let (a, b) = (_mm512_castps_pd(pairs[i]), _mm512_castps_pd(pairs[i + 1]));
                let (c, d) = (_mm512_castps_pd(pairs[i + 2]), _mm512_castps_pd(pairs[i + 3]));
                fours[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
                fours[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
                fours[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
                fours[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
            }
            for i in 0..4 {
                let even = _mm512_shuffle_f32x4::<0x88>(fours[i], fours[4 + i]);
                let even_below = _mm512_shuffle_f32x4::<0x88>(fours[8 + i], fours[12 + i]);
                let odd = _mm512_shuffle_f32x4::<0xdd>(fours[i], fours[4 + i]);
                let odd_below = _mm512_shuffle_f32x4::<0xdd>(fours[8 + i], fours[12 + i]);
                out[i] = _mm512_shuffle_f32x4::<0x88>(even, even_below);
                out[4 + i] = _mm512_shuffle_f32x4::<0x88>(odd, odd_below);
                out[8 + i] = _mm512_shuffle_f32x4::<0xdd>(even, even_below);
                out[12 + i] = _mm512_shuffle_f32x4::<0xdd>(odd, odd_below);
            }
            out
        })
    }

    #[inline(always)]
    fn exp2_integral(self, a: __m512) -> __m512 {
        call!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(
            _mm512_cvtps_epi32(a),
            _mm512_set1_epi32(127)
        ))))
    }
}
