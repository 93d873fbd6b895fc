//! The three products of a linear layer, in parallel, on packed operands.
//!
//! All of them are sweeps of [`crate::tile::multiply`]: A is packed into blocks of as many rows as a register tile has, B
//! are panels of sixteen columns, and the loops around them are blocked for the caches.
#![expect(unsafe_code, reason = "tasks write disjoint tiles of one output")]

use std::ops::Range;

use azr_transformer::DeviceResult;

use crate::Cpu;
use crate::matrix::{Matrix, Panels};
use crate::pack;
use crate::simd::{Kernel, LANES, Simd};
use crate::split::{Shared, part};
use crate::tile::{Element, Start, Tile, prefetch};

/// Length of the part of a chain that one tile computes: a panel pair of B of this length stays in the first cache.
const TILE_DEPTH: usize = 320;
/// Rows of A that one task goes through: at [`TILE_DEPTH`] they stay in the second cache.
pub(crate) const TASK_ROWS: usize = 256;
/// Outputs whose weights the input gradient transposes at a time, and rows the weight gradient packs at a time.
const PACK_DEPTH: usize = 512;
/// Panels that a task of a backward pass packs.
const PACK_PANELS: usize = 4;
/// Tasks per thread, so that a thread that lost its core does not hold up the others for long.
const TASKS_PER_THREAD: usize = 8;

/// The division of rows into blocks of nearly equal height.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    n_rows: usize,
    pub(crate) n_blocks: usize,
}

impl Blocks {
    pub(crate) fn new(n_rows: usize, max_height: usize) -> Self {
        Self { n_rows, n_blocks: n_rows.div_ceil(max_height) }
    }

    pub(crate) fn rows(self, block: usize) -> Range<usize> {
        part(self.n_rows, block, self.n_blocks)
    }
}

/// `C (+)= A B` for some blocks of A and some panels of B.
#[derive(Debug, Clone, Copy)]
struct Sweep<'a, E> {
    blocks: Blocks,
    first_block: usize,
    end_block: usize,
    /// Packed A: `[block][depth][rows of the block]`.
    a: &'a [f32],
    depth: usize,
    b: *const E,
    b_panel: usize,
    /// B comes from memory, not from a cache.
    b_is_cold: bool,
    /// C at row 0 and at the first of the panels.
    c: *mut f32,
    c_row: usize,
    c_panel: usize,
    n_columns: usize,
    start: Start,
}

impl<E: Element> Kernel for Sweep<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // With one block nothing is used twice, so nothing is gained by going through B in parts.
        let is_single = self.end_block - self.first_block == 1;
        let tile_depth = if is_single { self.depth } else { TILE_DEPTH };
        let n_panels = self.n_columns.div_ceil(LANES);
        let step = if is_single {
            n_panels
        } else if S::fits(S::TILE_ROWS, 2) {
            2
        } else {
            1
        };
        // Each block asks for its share of the next panels; one block alone is a stream that the machine follows.
        let looks_ahead = self.b_is_cold && !is_single;
        let share =
            if is_single { 0 } else { (step * LANES).div_ceil(self.end_block - self.first_block) };
        let end_row = self.blocks.rows(self.end_block - 1).end;
        for k in (0..self.depth).step_by(tile_depth) {
            let depth = tile_depth.min(self.depth - k);
            for panel in (0..n_panels).step_by(step) {
                for block in self.first_block..self.end_block {
                    let rows = self.blocks.rows(block);
                    let tile = Tile {
                        k: depth,
                        a: self.a[rows.start * self.depth + k * rows.len()..].as_ptr(),
                        a_row: 1,
                        a_step: rows.len(),
                        b: self.b.wrapping_add(panel * self.b_panel + k * LANES),
                        b_panel: self.b_panel,
                        b_step: LANES,
                        c: self.c.wrapping_add(rows.start * self.c_row + panel * self.c_panel),
                        c_row: self.c_row,
                        c_panel: self.c_panel,
                        ahead: if !looks_ahead {
                            std::ptr::null()
                        } else {
                            self.b.wrapping_add(
                                (panel + step) * self.b_panel
                                    + k * LANES
                                    + (block - self.first_block) * share * depth,
                            )
                        },
                        ahead_step: share,
                        n_columns: (self.n_columns - panel * LANES).min(step * LANES),
                        start: match self.start {
                            _ if k > 0 => Start::Values,
                            Start::Bias(bias) => Start::Bias(bias.wrapping_add(panel * LANES)),
                            other => other,
                        },
                    };
                    // The next tile starts from its values in C, which are far apart.
                    for row in rows.end..(rows.end + rows.len()).min(end_row) {
                        for panel in panel..(panel + step).min(n_panels) {
                            prefetch(self.c.wrapping_add(row * self.c_row + panel * self.c_panel));
                        }
                    }
                    // SAFETY: the products below, which alone make sweeps, assert the lengths of their operands and
                    // give every tile of C to one task.
                    unsafe { s.multiply(rows.len(), &tile) };
                }
            }
        }
    }
}

