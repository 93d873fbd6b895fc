//! Gradients of attention.
//!
//! Sequences that touch no common keys are independent; each set of dependent ones is one task per key-value head,
//! which goes through them in order, so that every gradient is one chain in the order of sequences and queries.

use azr_transformer::{AttentionSequence, AttentionShape, DeviceResult, KeySpan};

use super::{HeadRows, Heads, KEYS, Piece, Scores, cut};
use crate::Cpu;
use crate::simd::{Kernel, LANES, Simd};
use crate::split::Shared;
use crate::tile::{Start, Tile};
use crate::vectors::{dot, load, store};

/// Operands of the backward pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) v: &'a [f32],
    pub(crate) out: &'a [f32],
    pub(crate) lse: &'a [f32],
    pub(crate) d_out: &'a [f32],
}

/// Gradients of the backward pass.
#[derive(Debug, Clone, Copy)]
struct Gradients<'a> {
    dq: Shared<'a>,
    dk: Shared<'a>,
    dv: Shared<'a>,
}

/// One task: the gradients of some queries of one sequence and one key-value head.
struct Backward<'a> {
    heads: Heads,
    operands: Operands<'a>,
    gradients: Gradients<'a>,
    piece: Piece,
    kv_head: usize,
    stride: usize,
    room: Room<'a>,
}

/// Working memory of a task.
struct Room<'a> {
    /// Scaled queries of the rows.
    queries: &'a mut [f32],
    /// Output gradients of the rows.
    d_out: &'a mut [f32],
    /// Query gradients of the rows.
    dq: &'a mut [f32],
    /// Attention weights `[row][key]`.
    weights: &'a mut [f32],
    /// Gradients of the scores `[row][key]`.
    d_scores: &'a mut [f32],
    transposed: &'a mut [f32],
    padded: &'a mut [f32],
}

fn room_lengths(heads: Heads, n_rows: usize, stride: usize) -> [usize; 7] {
    let rows = n_rows * heads.padded_dim;
    let padded =
        if heads.padded_dim == heads.shape.head_dim { 0 } else { stride * heads.padded_dim };
    [rows, rows, rows, n_rows * stride, n_rows * stride, KEYS * heads.padded_dim, padded]
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.load_rows(s);
        let prefix = self.piece.sequence.prefix;
        let own = KeySpan { start: self.piece.sequence.own.start, len: self.piece.max_own_keys() };
        let spans = [(prefix, 0), (own, prefix.len)];
        for (span, first) in spans {
            self.scores(s, span, first);
        }
        self.score_gradients(s);
        for (span, first) in spans {
            self.key_gradients(s, span, first);
        }
        self.store_query_gradients(s);
    }
}

