//! The forward pass: packed rows in, final states out, with what the backward pass needs kept or not.

use azr_plugin::CallContext;
use azr_weights::{ModelConfig, Projection};

use crate::cache::KvCache;
use crate::copies::WeightCopies;
use crate::device::{AttentionSequence, CacheRows, Device, DeviceResult, QkvSpec, Weights};
use crate::error::{Result, TransformerError};
use crate::model::Model;
use crate::rows::PackedRows;

/// Buffers of a forward pass over at most `n_rows` rows.
pub(crate) struct Activations<D: Device> {
    /// Residual stream: entry `l` goes into layer `l`. Either one per layer and one more, or two used in turn.
    pub(crate) residual: Vec<D::Buffer>,
    /// Of the norm of each layer's input: one per layer, or a single one that every layer overwrites.
    pub(crate) attention_inv_rms: Vec<D::Buffer>,
    /// As many.
    pub(crate) layers: Vec<LayerActivations<D>>,
    /// `[n_rows, hidden]`; after a forward pass the normalised final states.
    pub(crate) norm: D::Buffer,
    /// `[n_rows, intermediate]`, the product inside the MLP.
    pub(crate) product: D::Buffer,
    /// Of the final norm.
    pub(crate) inv_rms: D::Buffer,
}

/// What a layer computes and its backward pass wants; norms and the MLP's product are computed again instead.
pub(crate) struct LayerActivations<D: Device> {
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
            attention_inv_rms: (0..n_layers).map(|_| numbers(1)).collect::<DeviceResult<_>>()?,
            layers: (0..n_layers).map(layer).collect::<DeviceResult<_>>()?,
            norm: zeros(hidden)?,
            product: zeros(inner)?,
            inv_rms: numbers(1)?,
        })
    }
}

impl<D: Device> Model<D> {
    /// Runs all layers over `rows` and leaves the normalised final states in `activations.norm`. Without a rollout, key
    /// spans count the rows themselves. Only the final rows are computed beyond the last layer's keys and values.
    pub(crate) fn forward(
        &self,
        rows: &PackedRows,
        activations: &mut Activations<D>,
        mut rollout: Option<Rollout<'_, D>>,
        context: &dyn CallContext,
    ) -> Result<()> {
        self.device.embed(&self.weights.embedding, &rows.tokens, &mut activations.residual[0])?;
        self.attention_norm(0, rows.len(), activations)?;
        for layer in 0..self.config.n_layers {
            if context.is_cancelled() {
                return Err(TransformerError::Cancelled);
            }
            self.forward_layer(layer, rows, activations, rollout.as_mut())?;
        }
        Ok(())
    }

    /// Normalises a layer's input.
    pub(crate) fn attention_norm(
        &self,
        index: usize,
        n_rows: usize,
        activations: &mut Activations<D>,
    ) -> DeviceResult<()> {
        let Activations { residual, attention_inv_rms, norm, .. } = activations;
        let n_kept = attention_inv_rms.len();
        let inv_rms = &mut attention_inv_rms[index % n_kept];
        let x = &residual[index % residual.len()];
        let gain = &self.weights.layers[index].attention_norm;
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

    /// Runs a layer whose normalised input is in `activations.norm`, and normalises what comes out of it, for the next one
    /// or as final states.
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
        let Activations { residual, attention_inv_rms, layers, norm, product, inv_rms } =
            activations;
        let n_kept = layers.len();
        let a = &layers[index % n_kept];
        let n_residual = residual.len();
        let y = &mut residual[(index + 1) % n_residual];
        device.swiglu(&a.gate, &a.up, n_queries * config.intermediate_size, product)?;
        let (down, bias) = self.weights_of(index, Projection::Down, copies);
        device.weights_linear(product, n_queries, &down, bias, y)?;
        let (gain, inv_rms) = match self.weights.layers.get(index + 1) {
            Some(next) => (&next.attention_norm, &mut attention_inv_rms[(index + 1) % n_kept]),
            None => (&self.weights.final_norm, inv_rms),
        };
        device.add_rms_norm(&a.middle, y, n_queries, gain, config.rms_norm_eps, norm, inv_rms)
    }

    /// Computes from a layer's input, of which the norm is in `activations.norm`, what its backward pass wants.
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
        let (n_queries, sequences) = self.queries_of(index, rows);
        let copies = rollout.as_ref().and_then(|rollout| rollout.copies);
        let weights_of = |projection| self.weights_of(index, projection, copies);

        let Activations { residual, layers, norm, .. } = activations;
        let n_kept = layers.len();
        let a = &mut layers[index % n_kept];
        let x = &residual[index % residual.len()];

        let spec = QkvSpec {
            linear: [Projection::Q, Projection::K, Projection::V].map(weights_of),
            shape,
            positions: &rows.positions,
            theta: config.rope_theta,
            n_queries,
        };
        let qkv = [&mut a.q, &mut a.k, &mut a.v];
        let (k, v) = match rollout {
            Some(target) => {
                let (k, v) = target.cache.layer_mut(index);
                let cache = CacheRows { k: &mut *k, v: &mut *v, rows: target.rows };
                device.qkv(norm, &spec, qkv, Some(cache))?;
                (&*k, &*v)
            }
            None => {
                device.qkv(norm, &spec, qkv, None)?;
                (&a.k, &a.v)
            }
        };
        device.attention(shape, sequences, &a.q, k, v, &mut a.attention, &mut a.lse)?;
        let (o, bias) = weights_of(Projection::O);
        device.weights_linear(&a.attention, n_queries, &o, bias, &mut a.middle)?;
        let (gain, epsilon) = (&weights.mlp_norm, config.rms_norm_eps);
        let inv_rms = &mut a.mlp_inv_rms;
        device.add_rms_norm(x, &mut a.middle, n_queries, gain, epsilon, norm, inv_rms)?;
        for (projection, y) in [(Projection::Gate, &mut a.gate), (Projection::Up, &mut a.up)] {
            let (weights, bias) = weights_of(projection);
            device.weights_linear(norm, n_queries, &weights, bias, y)?;
        }
        Ok(())
    }

    /// The weights of a layer's linear map, those of the copy where there is one, and its bias.
    fn weights_of<'a>(
        &'a self,
        index: usize,
        projection: Projection,
        copies: Option<&'a WeightCopies<D>>,
    ) -> (Weights<'a, D>, Option<&'a D::Buffer>) {
        let linear = self.weights.layers[index].linear(projection);
        let weights = match copies {
            Some(copies) => Weights::Copy(copies.linear(index, projection)),
            None => Weights::Matrix(&linear.weight),
        };
        (weights, linear.bias.as_ref())
    }
}
