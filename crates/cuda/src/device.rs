//! The operations of the device: the engine's, one at a time.

use std::sync::PoisonError;

use azr_plugin::LossSpec;
use azr_transformer::checks::equal;
use azr_transformer::packing::Rounding;
use azr_transformer::{
    ActivationPrecision, AdamStep, AdamTensor, AttentionSequence, AttentionShape, CacheRows,
    CopyFormat, Device, DeviceResult, Moment, QkvSpec, SampleSpec, StatePrecision, Tensor,
    TokenScores, TokenTargets,
};

use crate::Cuda;
use crate::attention::{Forward, Gradients};
use crate::blas::Numbers;
use crate::engine::Engine;
use crate::head::{HeadWeights, LossOperands};
use crate::layers::NormGradients;
use crate::storage::{Buffer, Matrix, State, WeightCopy};

impl Cuda {
    /// Runs an operation, alone.
    pub(crate) fn run<R>(
        &self,
        operation: impl FnOnce(&mut Engine) -> DeviceResult<R>,
    ) -> DeviceResult<R> {
        // An operation that panicked left nothing behind that the next one relies on.
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.check()?;
        engine.driver().bind()?;
        operation(&mut engine)
    }

    fn keeps_halves(&self) -> bool {
        self.precision == ActivationPrecision::Bf16
    }
}

impl Device for Cuda {
    type Buffer = Buffer;
    type Matrix = Matrix;
    type WeightCopy = WeightCopy;
    type State = State;

    fn describe(&self) -> String {
        let precision = match self.precision {
            ActivationPrecision::F32 => "float32",
            ActivationPrecision::Bf16 => "bfloat16",
        };
        format!("cuda ({}, {precision})", self.name)
    }

    fn activation_precision(&self) -> ActivationPrecision {
        self.precision
    }

    fn has_own_memory(&self) -> bool {
        true
    }

    fn repeatedly<R>(&self, work: impl FnOnce() -> R) -> R {
        // Where work cannot be put off it is done at once.
        let is_series = self.run(Engine::begin_series).is_ok();
        let result = work();
        if is_series {
            self.engine.lock().unwrap_or_else(PoisonError::into_inner).end_series();
        }
        result
    }

    fn zeros(&self, len: usize) -> DeviceResult<Buffer> {
        self.run(|engine| Buffer::zeros(engine, len, Numbers::F32))
    }

    fn activations(&self, len: usize) -> DeviceResult<Buffer> {
        let numbers = match self.precision {
            ActivationPrecision::F32 => Numbers::F32,
            ActivationPrecision::Bf16 => Numbers::Bf16,
        };
        self.run(|engine| Buffer::zeros(engine, len, numbers))
    }

    fn len(&self, buffer: &Buffer) -> usize {
        buffer.len
    }

    fn write(&self, buffer: &mut Buffer, offset: usize, values: &[f32]) -> DeviceResult<()> {
        self.run(|engine| engine.write(buffer, offset, values))
    }

    fn read(&self, buffer: &Buffer, offset: usize, out: &mut [f32]) -> DeviceResult<()> {
        self.run(|engine| engine.read(buffer, offset, out))
    }

    fn copy_within(
        &self,
        buffer: &mut Buffer,
        from: usize,
        to: usize,
        len: usize,
    ) -> DeviceResult<()> {
        self.run(|engine| engine.copy_within(buffer, from, to, len))
    }

    fn clear(&self, buffer: &mut Buffer) -> DeviceResult<()> {
        self.run(|engine| engine.fill_zero(buffer.pointer(), buffer.memory.bytes()))
    }

    fn matrix_zeros(&self, n_out: usize, n_in: usize) -> DeviceResult<Matrix> {
        self.run(|engine| Matrix::zeros(engine, (n_out, n_in), self.keeps_halves()))
    }

    fn gradient_zeros(&self, n_out: usize, n_in: usize) -> DeviceResult<Matrix> {
        self.run(|engine| Matrix::zeros(engine, (n_out, n_in), false))
    }

    fn matrix_shape(&self, matrix: &Matrix) -> (usize, usize) {
        matrix.shape()
    }

    fn matrix_write(&self, matrix: &mut Matrix, values: &[f32]) -> DeviceResult<()> {
        equal("number of values", values.len(), matrix.len())?;
        self.run(|engine| engine.write_matrix(matrix, values))
    }

