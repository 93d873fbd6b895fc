//! Packing of operands into the order in which tiles read them.
#![expect(unsafe_code, reason = "tasks write disjoint blocks of one output")]

use std::ops::Range;

use crate::Cpu;
use crate::gemm::Blocks;
use crate::matrix::Matrix;
use crate::simd::{Kernel, LANES, Simd};
use crate::split::{Shared, part};
use crate::tile::prefetch;
use crate::vectors::load;

/// Blocks of sixteen outputs between the one that is transposed and the one that is asked for: they are too far apart
/// for the machine to follow.
const BLOCKS_AHEAD: usize = 4;

/// Packs columns `columns` of row-major `x` as `[block][column][row of the block]`.
pub(crate) fn rows(
    cpu: &Cpu,
    x: &[f32],
    width: usize,
    columns: Range<usize>,
    blocks: Blocks,
    out: &mut [f32],
) {
    for_blocks(cpu, blocks, columns.len(), out, |rows, out| {
        cpu.backend.run(Interleave {
            x: &x[rows.start * width..rows.end * width],
            width,
            columns: columns.clone(),
            out,
        });
    });
}

/// Packs some columns of a block of at most sixteen rows as `[column][row]`.
struct Interleave<'a> {
    x: &'a [f32],
    width: usize,
    columns: Range<usize>,
    out: &'a mut [f32],
}

impl Kernel for Interleave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, width, columns, out } = self;
        let n_rows = x.len() / width;
        for first in (0..columns.len()).step_by(LANES) {
            let mut vectors = [s.splat(0.0); LANES];
            for (vector, row) in vectors.iter_mut().zip(x.chunks_exact(width)) {
                *vector = load(s, &row[columns.clone()], first);
            }
            let n_columns = LANES.min(columns.len() - first);
            for (i, vector) in s.transpose(vectors).into_iter().take(n_columns).enumerate() {
                // Lanes past the last row are overwritten by the next column, but for those of the last.
                let start = (first + i) * n_rows;
                match out[start..].first_chunk_mut::<LANES>() {
                    Some(lanes) => s.store(vector, lanes),
                    None => s.store_partial(vector, &mut out[start..]),
                }
            }
        }
    }
}

/// Packs the columns of row-major `x` as the rows of A: `[block of columns][row][column of the block]`.
pub(crate) fn columns(cpu: &Cpu, x: &[f32], width: usize, blocks: Blocks, out: &mut [f32]) {
    for_blocks(cpu, blocks, x.len() / width, out, |columns, out| {
        for (to, from) in out.chunks_exact_mut(columns.len()).zip(x.chunks_exact(width)) {
            to.copy_from_slice(&from[columns.clone()]);
        }
    });
}

/// Calls `work(rows of the block, packed block)` for each block.
fn for_blocks(
    cpu: &Cpu,
    blocks: Blocks,
    depth: usize,
    out: &mut [f32],
    work: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    let out = Shared::new(out);
    let n_parts = blocks.n_blocks.min(4 * cpu.pool.n_threads());
    cpu.pool.run(n_parts, &|index, _| {
        for block in part(blocks.n_blocks, index, n_parts) {
            let rows = blocks.rows(block);
            // SAFETY: blocks are disjoint, and each belongs to one task.
            let out = unsafe { out.part(rows.start * depth..rows.end * depth) };
            work(rows, out);
        }
    });
}

/// Packs columns `panel * 16 ..` of row-major `dy` as `[row][16]`, zeros past the width.
pub(crate) fn panel(dy: &[f32], width: usize, panel: usize, out: &mut [f32]) {
    let columns = panel * LANES..((panel + 1) * LANES).min(width);
    for (to, from) in out.chunks_exact_mut(LANES).zip(dy.chunks_exact(width)) {
        let (values, padding) = to.split_at_mut(columns.len());
        values.copy_from_slice(&from[columns.clone()]);
        padding.fill(0.0);
    }
}

/// Packs inputs `panel * 16 ..` of the given outputs of a matrix as `[output][16]`, zeros past the width.
#[derive(Debug)]
pub(crate) struct Transpose<'a> {
    pub(crate) weight: &'a Matrix,
    /// Starts at a multiple of sixteen.
    pub(crate) outputs: Range<usize>,
    pub(crate) panel: usize,
    pub(crate) out: &'a mut [f32],
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { weight, outputs, panel, out } = self;
        let inputs = panel * LANES..((panel + 1) * LANES).min(weight.n_in);
        let n_blocks = outputs.len().div_ceil(LANES);
        for (index, out) in out.chunks_mut(LANES * LANES).enumerate() {
            // After the last block comes the first one of the next panel.
            let ahead = index + BLOCKS_AHEAD;
            let row = weight.row_start(outputs.start + ahead % n_blocks * LANES);
            let ahead = row + (inputs.start + ahead / n_blocks * LANES) * LANES;
            for line in 0..LANES {
                prefetch(weight.panels.as_ptr().wrapping_add(ahead + line * LANES));
            }
            let start = weight.row_start(outputs.start + index * LANES) + inputs.start * LANES;
            let from = weight.panels[start..][..inputs.len() * LANES].as_chunks::<LANES>().0;
            let mut vectors = [s.splat(0.0); LANES];
            for (vector, from) in vectors.iter_mut().zip(from) {
                *vector = s.load(from);
            }
            let vectors = s.transpose(vectors);
            for (vector, to) in vectors.into_iter().zip(out.as_chunks_mut::<LANES>().0) {
                s.store(vector, to);
            }
        }
    }
}
