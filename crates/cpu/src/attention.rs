//! Causal attention over a shared prefix and own keys, by register tiles.
//!
//! A task takes one key-value head and some rows, a row being one query of one of the heads of the group. It forms
//! the whole row of scores (prefix keys, then own keys), so that the result depends on the order of the keys alone
//! and neither on the number of rows nor on where the prefix ends. Sequences that follow each other and share a
//! prefix are taken together, so that its keys and values are read once.
#![expect(
    unsafe_code,
    reason = "operands are strided views, and tasks write disjoint heads of one output"
)]

pub(crate) mod backward;

use azr_transformer::{AttentionSequence, AttentionShape, DeviceResult, KeySpan};

use crate::Cpu;
use crate::simd::{Kernel, LANES, Simd};
use crate::split::Shared;
use crate::tile::{Start, Tile, prefetch};
use crate::vectors::{load, load_or, max, store};

/// Numbers of the scores of one task: half of a second cache.
const SCORES: usize = 1 << 17;
/// Most queries of one task.
const MAX_QUERIES: usize = 32;
/// Keys that are transposed at a time.
const KEYS: usize = 64;
/// Keys between the one that is transposed and the one that is asked for: those of one head are too short and too far
/// apart for the machine to follow.
const KEYS_AHEAD: usize = 24;
/// The same of rows of queries.
const ROWS_AHEAD: usize = 12;
/// Rows that are weighed together as far as their queries see the same keys.
const COMMON_ROWS: usize = 8;

/// Consecutive queries of one sequence.
#[derive(Debug, Clone, Copy)]
struct Piece {
    sequence: AttentionSequence,
    first_query: usize,
    n_queries: usize,
    /// First of the task's rows that belongs to the piece.
    first_row: usize,
}

impl Piece {
    /// Own keys that query `index` of the piece sees.
    fn n_own_keys(&self, index: usize) -> usize {
        self.sequence.own.len - self.sequence.n_queries + self.first_query + index + 1
    }

    /// Own keys that the last query of the piece sees.
    fn max_own_keys(&self) -> usize {
        self.n_own_keys(self.n_queries - 1)
    }

    fn max_keys(&self) -> usize {
        self.sequence.prefix.len + self.max_own_keys()
    }
}

/// Heads and widths of a call.
#[derive(Debug, Clone, Copy)]
struct Heads {
    shape: AttentionShape,
    /// Query heads of one key-value head.
    group: usize,
    /// Width of a head rounded up to whole vectors.
    padded_dim: usize,
    /// Width of a row of keys or values.
    key_width: usize,
    scale: f32,
}

impl Heads {
    fn new(shape: AttentionShape) -> Self {
        Self {
            shape,
            group: shape.n_heads / shape.n_kv_heads,
            padded_dim: shape.head_dim.next_multiple_of(LANES),
            key_width: shape.n_kv_heads * shape.head_dim,
            scale: (1.0 / (shape.head_dim as f64).sqrt()) as f32,
        }
    }

    /// Queries of one task whose rows of scores hold `max_keys` numbers.
    fn queries_per_task(&self, max_keys: usize) -> usize {
        (SCORES / (self.group * max_keys.next_multiple_of(LANES))).clamp(1, MAX_QUERIES)
    }
}

/// Keys or values of one span and one head: rows of `shape.head_dim` numbers, `step` apart.
#[derive(Debug, Clone, Copy)]
struct HeadRows<'a> {
    /// Starts with the first number of the first row.
    values: &'a [f32],
    step: usize,
}

impl<'a> HeadRows<'a> {
    fn new(values: &'a [f32], heads: Heads, span: KeySpan, n_keys: usize, kv_head: usize) -> Self {
        let start = span.start * heads.key_width + kv_head * heads.shape.head_dim;
        let end = (span.start + n_keys) * heads.key_width;
        Self { values: if n_keys == 0 { &[] } else { &values[start..end] }, step: heads.key_width }
    }

    fn row(self, index: usize, head_dim: usize) -> &'a [f32] {
        &self.values[index * self.step..][..head_dim]
    }

    /// Rows in whole vectors: as they are if the width of a head allows it, else copied to `room`.
    #[inline(always)]
    fn padded<'b>(self, heads: Heads, n_rows: usize, room: &'b mut [f32]) -> HeadRows<'b>
    where
        'a: 'b,
    {
        if heads.padded_dim == heads.shape.head_dim {
            return self;
        }
        for (index, to) in room.chunks_exact_mut(heads.padded_dim).take(n_rows).enumerate() {
            let (values, padding) = to.split_at_mut(heads.shape.head_dim);
            values.copy_from_slice(self.row(index, heads.shape.head_dim));
            padding.fill(0.0);
        }
        HeadRows { values: room, step: heads.padded_dim }
    }
}