/// A division of a product into tasks: parts of the panels by parts of the blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    n_threads: usize,
    n_panels: usize,
    panel_unit: usize,
    n_blocks: usize,
    panel_parts: usize,
    block_parts: usize,
}

impl Grid {
    /// Tasks of at most `max_blocks` blocks and, but for the last, a multiple of `panel_unit` panels: several for each
    /// thread, and so many that threads of one speed end together.
    pub(crate) fn new(
        n_threads: usize,
        n_panels: usize,
        panel_unit: usize,
        n_blocks: usize,
        max_blocks: usize,
    ) -> Self {
        let n_units = n_panels.div_ceil(panel_unit);
        // Splitting rows further than the caches or the threads ask for packs or reads B again for each part.
        let for_caches = n_blocks.div_ceil(max_blocks).max(1);
        let for_threads = n_threads.div_ceil(n_units.max(1)).min(n_blocks);
        let block_parts = for_caches.max(for_threads);
        let wanted = if n_threads == 1 { 1 } else { n_threads * TASKS_PER_THREAD };
        let longest_share = |panel_parts: &usize| {
            (panel_parts * block_parts).div_ceil(n_threads) * n_units.div_ceil(*panel_parts)
        };
        let most = wanted.div_ceil(block_parts).min(n_units);
        let panel_parts = (1..=most).rev().min_by_key(longest_share).unwrap_or(0);
        Self { n_threads, n_panels, panel_unit, n_blocks, panel_parts, block_parts }
    }

    pub(crate) fn n_tasks(self) -> usize {
        self.panel_parts * self.block_parts
    }

    /// Panels and blocks of task `index`. Tasks that share panels follow each other; where none do, threads that keep
    /// pace go through consecutive panels each, so that what a thread asks for ahead is what it reads next.
    pub(crate) fn task(self, index: usize) -> (Range<usize>, Range<usize>) {
        let mut panel_part = index / self.block_parts;
        if self.block_parts == 1 && self.panel_parts.is_multiple_of(self.n_threads) {
            let n_turns = self.panel_parts / self.n_threads;
            panel_part = index % self.n_threads * n_turns + index / self.n_threads;
        }
        let units = part(self.n_panels.div_ceil(self.panel_unit), panel_part, self.panel_parts);
        let end = (units.end * self.panel_unit).min(self.n_panels);
        let blocks = part(self.n_blocks, index % self.block_parts, self.block_parts);
        (units.start * self.panel_unit..end, blocks)
    }
}

