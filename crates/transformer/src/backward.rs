//! The backward pass, written by hand: gradients of every parameter from the gradients of the final states.

use azr_plugin::CallContext;
use azr_weights::Projection;

use crate::device::{Device, DeviceResult};
use crate::error::{Result, TransformerError};
use crate::forward::Activations;
use crate::gradients::{Gradients, LayerGradients};
use crate::model::Model;
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
    /// Gradient of a gain that is not trained.
    d_gain: D::Buffer,
    /// Rows of the adapters' rank.
    low_rank: D::Buffer,
}

impl<D: Device> BackwardBuffers<D> {
    pub(crate) fn new(model: &Model<D>, n_rows: usize) -> DeviceResult<Self> {
        let config = &model.config;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        let zeros = |width: usize| model.device.activations(n_rows * width);
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
            d_gain: model.device.zeros(hidden)?,
            low_rank: zeros(model.options.rank())?,
        })
    }

    /// Number of values in all buffers of rows.
    #[cfg(test)]
    pub(crate) fn n_values(&self, device: &D) -> usize {
        let Self { d_residual, d_norm, d_q, d_k, d_v, d_attention, d_product, .. } = self;
        let Self { d_gate, d_up, low_rank, .. } = self;
        [d_residual, d_norm, d_q, d_k, d_v, d_attention, d_product, d_gate, d_up, low_rank]
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
        gradients: &mut Gradients<D>,
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
            gradients.final_norm_or(&mut buffers.d_gain),
        )?;
        for layer in (0..n_layers).rev() {
            if context.is_cancelled() {
                return Err(TransformerError::Cancelled);
            }
            if activations.layers.len() < n_layers {
                // Only inputs were kept; the same operations on the same rows give the same bits again.
                self.attention_norm(layer, rows.len(), activations)?;
                self.layer_activations(layer, rows, activations, None)?;
            }
            let mut gradients = gradients.layer_mut(layer);
            self.backward_mlp(layer, rows, activations, buffers, &mut gradients)?;
            self.backward_attention(layer, rows, activations, buffers, &mut gradients)?;
        }
        if let Some(embedding) = gradients.embedding_mut() {
            device.embed_backward(&buffers.d_residual, &rows.tokens, embedding)?;
        }
        Ok(())
    }

    fn backward_mlp(
        &self,
        index: usize,
        rows: &PackedRows,
        activations: &mut Activations<D>,
        buffers: &mut BackwardBuffers<D>,
        gradients: &mut LayerGradients<'_, D>,
    ) -> DeviceResult<()> {
        let device = &*self.device;
        let weights = &self.weights.layers[index];
        let (n_rows, _) = self.queries_of(index, rows);
        let len = n_rows * self.config.intermediate_size;
        let Activations { layers, norm, product, .. } = activations;
        let n_kept = layers.len();
        let a = &mut layers[index % n_kept];
        let b = buffers;

        device.swiglu(&a.gate, &a.up, len, product)?;
        self.backward_weight(
            (index, Projection::Down),
            &b.d_residual,
            product,
            n_rows,
            gradients,
            &mut b.low_rank,
        )?;
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
        self.backward_weight(
            (index, Projection::Gate),
            &b.d_gate,
            norm,
            n_rows,
            gradients,
            &mut b.low_rank,
        )?;
        self.backward_weight(
            (index, Projection::Up),
            &b.d_up,
            norm,
            n_rows,
            gradients,
            &mut b.low_rank,
        )?;
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
            gradients.mlp_norm_or(&mut b.d_gain),
        )
    }

    fn backward_attention(
        &self,
        index: usize,
        rows: &PackedRows,
        activations: &mut Activations<D>,
        buffers: &mut BackwardBuffers<D>,
        gradients: &mut LayerGradients<'_, D>,
    ) -> DeviceResult<()> {
        let device = &*self.device;
        let weights = &self.weights.layers[index];
        let shape = self.attention_shape();
        let n_rows = rows.len();
        let (n_queries, sequences) = self.queries_of(index, rows);
        let Activations { residual, attention_inv_rms, layers, norm, .. } = activations;
        let n_kept = layers.len();
        let a = &mut layers[index % n_kept];
        let b = buffers;

        self.backward_weight(
            (index, Projection::O),
            &b.d_residual,
            &a.attention,
            n_queries,
            gradients,
            &mut b.low_rank,
        )?;
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
        let attention_inv_rms = &mut attention_inv_rms[index % n_kept];
        device.rms_norm(x, n_rows, &weights.attention_norm, epsilon, norm, attention_inv_rms)?;
        self.backward_weight(
            (index, Projection::Q),
            &b.d_q,
            norm,
            n_queries,
            gradients,
            &mut b.low_rank,
        )?;
        self.backward_weight(
            (index, Projection::K),
            &b.d_k,
            norm,
            n_rows,
            gradients,
            &mut b.low_rank,
        )?;
        self.backward_weight(
            (index, Projection::V),
            &b.d_v,
            norm,
            n_rows,
            gradients,
            &mut b.low_rank,
        )?;
        // Keys and values first: they write every row, queries add to the leading ones.
        device.linear_backward_input(&b.d_k, n_rows, &weights.k.weight, &mut b.d_norm, false)?;
        device.linear_backward_input(&b.d_v, n_rows, &weights.v.weight, &mut b.d_norm, true)?;
        device.linear_backward_input(&b.d_q, n_queries, &weights.q.weight, &mut b.d_norm, true)?;
        device.rms_norm_backward(
            x,
            n_rows,
            &weights.attention_norm,
            attention_inv_rms,
            &b.d_norm,
            &mut b.d_residual,
            gradients.attention_norm_or(&mut b.d_gain),
        )
    }

    /// Adds the gradients of one linear map's weight and bias, or those of its adapter. With `s` the adapter's scale,
    /// `dB += dyᵀ (x (s A)ᵀ)` and `dA += (dy s B)ᵀ x`.
    fn backward_weight(
        &self,
        (layer, projection): (usize, Projection),
        dy: &D::Buffer,
        x: &D::Buffer,
        n_rows: usize,
        gradients: &mut LayerGradients<'_, D>,
        low_rank: &mut D::Buffer,
    ) -> DeviceResult<()> {
        let device = &*self.device;
        match gradients {
            LayerGradients::All(gradients) => {
                let gradient = gradients.linear_mut(projection);
                device.linear_backward_weight(dy, x, n_rows, &mut gradient.weight)?;
                match &mut gradient.bias {
                    Some(bias) => device.bias_backward(dy, n_rows, bias),
                    None => Ok(()),
                }
            }
            LayerGradients::Adapters(gradients) => {
                let adapter =
                    self.lora.as_ref().and_then(|lora| lora.layers[layer].get(&projection));
                let (Some(adapter), Some(gradient)) = (adapter, gradients.get_mut(&projection))
                else {
                    return Ok(());
                };
                device.linear(x, n_rows, &adapter.scaled.a, None, low_rank)?;
                device.linear_backward_weight(dy, low_rank, n_rows, &mut gradient.b)?;
                device.linear_backward_input(dy, n_rows, &adapter.scaled.b, low_rank, false)?;
                device.linear_backward_weight(low_rank, x, n_rows, &mut gradient.a)
            }
        }
    }
}