impl Backward<'_> {
    fn n_rows(&self) -> usize {
        self.piece.n_queries * self.heads.group
    }

    #[inline(always)]
    fn load_rows<S: Simd>(&mut self, s: S) {
        let Heads { shape, padded_dim, scale, .. } = self.heads;
        for row in 0..self.n_rows() {
            let start = self.piece.start(self.heads, self.kv_head, row);
            let (q, d_out) = (&self.operands.q[start..], &self.operands.d_out[start..]);
            let (q, d_out) = (&q[..shape.head_dim], &d_out[..shape.head_dim]);
            let queries = &mut self.room.queries[row * padded_dim..][..padded_dim];
            let gradients = &mut self.room.d_out[row * padded_dim..][..padded_dim];
            for i in (0..padded_dim).step_by(LANES) {
                store(s, s.mul(s.splat(scale), load(s, q, i)), queries, i);
                store(s, load(s, d_out, i), gradients, i);
            }
        }
    }

    /// Scores of the queries into `weights`, and `d_out . value` of each key into `d_scores`.
    #[inline(always)]
    fn scores<S: Simd>(&mut self, s: S, span: KeySpan, first: usize) {
        let (heads, stride, n_rows) = (self.heads, self.stride, self.n_rows());
        Scores {
            heads,
            rows: self.room.queries,
            n_rows,
            keys: HeadRows::new(self.operands.k, heads, span, span.len, self.kv_head),
            n_keys: span.len,
            scores: &mut self.room.weights[first..],
            stride,
            room: self.room.transposed,
        }
        .compute(s);
        Scores {
            heads,
            rows: self.room.d_out,
            n_rows,
            keys: HeadRows::new(self.operands.v, heads, span, span.len, self.kv_head),
            n_keys: span.len,
            scores: &mut self.room.d_scores[first..],
            stride,
            room: self.room.transposed,
        }
        .compute(s);
    }

    /// With `p` the weights and `D = out . d_out`: `d_score = p (value . d_out - D)`; keys not seen get 0.
    #[inline(always)]
    fn score_gradients<S: Simd>(&mut self, s: S) {
        let (heads, max_keys) = (self.heads, self.piece.max_keys());
        for row in 0..self.n_rows() {
            let start = self.piece.start(heads, self.kv_head, row);
            let values = start..start + heads.shape.head_dim;
            let mean =
                s.splat(dot(s, &self.operands.out[values.clone()], &self.operands.d_out[values]));
            let lse = s.splat(self.operands.lse[start / heads.shape.head_dim]);
            let n_keys = self.piece.sequence.prefix.len + self.piece.n_own_keys(row / heads.group);
            let weights = &mut self.room.weights[row * self.stride..][..max_keys];
            let d_scores = &mut self.room.d_scores[row * self.stride..][..max_keys];
            weights[n_keys..].fill(0.0);
            d_scores[n_keys..].fill(0.0);
            let (weights, d_scores) = (&mut weights[..n_keys], &mut d_scores[..n_keys]);
            for i in (0..n_keys).step_by(LANES) {
                let p = s.exp(s.sub(load(s, weights, i), lse));
                store(s, s.mul(p, s.sub(load(s, d_scores, i), mean)), d_scores, i);
                store(s, p, weights, i);
            }
        }
    }

    /// Adds to the gradients of the span's keys and values, and continues the gradients of the queries.
    #[inline(always)]
    fn key_gradients<S: Simd>(&mut self, s: S, span: KeySpan, first: usize) {
        let Heads { shape, padded_dim, key_width, .. } = self.heads;
        if span.len == 0 && first > 0 {
            return;
        }
        let n_rows = self.n_rows();
        let start = span.start * key_width + self.kv_head * shape.head_dim;
        let keys = HeadRows::new(self.operands.k, self.heads, span, span.len, self.kv_head);
        let keys = keys.padded(self.heads, span.len, self.room.padded);
        let queries = Tile {
            k: span.len,
            a: self.room.d_scores[first..].as_ptr(),
            a_row: self.stride,
            a_step: 1,
            b: keys.values.as_ptr(),
            b_panel: LANES,
            b_step: keys.step,
            c: self.room.dq.as_mut_ptr(),
            c_row: padded_dim,
            c_panel: LANES,
            n_columns: padded_dim,
            ahead: std::ptr::null(),
            ahead_step: 0,
            start: if first == 0 { Start::Zero } else { Start::Values },
        };
        // SAFETY: there are `n_rows` rows of score gradients and query gradients, and `span.len` keys.
        unsafe { s.multiply(n_rows, &queries) };
        for first_key in (0..span.len).step_by(S::TILE_ROWS) {
            let n_keys = S::TILE_ROWS.min(span.len - first_key);
            let gradient = |gradients: Shared<'_>, factors: &[f32], rows: &[f32]| {
                let tile = Tile {
                    k: n_rows,
                    a: factors[first + first_key..].as_ptr(),
                    a_row: 1,
                    a_step: self.stride,
                    b: rows.as_ptr(),
                    b_panel: LANES,
                    b_step: padded_dim,
                    c: gradients.pointer(start + first_key * key_width),
                    c_row: key_width,
                    c_panel: LANES,
                    n_columns: shape.head_dim,
                    ahead: std::ptr::null(),
                    ahead_step: 0,
                    start: Start::Values,
                };
                // SAFETY: the factors are `n_rows` rows that hold the span's keys, the gradients have the length of
                // the keys, and this head of these keys belongs to one task.
                unsafe { s.multiply(n_keys, &tile) };
            };
            gradient(self.gradients.dv, self.room.weights, self.room.d_out);
            gradient(self.gradients.dk, self.room.d_scores, self.room.queries);
        }
    }

    #[inline(always)]
    fn store_query_gradients<S: Simd>(&mut self, s: S) {
        let Heads { shape, padded_dim, scale, .. } = self.heads;
        for row in 0..self.n_rows() {
            let start = self.piece.start(self.heads, self.kv_head, row);
            let from = &self.room.dq[row * padded_dim..][..shape.head_dim];
            // SAFETY: a query head belongs to one task.
            let to = unsafe { self.gradients.dq.part(start..start + shape.head_dim) };
            for i in (0..shape.head_dim).step_by(LANES) {
                store(s, s.mul(s.splat(scale), load(s, from, i)), to, i);
            }
        }
    }
}

