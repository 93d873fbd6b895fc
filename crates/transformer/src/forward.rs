//! The forward pass: packed rows in, final states out, with what the backward pass needs kept or not.

use azr_plugin::CallContext;
use azr_weights::{ModelConfig, Projection};

use crate::cache::KvCache;
use crate::copies::WeightCopies;
use crate::device::{AttentionSequence, Device, DeviceResult};
use crate::error::{Result, TransformerError};
use crate::model::Model;
use crate::parameters::Linear;
use crate::rows::PackedRows;

/// Buffers of a forward pass over at most `n_rows` rows.
pub(crate) struct Activations<D: Device> {
    /// Residual stream: entry `l` goes into layer `l`. Either one per layer and one more, or two used in turn.
    pub(crate) residual: Vec<D::Buffer>,
    /// One per layer, or a single one that every layer overwrites.
    pub(crate) layers: Vec<LayerActivations<D>>,
    /// `[n_rows, hidden]`; after [`Model::final_states`] the normalised final states.
    pub(crate) norm: D::Buffer,
    /// `[n_rows, intermediate]`, the product inside the MLP.
    pub(crate) product: D::Buffer,
    /// Of the final norm.
    pub(crate) inv_rms: D::Buffer,
}

/// What a layer computes and its backward pass wants; norms and the MLP's product are computed again instead.
pub(crate) struct LayerActivations<D: Device> {
    pub(crate) attention_inv_rms: D::Buffer,
    pub(crate) q: D::Buffer,
    pub(crate) k: D::Buffer,
    pub(crate) v: D::Buffer,
    pub(crate) attention: D::Buffer,
    pub(crate) lse: D::Buffer,
    /// Residual stream between attention and MLP.
    pub(crate) middle: D::Buffer,
    pub(crate) mlp_inv_rms: D::Buffer,
    pub(crate) gate: D::Buffer,
    pub(crate) up: D::Buffer,
}

/// Whether the activations of every layer are kept for a backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Every layer's.
    All,
    /// Every layer's input alone, from which the backward pass computes the rest again: gradient checkpointing
    /// (arXiv 1604.06174).
    Inputs,
    /// Only the running layer's.
    Nothing,
}

impl Keep {
    /// Number of residual buffers and of layers' buffers.
    pub(crate) const fn counts(self, config: &ModelConfig) -> (usize, usize) {
        match self {
            Self::All => (config.n_layers + 1, config.n_layers),
            Self::Inputs => (config.n_layers + 1, 1),
            Self::Nothing => (2, 1),
        }
    }
}

/// What generation alone gives a forward pass: where the keys and values of the rows are stored and earlier ones are
/// found, and perhaps copies of the matrices to multiply with.
pub(crate) struct Rollout<'a, D: Device> {
    pub(crate) cache: &'a mut KvCache<D>,
    /// Cache row of each computed row. The sequences' key spans are in cache rows as well.
    pub(crate) rows: &'a [u32],
    pub(crate) copies: Option<&'a WeightCopies<D>>,
}

impl<D: Device> Activations<D> {
    pub(crate) fn new(model: &Model<D>, n_rows: usize, keep: Keep) -> DeviceResult<Self> {
        let (device, config) = (&*model.device, &model.config);
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        let zeros = |width: usize| device.activations(n_rows * width);
        let numbers = |width: usize| device.zeros(n_rows * width);
        let layer = |_| {
            Ok(LayerActivations {
                attention_inv_rms: numbers(1)?,
                q: zeros(q)?,
                k: zeros(kv)?,
                v: zeros(kv)?,
                attention: zeros(q)?,
                lse: numbers(config.n_heads)?,
                middle: zeros(hidden)?,
                mlp_inv_rms: numbers(1)?,
                gate: zeros(inner)?,
                up: zeros(inner)?,
            })
        };
        let (n_residual, n_layers) = keep.counts(config);
        Ok(Self {
            residual: (0..n_residual).map(|_| zeros(hidden)).collect::<DeviceResult<_>>()?,
            layers: (0..n_layers).map(layer).collect::<DeviceResult<_>>()?,
            norm: zeros(hidden)?,
            product: zeros(inner)?,
            inv_rms: numbers(1)?,
        })
    }
}

impl<D: Device> Model<D> {
    /// Runs all layers over `rows`. Without a rollout, key spans count the rows themselves.
    /// Only the final rows are computed beyond the last layer's keys and values.
    pub(crate) fn forward(
        &self,
        rows: &PackedRows,
        activations: &mut Activations<D>,
        mut rollout: Option<Rollout<'_, D>>,
        context: &dyn CallContext,
    ) -> Result<()> {
        self.device.embed(&self.weights.embedding, &rows.tokens, &mut activations.residual[0])?;
        for layer in 0..self.config.n_layers {
            if context.is_cancelled() {
                return Err(TransformerError::Cancelled);
            }
            self.forward_layer(layer, rows, activations, rollout.as_mut())?;
        }
        Ok(())
    }

