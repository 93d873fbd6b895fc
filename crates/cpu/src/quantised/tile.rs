//! The kernel of products with int8 weights: register tiles of int32 sums.
#![expect(unsafe_code, reason = "tasks write disjoint tiles of one output")]

use std::ops::Range;

use super::{EXACT_PAIRS, PAIR_CODES};
use crate::gemm::Blocks;
use crate::simd::{Kernel, LANES, Simd};
use crate::split::Shared;
use crate::tile::prefetch;
use crate::vectors::{load, store};

/// The products of some blocks of rows and some panels of weights.
#[derive(Debug, Clone)]
pub(super) struct Sweep<'a> {
    pub(super) blocks: Blocks,
    pub(super) blocks_of_task: Range<usize>,
    /// Codes of all rows, `[block][pair][row of the block]`.
    pub(super) pairs: &'a [i32],
    /// Scales of all rows.
    pub(super) row_scales: &'a [f32],
    pub(super) n_pairs: usize,
    /// Codes of the panels, `[panel][pair]`.
    pub(super) codes: &'a [[i8; PAIR_CODES]],
    /// Scales of the panels' outputs.
    pub(super) scales: &'a [f32],
    /// Those of the panels' outputs that exist.
    pub(super) bias: Option<&'a [f32]>,
    /// Row-major, `n_out` wide; the first panel is at `column`.
    pub(super) y: Shared<'a>,
    pub(super) n_out: usize,
    pub(super) column: usize,
    pub(super) n_columns: usize,
}

impl Kernel for Sweep<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n_panels = self.n_columns.div_ceil(LANES);
        let n_blocks = self.blocks_of_task.len();
        // One block goes through its panels as they fit into the registers; more of them share a few panels that stay
        // in the first cache.
        let step = match n_blocks {
            1 => n_panels,
            _ if S::fits(S::TILE_ROWS, 2) => 2,
            _ => 1,
        };
        // Each block asks for its share of the next panels; one block alone is a stream that the machine follows.
        let share = if n_blocks == 1 { 0 } else { (step * PAIR_CODES).div_ceil(n_blocks) };
        for first in (0..n_panels).step_by(step) {
            let panels = first..(first + step).min(n_panels);
            for (index, block) in self.blocks_of_task.clone().enumerate() {
                let next = self.codes.as_ptr().wrapping_add(panels.end * self.n_pairs).cast::<u8>();
                let ahead = if share == 0 {
                    std::ptr::null()
                } else {
                    next.wrapping_add(index * share * self.n_pairs)
                };
                let rows = self.blocks.rows(block);
                dispatch(s, &Tile { sweep: &self, rows, panels: panels.clone(), ahead, share });
            }
        }
    }
}

/// One block of rows and some panels.
struct Tile<'a> {
    sweep: &'a Sweep<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    /// Memory that will be needed next, or null, asked for `share` bytes further at each pair.
    ahead: *const u8,
    share: usize,
}

#[inline(always)]
fn dispatch<S: Simd>(s: S, tile: &Tile<'_>) {
    macro_rules! rows {
        ($($n:literal)*) => {
            match tile.rows.len() {
                $($n if const { $n <= S::TILE_ROWS } => panels::<S, $n>(s, tile),)*
                _ => {}
            }
        };
    }
    rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

/// Goes through the panels, as many at once as fit into the registers.
#[inline(always)]
fn panels<S: Simd, const ROWS: usize>(s: S, tile: &Tile<'_>) {
    let mut panel = tile.panels.start;
    macro_rules! while_fits {
        ($($n:literal)*) => {
            $(if S::fits(ROWS, $n) {
                while tile.panels.end - panel >= $n {
                    registers::<S, ROWS, $n>(s, tile, panel);
                    panel += $n;
                }
            })*
        };
    }
    while_fits!(4 2);
    while panel < tile.panels.end {
        registers::<S, ROWS, 1>(s, tile, panel);
        panel += 1;
    }
}

/// A tile whose sums stay in registers.
#[inline(always)]
fn registers<S: Simd, const ROWS: usize, const PANELS: usize>(
    s: S,
    tile: &Tile<'_>,
    first_panel: usize,
) {
    let Sweep { n_pairs, codes, .. } = *tile.sweep;
    let x = tile.sweep.pairs[tile.rows.start * n_pairs..][..ROWS * n_pairs].as_chunks::<ROWS>().0;
    let mut totals = [[s.splat(0.0); PANELS]; ROWS];
    let mut ahead = tile.ahead;
    for start in (0..n_pairs).step_by(EXACT_PAIRS) {
        let x = &x[start..n_pairs.min(start + EXACT_PAIRS)];
        let mut weights = [&codes[..0]; PANELS];
        for (panel, weights) in weights.iter_mut().enumerate() {
            *weights = &codes[(first_panel + panel) * n_pairs + start..][..x.len()];
        }
        let mut sums = [[s.int_zero(); PANELS]; ROWS];
        for (k, x) in x.iter().enumerate() {
            prefetch(ahead);
            ahead = ahead.wrapping_add(tile.share);
            let mut vectors = [s.splat_pair(0); PANELS];
            for (vector, weights) in vectors.iter_mut().zip(&weights) {
                *vector = s.load_pairs(&weights[k]);
            }
            for (sums, &pair) in sums.iter_mut().zip(x) {
                let pair = s.splat_pair(pair);
                for (sum, vector) in sums.iter_mut().zip(vectors) {
                    *sum = s.add_products(*sum, pair, vector);
                }
            }
        }
        for (totals, sums) in totals.iter_mut().zip(sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = s.add(*total, s.to_float(sum));
            }
        }
    }
    for (row, totals) in tile.rows.clone().zip(totals) {
        for (panel, total) in (first_panel..).zip(totals) {
            write(s, tile.sweep, row, panel, total);
        }
    }
}

/// Writes `total * row scale * scale + bias`, neither fused nor in another order.
#[inline(always)]
fn write<S: Simd>(s: S, sweep: &Sweep<'_>, row: usize, panel: usize, total: S::V) {
    let lane = panel * LANES;
    let scaled = s.mul(total, s.splat(sweep.row_scales[row]));
    let product = s.mul(scaled, load(s, sweep.scales, lane));
    let y = match sweep.bias {
        Some(bias) => s.add(product, load(s, bias, lane)),
        None => product,
    };
    let start = row * sweep.n_out + sweep.column + lane;
    let width = LANES.min(sweep.n_columns - lane);
    // SAFETY: each task has blocks or panels of its own, and this tile alone is that of its row and panel.
    let to = unsafe { sweep.y.part(start..start + width) };
    store(s, y, to, 0);
}
