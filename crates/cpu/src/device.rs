//! The operations of the device: preconditions, then the kernels.

use azr_plugin::LossSpec;
use azr_transformer::checks::{area, attention, ensure, equal, indices};
use azr_transformer::packing::Rounding;
use azr_transformer::{
    AdamStep, AdamTensor, AttentionSequence, AttentionShape, CopyFormat, Device, DeviceError,
    DeviceResult, Moment, SampleSpec, StatePrecision, Tensor, TensorMut, TokenScores, TokenTargets,
};

use crate::Cpu;
use crate::attention::backward::Operands;
use crate::checks::{first, first_mut};
use crate::copies::WeightCopy;
use crate::head::{LossOperands, Weights};
use crate::matrix::Matrix;
use crate::optim::TensorStep;
use crate::state::State;
use crate::storage::Storage;

/// Float32 values in the machine's memory.
#[derive(Debug)]
pub struct Buffer(Storage);

impl Device for Cpu {
    type Buffer = Buffer;
    type Matrix = Matrix;
    type WeightCopy = WeightCopy;
    type State = State;

    fn describe(&self) -> String {
        let n_threads = self.pool.n_threads();
        let threads = if n_threads == 1 { "thread" } else { "threads" };
        format!("cpu ({}, {n_threads} {threads})", self.instruction_set.as_str())
    }

    fn zeros(&self, len: usize) -> DeviceResult<Buffer> {
        Storage::zeros(len, "a buffer").map(Buffer)
    }

    fn len(&self, buffer: &Buffer) -> usize {
        buffer.0.len()
    }

    fn write(&self, buffer: &mut Buffer, offset: usize, values: &[f32]) -> DeviceResult<()> {
        let len = buffer.0.len();
        let to = buffer.0.get_mut(offset..).and_then(|to| to.get_mut(..values.len()));
        ensure(to.is_some(), || {
            format!("{} numbers do not fit at {offset} of {len}", values.len())
        })?;
        to.unwrap_or_default().copy_from_slice(values);
        Ok(())
    }

    fn copy_within(
        &self,
        buffer: &mut Buffer,
        from: usize,
        to: usize,
        len: usize,
    ) -> DeviceResult<()> {
        let n_held = buffer.0.len();
        ensure(from.max(to).saturating_add(len) <= n_held, || {
            format!("{len} numbers from {from} to {to} are not all within {n_held}")
        })?;
        buffer.0.copy_within(from..from + len, to);
        Ok(())
    }

    fn read(&self, buffer: &Buffer, offset: usize, out: &mut [f32]) -> DeviceResult<()> {
        let from = buffer.0.get(offset..).and_then(|from| from.get(..out.len()));
        ensure(from.is_some(), || {
            format!("there are no {} numbers at {offset} of {}", out.len(), buffer.0.len())
        })?;
        out.copy_from_slice(from.unwrap_or_default());
        Ok(())
    }

    fn clear(&self, buffer: &mut Buffer) -> DeviceResult<()> {
        self.fill_zero(&mut buffer.0);
        Ok(())
    }

    fn matrix_zeros(&self, n_out: usize, n_in: usize) -> DeviceResult<Matrix> {
        Matrix::zeros(n_out, n_in)
    }

    fn matrix_shape(&self, matrix: &Matrix) -> (usize, usize) {
        (matrix.n_out, matrix.n_in)
    }

    fn matrix_write(&self, matrix: &mut Matrix, values: &[f32]) -> DeviceResult<()> {
        equal("number of values", values.len(), area(matrix.n_out, matrix.n_in)?)?;
        matrix.write(values);
        Ok(())
    }

    fn matrix_read(&self, matrix: &Matrix, out: &mut [f32]) -> DeviceResult<()> {
        equal("number of values", out.len(), area(matrix.n_out, matrix.n_in)?)?;
        matrix.read(out);
        Ok(())
    }

