//! Norms, rotary embedding and SwiGLU.

use azr_transformer::checks::{ensure, equal, indices};
use azr_transformer::{AttentionShape, CacheRows, DeviceResult, QkvSpec, Weights};
use bytemuck::NoUninit;

use crate::Cuda;
use crate::arguments::Arguments;
use crate::blas::Numbers;
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::rows::Access;
use crate::storage::{Buffer, common_numbers};
use crate::transfer::BLOCK;

/// Rows of a block of `qkv_rope`, and the widest head that it has room for.
const QKV_ROWS: usize = 4;
const MAX_HEAD_DIM: usize = 512;

/// `Qkv` of `kernels/rope.cu`.
#[derive(Debug, Clone, Copy, NoUninit)]
#[repr(C)]
struct QkvRope {
    q: u64,
    k: u64,
    v: u64,
    biases: [u64; 3],
    k_cache: u64,
    v_cache: u64,
    cache_rows: u64,
    positions: u64,
    frequencies: u64,
    n_rows: u32,
    q_stride: u32,
    kv_stride: u32,
    n_heads: u32,
    n_kv_heads: u32,
    head_dim: u32,
    sign: f32,
    padding: u32,
}

/// Operands of the gradients of RMSNorm.
pub(crate) struct NormGradients<'a> {
    pub(crate) x: &'a Buffer,
    pub(crate) gain: &'a Buffer,
    pub(crate) inv_rms: &'a Buffer,
    pub(crate) dy: &'a Buffer,
    pub(crate) dx: &'a mut Buffer,
    pub(crate) d_gain: &'a mut Buffer,
}

impl Engine {
    pub(crate) fn rms_norm(
        &mut self,
        x: &Buffer,
        rows: usize,
        (gain, epsilon): (&Buffer, f32),
        y: &mut Buffer,
        inv_rms: &mut Buffer,
    ) -> DeviceResult<()> {
        let (numbers, width) = (common_numbers(&[x, y])?, gain.len);
        let (x, y) = (x.rows("x", rows, width)?, y.rows("y", rows, width)?);
        let gain = gain.values("gain", 1, width)?;
        let inv_rms = inv_rms.values("inv_rms", rows, 1)?;
        let access = Access::of(numbers, width, &[x, y, gain]);
        let arguments = Arguments::new().pointers([x, gain, y, inv_rms]).int(width).float(epsilon);
        let name = Name { file: "rms_norm", kernel: &access.kernel("rms_norm") };
        self.launch(name, Grid::blocks(rows, BLOCK), arguments)
    }

    pub(crate) fn add_rms_norm(
        &mut self,
        x: &Buffer,
        sum: &mut Buffer,
        rows: usize,
        (gain, epsilon): (&Buffer, f32),
        y: &mut Buffer,
        inv_rms: &mut Buffer,
    ) -> DeviceResult<()> {
        let (numbers, width) = (common_numbers(&[x, sum, y])?, gain.len);
        let (x, sum) = (x.rows("x", rows, width)?, sum.rows("sum", rows, width)?);
        let (y, gain) = (y.rows("y", rows, width)?, gain.values("gain", 1, width)?);
        let inv_rms = inv_rms.values("inv_rms", rows, 1)?;
        let access = Access::of(numbers, width, &[x, sum, y, gain]);
        // The branch is where the sum goes: a thread reads each number before it writes it.
        let arguments = Arguments::new().pointers([x, sum, sum, gain, y, inv_rms]);
        let arguments = arguments.int(width).float(epsilon);
        let name = Name { file: "rms_norm", kernel: &access.kernel("add_rms_norm") };
        self.launch(name, Grid::blocks(rows, BLOCK), arguments)
    }