    fn matrix_read(&self, matrix: &Matrix, out: &mut [f32]) -> DeviceResult<()> {
        equal("number of values", out.len(), matrix.len())?;
        self.run(|engine| engine.read_matrix(matrix, out))
    }

    fn matrix_clear(&self, matrix: &mut Matrix) -> DeviceResult<()> {
        self.run(|engine| engine.clear_matrix(matrix))
    }

    fn copy_zeros(
        &self,
        n_out: usize,
        n_in: usize,
        format: CopyFormat,
    ) -> DeviceResult<WeightCopy> {
        self.run(|engine| WeightCopy::zeros(engine, (n_out, n_in), format))
    }

    fn copy_write(&self, copy: &mut WeightCopy, matrix: &Matrix) -> DeviceResult<()> {
        self.run(|engine| engine.copy_write(copy, matrix))
    }

    fn copy_read(&self, copy: &WeightCopy, out: &mut [f32]) -> DeviceResult<()> {
        self.run(|engine| engine.copy_read(copy, out))
    }

    fn copy_linear(
        &self,
        x: &Buffer,
        rows: usize,
        weight: &WeightCopy,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> DeviceResult<()> {
        self.run(|engine| engine.copy_linear(x, rows, weight, bias, y))
    }

    fn gather_rows(
        &self,
        src: &Buffer,
        rows: &[u32],
        width: usize,
        out: &mut Buffer,
    ) -> DeviceResult<()> {
        self.run(|engine| engine.gather_rows(src, rows, width, out))
    }

    fn scatter_rows(
        &self,
        src: &Buffer,
        rows: &[u32],
        width: usize,
        out: &mut Buffer,
    ) -> DeviceResult<()> {
        self.run(|engine| engine.scatter_rows(src, rows, width, out))
    }

    fn add(&self, x: &Buffer, y: &mut Buffer, len: usize) -> DeviceResult<()> {
        self.run(|engine| engine.add(x, y, len))
    }

    fn embed(&self, table: &Matrix, tokens: &[u32], out: &mut Buffer) -> DeviceResult<()> {
        self.run(|engine| engine.embed(table, tokens, out))
    }

    fn embed_backward(
        &self,
        d_out: &Buffer,
        tokens: &[u32],
        d_table: &mut Matrix,
    ) -> DeviceResult<()> {
        self.run(|engine| engine.embed_backward(d_out, tokens, d_table))
    }

    fn linear(
        &self,
        x: &Buffer,
        rows: usize,
        weight: &Matrix,
        bias: Option<&Buffer>,
        y: &mut Buffer,
    ) -> DeviceResult<()> {
        self.run(|engine| engine.linear(x, rows, weight, bias, y))
    }

    fn linear_backward_input(
        &self,
        dy: &Buffer,
        rows: usize,
        weight: &Matrix,
        dx: &mut Buffer,
        accumulate: bool,
    ) -> DeviceResult<()> {
        self.run(|engine| engine.linear_backward_input(dy, rows, weight, dx, accumulate))
    }

    fn linear_backward_weight(
        &self,
        dy: &Buffer,
        x: &Buffer,
        rows: usize,
        d_weight: &mut Matrix,
    ) -> DeviceResult<()> {
        self.run(|engine| engine.linear_backward_weight(dy, x, rows, d_weight))
    }

    fn bias_backward(&self, dy: &Buffer, rows: usize, d_bias: &mut Buffer) -> DeviceResult<()> {
        self.run(|engine| engine.bias_backward(dy, rows, d_bias))
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
        self.run(|engine| engine.rms_norm(x, rows, (gain, epsilon), y, inv_rms))
    }

    fn add_rms_norm(
        &self,
        x: &Buffer,
        sum: &mut Buffer,
        rows: usize,
        gain: &Buffer,
        epsilon: f32,
        y: &mut Buffer,
        inv_rms: &mut Buffer,
    ) -> DeviceResult<()> {
        self.run(|engine| engine.add_rms_norm(x, sum, rows, (gain, epsilon), y, inv_rms))
    }

    fn qkv(
        &self,
        x: &Buffer,
        spec: &QkvSpec<'_, Self>,
        qkv: [&mut Buffer; 3],
        cache: Option<CacheRows<'_, Self>>,
    ) -> DeviceResult<()> {
        self.run(|engine| engine.qkv(x, spec, qkv, cache))
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
        let operands = NormGradients { x, gain, inv_rms, dy, dx, d_gain };
        self.run(|engine| engine.rms_norm_backward(rows, operands))
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
        self.run(|engine| engine.rope(x, (n_heads, head_dim), positions, theta, inverse))
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
        self.run(|engine| engine.attention(shape, sequences, &Forward { q, k, v, out, lse }))
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
        let (forward, gradients) = (Forward { q, k, v, out, lse }, Gradients { d_out, dq, dk, dv });
        self.run(|engine| engine.attention_backward(shape, sequences, &forward, gradients))
    }

    fn swiglu(&self, gate: &Buffer, up: &Buffer, len: usize, out: &mut Buffer) -> DeviceResult<()> {
        self.run(|engine| engine.swiglu(gate, up, len, out))
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
        self.run(|engine| engine.swiglu_backward([gate, up, d_out], len, [d_gate, d_up]))
    }

    fn head_logits(
        &self,
        x: &Buffer,
        rows: usize,
        weight: &Matrix,
        out: &mut [f32],
    ) -> DeviceResult<()> {
        self.run(|engine| engine.head_logits(x, rows, weight, out))
    }

    fn head_sample(
        &self,
        x: &Buffer,
        weight: &Matrix,
        specs: &[SampleSpec],
    ) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
        self.run(|engine| engine.head_sample(x, HeadWeights::Matrix(weight), specs))
    }