    /// Normalises the final rows of a forward pass into `activations.norm`.
    pub(crate) fn final_states(
        &self,
        n_rows: usize,
        activations: &mut Activations<D>,
    ) -> DeviceResult<()> {
        let Activations { residual, norm, inv_rms, .. } = activations;
        let x = &residual[self.config.n_layers % residual.len()];
        let gain = &self.weights.final_norm;
        self.device.rms_norm(x, n_rows, gain, self.config.rms_norm_eps, norm, inv_rms)
    }

    /// Rows and sequences whose queries `layer` computes: all, but only the final ones in the last layer.
    pub(crate) fn queries_of<'a>(
        &self,
        layer: usize,
        rows: &'a PackedRows,
    ) -> (usize, &'a [AttentionSequence]) {
        if layer + 1 == self.config.n_layers {
            (rows.n_final_rows, &rows.sequences[..rows.n_final_sequences])
        } else {
            (rows.len(), &rows.sequences)
        }
    }

    fn forward_layer(
        &self,
        index: usize,
        rows: &PackedRows,
        activations: &mut Activations<D>,
        rollout: Option<&mut Rollout<'_, D>>,
    ) -> DeviceResult<()> {
        let copies = rollout.as_ref().and_then(|rollout| rollout.copies);
        self.layer_activations(index, rows, activations, rollout)?;
        let (device, config) = (&*self.device, &self.config);
        let (n_queries, _) = self.queries_of(index, rows);
        let Activations { residual, layers, product, .. } = activations;
        let n_kept = layers.len();
        let a = &layers[index % n_kept];
        let n_residual = residual.len();
        let y = &mut residual[(index + 1) % n_residual];
        device.swiglu(&a.gate, &a.up, n_queries * config.intermediate_size, product)?;
        let copy = copies.map(|copies| copies.linear(index, Projection::Down));
        linear(device, product, n_queries, &self.weights.layers[index].down, copy, y)?;
        device.add(&a.middle, y, n_queries * config.hidden_size)
    }

    /// Computes from a layer's input what its backward pass wants.
    pub(crate) fn layer_activations(
        &self,
        index: usize,
        rows: &PackedRows,
        activations: &mut Activations<D>,
        rollout: Option<&mut Rollout<'_, D>>,
    ) -> DeviceResult<()> {
        let (device, config) = (&*self.device, &self.config);
        let weights = &self.weights.layers[index];
        let shape = self.attention_shape();
        let epsilon = config.rms_norm_eps;
        let n_rows = rows.len();
        let (n_queries, sequences) = self.queries_of(index, rows);
        let copies = rollout.as_ref().and_then(|rollout| rollout.copies);
        let copy = |projection| copies.map(|copies| copies.linear(index, projection));

        let Activations { residual, layers, norm, .. } = activations;
        let n_kept = layers.len();
        let a = &mut layers[index % n_kept];
        let x = &residual[index % residual.len()];

        device.rms_norm(
            x,
            n_rows,
            &weights.attention_norm,
            epsilon,
            norm,
            &mut a.attention_inv_rms,
        )?;
        linear(device, norm, n_queries, &weights.q, copy(Projection::Q), &mut a.q)?;
        linear(device, norm, n_rows, &weights.k, copy(Projection::K), &mut a.k)?;
        linear(device, norm, n_rows, &weights.v, copy(Projection::V), &mut a.v)?;
        let theta = config.rope_theta;
        let positions = &rows.positions;
        device.rope(
            &mut a.q,
            shape.n_heads,
            shape.head_dim,
            &positions[..n_queries],
            theta,
            false,
        )?;
        device.rope(&mut a.k, shape.n_kv_heads, shape.head_dim, positions, theta, false)?;
        let (k, v) = match rollout {
            Some(target) => {
                let width = shape.n_kv_heads * shape.head_dim;
                let (k, v) = target.cache.layer_mut(index);
                device.scatter_rows(&a.k, target.rows, width, k)?;
                device.scatter_rows(&a.v, target.rows, width, v)?;
                (&*k, &*v)
            }
            None => (&a.k, &a.v),
        };
        device.attention(shape, sequences, &a.q, k, v, &mut a.attention, &mut a.lse)?;
        linear(device, &a.attention, n_queries, &weights.o, copy(Projection::O), &mut a.middle)?;
        device.add(x, &mut a.middle, n_queries * config.hidden_size)?;

        device.rms_norm(
            &a.middle,
            n_queries,
            &weights.mlp_norm,
            epsilon,
            norm,
            &mut a.mlp_inv_rms,
        )?;
        linear(device, norm, n_queries, &weights.gate, copy(Projection::Gate), &mut a.gate)?;
        linear(device, norm, n_queries, &weights.up, copy(Projection::Up), &mut a.up)
    }
}

fn linear<D: Device>(
    device: &D,
    x: &D::Buffer,
    n_rows: usize,
    linear: &Linear<D>,
    copy: Option<&D::WeightCopy>,
    y: &mut D::Buffer,
) -> DeviceResult<()> {
    let bias = linear.bias.as_ref();
    match copy {
        Some(copy) => device.copy_linear(x, n_rows, copy, bias, y),
        None => device.linear(x, n_rows, &linear.weight, bias, y),
    }
}
