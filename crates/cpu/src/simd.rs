//! Sixteen float32 lanes on each instruction set, and the dispatch of kernels to the one the machine has.
//!
//! A kernel is written once over [`Simd`]. Every instruction set works on the same sixteen lanes in the same order,
//! so AVX2 and AVX-512 give the same bits; the portable one differs where it has no fused multiply-add. Products of integers
//! ([`crate::quantised`]) are the same on all of them.
#![expect(unsafe_code, reason = "tiles are unsafe: see `crate::tile`")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use crate::tile::{Element, Tile};

/// Lanes of a vector, and outputs of a panel of a matrix.
pub(crate) const LANES: usize = 16;

/// Below this [`Simd::exp`] is 0.
const EXP_ZERO: f32 = -64.0;

/// An instruction set that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InstructionSet {
    /// What the compiler makes of plain loops for the build's target.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512F and AVX-512BW, which all have but the discontinued Xeon Phi.
    Avx512,
    /// The same, and AVX-512 VNNI for products of integers, since Cascade Lake and Zen 4.
    Avx512Vnni,
}

impl InstructionSet {
    /// The sets that this machine has, the fastest last.
    pub fn available() -> Vec<Self> {
        [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Vnni]
            .into_iter()
            .filter(|set| set.backend().is_some())
            .collect()
    }

    /// The set's name as in `/proc/cpuinfo`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512bw",
            Self::Avx512Vnni => "avx512_vnni",
        }
    }

    /// The means to run kernels on this set, if the machine has it.
    pub(crate) fn backend(self) -> Option<Backend> {
        match self {
            Self::Portable => Some(Backend::Portable(portable::Portable)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::Avx2::detect().map(Backend::Avx2),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::Avx512::detect().map(|simd| Backend::Avx512(simd, None)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                let vnni = avx512::Avx512::<true>::detect()?;
                avx512::Avx512::detect().map(|simd| Backend::Avx512(simd, Some(vnni)))
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 | Self::Avx512Vnni => None,
        }
    }
}

/// An instruction set that is known to be there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Backend {
    Portable(portable::Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "x86_64")]
    /// For everything, and for products of integers if that is another.
    Avx512(avx512::Avx512, Option<avx512::Avx512<true>>),
}

impl Backend {
    /// Runs `kernel` compiled for this instruction set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Portable(simd) => kernel.run(simd),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd, _) => simd.vectorize(kernel),
        }
    }

    /// Runs a kernel that multiplies integers. It is [`Backend::run`] but for the instructions that only such a kernel
    /// uses; no other is compiled for them.
    pub(crate) fn run_integral<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_, Some(simd)) => simd.vectorize(kernel),
            other => other.run(kernel),
        }
    }

    /// Most rows of a register tile.
    pub(crate) fn tile_rows(self) -> usize {
        match self {
            Self::Portable(_) => portable::Portable::TILE_ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => avx2::Avx2::TILE_ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(..) => <avx512::Avx512 as Simd>::TILE_ROWS,
        }
    }
}

/// Work on one instruction set. Implementations of `run` must be `#[inline(always)]`, as must all they call with a
/// [`Simd`]: code that is not inlined into [`Backend::run`]'s target is compiled without the instruction set.
pub(crate) trait Kernel {
    /// What the kernel returns.
    type Output;
    /// Does the work.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Sixteen float32 lanes. A value of an implementing type exists only where the machine has its instructions.
pub(crate) trait Simd: Copy + Send + Sync {
    /// Sixteen lanes.
    type V: Copy;
    /// Sixteen int32 lanes.
    type I: Copy;
    /// Sixteen pairs of int16.
    type P: Copy;

    /// Most rows of a register tile of one or two panels.
    const TILE_ROWS: usize;

    /// True when `rows * panels` accumulators and their operands fit into the registers.
    fn fits(rows: usize, panels: usize) -> bool;

    fn splat(self, value: f32) -> Self::V;
    fn load(self, from: &[f32; LANES]) -> Self::V;
    /// The values of sixteen bfloat16, given as bits. They are multiplied as float32: the instructions for bfloat16
    /// (`vdpbf16ps`) want rounded activations as well and round sums of pairs in their own way, which is not that of
    /// [`Simd::mul_add`] and which machines without them could not repeat.
    fn load_bf16(self, from: &[u16; LANES]) -> Self::V;
    fn store(self, value: Self::V, to: &mut [f32; LANES]);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, fused where the instruction set can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger of each pair; `b` where `a` is not a number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of each pair; `b` where `a` is not a number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The nearest integers, ties to even, of values within ±2^22.
    fn round(self, a: Self::V) -> Self::V;
    /// `value`, or 0 in the lanes where `x` is below `bound`.
    fn zero_below(self, value: Self::V, x: Self::V, bound: f32) -> Self::V;
    /// `2^a` for integral `a` within [-126, 127].
    fn exp2_integral(self, a: Self::V) -> Self::V;

    /// Sixteen zeros.
    fn int_zero(self) -> Self::I;
    /// One pair in all lanes: the low half of `pair`, then the high half.
    fn splat_pair(self, pair: i32) -> Self::P;
    /// Sixteen pairs of int8, widened.
    fn load_pairs(self, from: &[i8; 2 * LANES]) -> Self::P;
    /// `sum` and, in each lane, both products of a pair; no result may leave the range of int32.
    fn add_products(self, sum: Self::I, a: Self::P, b: Self::P) -> Self::I;
    /// The nearest float32 values, ties to even.
    fn to_float(self, a: Self::I) -> Self::V;