impl Cpu {
    /// `y = x Wᵀ + bias`; lengths are the caller's duty.
    pub(crate) fn product<E: Element>(
        &self,
        x: &[f32],
        n_rows: usize,
        weight: Panels<'_, E>,
        bias: Option<&[f32]>,
        y: &mut [f32],
    ) -> DeviceResult<()> {
        let (n_out, n_in) = (weight.n_out, weight.n_in);
        assert!(
            x.len() >= n_rows * n_in
                && y.len() >= n_rows * n_out
                && weight.values.len() >= weight.n_panels() * weight.panel_len()
                && bias.is_none_or(|bias| bias.len() >= n_out),
            "an operand of a product is too short"
        );
        if n_rows == 0 {
            return Ok(());
        }
        let blocks = Blocks::new(n_rows, self.backend.tile_rows());
        let mut packed = self.scratch.take(if n_rows > 1 { n_rows * n_in } else { 0 })?;
        if n_rows > 1 {
            pack::rows(self, &x[..n_rows * n_in], n_in, 0..n_in, blocks, &mut packed);
        }
        let a: &[f32] = if n_rows > 1 { &packed } else { &x[..n_in] };
        let y = Shared::new(y);
        let max_blocks = TASK_ROWS / self.backend.tile_rows();
        let grid =
            Grid::new(self.pool.n_threads(), weight.n_panels(), 2, blocks.n_blocks, max_blocks);
        self.pool.run(grid.n_tasks(), &|index, _| {
            let (panels, task_blocks) = grid.task(index);
            let column = panels.start * LANES;
            self.backend.run(Sweep {
                blocks,
                first_block: task_blocks.start,
                end_block: task_blocks.end,
                a,
                depth: n_in,
                b: weight.values[panels.start * weight.panel_len()..].as_ptr(),
                b_panel: weight.panel_len(),
                b_is_cold: true,
                c: y.pointer(column),
                c_row: n_out,
                c_panel: LANES,
                n_columns: (panels.len() * LANES).min(n_out - column),
                start: bias.map_or(Start::Zero, |bias| Start::Bias(bias[column..].as_ptr())),
            });
        });
        Ok(())
    }

    /// `dx (+)= dy W`; lengths are the caller's duty.
    pub(crate) fn product_backward_input(
        &self,
        dy: &[f32],
        n_rows: usize,
        weight: &Matrix,
        dx: &mut [f32],
        accumulate: bool,
    ) -> DeviceResult<()> {
        let (n_out, n_in) = (weight.n_out, weight.n_in);
        assert!(
            dy.len() >= n_rows * n_out && dx.len() >= n_rows * n_in,
            "an operand of an input gradient is too short"
        );
        if n_rows == 0 {
            return Ok(());
        }
        let n_threads = self.pool.n_threads();
        let blocks = Blocks::new(n_rows, self.backend.tile_rows());
        let mut packed = self.scratch.take(n_rows * PACK_DEPTH.min(n_out))?;
        let panels_len = PACK_PANELS * PACK_DEPTH * LANES;
        let mut transposed = self.scratch.take(n_threads * panels_len)?;
        let (dx, transposed) = (Shared::new(dx), Shared::new(&mut transposed));
        let n_panels = n_in.div_ceil(LANES);
        // Few rows gain nothing from being split, and each part of them transposes the weights again.
        let grid = Grid::new(n_threads, n_panels, 2, blocks.n_blocks, blocks.n_blocks);
        for first in (0..n_out).step_by(PACK_DEPTH) {
            let outputs = first..(first + PACK_DEPTH).min(n_out);
            pack::rows(self, &dy[..n_rows * n_out], n_out, outputs.clone(), blocks, &mut packed);
            let a: &[f32] = &packed;
            self.pool.run(grid.n_tasks(), &|index, thread| {
                let (panels, task_blocks) = grid.task(index);
                // SAFETY: no two tasks of a job have the same thread at the same time.
                let b = unsafe { transposed.part(thread * panels_len..(thread + 1) * panels_len) };
                for first_panel in panels.clone().step_by(PACK_PANELS) {
                    let panels = first_panel..(first_panel + PACK_PANELS).min(panels.end);
                    let b_panel = outputs.len() * LANES;
                    for (panel, b) in panels.clone().zip(b.chunks_exact_mut(b_panel)) {
                        self.backend.run(pack::Transpose {
                            weight,
                            outputs: outputs.clone(),
                            panel,
                            out: b,
                        });
                    }
                    let column = panels.start * LANES;
                    self.backend.run(Sweep {
                        blocks,
                        first_block: task_blocks.start,
                        end_block: task_blocks.end,
                        a,
                        depth: outputs.len(),
                        b: b.as_ptr(),
                        b_panel,
                        b_is_cold: false,
                        c: dx.pointer(column),
                        c_row: n_in,
                        c_panel: LANES,
                        n_columns: (panels.len() * LANES).min(n_in - column),
                        start: if accumulate || first > 0 { Start::Values } else { Start::Zero },
                    });
                }
            });
        }
        Ok(())
    }

