//! The backward pass, written by hand: gradients of every parameter from the gradients of the final states.

use azr_plugin::CallContext;

use crate::device::{Device, DeviceResult};
use crate::error::{Result, TransformerError};
use crate::forward::Activations;
use crate::model::Model;
use crate::parameters::{LayerParameters, Linear, Parameters};
use crate::rows::PackedRows;

/// Buffers of a backward pass over at most `n_rows` rows.
pub(crate) struct BackwardBuffers<D: Device> {
    /// Gradient of the residual stream.
    d_residual: D::Buffer,
    /// Gradient of a norm's output; the head writes that of the final norm here.
    pub(crate) d_norm: D::Buffer,
    d_q: D::Buffer,
    d_k: D::Buffer,
    d_v: D::Buffer,
    d_attention: D::Buffer,
    d_product: D::Buffer,
    d_gate: D::Buffer,
    d_up: D::Buffer,
}

impl<D: Device> BackwardBuffers<D> {
    pub(crate) fn new(model: &Model<D>, n_rows: usize) -> DeviceResult<Self> {
        let config = &model.config;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        let zeros = |width: usize| model.device.zeros(n_rows * width);
        Ok(Self {
            d_residual: zeros(hidden)?,
            d_norm: zeros(hidden)?,
            d_q: zeros(q)?,
            d_k: zeros(kv)?,
            d_v: zeros(kv)?,
            d_attention: zeros(q)?,
            d_product: zeros(inner)?,
            d_gate: zeros(inner)?,
            d_up: zeros(inner)?,
        })
    }

    /// Number of values in all buffers.
    #[cfg(test)]
    pub(crate) fn n_values(&self, device: &D) -> usize {
        let Self { d_residual, d_norm, d_q, d_k, d_v, d_attention, d_product, d_gate, d_up } = self;
        [d_residual, d_norm, d_q, d_k, d_v, d_attention, d_product, d_gate, d_up]
            .map(|buffer| device.len(buffer))
            .iter()
            .sum()
    }
}

impl<D: Device> Model<D> {
    /// Adds the gradients of one micro-batch to `gradients`. `activations` are those that its forward pass kept,
    /// and the first `n_final_rows` rows of `buffers.d_norm` the gradients of its normalised final states.
    pub(crate) fn backward(
        &self,
        rows: &PackedRows,
        activations: &mut Activations<D>,
        buffers: &mut BackwardBuffers<D>,
        gradients: &mut Parameters<D>,
        context: &dyn CallContext,
    ) -> Result<()> {
        let device = &*self.device;
        let n_layers = self.config.n_layers;
        // Rows that are not final receive their first gradient from the last layer's keys and values.
        device.clear(&mut buffers.d_residual)?;
        device.rms_norm_backward(
            &activations.residual[n_layers],
            rows.n_final_rows,
            &self.weights.final_norm,
            &activations.inv_rms,
            &buffers.d_norm,
            &mut buffers.d_residual,
            &mut gradients.final_norm,
        )?;
        for layer in (0..n_layers).rev() {
            if context.is_cancelled() {
                return Err(TransformerError::Cancelled);
            }
            self.backward_mlp(layer, rows, activations, buffers, &mut gradients.layers[layer])?;
            self.backward_attention(
                layer,
                rows,
                activations,
                buffers,
                &mut gradients.layers[layer],
            )?;
        }
        device.embed_backward(&buffers.d_residual, &rows.tokens, &mut gradients.embedding)?;
        Ok(())
    }

