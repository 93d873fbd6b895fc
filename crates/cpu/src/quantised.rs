//! Int8 copies of matrices, and products with them: int8 weights, int16 activations, int32 sums.
//!
//! A copy has the panels of [`crate::matrix`], of pairs of inputs: `[ceil(n_out / 16)][ceil(n_in / 2)][16][2]`, which is
//! what one instruction multiplies with a pair of activations and adds to sixteen sums. An odd last input has a partner
//! of 0. Codes and scales are those of [`azr_transformer::quantise`].
//!
//! Sums of up to [`EXACT_PAIRS`] pairs are exact, and what is done with them in float32 is neither fused nor reordered:
//! a result depends on its row and its output alone, not on the tile, the thread or the instruction set.

#![expect(unsafe_code, reason = "tasks write disjoint blocks of one output")]

mod tile;

use std::ops::Range;

use azr_transformer::DeviceResult;
use azr_transformer::quantise::{ACTIVATION_CODES, WEIGHT_CODES, divisor, scale};

use crate::Cpu;
use crate::gemm::{Blocks, Grid, TASK_ROWS};
use crate::matrix::Matrix;
use crate::simd::{Kernel, LANES, Simd};
use crate::split::{Shared, part};
use crate::storage::Storage;
use crate::vectors::load;
use tile::Sweep;

/// Pairs whose sum is an int32 whatever the codes are: 2048 times twice 127 times 4095 is below 2^31.
const EXACT_PAIRS: usize = 2048;
const _: () = assert!(
    EXACT_PAIRS * 2 * WEIGHT_CODES as usize * ACTIVATION_CODES as usize <= i32::MAX as usize,
    "a sum of products could overflow"
);
/// Codes of one pair of inputs of a panel.
const PAIR_CODES: usize = 2 * LANES;

/// An int8 copy of a `[n_out, n_in]` matrix in panels of sixteen outputs.
#[derive(Debug)]
pub(crate) struct Quantised {
    pub(crate) n_out: usize,
    pub(crate) n_in: usize,
    /// Four codes in the place of each number: memory is float32 here, whatever is kept in it.
    codes: Storage,
    /// One per output, sixteen for the last panel too.
    scales: Storage,
}

impl Quantised {
    pub(crate) fn zeros(n_out: usize, n_in: usize) -> DeviceResult<Self> {
        let n_panels = n_out.div_ceil(LANES);
        let n_words = n_panels.saturating_mul(panel_words(n_in));
        Ok(Self {
            n_out,
            n_in,
            codes: Storage::zeros(n_words, "int8 weights")?,
            scales: Storage::zeros(n_panels * LANES, "int8 weights")?,
        })
    }

    fn n_panels(&self) -> usize {
        self.n_out.div_ceil(LANES)
    }

    fn n_pairs(&self) -> usize {
        self.n_in.div_ceil(2)
    }

    /// `[panel][pair]`.
    fn codes(&self) -> &[[i8; PAIR_CODES]] {
        bytemuck::cast_slice(&self.codes)
    }

    /// Writes what the codes stand for to row-major `out`, whose length is the caller's duty.
    pub(crate) fn read(&self, out: &mut [f32]) {
        let (panels, n_pairs) = (self.codes(), self.n_pairs());
        for (n, (row, scale)) in out.chunks_exact_mut(self.n_in).zip(&*self.scales).enumerate() {
            for (k, value) in row.iter_mut().enumerate() {
                let code = panels[n / LANES * n_pairs + k / 2][n % LANES * 2 + k % 2];
                *value = f32::from(code) * scale;
            }
        }
    }
}

/// Float32 numbers that a panel's codes take the place of.
fn panel_words(n_in: usize) -> usize {
    n_in.div_ceil(2) * PAIR_CODES / size_of::<f32>()
}

/// The largest magnitude of each lane, or what is not finite where any of its values is not.
#[inline(always)]
fn largest<S: Simd>(s: S, largest: S::V, poison: S::V, values: S::V) -> (S::V, S::V) {
    let zero = s.splat(0.0);
    let magnitudes = s.max(values, s.sub(zero, values));
    // `max` may lose a NaN; the product is one for it and for infinities, and otherwise 0.
    (s.max(magnitudes, largest), s.add(poison, s.mul(values, zero)))
}

/// The nearest codes of values, as float32: at most ±4095, or NaN for what is none.
#[inline(always)]
fn rounded<S: Simd>(s: S, values: S::V, divisors: S::V) -> [f32; LANES] {
    let mut codes = [0.0; LANES];
    s.store(s.round(s.div(values, divisors)), &mut codes);
    codes
}

/// Makes the copy of one panel.
struct CopyPanel<'a> {
    weights: &'a [f32],
    codes: &'a mut [[i8; PAIR_CODES]],
    scales: &'a mut [f32],
}

impl Kernel for CopyPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let inputs = self.weights.as_chunks::<LANES>().0;
        let (mut max, mut poison) = (s.splat(0.0), s.splat(0.0));
        for input in inputs {
            (max, poison) = largest(s, max, poison, s.load(input));
        }
        let mut lanes = [0.0; LANES];
        s.store(s.add(max, poison), &mut lanes);
        let mut divisors = lanes;
        for i in 0..LANES {
            lanes[i] = scale(lanes[i], WEIGHT_CODES);
            divisors[i] = divisor(lanes[i]);
        }
        self.scales.copy_from_slice(&lanes);
        let divisors = s.load(&divisors);
        for (pair, codes) in inputs.chunks(2).zip(self.codes) {
            let first = rounded(s, s.load(&pair[0]), divisors);
            let second = match pair.get(1) {
                Some(input) => rounded(s, s.load(input), divisors),
                None => [0.0; LANES],
            };
            for i in 0..LANES {
                // The conversion makes 0 of what is not a number.
                codes[2 * i] = first[i] as i8;
                codes[2 * i + 1] = second[i] as i8;
            }
        }
    }
}