    /// [`crate::tile::multiply`] as a function of its own: it is large and used in several places.
    ///
    /// # Safety
    ///
    /// That of [`crate::tile::multiply`].
    unsafe fn multiply<E: Element>(self, rows: usize, tile: &Tile<E>);

    /// The first lanes from `from` (fewer than or exactly sixteen values), the others `fill`.
    #[inline(always)]
    fn load_partial(self, from: &[f32], fill: f32) -> Self::V {
        let mut lanes = [fill; LANES];
        lanes[..from.len()].copy_from_slice(from);
        self.load(&lanes)
    }

    /// The first lanes to `to` (fewer than or exactly sixteen values).
    #[inline(always)]
    fn store_partial(self, value: Self::V, to: &mut [f32]) {
        let mut lanes = [0.0; LANES];
        self.store(value, &mut lanes);
        to.copy_from_slice(&lanes[..to.len()]);
    }

    /// The transpose of sixteen vectors.
    #[inline(always)]
    fn transpose(self, vectors: [Self::V; LANES]) -> [Self::V; LANES] {
        let mut from = [[0.0; LANES]; LANES];
        for (vector, from) in vectors.into_iter().zip(&mut from) {
            self.store(vector, from);
        }
        let mut out = vectors;
        for (i, out) in out.iter_mut().enumerate() {
            let mut lanes = [0.0; LANES];
            for (lane, from) in lanes.iter_mut().zip(&from) {
                *lane = from[i];
            }
            *out = self.load(&lanes);
        }
        out
    }

    /// The sum of the lanes, as a tree of halves.
    #[inline(always)]
    fn reduce_add(self, value: Self::V) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(value, &mut lanes);
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    /// The largest lane.
    #[inline(always)]
    fn reduce_max(self, value: Self::V) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(value, &mut lanes);
        lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    /// `exp` within 2 units in the last place from -64 to 88; 0 below -64, so that no product of the result with
    /// a number of ordinary size is subnormal, which would be very slow; no more than 1.7e38 above 88.
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        exp(self, x)
    }
}

/// Cody-Waite reduction and the polynomial of Cephes' `expf`.
#[inline(always)]
fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // `max` and `min` give their second operand for a NaN, so x comes second to let NaN through.
    let bounded = s.min(s.splat(88.02), s.max(s.splat(EXP_ZERO), x));
    let n = s.round(s.mul(bounded, s.splat(std::f32::consts::LOG2_E)));
    let r = s.mul_add(n, s.splat(-0.693_359_4), bounded);
    let r = s.mul_add(n, s.splat(2.121_944_4e-4), r);
    let mut p = s.splat(1.987_569_1e-4);
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = s.mul_add(p, r, s.splat(coefficient));
    }
    let y = s.add(s.mul_add(s.mul(r, r), p, r), s.splat(1.0));
    s.zero_below(s.mul(y, s.exp2_integral(n)), x, EXP_ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Exp<'a>(&'a [f32]);

    impl Kernel for Exp<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<f32> {
            let mut out = vec![0.0; self.0.len()];
            for (x, y) in self.0.chunks(LANES).zip(out.chunks_mut(LANES)) {
                s.store_partial(s.exp(s.load_partial(x, 0.0)), y);
            }
            out
        }
    }

    struct Transpose<'a>(&'a [f32]);

    impl Kernel for Transpose<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<f32> {
            let mut vectors = [s.splat(0.0); LANES];
            for (vector, from) in vectors.iter_mut().zip(self.0.as_chunks::<LANES>().0) {
                *vector = s.load(from);
            }
            let mut out = vec![0.0; LANES * LANES];
            for (vector, to) in s.transpose(vectors).into_iter().zip(out.as_chunks_mut::<LANES>().0)
            {
                s.store(vector, to);
            }
            out
        }
    }

    #[test]
    fn a_transpose_is_one() {
        let values: Vec<f32> = (0..LANES * LANES).map(|i| i as f32).collect();
        let wanted: Vec<f32> =
            (0..LANES * LANES).map(|i| (i % LANES * LANES + i / LANES) as f32).collect();
        for set in InstructionSet::available() {
            assert_eq!(set.backend().unwrap().run(Transpose(&values)), wanted, "{set:?}");
        }
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let x: Vec<f32> = (0..200_003).map(|i| -63.9 + i as f32 * (151.9 / 200_003.0)).collect();
        for set in InstructionSet::available() {
            for (x, y) in x.iter().zip(set.backend().unwrap().run(Exp(&x))) {
                let exact = f64::from(*x).exp();
                let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
                assert!(
                    (f64::from(y) - exact).abs() <= 2.0 * ulp,
                    "{set:?}: exp({x}) = {y}, not {exact}"
                );
            }
        }
    }

    #[test]
    fn exp_of_the_extremes() {
        for set in InstructionSet::available() {
            let y = set.backend().unwrap().run(Exp(&[
                0.0,
                -1e30,
                f32::NEG_INFINITY,
                1e30,
                f32::INFINITY,
                f32::NAN,
            ]));
            assert_eq!(y[..3], [1.0, 0.0, 0.0], "{set:?}");
            assert!(y[3..5].iter().all(|y| (1.6e38..1.8e38).contains(y)), "{set:?}: {y:?}");
            assert!(y[5].is_nan(), "{set:?}");
        }
    }
}