    fn copy_head_sample(
        &self,
        x: &Buffer,
        weight: &WeightCopy,
        specs: &[SampleSpec],
    ) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
        self.run(|engine| engine.head_sample(x, HeadWeights::Copy(weight), specs))
    }

    fn head_scores(
        &self,
        x: &Buffer,
        weight: &Matrix,
        targets: &[u32],
        temperature: f32,
    ) -> DeviceResult<TokenScores> {
        self.run(|engine| engine.head_scores(x, weight, targets, temperature))
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
        let operands = LossOperands { x, weight, tokens, loss };
        self.run(|engine| engine.head_loss(operands, dx, d_weight))
    }

    fn sum_squares(&self, tensors: &[Tensor<'_, Self>]) -> DeviceResult<f64> {
        self.run(|engine| engine.sum_squares(tensors))
    }

    fn state(
        &self,
        like: &Buffer,
        precision: StatePrecision,
        moment: Moment,
    ) -> DeviceResult<State> {
        self.run(|engine| State::zeros(engine, like.len, precision, moment))
    }

    fn matrix_state(
        &self,
        like: &Matrix,
        precision: StatePrecision,
        moment: Moment,
    ) -> DeviceResult<State> {
        self.run(|engine| State::zeros(engine, like.len(), precision, moment))
    }

    fn state_write(&self, state: &mut State, values: &Buffer) -> DeviceResult<()> {
        state.check_len(values.len)?;
        let values = values.values("values", values.len, 1)?;
        self.run(|engine| engine.pack_state(state, values, Rounding::Nearest))
    }

    fn matrix_state_write(
        &self,
        state: &mut State,
        values: &Matrix,
        rounding: Rounding,
    ) -> DeviceResult<()> {
        state.check_len(values.len())?;
        self.run(|engine| {
            let joined = engine.joined(values, "joined weights")?;
            engine.pack_state(state, joined, rounding)
        })
    }

    fn state_read(&self, state: &State, out: &mut Buffer) -> DeviceResult<()> {
        state.check_len(out.len)?;
        let out = out.values("out", out.len, 1)?;
        self.run(|engine| engine.unpack_state(state, out))
    }

    fn matrix_state_read(&self, state: &State, out: &mut Matrix) -> DeviceResult<()> {
        state.check_len(out.len())?;
        self.run(|engine| {
            // What it held is replaced whole.
            let joined = engine.room_for(out)?;
            engine.unpack_state(state, joined)?;
            engine.part(joined, out)
        })
    }

    fn adamw(&self, tensors: Vec<AdamTensor<'_, Self>>, step: AdamStep) -> DeviceResult<()> {
        self.run(|engine| engine.adamw(tensors, step))
    }
}