/// Asks for one row of one head, which need not exist.
#[inline(always)]
fn prefetch_head(start: *const f32, heads: Heads) {
    for i in (0..heads.shape.head_dim).step_by(LANES) {
        prefetch(start.wrapping_add(i));
    }
}

/// `scores[row][key] = rows[row] . keys[key]` for `n_rows` rows of `padded_dim` numbers.
#[derive(Debug)]
struct Scores<'a> {
    heads: Heads,
    rows: &'a [f32],
    n_rows: usize,
    keys: HeadRows<'a>,
    n_keys: usize,
    /// Starts with the score of row 0 and key 0.
    scores: &'a mut [f32],
    stride: usize,
    /// Room for [`KEYS`] transposed keys.
    room: &'a mut [f32],
}

impl Scores<'_> {
    #[inline(always)]
    fn compute<S: Simd>(self, s: S) {
        let Heads { shape, padded_dim, .. } = self.heads;
        if self.n_keys == 0 || self.n_rows == 0 {
            return;
        }
        assert!(
            self.rows.len() >= self.n_rows * padded_dim
                && self.scores.len() >= (self.n_rows - 1) * self.stride + self.n_keys
                && self.room.len() >= KEYS * padded_dim,
            "an operand of the scores is too short"
        );
        for first in (0..self.n_keys).step_by(KEYS) {
            let n_keys = KEYS.min(self.n_keys - first);
            // [panel of keys][number of the head][16 keys]
            for (panel, room) in self.room.chunks_exact_mut(padded_dim * LANES).enumerate() {
                let first = first + panel * LANES;
                let n_keys = self.n_keys.saturating_sub(first).min(LANES);
                if n_keys == 0 {
                    break;
                }
                for key in first + KEYS_AHEAD..first + KEYS_AHEAD + n_keys {
                    let start = self.keys.values.as_ptr().wrapping_add(key * self.keys.step);
                    prefetch_head(start, self.heads);
                }
                for (part, room) in room.chunks_exact_mut(LANES * LANES).enumerate() {
                    let mut vectors = [s.splat(0.0); LANES];
                    for (key, vector) in vectors.iter_mut().take(n_keys).enumerate() {
                        *vector = load(s, self.keys.row(first + key, shape.head_dim), part * LANES);
                    }
                    let vectors = s.transpose(vectors);
                    for (i, vector) in vectors.into_iter().enumerate() {
                        store(s, vector, room, i * LANES);
                    }
                }
            }
            let tile = Tile {
                k: padded_dim,
                a: self.rows.as_ptr(),
                a_row: padded_dim,
                a_step: 1,
                b: self.room.as_ptr(),
                b_panel: padded_dim * LANES,
                b_step: LANES,
                c: self.scores[first..].as_mut_ptr(),
                c_row: self.stride,
                c_panel: LANES,
                n_columns: n_keys,
                ahead: std::ptr::null(),
                ahead_step: 0,
                start: Start::Zero,
            };
            // SAFETY: the lengths were asserted; the scores are borrowed mutably.
            unsafe { s.multiply(self.n_rows, &tile) };
        }
    }
}

/// Operands of the forward pass.
#[derive(Debug, Clone, Copy)]
struct Operands<'a> {
    heads: Heads,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    out: Shared<'a>,
    lse: Shared<'a>,
}

/// One task: some rows of one key-value head whose sequences share a prefix.
struct Forward<'a> {
    operands: Operands<'a>,
    pieces: &'a [Piece],
    kv_head: usize,
    stride: usize,
    room: Room<'a>,
}

/// Working memory of a task.
#[derive(Debug)]
struct Room<'a> {
    /// Scaled queries of the rows.
    queries: &'a mut [f32],
    scores: &'a mut [f32],
    results: &'a mut [f32],
    /// Reciprocal of each row's sum of exponentials.
    inverses: &'a mut [f32],
    transposed: &'a mut [f32],
    padded: &'a mut [f32],
}

/// Lengths of the parts of a [`Room`].
fn room_lengths(heads: Heads, n_rows: usize, stride: usize) -> [usize; 6] {
    let padded =
        if heads.padded_dim == heads.shape.head_dim { 0 } else { stride * heads.padded_dim };
    let rows = n_rows * heads.padded_dim;
    [rows, n_rows * stride, rows, n_rows.next_multiple_of(LANES), KEYS * heads.padded_dim, padded]
}