/// Indices of `sequences` in sets that touch no common keys, each in order.
fn independent_sets(sequences: &[AttentionSequence]) -> Vec<Vec<usize>> {
    let mut spans: Vec<(KeySpan, usize)> = sequences
        .iter()
        .enumerate()
        .flat_map(|(index, sequence)| [(sequence.prefix, index), (sequence.own, index)])
        .filter(|(span, _)| span.len > 0)
        .collect();
    spans.sort_by_key(|(span, _)| span.start);
    // Sweep: a span that starts before the end of the spans so far overlaps one of them.
    let mut set_of: Vec<usize> = (0..sequences.len()).collect();
    let mut end = 0;
    let mut last = None;
    for (span, index) in spans {
        if let Some(last) = last.filter(|_| span.start < end) {
            let (from, to) = (set_of[index], set_of[last]);
            for set in set_of.iter_mut().filter(|set| **set == from) {
                *set = to;
            }
        }
        last = Some(index);
        end = end.max(span.start + span.len);
    }
    let mut sets = vec![Vec::new(); sequences.len()];
    for (index, set) in set_of.into_iter().enumerate() {
        sets[set].push(index);
    }
    sets.retain(|set| !set.is_empty());
    sets
}

impl Cpu {
    /// The backward pass; operands were checked.
    pub(crate) fn attend_backward(
        &self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        operands: Operands<'_>,
        [dq, dk, dv]: [&mut [f32]; 3],
    ) -> DeviceResult<()> {
        let heads = Heads::new(shape);
        let sets = independent_sets(sequences);
        let max_keys = sequences
            .iter()
            .map(|sequence| sequence.prefix.len + sequence.own.len)
            .max()
            .unwrap_or(0);
        let queries_per_task = heads.queries_per_task(max_keys);
        let stride = max_keys.next_multiple_of(LANES);
        let lengths = room_lengths(heads, queries_per_task * heads.group, stride);
        let room_len: usize = lengths.iter().sum();
        let mut memory = self.scratch.take(self.pool.n_threads() * room_len)?;
        let memory = Shared::new(&mut memory);
        let gradients = Gradients { dq: Shared::new(dq), dk: Shared::new(dk), dv: Shared::new(dv) };
        self.pool.run(sets.len() * shape.n_kv_heads, &|task, thread| {
            for &index in &sets[task / shape.n_kv_heads] {
                let sequence = sequences[index];
                for first_query in (0..sequence.n_queries).step_by(queries_per_task) {
                    let n_queries = queries_per_task.min(sequence.n_queries - first_query);
                    // SAFETY: no two tasks of a job have the same thread at the same time.
                    let memory = unsafe { memory.part(thread * room_len..(thread + 1) * room_len) };
                    let [queries, d_out, dq, weights, d_scores, transposed, padded] =
                        cut(memory, lengths);
                    self.backend.run(Backward {
                        heads,
                        operands,
                        gradients,
                        piece: Piece { sequence, first_query, n_queries, first_row: 0 },
                        kv_head: task % shape.n_kv_heads,
                        stride,
                        room: Room { queries, d_out, dq, weights, d_scores, transposed, padded },
                    });
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_with_common_keys_are_one_set() {
        let sequence = |prefix: (usize, usize), own: (usize, usize)| AttentionSequence {
            query_start: 0,
            n_queries: 1,
            prefix: KeySpan { start: prefix.0, len: prefix.1 },
            own: KeySpan { start: own.0, len: own.1 },
        };
        let sequences = [
            sequence((0, 5), (10, 3)),
            sequence((0, 0), (20, 4)),
            sequence((0, 5), (13, 3)),
            sequence((22, 1), (30, 2)),
            sequence((0, 0), (40, 2)),
            sequence((2, 2), (50, 1)),
        ];
        assert_eq!(independent_sets(&sequences), [vec![0, 2, 5], vec![1, 3], vec![4]]);
    }
}