/// Makes pairs of int16 codes of a block of rows, `[pair][row of the block]`, the first of a pair in the low half.
struct PackRows<'a> {
    x: &'a [f32],
    n_in: usize,
    pairs: &'a mut [i32],
    scales: &'a mut [f32],
}

impl Kernel for PackRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, n_in, pairs, scales } = self;
        let n_rows = scales.len();
        for (row, (x, to)) in x.chunks_exact(n_in).zip(scales).enumerate() {
            let (mut max, mut poison) = (s.splat(0.0), s.splat(0.0));
            for i in (0..n_in).step_by(LANES) {
                (max, poison) = largest(s, max, poison, load(s, x, i));
            }
            *to = scale(s.reduce_max(max) + s.reduce_add(poison), ACTIVATION_CODES);
            let divisors = s.splat(divisor(*to));
            for i in (0..n_in).step_by(LANES) {
                let codes = rounded(s, load(s, x, i), divisors);
                let n_pairs = (n_in - i).min(LANES).div_ceil(2);
                for (j, pair) in codes.as_chunks::<2>().0.iter().take(n_pairs).enumerate() {
                    // The conversion makes 0 of what is not a number.
                    let [low, high] = pair.map(|code| code as i32);
                    pairs[(i / 2 + j) * n_rows + row] = (low & 0xffff) | (high << 16);
                }
            }
        }
    }
}

impl Cpu {
    /// Makes `copy` that of `matrix`, which has the same shape.
    pub(crate) fn quantise(&self, matrix: &Matrix, copy: &mut Quantised) {
        let (n_panels, n_words) = (copy.n_panels(), panel_words(copy.n_in));
        let n_pairs = copy.n_pairs();
        let outputs = [(&mut copy.codes[..], n_words), (&mut copy.scales[..], LANES)];
        self.pool.split_rows(n_panels, 1, outputs, |panels, [codes, scales]| {
            let weights =
                matrix.panels[panels.start * matrix.panel_len()..].chunks_exact(matrix.panel_len());
            let codes = bytemuck::cast_slice_mut(codes).chunks_exact_mut(n_pairs);
            for ((weights, codes), scales) in weights.zip(codes).zip(scales.chunks_exact_mut(LANES))
            {
                self.backend.run(CopyPanel { weights, codes, scales });
            }
        });
    }

    /// The codes of `x`, pairs of them as [`PackRows`] has them, block after block, and the scales of its rows.
    fn pack_rows(
        &self,
        x: &[f32],
        n_in: usize,
        blocks: Blocks,
        pairs: &mut [f32],
        scales: &mut [f32],
    ) {
        let n_pairs = n_in.div_ceil(2);
        let (pairs, scales) = (Shared::new(pairs), Shared::new(scales));
        let n_parts = blocks.n_blocks.min(4 * self.pool.n_threads());
        self.pool.run(n_parts, &|index, _| {
            for block in part(blocks.n_blocks, index, n_parts) {
                let rows = blocks.rows(block);
                let of = |width: usize| rows.start * width..rows.end * width;
                // SAFETY: blocks are disjoint, and each belongs to one task.
                let (pairs, scales) = unsafe { (pairs.part(of(n_pairs)), scales.part(of(1))) };
                let pairs = bytemuck::cast_slice_mut(pairs);
                self.backend.run(PackRows { x: &x[of(n_in)], n_in, pairs, scales });
            }
        });
    }

    /// `y = x Wᵀ + bias` with the weights that `weight` stands for; lengths are the caller's duty.
    pub(crate) fn quantised_product(
        &self,
        x: &[f32],
        n_rows: usize,
        weight: &Quantised,
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) -> DeviceResult<()> {
        let (n_out, n_in, n_pairs) = (weight.n_out, weight.n_in, weight.n_pairs());
        assert!(
            x.len() >= n_rows * n_in
                && y.len() >= n_rows * n_out
                && bias.is_none_or(|bias| bias.len() >= n_out),
            "an operand of a product is too short"
        );
        if n_rows == 0 {
            return Ok(());
        }
        let blocks = Blocks::new(n_rows, self.backend.tile_rows());
        let mut pairs = self.scratch.take(n_rows * n_pairs)?;
        let mut row_scales = self.scratch.take(n_rows)?;
        self.pack_rows(&x[..n_rows * n_in], n_in, blocks, &mut pairs, &mut row_scales);
        let (pairs, row_scales): (&[i32], &[f32]) = (bytemuck::cast_slice(&pairs), &row_scales);
        let y = Shared::new(y);
        let max_blocks = TASK_ROWS / self.backend.tile_rows();
        let grid =
            Grid::new(self.pool.n_threads(), weight.n_panels(), 2, blocks.n_blocks, max_blocks);
        self.pool.run(grid.n_tasks(), &|index, _| {
            let (panels, blocks_of_task): (Range<usize>, Range<usize>) = grid.task(index);
            let column = panels.start * LANES;
            self.backend.run_integral(Sweep {
                blocks,
                blocks_of_task,
                pairs,
                row_scales,
                n_pairs,
                codes: &weight.codes()[panels.start * n_pairs..panels.end * n_pairs],
                scales: &weight.scales[column..panels.end * LANES],
                bias: bias.map(|bias| &bias[column..n_out.min(panels.end * LANES)]),
                y,
                n_out,
                column,
                n_columns: (panels.len() * LANES).min(n_out - column),
            });
        });
        Ok(())
    }
}
