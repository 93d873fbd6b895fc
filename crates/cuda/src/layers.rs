//! Norms, rotary embedding and SwiGLU.

use azr_transformer::DeviceResult;
use azr_transformer::checks::{ensure, equal};

use crate::arguments::Arguments;
use crate::blas::Numbers;
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::rows::Access;
use crate::storage::{Buffer, common_numbers};
use crate::transfer::BLOCK;

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
        let positions = self.stage(positions)?;
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