    /// `dW += dyᵀ x`, each element in the order of rows; lengths are the caller's duty.
    pub(crate) fn product_backward_weight(
        &self,
        dy: &[f32],
        x: &[f32],
        n_rows: usize,
        d_weight: &mut Matrix,
    ) -> DeviceResult<()> {
        let (n_out, n_in) = (d_weight.n_out, d_weight.n_in);
        assert!(
            dy.len() >= n_rows * n_out && x.len() >= n_rows * n_in,
            "an operand of a weight gradient is too short"
        );
        if n_rows == 0 {
            return Ok(());
        }
        let n_threads = self.pool.n_threads();
        let blocks = Blocks::new(n_in, self.backend.tile_rows());
        let depth = PACK_DEPTH.min(n_rows);
        let mut packed = self.scratch.take(depth * n_in)?;
        let panels_len = PACK_PANELS * depth * LANES;
        let mut columns = self.scratch.take(n_threads * panels_len)?;
        let columns = Shared::new(&mut columns);
        let (n_panels, panel_len) = (d_weight.n_panels(), d_weight.panel_len());
        let d_weight = Shared::new(&mut d_weight.panels);
        let grid = Grid::new(n_threads, n_panels, 2, blocks.n_blocks, blocks.n_blocks);
        for first in (0..n_rows).step_by(depth) {
            let rows = first..(first + depth).min(n_rows);
            pack::columns(self, &x[rows.start * n_in..rows.end * n_in], n_in, blocks, &mut packed);
            let a: &[f32] = &packed;
            let dy = &dy[rows.start * n_out..rows.end * n_out];
            self.pool.run(grid.n_tasks(), &|index, thread| {
                let (panels, task_blocks) = grid.task(index);
                // SAFETY: no two tasks of a job have the same thread at the same time.
                let b = unsafe { columns.part(thread * panels_len..(thread + 1) * panels_len) };
                for first_panel in panels.clone().step_by(PACK_PANELS) {
                    let panels = first_panel..(first_panel + PACK_PANELS).min(panels.end);
                    let b_panel = rows.len() * LANES;
                    for (panel, b) in panels.clone().zip(b.chunks_exact_mut(b_panel)) {
                        pack::panel(dy, n_out, panel, b);
                    }
                    self.backend.run(Sweep {
                        blocks,
                        first_block: task_blocks.start,
                        end_block: task_blocks.end,
                        a,
                        depth: rows.len(),
                        b: b.as_ptr(),
                        b_panel,
                        b_is_cold: false,
                        c: d_weight.pointer(panels.start * panel_len),
                        c_row: LANES,
                        c_panel: panel_len,
                        n_columns: panels.len() * LANES,
                        start: Start::Values,
                    });
                }
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_tasks_of_a_grid_cover_every_tile_once(
            n_threads in 1_usize..20,
            n_panels in 0_usize..70,
            panel_unit in 1_usize..5,
            n_blocks in 1_usize..50,
            max_blocks in 1_usize..60,
        ) {
            let grid = Grid::new(n_threads, n_panels, panel_unit, n_blocks, max_blocks);
            let mut n_seen = vec![0; n_panels * n_blocks];
            for (panels, blocks) in (0..grid.n_tasks()).map(|index| grid.task(index)) {
                prop_assert!(panels.start.is_multiple_of(panel_unit));
                prop_assert!(blocks.len() <= max_blocks);
                for panel in panels {
                    blocks.clone().for_each(|block| n_seen[panel * n_blocks + block] += 1);
                }
            }
            prop_assert!(n_seen.iter().all(|&n| n == 1), "{grid:?}");
        }
    }

    #[test]
    fn two_threads_share_the_matrices_of_a_small_model_evenly() {
        for n_panels in [12, 36, 96] {
            let grid = Grid::new(2, n_panels, 2, 3, 18);
            let shares: Vec<usize> =
                (0..grid.n_tasks()).map(|index| grid.task(index).0.len()).collect();
            assert!(grid.n_tasks() >= 2 && grid.n_tasks().is_multiple_of(2), "{grid:?}");
            assert!(shares.iter().all(|&share| share == shares[0]), "{shares:?}");
            let first = grid.task(0).0;
            assert_eq!(grid.task(2).0.start, first.end, "a thread's panels follow each other");
        }
    }
}