/// Cuts `memory` into parts of the given lengths.
fn cut<const N: usize>(mut memory: &mut [f32], lengths: [usize; N]) -> [&mut [f32]; N] {
    lengths.map(|length| {
        let (part, rest) = std::mem::take(&mut memory).split_at_mut(length);
        memory = rest;
        part
    })
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Operands { heads, k, .. } = self.operands;
        let last = &self.pieces[self.pieces.len() - 1];
        let n_rows = last.first_row + last.n_queries * heads.group;
        self.load_queries(s);
        let prefix = self.pieces[0].sequence.prefix;
        let stride = self.stride;
        Scores {
            heads,
            rows: self.room.queries,
            n_rows,
            keys: HeadRows::new(k, heads, prefix, prefix.len, self.kv_head),
            n_keys: prefix.len,
            scores: self.room.scores,
            stride,
            room: self.room.transposed,
        }
        .compute(s);
        for piece in self.pieces {
            let n_keys = piece.max_own_keys();
            Scores {
                heads,
                rows: &self.room.queries[piece.first_row * heads.padded_dim..],
                n_rows: piece.n_queries * heads.group,
                keys: HeadRows::new(k, heads, piece.sequence.own, n_keys, self.kv_head),
                n_keys,
                scores: &mut self.room.scores[piece.first_row * stride + prefix.len..],
                stride,
                room: self.room.transposed,
            }
            .compute(s);
        }
        self.softmax(s);
        self.weigh_values(s, n_rows);
        self.store_results(s);
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn load_queries<S: Simd>(&mut self, s: S) {
        let Operands { heads, q, .. } = self.operands;
        let scale = s.splat(heads.scale);
        for piece in self.pieces {
            for row in 0..piece.n_queries * heads.group {
                let from = &q[piece.start(heads, self.kv_head, row)..][..heads.shape.head_dim];
                let ahead = piece.start(heads, self.kv_head, row + ROWS_AHEAD);
                prefetch_head(q.as_ptr().wrapping_add(ahead), heads);
                let to = &mut self.room.queries[(piece.first_row + row) * heads.padded_dim..]
                    [..heads.padded_dim];
                for i in (0..heads.padded_dim).step_by(LANES) {
                    store(s, s.mul(scale, load(s, from, i)), to, i);
                }
            }
        }
    }

    /// Turns scores into exponentials relative to each row's largest score.
    #[inline(always)]
    fn softmax<S: Simd>(&mut self, s: S) {
        let heads = self.operands.heads;
        for piece in self.pieces {
            for row in 0..piece.n_queries * heads.group {
                let n_keys = piece.sequence.prefix.len + piece.n_own_keys(row / heads.group);
                let row_index = piece.first_row + row;
                let scores = &mut self.room.scores[row_index * self.stride..][..n_keys];
                let largest = max(s, scores);
                let (shift, mut sum) = (s.splat(largest), s.splat(0.0));
                for i in (0..n_keys).step_by(LANES) {
                    let e = s.exp(s.sub(load_or(s, scores, i, f32::NEG_INFINITY), shift));
                    sum = s.add(sum, e);
                    store(s, e, scores, i);
                }
                let sum = s.reduce_add(sum);
                self.room.inverses[row_index] = 1.0 / sum;
                let query = piece.start(heads, self.kv_head, row) / heads.shape.head_dim;
                // SAFETY: a query head belongs to one task.
                let lse = unsafe { self.operands.lse.part(query..query + 1) };
                lse[0] = largest + sum.ln();
            }
        }
    }

    /// Sums the values of each row's keys, weighted by the exponentials.
    #[inline(always)]
    fn weigh_values<S: Simd>(&mut self, s: S, n_rows: usize) {
        let Operands { heads, v, .. } = self.operands;
        let prefix = self.pieces[0].sequence.prefix;
        let values = HeadRows::new(v, heads, prefix, prefix.len, self.kv_head);
        let values = values.padded(heads, prefix.len, self.room.padded);
        let tile = Tile {
            k: prefix.len,
            a: self.room.scores.as_ptr(),
            a_row: self.stride,
            a_step: 1,
            b: values.values.as_ptr(),
            b_panel: LANES,
            b_step: values.step,
            c: self.room.results.as_mut_ptr(),
            c_row: heads.padded_dim,
            c_panel: LANES,
            n_columns: heads.padded_dim,
            ahead: std::ptr::null(),
            ahead_step: 0,
            start: Start::Zero,
        };
        // SAFETY: there are `n_rows` rows of scores and results, and `prefix.len` rows of whole vectors of values.
        unsafe { s.multiply(n_rows, &tile) };
        for piece in self.pieces {
            let n_keys = piece.max_own_keys();
            let values = HeadRows::new(v, heads, piece.sequence.own, n_keys, self.kv_head);
            let values = values.padded(heads, n_keys, self.room.padded);
            let height = (S::TILE_ROWS.min(COMMON_ROWS) / heads.group).max(1);
            // The part of the chain from own key `from` to `to` of some of the piece's queries.
            let extend = |queries: std::ops::Range<usize>, from: usize, to: usize| {
                let row = piece.first_row + queries.start * heads.group;
                let tile = Tile {
                    k: to - from,
                    a: tile.a.wrapping_add(row * self.stride + prefix.len + from),
                    b: values.values.as_ptr().wrapping_add(from * values.step),
                    b_step: values.step,
                    c: tile.c.wrapping_add(row * heads.padded_dim),
                    start: Start::Values,
                    ..tile
                };
                // SAFETY: the rows are the piece's, the keys are among those its last query sees.
                unsafe { s.multiply(queries.len() * heads.group, &tile) };
            };
            for first in (0..piece.n_queries).step_by(height) {
                let queries = first..(first + height).min(piece.n_queries);
                let n_common = piece.n_own_keys(first);
                extend(queries.clone(), 0, n_common);
                for query in queries.skip(1) {
                    extend(query..query + 1, n_common, piece.n_own_keys(query));
                }
            }
        }
    }

    #[inline(always)]
    fn store_results<S: Simd>(&mut self, s: S) {
        let heads = self.operands.heads;
        for piece in self.pieces {
            for row in 0..piece.n_queries * heads.group {
                let start = piece.start(heads, self.kv_head, row);
                let row = piece.first_row + row;
                let from = &self.room.results[row * heads.padded_dim..][..heads.shape.head_dim];
                let factor = s.splat(self.room.inverses[row]);
                // SAFETY: a query head belongs to one task.
                let to = unsafe { self.operands.out.part(start..start + heads.shape.head_dim) };
                for i in (0..heads.shape.head_dim).step_by(LANES) {
                    store(s, s.mul(factor, load(s, from, i)), to, i);
                }
            }
        }
    }
}