    fn matrix_clear(&self, matrix: &mut Matrix) -> DeviceResult<()> {
        self.fill_zero(&mut matrix.panels);
        Ok(())
    }

    fn copy_zeros(
        &self,
        n_out: usize,
        n_in: usize,
        format: CopyFormat,
    ) -> DeviceResult<WeightCopy> {
        WeightCopy::zeros(n_out, n_in, format)
    }

    fn copy_write(&self, copy: &mut WeightCopy, matrix: &Matrix) -> DeviceResult<()> {
        equal("shape of the copy", copy.shape(), matrix.shape())?;
        self.copy_weights(matrix, copy);
        Ok(())
    }

    fn copy_read(&self, copy: &WeightCopy, out: &mut [f32]) -> DeviceResult<()> {
        let (n_out, n_in) = copy.shape();
        equal("number of values", out.len(), area(n_out, n_in)?)?;
        copy.read(out);
        Ok(())
    }

    fn copy_linear(
        &self,
        x: &Buffer,
        rows: usize,
        weight: &WeightCopy,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> DeviceResult<()> {
        self.multiply_rows(x, rows, weight, bias, y)
    }

    fn gather_rows(
        &self,
        src: &Buffer,
        rows: &[u32],
        width: usize,
        out: &mut Buffer,
    ) -> DeviceResult<()> {
        ensure(width > 0, || "rows have no width".to_owned())?;
        indices("rows", rows, src.0.len() / width)?;
        let out = first_mut("out", &mut out.0, rows.len(), width)?;
        self.pool.split_rows(rows.len(), 16, [(out, width)], |part, [out]| {
            for (to, &row) in out.chunks_exact_mut(width).zip(&rows[part]) {
                to.copy_from_slice(&src.0[row as usize * width..][..width]);
            }
        });
        Ok(())
    }

    fn scatter_rows(
        &self,
        src: &Buffer,
        rows: &[u32],
        width: usize,
        out: &mut Buffer,
    ) -> DeviceResult<()> {
        ensure(width > 0, || "rows have no width".to_owned())?;
        indices("rows", rows, out.0.len() / width)?;
        let src = first("src", &src.0, rows.len(), width)?;
        for (from, &row) in src.chunks_exact(width).zip(rows) {
            out.0[row as usize * width..][..width].copy_from_slice(from);
        }
        Ok(())
    }

    fn add(&self, x: &Buffer, y: &mut Buffer, len: usize) -> DeviceResult<()> {
        self.add_values(first("x", &x.0, len, 1)?, first_mut("y", &mut y.0, len, 1)?);
        Ok(())
    }

    fn embed(&self, table: &Matrix, tokens: &[u32], out: &mut Buffer) -> DeviceResult<()> {
        indices("tokens", tokens, table.n_out)?;
        self.embed_rows(table, tokens, first_mut("out", &mut out.0, tokens.len(), table.n_in)?);
        Ok(())
    }

    fn embed_backward(
        &self,
        d_out: &Buffer,
        tokens: &[u32],
        d_table: &mut Matrix,
    ) -> DeviceResult<()> {
        indices("tokens", tokens, d_table.n_out)?;
        self.embed_backward_rows(
            first("d_out", &d_out.0, tokens.len(), d_table.n_in)?,
            tokens,
            d_table,
        );
        Ok(())
    }

    fn linear(
        &self,
        x: &Buffer,
        rows: usize,
        weight: &Matrix,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> DeviceResult<()> {
        self.multiply_rows(x, rows, weight, bias, y)
    }

    fn linear_backward_input(
        &self,
        dy: &Buffer,
        rows: usize,
        weight: &Matrix,
        dx: &mut Buffer,
        accumulate: bool,
    ) -> DeviceResult<()> {
        let dy = first("dy", &dy.0, rows, weight.n_out)?;
        let dx = first_mut("dx", &mut dx.0, rows, weight.n_in)?;
        self.product_backward_input(dy, rows, weight, dx, accumulate)
    }

    fn linear_backward_weight(
        &self,
        dy: &Buffer,
        x: &Buffer,
        rows: usize,
        d_weight: &mut Matrix,
    ) -> DeviceResult<()> {
        let dy = first("dy", &dy.0, rows, d_weight.n_out)?;
        let x = first("x", &x.0, rows, d_weight.n_in)?;
        self.product_backward_weight(dy, x, rows, d_weight)
    }

    fn bias_backward(&self, dy: &Buffer, rows: usize, d_bias: &mut Buffer) -> DeviceResult<()> {
        let dy = first("dy", &dy.0, rows, d_bias.0.len())?;
        if !d_bias.0.is_empty() {
            self.column_sums(dy, None, &mut d_bias.0);
        }
        Ok(())
    }

    fn rms_norm(
        &self,
        x: &Buffer,
        rows: usize,
        gain: &Buffer,
        epsilon: f32,
        y: &mut Buffer,
        inv_rms: &mut Buffer,
    ) -> DeviceResult<()> {
        let width = gain.0.len();
        ensure(width > 0, || "the gain is empty".to_owned())?;
        let x = first("x", &x.0, rows, width)?;
        let y = first_mut("y", &mut y.0, rows, width)?;
        self.rms_norm_rows(x, &gain.0, epsilon, y, first_mut("inv_rms", &mut inv_rms.0, rows, 1)?);
        Ok(())
    }

    fn rms_norm_backward(
        &self,
        x: &Buffer,
        rows: usize,
        gain: &Buffer,
        inv_rms: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
        d_gain: &mut Buffer,
    ) -> DeviceResult<()> {
        let width = gain.0.len();
        ensure(width > 0, || "the gain is empty".to_owned())?;
        equal("length of the gain's gradient", d_gain.0.len(), width)?;
        let (x, dy) = (first("x", &x.0, rows, width)?, first("dy", &dy.0, rows, width)?);
        let inv_rms = first("inv_rms", &inv_rms.0, rows, 1)?;
        let dx = first_mut("dx", &mut dx.0, rows, width)?;
        self.rms_norm_backward_rows(x, &gain.0, inv_rms, dy, dx, &mut d_gain.0);
        Ok(())
    }

    fn rope(
        &self,
        x: &mut Buffer,
        n_heads: usize,
        head_dim: usize,
        positions: &[u32],
        theta: f64,
        inverse: bool,
    ) -> DeviceResult<()> {
        ensure(head_dim > 0 && head_dim.is_multiple_of(2), || {
            format!("a head cannot be {head_dim} wide")
        })?;
        let width = area(n_heads, head_dim)?;
        ensure(width > 0, || "there are no heads".to_owned())?;
        let x = first_mut("x", &mut x.0, positions.len(), width)?;
        self.rotate_rows(x, width, head_dim, positions, theta, inverse)
    }

    fn attention(
        &self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        out: &mut Buffer,
        lse: &mut Buffer,
    ) -> DeviceResult<()> {
        let (n_queries, n_keys) = attention(shape, sequences)?;
        let width = area(shape.n_heads, shape.head_dim)?;
        let key_width = area(shape.n_kv_heads, shape.head_dim)?;
        self.attend(
            shape,
            sequences,
            first("q", &q.0, n_queries, width)?,
            first("k", &k.0, n_keys, key_width)?,
            first("v", &v.0, n_keys, key_width)?,
            first_mut("out", &mut out.0, n_queries, width)?,
            first_mut("lse", &mut lse.0, n_queries, shape.n_heads)?,
        )
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        out: &Buffer,
        lse: &Buffer,
        d_out: &Buffer,
        dq: &mut Buffer,
        dk: &mut Buffer,
        dv: &mut Buffer,
    ) -> DeviceResult<()> {
        let (n_queries, n_keys) = attention(shape, sequences)?;
        let width = area(shape.n_heads, shape.head_dim)?;
        let key_width = area(shape.n_kv_heads, shape.head_dim)?;
        let operands = Operands {
            q: first("q", &q.0, n_queries, width)?,
            k: first("k", &k.0, n_keys, key_width)?,
            v: first("v", &v.0, n_keys, key_width)?,
            out: first("out", &out.0, n_queries, width)?,
            lse: first("lse", &lse.0, n_queries, shape.n_heads)?,
            d_out: first("d_out", &d_out.0, n_queries, width)?,
        };
        let gradients = [
            first_mut("dq", &mut dq.0, n_queries, width)?,
            first_mut("dk", &mut dk.0, n_keys, key_width)?,
            first_mut("dv", &mut dv.0, n_keys, key_width)?,
        ];
        self.attend_backward(shape, sequences, operands, gradients)
    }

    fn swiglu(&self, gate: &Buffer, up: &Buffer, len: usize, out: &mut Buffer) -> DeviceResult<()> {
        let (gate, up) = (first("gate", &gate.0, len, 1)?, first("up", &up.0, len, 1)?);
        self.swiglu_values(gate, up, first_mut("out", &mut out.0, len, 1)?);
        Ok(())
    }

    fn swiglu_backward(
        &self,
        gate: &Buffer,
        up: &Buffer,
        d_out: &Buffer,
        len: usize,
        d_gate: &mut Buffer,
        d_up: &mut Buffer,
    ) -> DeviceResult<()> {
        let (gate, up) = (first("gate", &gate.0, len, 1)?, first("up", &up.0, len, 1)?);
        let d_out = first("d_out", &d_out.0, len, 1)?;
        let d_gate = first_mut("d_gate", &mut d_gate.0, len, 1)?;
        self.swiglu_backward_values(
            gate,
            up,
            d_out,
            d_gate,
            first_mut("d_up", &mut d_up.0, len, 1)?,
        );
        Ok(())
    }

    fn head_logits(
        &self,
        x: &Buffer,
        rows: usize,
        weight: &Matrix,
        out: &mut [f32],
    ) -> DeviceResult<()> {
        let x = first("x", &x.0, rows, weight.n_in)?;
        self.product(x, rows, weight.view(), None, first_mut("out", out, rows, weight.n_out)?)
    }

    fn head_sample(
        &self,
        x: &Buffer,
        weight: &Matrix,
        specs: &[SampleSpec],
    ) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
        self.sample_rows(first("x", &x.0, specs.len(), weight.n_in)?, weight, specs)
    }

    fn copy_head_sample(
        &self,
        x: &Buffer,
        weight: &WeightCopy,
        specs: &[SampleSpec],
    ) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
        self.sample_rows(first("x", &x.0, specs.len(), weight.shape().1)?, weight, specs)
    }

