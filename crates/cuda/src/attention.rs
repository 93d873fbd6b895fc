//! Attention: the host says which queries and keys go together, kernels do the rest.

mod decode;
mod plan;

use azr_transformer::checks::attention as check;
use azr_transformer::{AttentionSequence, AttentionShape, DeviceResult};

use crate::arguments::Arguments;
use crate::blas::Numbers;
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::rows::Access;
use crate::storage::{Buffer, common_numbers};
use crate::transfer::BLOCK;

pub(crate) use plan::Plans;
use plan::QueryTile;

/// Rows of a tile of the kernels in float32 arithmetic, threads of a row, and what they take of the other side at once;
/// see `kernels/attention_simt.cuh` and `kernels/attention_backward.cu`.
const ROWS: usize = 16;
const LANES: usize = 8;
const COLUMNS: usize = 32;
/// Rows of a tile of the kernels for tensor cores, and threads of their blocks.
const MMA_ROWS: usize = 64;
const MMA_THREADS: u32 = 128;
/// Widest head.
const MAX_HEAD_DIM: usize = 256;

/// Pointers to the operands of attention.
#[derive(Clone, Copy)]
struct Operands {
    numbers: Numbers,
    q: u64,
    k: u64,
    v: u64,
    out: u64,
    lse: u64,
}

/// What the backward pass adds to them.
pub(crate) struct Gradients<'a> {
    pub(crate) d_out: &'a Buffer,
    pub(crate) dq: &'a mut Buffer,
    pub(crate) dk: &'a mut Buffer,
    pub(crate) dv: &'a mut Buffer,
}

/// The operands of the forward pass, all checked.
pub(crate) struct Forward<'a> {
    pub(crate) q: &'a Buffer,
    pub(crate) k: &'a Buffer,
    pub(crate) v: &'a Buffer,
    pub(crate) out: &'a Buffer,
    pub(crate) lse: &'a Buffer,
}

impl Forward<'_> {
    fn check(
        &self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
    ) -> DeviceResult<(Operands, [usize; 2])> {
        let (n_queries, n_keys) = check(shape, sequences)?;
        let (width, kv_width) = (shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim);
        azr_transformer::checks::ensure(shape.head_dim <= MAX_HEAD_DIM, || {
            format!("heads of width {}; at most {MAX_HEAD_DIM} are possible", shape.head_dim)
        })?;
        let operands = Operands {
            numbers: common_numbers(&[self.q, self.k, self.v, self.out])?,
            q: self.q.rows("q", n_queries, width)?,
            k: self.k.rows("k", n_keys, kv_width)?,
            v: self.v.rows("v", n_keys, kv_width)?,
            out: self.out.rows("out", n_queries, width)?,
            lse: self.lse.values("lse", n_queries, shape.n_heads)?,
        };
        Ok((operands, [n_queries, n_keys]))
    }
}

impl Engine {
    pub(crate) fn attention(
        &mut self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        forward: &Forward<'_>,
    ) -> DeviceResult<()> {
        let (operands, _) = forward.check(shape, sequences)?;
        if sequences.iter().all(|sequence| sequence.n_queries <= 1) {
            return self.decode_attention(shape, sequences, operands);
        }
        let Operands { numbers, q, k, v, out, lse } = operands;
        let family = Family::of(numbers, shape);
        let (tiles, n_tiles) = self.query_tiles(shape, sequences, family.rows())?;
        let arguments = Arguments::new().pointers([tiles, q, k, v, out, lse]);
        let (file, kernel) = family.kernel(["attention", "flash_attention"], "", numbers, shape);
        let grid = Grid {
            shared_bytes: family.forward_shared_bytes(shape),
            ..family.grid(n_tiles, shape)
        };
        let arguments = family.arguments(arguments, shape);
        self.launch(Name { file, kernel: &kernel }, grid, arguments)
    }