    pub(crate) fn rms_norm_backward(
        &mut self,
        rows: usize,
        operands: NormGradients<'_>,
    ) -> DeviceResult<()> {
        let NormGradients { x, gain, inv_rms, dy, dx, d_gain } = operands;
        let (numbers, width) = (common_numbers(&[x, dy, dx])?, gain.len);
        equal("length of the gain's gradient", d_gain.len, width)?;
        let (x, dy) = (x.rows("x", rows, width)?, dy.rows("dy", rows, width)?);
        let (dx, d_gain) = (dx.rows("dx", rows, width)?, d_gain.values("d_gain", 1, width)?);
        let gain = gain.values("gain", 1, width)?;
        let inv_rms = inv_rms.values("inv_rms", rows, 1)?;
        let access = Access::of(numbers, width, &[x, gain, dy, dx]);
        let arguments = Arguments::new().pointers([x, gain, inv_rms, dy, dx]).int(width);
        let name = Name { file: "rms_norm", kernel: &access.kernel("rms_norm_backward_input") };
        self.launch(name, Grid::blocks(rows, BLOCK), arguments)?;
        self.column_sums(numbers, dy, Some([x, inv_rms]), (rows, width), d_gain)
    }

    pub(crate) fn rope(
        &mut self,
        x: &mut Buffer,
        (n_heads, head_dim): (usize, usize),
        positions: &[u32],
        theta: f64,
        inverse: bool,
    ) -> DeviceResult<()> {
        ensure(head_dim > 0 && head_dim.is_multiple_of(2), || {
            format!("a head of width {head_dim} has no pairs")
        })?;
        let n_rows = positions.len();
        let rows = x.rows("x", n_rows, n_heads * head_dim)?;
        let n_pairs = head_dim / 2;
        let frequencies = self.frequencies(n_pairs, theta)?;
        let positions = self.stage_once("positions", positions)?;
        let kernel = match x.numbers {
            Numbers::F32 => "rope_f32",
            Numbers::Bf16 => "rope_bf16",
        };
        let arguments = Arguments::new().pointers([rows, positions, frequencies]);
        let arguments = arguments.int(n_rows).int(n_heads).int(head_dim);
        let arguments = arguments.float(if inverse { -1.0 } else { 1.0 });
        let grid = Grid::items(n_rows * n_pairs, BLOCK);
        self.launch(Name { file: "rope", kernel }, grid, arguments)
    }

    /// Three products, and one kernel for all that is between them and attention.
    pub(crate) fn qkv(
        &mut self,
        x: &Buffer,
        spec: &QkvSpec<'_, Cuda>,
        qkv: [&mut Buffer; 3],
        cache: Option<CacheRows<'_, Cuda>>,
    ) -> DeviceResult<()> {
        let AttentionShape { n_heads, n_kv_heads, head_dim } = spec.shape;
        ensure((2..=MAX_HEAD_DIM).contains(&head_dim) && head_dim.is_multiple_of(2), || {
            format!("heads of width {head_dim}; even ones of at most {MAX_HEAD_DIM} are possible")
        })?;
        let (n_rows, kv_width) = (spec.positions.len(), n_kv_heads * head_dim);
        ensure(spec.n_queries <= n_rows, || "there are more queries than rows".to_owned())?;
        let [q, k, v] = qkv;
        let numbers = common_numbers(&[x, q, k, v])?;
        let [(q_weights, q_bias), (k_weights, k_bias), (v_weights, v_bias)] = &spec.linear;
        let widths = [n_heads * head_dim, kv_width, kv_width];
        let mut biases = [0; 3];
        for (to, (bias, width)) in
            biases.iter_mut().zip([q_bias, k_bias, v_bias].into_iter().zip(widths))
        {
            if let Some(bias) = bias {
                equal("length of the bias", bias.len, width)?;
                *to = bias.values("bias", 1, width)?;
            }
        }
        self.project(x, spec.n_queries, q_weights, q)?;
        self.project(x, n_rows, k_weights, k)?;
        self.project(x, n_rows, v_weights, v)?;

        let (mut caches, mut cache_rows) = ([0, 0], 0);
        if let Some(cache) = cache {
            equal("number of cache rows", cache.rows.len(), n_rows)?;
            common_numbers(&[k, cache.k, cache.v])?;
            indices("cache rows", cache.rows, cache.k.len.min(cache.v.len) / kv_width)?;
            caches = [cache.k.pointer(), cache.v.pointer()];
            cache_rows = self.stage_once("cache rows", cache.rows)?;
        }
        let operands = QkvRope {
            q: q.rows("q", spec.n_queries, n_heads * head_dim)?,
            k: k.rows("k", n_rows, kv_width)?,
            v: v.rows("v", n_rows, kv_width)?,
            biases,
            k_cache: caches[0],
            v_cache: caches[1],
            cache_rows,
            positions: self.stage_once("positions", spec.positions)?,
            frequencies: self.frequencies(head_dim / 2, spec.theta)?,
            n_rows: n_rows as u32,
            q_stride: (n_heads * head_dim) as u32,
            kv_stride: kv_width as u32,
            n_heads: n_heads as u32,
            n_kv_heads: n_kv_heads as u32,
            head_dim: head_dim as u32,
            sign: 1.0,
            padding: 0,
        };
        if spec.n_queries == n_rows {
            return self.qkv_rope(numbers, operands);
        }
        let queries = QkvRope { n_rows: spec.n_queries as u32, n_kv_heads: 0, ..operands };
        self.qkv_rope(numbers, queries)?;
        self.qkv_rope(numbers, QkvRope { n_heads: 0, ..operands })
    }

