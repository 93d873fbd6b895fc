//! The oracle: a [`Device`] of naive loops in float64, to be read rather than to be fast.
//!
//! Values enter and leave as float32 through [`Device::write`] and [`Device::read`] and are float64 in between, so
//! that a difference from it is the error of the other device. Fields are public: tests that take finite
//! differences change the float64 values directly.

mod attention;
mod copies;
mod head;
mod layers;
mod state;
#[cfg(test)]
mod tests;

use azr_plugin::LossSpec;

use crate::device::{
    AdamStep, AdamTensor, AttentionSequence, AttentionShape, CopyFormat, Device, DeviceError,
    DeviceResult, Moment, SampleSpec, StatePrecision, Tensor, TensorMut, TokenScores, TokenTargets,
};

use crate::packing::Rounding;

pub use copies::{Quantised, WeightCopy};
pub use head::policy_loss;
#[cfg(test)]
pub(crate) use head::target_logprobs;
pub use state::State;

/// A device of naive float64 loops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

/// Storage of [`Reference`]: float64 values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Values(pub Vec<f64>);

/// A row-major `[n_out, n_in]` float64 matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Rows.
    pub n_out: usize,
    /// Columns.
    pub n_in: usize,
    /// Row-major values.
    pub values: Vec<f64>,
}

impl Dense {
    fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.n_in..(index + 1) * self.n_in]
    }

    fn row_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.values[index * self.n_in..(index + 1) * self.n_in]
    }
}

/// Fails with `what` unless `condition` holds.
fn need(condition: bool, what: &str) -> DeviceResult<()> {
    if condition { Ok(()) } else { Err(DeviceError::Failed(format!("reference: {what}"))) }
}

/// Fails unless every buffer has the length asked of it.
fn need_lengths(buffers: &[(&Values, usize)]) -> DeviceResult<()> {
    need(buffers.iter().all(|(buffer, len)| buffer.0.len() >= *len), "a buffer is too short")
}

/// Fails unless every index is below `n_rows`.
fn need_indices(indices: &[u32], n_rows: usize) -> DeviceResult<()> {
    need(indices.iter().all(|&index| (index as usize) < n_rows), "an index is out of range")
}

impl Device for Reference {
    type Buffer = Values;
    type Matrix = Dense;
    type WeightCopy = WeightCopy;
    type State = State;

    fn describe(&self) -> String {
        "reference (float64)".to_owned()
    }

    fn zeros(&self, len: usize) -> DeviceResult<Values> {
        Ok(Values(vec![0.0; len]))
    }

    fn len(&self, buffer: &Values) -> usize {
        buffer.0.len()
    }

    fn write(&self, buffer: &mut Values, offset: usize, values: &[f32]) -> DeviceResult<()> {
        need_lengths(&[(buffer, offset + values.len())])?;
        for (to, &from) in buffer.0[offset..].iter_mut().zip(values) {
            *to = f64::from(from);
        }
        Ok(())
    }

    fn copy_within(
        &self,
        buffer: &mut Values,
        from: usize,
        to: usize,
        len: usize,
    ) -> DeviceResult<()> {
        need_lengths(&[(buffer, from.max(to).saturating_add(len))])?;
        buffer.0.copy_within(from..from + len, to);
        Ok(())
    }

    fn read(&self, buffer: &Values, offset: usize, out: &mut [f32]) -> DeviceResult<()> {
        need_lengths(&[(buffer, offset + out.len())])?;
        for (to, &from) in out.iter_mut().zip(&buffer.0[offset..]) {
            *to = from as f32;
        }
        Ok(())
    }

    fn clear(&self, buffer: &mut Values) -> DeviceResult<()> {
        buffer.0.fill(0.0);
        Ok(())
    }

    fn matrix_zeros(&self, n_out: usize, n_in: usize) -> DeviceResult<Dense> {
        need(n_out > 0 && n_in > 0, "a matrix has no elements")?;
        Ok(Dense { n_out, n_in, values: vec![0.0; n_out * n_in] })
    }

    fn matrix_shape(&self, matrix: &Dense) -> (usize, usize) {
        (matrix.n_out, matrix.n_in)
    }

    fn matrix_write(&self, matrix: &mut Dense, values: &[f32]) -> DeviceResult<()> {
        need(values.len() == matrix.values.len(), "the values are not as many as the matrix has")?;
        matrix.values = values.iter().map(|&value| f64::from(value)).collect();
        Ok(())
    }

    fn matrix_read(&self, matrix: &Dense, out: &mut [f32]) -> DeviceResult<()> {
        need(out.len() == matrix.values.len(), "the output is not as long as the matrix")?;
        for (to, &from) in out.iter_mut().zip(&matrix.values) {
            *to = from as f32;
        }
        Ok(())
    }