    fn head_scores(
        &self,
        x: &Buffer,
        weight: &Matrix,
        targets: &[u32],
        temperature: f32,
    ) -> DeviceResult<TokenScores> {
        indices("targets", targets, weight.n_out)?;
        self.score_rows(first("x", &x.0, targets.len(), weight.n_in)?, weight, targets, temperature)
    }

    fn head_loss(
        &self,
        x: &Buffer,
        weight: &Matrix,
        tokens: TokenTargets<'_>,
        loss: &LossSpec,
        dx: &mut Buffer,
        d_weight: Option<&mut Matrix>,
    ) -> DeviceResult<TokenScores> {
        let rows = tokens.targets.len();
        let lengths =
            [tokens.behaviour_logprobs.len(), tokens.advantages.len(), tokens.weights.len()];
        equal("lengths of the loss terms", lengths, [rows; 3])?;
        indices("targets", tokens.targets, weight.n_out)?;
        if let Some(gradient) = &d_weight {
            let shape = |matrix: &Matrix| (matrix.n_out, matrix.n_in);
            equal("shape of the gradient", shape(gradient), shape(weight))?;
        }
        let x = first("x", &x.0, rows, weight.n_in)?;
        let dx = first_mut("dx", &mut dx.0, rows, weight.n_in)?;
        self.loss_rows(LossOperands { x, weight, tokens, loss }, dx, d_weight)
    }

