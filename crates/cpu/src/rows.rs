//! Rows of the embedding table.
#![expect(unsafe_code, reason = "tasks write disjoint columns of one table")]

use crate::Cpu;
use crate::matrix::Matrix;
use crate::simd::LANES;
use crate::split::{Shared, part};

/// Fewest rows worth a task.
const MIN_ROWS: usize = 4;

impl Cpu {
    /// `out[i] = table[tokens[i]]`; operands were checked.
    pub(crate) fn embed_rows(&self, table: &Matrix, tokens: &[u32], out: &mut [f32]) {
        self.pool.split_rows(tokens.len(), MIN_ROWS, [(out, table.n_in)], |rows, [out]| {
            for (out, &token) in out.chunks_exact_mut(table.n_in).zip(&tokens[rows]) {
                table.read_row(token as usize, out);
            }
        });
    }

    /// `d_table[tokens[i]] += d_out[i]` in order of `i`; operands were checked.
    pub(crate) fn embed_backward_rows(&self, d_out: &[f32], tokens: &[u32], d_table: &mut Matrix) {
        // Parts are columns, because tokens may repeat.
        let n_in = d_table.n_in;
        let n_parts = (2 * self.pool.n_threads()).min(n_in);
        let starts: Vec<usize> =
            tokens.iter().map(|&token| d_table.row_start(token as usize)).collect();
        let table = Shared::new(&mut d_table.panels);
        self.pool.run(n_parts, &|index, _| {
            let columns = part(n_in, index, n_parts);
            for (row, &start) in d_out.chunks_exact(n_in).zip(&starts) {
                for column in columns.clone() {
                    let at = start + column * LANES;
                    // SAFETY: a column of the table belongs to one task.
                    let value = unsafe { table.part(at..at + 1) };
                    value[0] += row[column];
                }
            }
        });
    }
}