    fn matrix_clear(&self, matrix: &mut Dense) -> DeviceResult<()> {
        matrix.values.fill(0.0);
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

    fn copy_write(&self, copy: &mut WeightCopy, matrix: &Dense) -> DeviceResult<()> {
        copy.write(matrix)
    }

    fn copy_read(&self, copy: &WeightCopy, out: &mut [f32]) -> DeviceResult<()> {
        copy.read(out)
    }

    fn copy_linear(
        &self,
        x: &Values,
        rows: usize,
        weight: &WeightCopy,
        bias: Option<&Values>,
        y: &mut Values,
    ) -> DeviceResult<()> {
        copies::linear(x, rows, weight, bias, y)
    }

    fn gather_rows(
        &self,
        src: &Values,
        rows: &[u32],
        width: usize,
        out: &mut Values,
    ) -> DeviceResult<()> {
        need_lengths(&[(out, rows.len() * width)])?;
        need(width > 0, "rows have no width")?;
        need_indices(rows, src.0.len() / width)?;
        for (to, &row) in out.0.chunks_exact_mut(width).zip(rows) {
            to.copy_from_slice(&src.0[row as usize * width..][..width]);
        }
        Ok(())
    }

    fn scatter_rows(
        &self,
        src: &Values,
        rows: &[u32],
        width: usize,
        out: &mut Values,
    ) -> DeviceResult<()> {
        need_lengths(&[(src, rows.len() * width)])?;
        need(width > 0, "rows have no width")?;
        need_indices(rows, out.0.len() / width)?;
        for (from, &row) in src.0.chunks_exact(width).zip(rows) {
            out.0[row as usize * width..][..width].copy_from_slice(from);
        }
        Ok(())
    }

    fn add(&self, x: &Values, y: &mut Values, len: usize) -> DeviceResult<()> {
        need_lengths(&[(x, len), (y, len)])?;
        for (y, x) in y.0[..len].iter_mut().zip(&x.0) {
            *y += x;
        }
        Ok(())
    }

    fn embed(&self, table: &Dense, tokens: &[u32], out: &mut Values) -> DeviceResult<()> {
        need_lengths(&[(out, tokens.len() * table.n_in)])?;
        need_indices(tokens, table.n_out)?;
        for (to, &token) in out.0.chunks_exact_mut(table.n_in).zip(tokens) {
            to.copy_from_slice(table.row(token as usize));
        }
        Ok(())
    }

    fn embed_backward(
        &self,
        d_out: &Values,
        tokens: &[u32],
        d_table: &mut Dense,
    ) -> DeviceResult<()> {
        need_lengths(&[(d_out, tokens.len() * d_table.n_in)])?;
        need_indices(tokens, d_table.n_out)?;
        for (from, &token) in d_out.0.chunks_exact(d_table.n_in).zip(tokens) {
            for (to, from) in d_table.row_mut(token as usize).iter_mut().zip(from) {
                *to += from;
            }
        }
        Ok(())
    }

    fn linear(
        &self,
        x: &Values,
        rows: usize,
        weight: &Dense,
        bias: Option<&Values>,
        y: &mut Values,
    ) -> DeviceResult<()> {
        layers::linear(x, rows, weight, bias, y)
    }

    fn linear_backward_input(
        &self,
        dy: &Values,
        rows: usize,
        weight: &Dense,
        dx: &mut Values,
        accumulate: bool,
    ) -> DeviceResult<()> {
        layers::linear_backward_input(dy, rows, weight, dx, accumulate)
    }

    fn linear_backward_weight(
        &self,
        dy: &Values,
        x: &Values,
        rows: usize,
        d_weight: &mut Dense,
    ) -> DeviceResult<()> {
        layers::linear_backward_weight(dy, x, rows, d_weight)
    }

    fn bias_backward(&self, dy: &Values, rows: usize, d_bias: &mut Values) -> DeviceResult<()> {
        layers::bias_backward(dy, rows, d_bias)
    }

    fn rms_norm(
        &self,
        x: &Values,
        rows: usize,
        gain: &Values,
        epsilon: f32,
        y: &mut Values,
        inv_rms: &mut Values,
    ) -> DeviceResult<()> {
        layers::rms_norm(x, rows, gain, f64::from(epsilon), y, inv_rms)
    }

    fn rms_norm_backward(
        &self,
        x: &Values,
        rows: usize,
        gain: &Values,
        inv_rms: &Values,
        dy: &Values,
        dx: &mut Values,
        d_gain: &mut Values,
    ) -> DeviceResult<()> {
        layers::rms_norm_backward(x, rows, gain, inv_rms, dy, dx, d_gain)
    }

    fn rope(
        &self,
        x: &mut Values,
        n_heads: usize,
        head_dim: usize,
        positions: &[u32],
        theta: f64,
        inverse: bool,
    ) -> DeviceResult<()> {
        layers::rope(x, n_heads, head_dim, positions, theta, inverse)
    }

    fn attention(
        &self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        q: &Values,
        k: &Values,
        v: &Values,
        out: &mut Values,
        lse: &mut Values,
    ) -> DeviceResult<()> {
        attention::forward(shape, sequences, q, k, v, out, lse)
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        q: &Values,
        k: &Values,
        v: &Values,
        out: &Values,
        lse: &Values,
        d_out: &Values,
        dq: &mut Values,
        dk: &mut Values,
        dv: &mut Values,
    ) -> DeviceResult<()> {
        let forward = attention::Forward { q, k, v, out, lse, d_out };
        attention::backward(shape, sequences, &forward, dq, dk, dv)
    }

    fn swiglu(&self, gate: &Values, up: &Values, len: usize, out: &mut Values) -> DeviceResult<()> {
        layers::swiglu(gate, up, len, out)
    }

    fn swiglu_backward(
        &self,
        gate: &Values,
        up: &Values,
        d_out: &Values,
        len: usize,
        d_gate: &mut Values,
        d_up: &mut Values,
    ) -> DeviceResult<()> {
        layers::swiglu_backward(gate, up, d_out, len, d_gate, d_up)
    }

    fn head_logits(
        &self,
        x: &Values,
        rows: usize,
        weight: &Dense,
        out: &mut [f32],
    ) -> DeviceResult<()> {
        head::logits_f32(x, rows, weight, out)
    }

    fn head_sample(
        &self,
        x: &Values,
        weight: &Dense,
        specs: &[SampleSpec],
    ) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
        head::sample(x, weight, specs)
    }