    pub(crate) fn attention_backward(
        &mut self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        forward: &Forward<'_>,
        gradients: Gradients<'_>,
    ) -> DeviceResult<()> {
        let (operands, [n_queries, n_keys]) = forward.check(shape, sequences)?;
        let Gradients { d_out, dq, dk, dv } = gradients;
        common_numbers(&[forward.q, d_out, dq, dk, dv])?;
        let AttentionShape { n_heads, n_kv_heads, head_dim } = shape;
        let d_out = d_out.rows("d_out", n_queries, n_heads * head_dim)?;
        let dq = dq.rows("dq", n_queries, n_heads * head_dim)?;
        let dk = dk.rows("dk", n_keys, n_kv_heads * head_dim)?;
        let dv = dv.rows("dv", n_keys, n_kv_heads * head_dim)?;
        let Operands { numbers, q, k, v, out, lse } = operands;

        let n_dots = n_queries * n_heads;
        let delta = self.scratch("attention's delta", 4 * n_dots)?;
        let access = Access::of(numbers, head_dim, &[out, d_out]);
        let arguments = Arguments::new().pointers([out, d_out, delta]).int(n_dots).int(head_dim);
        let file = "attention_backward";
        let name = Name { file, kernel: &access.kernel("attention_delta") };
        self.launch(name, Grid::items(n_dots * LANES, BLOCK), arguments)?;

        let family = Family::of(numbers, shape);
        let files = ["attention_backward", "flash_attention_backward"];
        let (tiles, n_tiles) = self.query_tiles(shape, sequences, family.rows())?;
        let arguments = Arguments::new().pointers([tiles, q, k, v, lse, delta, d_out, dq]);
        let (file, kernel) = family.kernel(files, "_q", numbers, shape);
        let shared_bytes = family.backward_shared_bytes(shape);
        let grid = Grid { shared_bytes, ..family.grid(n_tiles, shape) };
        let arguments = family.arguments(arguments, shape);
        self.launch(Name { file, kernel: &kernel }, grid, arguments)?;

        let rows = family.rows();
        let plan = self.plans.keys(sequences, rows);
        let (tiles, viewers) = (
            self.stage_once("tiles of keys", &plan.tiles)?,
            self.stage_once("viewers of keys", &plan.viewers)?,
        );
        let slot_bytes = 4 * 2 * rows * n_kv_heads * head_dim;
        let parts = self.scratch("parts of gradients", plan.n_slots * slot_bytes)?;
        let arguments = Arguments::new()
            .pointers([tiles, viewers, q, k, v, lse, delta, d_out])
            .pointers([dk, dv, parts]);
        let (file, kernel) = family.kernel(files, "_kv", numbers, shape);
        let grid = Grid { blocks: [plan.tiles.len(), n_kv_heads, 1], ..grid };
        let arguments = family.arguments(arguments, shape);
        self.launch(Name { file, kernel: &kernel }, grid, arguments)?;

        let kernel = match numbers {
            Numbers::F32 => "attention_add_parts_f32",
            Numbers::Bf16 => "attention_add_parts_bf16",
        };
        let blocks = [plan.parts.len(), (rows * n_kv_heads * head_dim).div_ceil(BLOCK as usize), 1];
        let grid = Grid { blocks, threads: BLOCK, shared_bytes: 0 };
        let arguments = Arguments::new().pointers([
            self.stage_once("parts of keys", &plan.parts)?,
            parts,
            dk,
            dv,
        ]);
        let arguments = arguments.int(rows).int(n_kv_heads).int(head_dim);
        self.launch(Name { file: files[0], kernel }, grid, arguments)
    }

    /// Tiles of at most `n_rows` queries of the heads of a group, on the GPU, and how many.
    fn query_tiles(
        &mut self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        n_rows: usize,
    ) -> DeviceResult<(u64, usize)> {
        let group = shape.n_heads / shape.n_kv_heads;
        let plan = self.plans.queries(sequences, (n_rows / group).max(1));
        let tiles: &[QueryTile] = &plan;
        Ok((self.stage_once("tiles of queries", tiles)?, tiles.len()))
    }
}

/// Which kernels do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Float32 arithmetic, for everything.
    Float,
    /// Tensor cores, for bfloat16 and the usual heads.
    TensorCores,
}

impl Family {
    fn of(numbers: Numbers, shape: AttentionShape) -> Self {
        let group = shape.n_heads / shape.n_kv_heads;
        let is_usual = matches!(shape.head_dim, 64 | 128) && group <= MMA_ROWS;
        if numbers == Numbers::Bf16 && is_usual { Self::TensorCores } else { Self::Float }
    }

    /// Rows of a tile: queries in all heads of a group, or keys.
    const fn rows(self) -> usize {
        match self {
            Self::Float => ROWS,
            Self::TensorCores => MMA_ROWS,
        }
    }

    /// The file and the name of a kernel, `files` being those of the two families.
    fn kernel(
        self,
        files: [&'static str; 2],
        part: &str,
        numbers: Numbers,
        shape: AttentionShape,
    ) -> (&'static str, String) {
        let [float, tensor_cores] = files;
        match self {
            Self::Float => {
                let dim = rounded_dim(shape.head_dim);
                (float, format!("{float}{part}_{}_{dim}", numbers.name()))
            }
            Self::TensorCores => (tensor_cores, format!("{tensor_cores}{part}_{}", shape.head_dim)),
        }
    }

    /// Blocks for tiles of queries: by key-value heads, and in float32 arithmetic by parts of groups that have more heads
    /// than a tile has rows.
    fn grid(self, n_tiles: usize, shape: AttentionShape) -> Grid {
        let n_parts = (shape.n_heads / shape.n_kv_heads).div_ceil(self.rows());
        let threads = match self {
            Self::Float => (ROWS * LANES) as u32,
            Self::TensorCores => MMA_THREADS,
        };
        Grid { blocks: [n_tiles, shape.n_kv_heads, n_parts], threads, shared_bytes: 0 }
    }

    const fn forward_shared_bytes(self, shape: AttentionShape) -> u32 {
        match self {
            Self::Float => (2 * COLUMNS * rounded_dim(shape.head_dim) * 4) as u32,
            Self::TensorCores => (512 * shape.head_dim) as u32,
        }
    }

    const fn backward_shared_bytes(self, shape: AttentionShape) -> u32 {
        match self {
            Self::Float => self.forward_shared_bytes(shape),
            Self::TensorCores => {
                let n_columns = if shape.head_dim == 64 { 64 } else { 32 };
                ((2 * MMA_ROWS + 4 * n_columns) * shape.head_dim * 2) as u32
            }
        }
    }

    /// What kernels are told of the shape; those for tensor cores were compiled for a width.
    fn arguments(self, arguments: Arguments, shape: AttentionShape) -> Arguments {
        let AttentionShape { n_heads, n_kv_heads, head_dim } = shape;
        let arguments = arguments.int(n_heads).int(n_kv_heads);
        let arguments = match self {
            Self::Float => arguments.int(head_dim),
            Self::TensorCores => arguments,
        };
        arguments.float(1.0 / (head_dim as f32).sqrt())
    }
}

/// The width that a kernel in float32 arithmetic was compiled for.
const fn rounded_dim(head_dim: usize) -> usize {
    match head_dim {
        0..=64 => 64,
        65..=128 => 128,
        _ => 256,
    }
}