    fn qkv_rope(&mut self, numbers: Numbers, operands: QkvRope) -> DeviceResult<()> {
        // A thread takes as many pairs as it loads numbers at once.
        let access = Access::of(numbers, operands.head_dim as usize / 2, &[]);
        let grid = Grid::blocks((operands.n_rows as usize).div_ceil(QKV_ROWS), BLOCK);
        let name = Name { file: "rope", kernel: &access.kernel("qkv_rope") };
        self.launch(name, grid, Arguments::new().value(operands))
    }

    fn project(
        &mut self,
        x: &Buffer,
        rows: usize,
        weights: &Weights<'_, Cuda>,
        y: &mut Buffer,
    ) -> DeviceResult<()> {
        match weights {
            Weights::Matrix(matrix) => self.linear(x, rows, matrix, None, y),
            Weights::Copy(copy) => self.copy_linear(x, rows, copy, None, y),
        }
    }

    /// `theta^(-i / n_pairs)` for each pair, float64.
    fn frequencies(&mut self, n_pairs: usize, theta: f64) -> DeviceResult<u64> {
        let frequency = |i: usize| theta.powf(-(i as f64) / n_pairs as f64);
        self.table((n_pairs, theta.to_bits()), || (0..n_pairs).map(frequency).collect())
    }

    pub(crate) fn swiglu(
        &mut self,
        gate: &Buffer,
        up: &Buffer,
        len: usize,
        out: &mut Buffer,
    ) -> DeviceResult<()> {
        let numbers = common_numbers(&[gate, up, out])?;
        let (gate, up) = (gate.rows("gate", len, 1)?, up.rows("up", len, 1)?);
        let out = out.rows("out", len, 1)?;
        let access = Access::of(numbers, len, &[gate, up, out]);
        let n_vectors = access.vectors(len);
        let name = Name { file: "swiglu", kernel: &access.kernel("swiglu") };
        let arguments = Arguments::new().pointers([gate, up, out]).int(n_vectors);
        self.launch(name, Grid::items(n_vectors, BLOCK), arguments)
    }

    pub(crate) fn swiglu_backward(
        &mut self,
        [gate, up, d_out]: [&Buffer; 3],
        len: usize,
        [d_gate, d_up]: [&mut Buffer; 2],
    ) -> DeviceResult<()> {
        let numbers = common_numbers(&[gate, up, d_out, d_gate, d_up])?;
        let pointers = [
            gate.rows("gate", len, 1)?,
            up.rows("up", len, 1)?,
            d_out.rows("d_out", len, 1)?,
            d_gate.rows("d_gate", len, 1)?,
            d_up.rows("d_up", len, 1)?,
        ];
        let access = Access::of(numbers, len, &pointers);
        let n_vectors = access.vectors(len);
        let name = Name { file: "swiglu", kernel: &access.kernel("swiglu_backward") };
        let arguments = Arguments::new().pointers(pointers).int(n_vectors);
        self.launch(name, Grid::items(n_vectors, BLOCK), arguments)
    }
}