    fn copy_head_sample(
        &self,
        x: &Values,
        weight: &WeightCopy,
        specs: &[SampleSpec],
    ) -> DeviceResult<(Vec<u32>, Vec<f32>)> {
        copies::sample(x, weight, specs)
    }

    fn head_scores(
        &self,
        x: &Values,
        weight: &Dense,
        targets: &[u32],
        temperature: f32,
    ) -> DeviceResult<TokenScores> {
        head::scores(x, weight, targets, temperature)
    }

    fn head_loss(
        &self,
        x: &Values,
        weight: &Dense,
        tokens: TokenTargets<'_>,
        loss: &LossSpec,
        dx: &mut Values,
        d_weight: Option<&mut Dense>,
    ) -> DeviceResult<TokenScores> {
        head::loss(x, weight, tokens, loss, dx, d_weight)
    }

    fn sum_squares(&self, tensors: &[Tensor<'_, Self>]) -> DeviceResult<f64> {
        let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        Ok(tensors
            .iter()
            .map(|tensor| match tensor {
                Tensor::Vector(vector) => squares(&vector.0),
                Tensor::Matrix(matrix) => squares(&matrix.values),
            })
            .sum())
    }

    fn state(
        &self,
        like: &Values,
        precision: StatePrecision,
        moment: Moment,
    ) -> DeviceResult<State> {
        Ok(State::zeros(like.0.len(), precision, moment))
    }

    fn matrix_state(
        &self,
        like: &Dense,
        precision: StatePrecision,
        moment: Moment,
    ) -> DeviceResult<State> {
        Ok(State::zeros(like.values.len(), precision, moment))
    }

    fn state_write(&self, state: &mut State, values: &Values) -> DeviceResult<()> {
        state.write(&values.0, Rounding::Nearest)
    }

    fn matrix_state_write(
        &self,
        state: &mut State,
        values: &Dense,
        rounding: Rounding,
    ) -> DeviceResult<()> {
        state.write(&values.values, rounding)
    }

    fn state_read(&self, state: &State, out: &mut Values) -> DeviceResult<()> {
        state.read(&mut out.0)
    }

    fn matrix_state_read(&self, state: &State, out: &mut Dense) -> DeviceResult<()> {
        state.read(&mut out.values)
    }

    fn adamw(&self, tensors: Vec<AdamTensor<'_, Self>>, step: AdamStep) -> DeviceResult<()> {
        for AdamTensor { p, g, m, v, weight_decay, rounding_key } in tensors {
            let (p, g) = match (p, g) {
                (TensorMut::Vector(p), Tensor::Vector(g)) => (&mut p.0, &g.0),
                (TensorMut::Matrix(p), Tensor::Matrix(g)) => (&mut p.values, &g.values),
                _ => return Err(DeviceError::Failed("a vector has no matrix gradient".to_owned())),
            };
            state::adamw(p, g, [m, v], weight_decay, rounding_key, step)?;
        }
        Ok(())
    }
}