    fn sum_squares(&self, tensors: &[Tensor<'_, Self>]) -> DeviceResult<f64> {
        let squares = tensors.iter().map(|tensor| match tensor {
            Tensor::Vector(vector) => self.sum_squares_values(&vector.0),
            Tensor::Matrix(matrix) => self.sum_squares_values(&matrix.panels),
        });
        Ok(squares.sum())
    }

    fn state(
        &self,
        like: &Buffer,
        precision: StatePrecision,
        moment: Moment,
    ) -> DeviceResult<State> {
        State::zeros(like.0.len(), precision, moment)
    }

    fn matrix_state(
        &self,
        like: &Matrix,
        precision: StatePrecision,
        moment: Moment,
    ) -> DeviceResult<State> {
        State::zeros(like.panels.len(), precision, moment)
    }

    fn state_write(&self, state: &mut State, values: &Buffer) -> DeviceResult<()> {
        equal("number of values", values.0.len(), state.len())?;
        state.write(&values.0, Rounding::Nearest);
        Ok(())
    }

    fn matrix_state_write(
        &self,
        state: &mut State,
        values: &Matrix,
        rounding: Rounding,
    ) -> DeviceResult<()> {
        equal("number of values", values.panels.len(), state.len())?;
        state.write(&values.panels, rounding);
        Ok(())
    }

    fn state_read(&self, state: &State, out: &mut Buffer) -> DeviceResult<()> {
        equal("number of values", out.0.len(), state.len())?;
        state.read(&mut out.0);
        Ok(())
    }

    fn matrix_state_read(&self, state: &State, out: &mut Matrix) -> DeviceResult<()> {
        equal("number of values", out.panels.len(), state.len())?;
        state.read(&mut out.panels);
        Ok(())
    }

    fn adamw(&self, tensors: Vec<AdamTensor<'_, Self>>, step: AdamStep) -> DeviceResult<()> {
        for AdamTensor { p, g, m, v, weight_decay, rounding_key } in tensors {
            let (p, g): (&mut [f32], &[f32]) = match (p, g) {
                (TensorMut::Vector(p), Tensor::Vector(g)) => (&mut p.0, &g.0),
                (TensorMut::Matrix(p), Tensor::Matrix(g)) => {
                    equal("shape of the gradient", g.shape(), p.shape())?;
                    (&mut p.panels, &g.panels)
                }
                _ => return Err(DeviceError::Failed("a vector has no matrix gradient".to_owned())),
            };
            equal("lengths of gradient and state", [g.len(), m.len(), v.len()], [p.len(); 3])?;
            self.adamw_values(p, g, m, v, TensorStep { step, weight_decay, rounding_key });
        }
        Ok(())
    }
}

impl Cpu {
    /// `y = x Wᵀ + bias` for the first rows.
    fn multiply_rows(
        &self,
        x: &Buffer,
        rows: usize,
        weight: &impl Weights,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> DeviceResult<()> {
        let (n_out, n_in) = weight.shape();
        let x = first("x", &x.0, rows, n_in)?;
        let y = first_mut("y", &mut y.0, rows, n_out)?;
        if let Some(bias) = bias {
            equal("length of the bias", bias.0.len(), n_out)?;
        }
        weight.product(self, x, rows, bias.map(|bias| &*bias.0), y)
    }

    fn fill_zero(&self, values: &mut [f32]) {
        self.pool.split_rows(values.len(), 1 << 18, [(values, 1)], |_, [part]| part.fill(0.0));
    }
}