    fn backward_mlp(
        &self,
        index: usize,
        rows: &PackedRows,
        activations: &mut Activations<D>,
        buffers: &mut BackwardBuffers<D>,
        gradients: &mut LayerParameters<D>,
    ) -> DeviceResult<()> {
        let device = &*self.device;
        let weights = &self.weights.layers[index];
        let (n_rows, _) = self.queries_of(index, rows);
        let len = n_rows * self.config.intermediate_size;
        let Activations { layers, norm, product, .. } = activations;
        let a = &mut layers[index];
        let b = buffers;

        device.swiglu(&a.gate, &a.up, len, product)?;
        backward_weight(device, &b.d_residual, product, n_rows, &mut gradients.down)?;
        device.linear_backward_input(
            &b.d_residual,
            n_rows,
            &weights.down.weight,
            &mut b.d_product,
            false,
        )?;
        device.swiglu_backward(&a.gate, &a.up, &b.d_product, len, &mut b.d_gate, &mut b.d_up)?;

        let epsilon = self.config.rms_norm_eps;
        device.rms_norm(&a.middle, n_rows, &weights.mlp_norm, epsilon, norm, &mut a.mlp_inv_rms)?;
        backward_weight(device, &b.d_gate, norm, n_rows, &mut gradients.gate)?;
        backward_weight(device, &b.d_up, norm, n_rows, &mut gradients.up)?;
        device.linear_backward_input(
            &b.d_gate,
            n_rows,
            &weights.gate.weight,
            &mut b.d_norm,
            false,
        )?;
        device.linear_backward_input(&b.d_up, n_rows, &weights.up.weight, &mut b.d_norm, true)?;
        device.rms_norm_backward(
            &a.middle,
            n_rows,
            &weights.mlp_norm,
            &a.mlp_inv_rms,
            &b.d_norm,
            &mut b.d_residual,
            &mut gradients.mlp_norm,
        )
    }

    fn backward_attention(
        &self,
        index: usize,
        rows: &PackedRows,
        activations: &mut Activations<D>,
        buffers: &mut BackwardBuffers<D>,
        gradients: &mut LayerParameters<D>,
    ) -> DeviceResult<()> {
        let device = &*self.device;
        let weights = &self.weights.layers[index];
        let shape = self.attention_shape();
        let n_rows = rows.len();
        let (n_queries, sequences) = self.queries_of(index, rows);
        let Activations { residual, layers, norm, .. } = activations;
        let a = &mut layers[index];
        let b = buffers;

        backward_weight(device, &b.d_residual, &a.attention, n_queries, &mut gradients.o)?;
        device.linear_backward_input(
            &b.d_residual,
            n_queries,
            &weights.o.weight,
            &mut b.d_attention,
            false,
        )?;
        device.clear(&mut b.d_k)?;
        device.clear(&mut b.d_v)?;
        device.attention_backward(
            shape,
            sequences,
            &a.q,
            &a.k,
            &a.v,
            &a.attention,
            &a.lse,
            &b.d_attention,
            &mut b.d_q,
            &mut b.d_k,
            &mut b.d_v,
        )?;
        let theta = self.config.rope_theta;
        let positions = &rows.positions;
        device.rope(
            &mut b.d_q,
            shape.n_heads,
            shape.head_dim,
            &positions[..n_queries],
            theta,
            true,
        )?;
        device.rope(&mut b.d_k, shape.n_kv_heads, shape.head_dim, positions, theta, true)?;

        let epsilon = self.config.rms_norm_eps;
        let x = &residual[index];
        device.rms_norm(
            x,
            n_rows,
            &weights.attention_norm,
            epsilon,
            norm,
            &mut a.attention_inv_rms,
        )?;
        backward_weight(device, &b.d_q, norm, n_queries, &mut gradients.q)?;
        backward_weight(device, &b.d_k, norm, n_rows, &mut gradients.k)?;
        backward_weight(device, &b.d_v, norm, n_rows, &mut gradients.v)?;
        // Keys and values first: they write every row, queries add to the leading ones.
        device.linear_backward_input(&b.d_k, n_rows, &weights.k.weight, &mut b.d_norm, false)?;
        device.linear_backward_input(&b.d_v, n_rows, &weights.v.weight, &mut b.d_norm, true)?;
        device.linear_backward_input(&b.d_q, n_queries, &weights.q.weight, &mut b.d_norm, true)?;
        device.rms_norm_backward(
            x,
            n_rows,
            &weights.attention_norm,
            &a.attention_inv_rms,
            &b.d_norm,
            &mut b.d_residual,
            &mut gradients.attention_norm,
        )
    }
}

/// Adds the gradients of a linear map's weight and bias.
fn backward_weight<D: Device>(
    device: &D,
    dy: &D::Buffer,
    x: &D::Buffer,
    n_rows: usize,
    gradient: &mut Linear<D>,
) -> DeviceResult<()> {
    device.linear_backward_weight(dy, x, n_rows, &mut gradient.weight)?;
    match &mut gradient.bias {
        Some(bias) => device.bias_backward(dy, n_rows, bias),
        None => Ok(()),
    }
}