impl Piece {
    /// Where row `row` of the piece starts in a buffer of query heads.
    fn start(&self, heads: Heads, kv_head: usize, row: usize) -> usize {
        let query = self.sequence.query_start + self.first_query + row / heads.group;
        (query * heads.shape.n_heads + kv_head * heads.group + row % heads.group)
            * heads.shape.head_dim
    }
}

/// Divides the queries of sequences that share a prefix into tasks.
fn pieces(heads: Heads, sequences: &[AttentionSequence]) -> Vec<Vec<Piece>> {
    let mut tasks: Vec<Vec<Piece>> = Vec::new();
    for run in sequences.chunk_by(|a, b| a.prefix == b.prefix && a.prefix.len > 0) {
        let max_keys =
            run.iter().map(|sequence| sequence.prefix.len + sequence.own.len).max().unwrap_or(0);
        let room = heads.queries_per_task(max_keys);
        let mut left = 0;
        for &sequence in run {
            let mut first_query = 0;
            while first_query < sequence.n_queries {
                if left == 0 {
                    tasks.push(Vec::new());
                    left = room;
                }
                let n_queries = left.min(sequence.n_queries - first_query);
                if let Some(task) = tasks.last_mut() {
                    let first_row = (room - left) * heads.group;
                    task.push(Piece { sequence, first_query, n_queries, first_row });
                }
                left -= n_queries;
                first_query += n_queries;
            }
        }
    }
    tasks
}

impl Cpu {
    /// The forward pass; operands were checked.
    #[expect(clippy::too_many_arguments, reason = "these are attention's operands")]
    pub(crate) fn attend(
        &self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        q: &[f32],
        k: &[f32],
        v: &[f32],
        out: &mut [f32],
        lse: &mut [f32],
    ) -> DeviceResult<()> {
        let heads = Heads::new(shape);
        let tasks = pieces(heads, sequences);
        let stride_of = |task: &[Piece]| {
            task.iter().map(Piece::max_keys).max().unwrap_or(0).next_multiple_of(LANES)
        };
        let lengths_of = |task: &[Piece]| {
            let n_rows = task.iter().map(|piece| piece.n_queries).sum::<usize>() * heads.group;
            room_lengths(heads, n_rows, stride_of(task))
        };
        let room_len = tasks.iter().map(|task| lengths_of(task).iter().sum()).max().unwrap_or(0);
        let mut memory = self.scratch.take(self.pool.n_threads() * room_len)?;
        let memory = Shared::new(&mut memory);
        let operands = Operands { heads, q, k, v, out: Shared::new(out), lse: Shared::new(lse) };
        self.pool.run(tasks.len() * shape.n_kv_heads, &|index, thread| {
            let pieces = &tasks[index / shape.n_kv_heads];
            // SAFETY: no two tasks of a job have the same thread at the same time.
            let memory = unsafe { memory.part(thread * room_len..(thread + 1) * room_len) };
            let [queries, scores, results, inverses, transposed, padded] =
                cut(memory, lengths_of(pieces));
            self.backend.run(Forward {
                operands,
                pieces,
                kv_head: index % shape.n_kv_heads,
                stride: stride_of(pieces),
                room: Room { queries, scores, results, inverses, transposed, padded },
            });
        });
        Ok(())
    }
}
