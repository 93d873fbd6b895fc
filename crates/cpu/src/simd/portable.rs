//! Plain loops over sixteen lanes, for every machine; the compiler makes of them what its target has.

use azr_transformer::packing::unpack_bf16;

use super::{LANES, Simd};
use crate::tile::{Element, Tile, multiply};

/// Needs nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

/// Fused only where the target has the instruction: the library function is very slow.
#[inline(always)]
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = a;
    for i in 0..LANES {
        out[i] = f(a[i], b[i]);
    }
    out
}

impl Simd for Portable {
    type V = [f32; LANES];
    type I = [i32; LANES];
    type P = [i16; 2 * LANES];

    const TILE_ROWS: usize = if cfg!(target_arch = "aarch64") { 6 } else { 2 };

    #[inline(always)]
    fn fits(_rows: usize, panels: usize) -> bool {
        panels == 1
    }

    // SAFETY: the contract is the trait's; this adds nothing to it.
    unsafe fn multiply<E: Element>(self, rows: usize, tile: &Tile<E>) {
        // SAFETY: passed on from the caller.
        unsafe { multiply(self, rows, tile) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::V {
        *from
    }

    #[inline(always)]
    fn load_bf16(self, from: &[u16; LANES]) -> Self::V {
        from.map(unpack_bf16)
    }

    #[inline(always)]
    fn store(self, value: Self::V, to: &mut [f32; LANES]) {
        *to = value;
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let mut out = c;
        for i in 0..LANES {
            out[i] = mul_add(a[i], b[i], c[i]);
        }
        out
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        a.map(f32::sqrt)
    }

    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        // Adding 1.5 * 2^23 leaves no room for a fraction; vectorises without a rounding instruction.
        const SHIFT: f32 = 12_582_912.0;
        a.map(|a| (a + SHIFT) - SHIFT)
    }

    #[inline(always)]
    fn zero_below(self, value: Self::V, x: Self::V, bound: f32) -> Self::V {
        zip(value, x, |value, x| if x < bound { 0.0 } else { value })
    }

    #[inline(always)]
    fn int_zero(self) -> Self::I {
        [0; LANES]
    }

    #[inline(always)]
    fn splat_pair(self, pair: i32) -> Self::P {
        let mut out = [0; 2 * LANES];
        for lane in out.as_chunks_mut::<2>().0 {
            *lane = [pair as i16, (pair >> 16) as i16];
        }
        out
    }

    #[inline(always)]
    fn load_pairs(self, from: &[i8; 2 * LANES]) -> Self::P {
        from.map(i16::from)
    }

    #[inline(always)]
    fn add_products(self, sum: Self::I, a: Self::P, b: Self::P) -> Self::I {
        let mut out = sum;
        for i in 0..LANES {
            out[i] += i32::from(a[2 * i]) * i32::from(b[2 * i])
                + i32::from(a[2 * i + 1]) * i32::from(b[2 * i + 1]);
        }
        out
    }

    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::V {
        a.map(|a| a as f32)
    }

    #[inline(always)]
    fn exp2_integral(self, a: Self::V) -> Self::V {
        a.map(|a| f32::from_bits((((a as i32) + 127) as u32) << 23))
    }
}
