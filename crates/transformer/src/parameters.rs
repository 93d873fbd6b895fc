//! The parameters of a model: which there are, what they are called, and storage of that layout for weights,
//! gradients and optimizer moments alike.

use azr_weights::{ModelConfig, Projection, TensorSpec};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::device::{Device, DeviceResult, Tensor, TensorMut};
use crate::error::{Result, TransformerError};

/// Standard deviation of randomly initialised biases.
const BIAS_DEVIATION: f32 = 0.1;

/// A linear map with an optional bias.
pub(crate) struct Linear<D: Device> {
    pub(crate) weight: D::Matrix,
    pub(crate) bias: Option<D::Buffer>,
}

/// The parameters of one layer.
pub(crate) struct LayerParameters<D: Device> {
    pub(crate) attention_norm: D::Buffer,
    pub(crate) q: Linear<D>,
    pub(crate) k: Linear<D>,
    pub(crate) v: Linear<D>,
    pub(crate) o: Linear<D>,
    pub(crate) mlp_norm: D::Buffer,
    pub(crate) gate: Linear<D>,
    pub(crate) up: Linear<D>,
    pub(crate) down: Linear<D>,
}

/// Storage for one value per parameter: the weights or their gradients.
pub(crate) struct Parameters<D: Device> {
    pub(crate) embedding: D::Matrix,
    pub(crate) layers: Vec<LayerParameters<D>>,
    pub(crate) final_norm: D::Buffer,
    /// Absent when the embedding is the head as well.
    pub(crate) untied_head: Option<D::Matrix>,
}

/// Number of values of a parameter.
pub(crate) fn n_values(spec: &TensorSpec) -> usize {
    spec.shape.iter().product()
}

/// Fails unless a transformer of this configuration exists.
pub(crate) fn check_config(config: &ModelConfig) -> Result<()> {
    let need = |holds: bool, what: &str| {
        if holds { Ok(()) } else { Err(TransformerError::InvalidConfig(what.to_owned())) }
    };
    let sizes = [
        config.hidden_size,
        config.intermediate_size,
        config.n_layers,
        config.n_heads,
        config.n_kv_heads,
        config.head_dim,
        config.vocab_size,
        config.context_length,
    ];
    need(sizes.iter().all(|&size| size > 0), "every size must be at least 1")?;
    need(sizes.iter().all(|&size| size <= 1 << 24), "a size is absurdly large")?;
    need(
        config.n_heads.is_multiple_of(config.n_kv_heads),
        "query heads must be a multiple of key-value heads",
    )?;
    need(config.head_dim.is_multiple_of(2), "the head width must be even")?;
    need(
        config.rope_theta.is_finite() && config.rope_theta > 0.0,
        "the rotary base must be positive",
    )?;
    need(
        config.rms_norm_eps.is_finite() && config.rms_norm_eps >= 0.0,
        "the norm's epsilon must not be negative",
    )
}

impl<D: Device> LayerParameters<D> {
    /// One of the layer's linear maps.
    pub(crate) fn linear(&self, projection: Projection) -> &Linear<D> {
        match projection {
            Projection::Q => &self.q,
            Projection::K => &self.k,
            Projection::V => &self.v,
            Projection::O => &self.o,
            Projection::Gate => &self.gate,
            Projection::Up => &self.up,
            Projection::Down => &self.down,
        }
    }

    /// One of the layer's linear maps.
    pub(crate) fn linear_mut(&mut self, projection: Projection) -> &mut Linear<D> {
        match projection {
            Projection::Q => &mut self.q,
            Projection::K => &mut self.k,
            Projection::V => &mut self.v,
            Projection::O => &mut self.o,
            Projection::Gate => &mut self.gate,
            Projection::Up => &mut self.up,
            Projection::Down => &mut self.down,
        }
    }
}

impl<D: Device> Parameters<D> {
    /// Zeroed weights.
    pub(crate) fn zeros(device: &D, config: &ModelConfig) -> DeviceResult<Self> {
        Self::new(device, config, |n_out, n_in| device.matrix_zeros(n_out, n_in))
    }

    /// Zeroed gradients.
    pub(crate) fn gradients(device: &D, config: &ModelConfig) -> DeviceResult<Self> {
        Self::new(device, config, |n_out, n_in| device.gradient_zeros(n_out, n_in))
    }

    /// Zeroed storage for every parameter of `config`.
    fn new(
        device: &D,
        config: &ModelConfig,
        matrix: impl Fn(usize, usize) -> DeviceResult<D::Matrix>,
    ) -> DeviceResult<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        let linear = |n_out, n_in, biased: bool| {
            Ok(Linear {
                weight: matrix(n_out, n_in)?,
                bias: if biased { Some(device.zeros(n_out)?) } else { None },
            })
        };
        let layer = || {
            Ok(LayerParameters {
                attention_norm: device.zeros(hidden)?,
                q: linear(q, hidden, config.qkv_bias)?,
                k: linear(kv, hidden, config.qkv_bias)?,
                v: linear(kv, hidden, config.qkv_bias)?,
                o: linear(hidden, q, false)?,
                mlp_norm: device.zeros(hidden)?,
                gate: linear(inner, hidden, false)?,
                up: linear(inner, hidden, false)?,
                down: linear(hidden, inner, false)?,
            })
        };
        let head = || matrix(config.vocab_size, hidden);
        Ok(Self {
            embedding: head()?,
            layers: (0..config.n_layers).map(|_| layer()).collect::<DeviceResult<_>>()?,
            final_norm: device.zeros(hidden)?,
            untied_head: if config.tie_word_embeddings { None } else { Some(head()?) },
        })
    }

    /// The matrix that maps the final state to logits.
    pub(crate) fn head(&self) -> &D::Matrix {
        self.untied_head.as_ref().unwrap_or(&self.embedding)
    }

    /// The matrix that maps the final state to logits.
    pub(crate) fn head_mut(&mut self) -> &mut D::Matrix {
        self.untied_head.as_mut().unwrap_or(&mut self.embedding)
    }

    /// Every parameter in the order of [`ModelConfig::tensors`].
    pub(crate) fn tensors(&self) -> Vec<Tensor<'_, D>> {
        let mut tensors = vec![Tensor::Matrix(&self.embedding)];
        for layer in &self.layers {
            tensors.push(Tensor::Vector(&layer.attention_norm));
            for linear in [&layer.q, &layer.k, &layer.v, &layer.o] {
                tensors.push(Tensor::Matrix(&linear.weight));
                tensors.extend(linear.bias.as_ref().map(Tensor::Vector));
            }
            tensors.push(Tensor::Vector(&layer.mlp_norm));
            for linear in [&layer.gate, &layer.up, &layer.down] {
                tensors.push(Tensor::Matrix(&linear.weight));
            }
        }
        tensors.push(Tensor::Vector(&self.final_norm));
        tensors.extend(self.untied_head.as_ref().map(Tensor::Matrix));
        tensors
    }

    /// Every parameter in the order of [`ModelConfig::tensors`].
    pub(crate) fn tensors_mut(&mut self) -> Vec<TensorMut<'_, D>> {
        let mut tensors = vec![TensorMut::Matrix(&mut self.embedding)];
        for layer in &mut self.layers {
            tensors.push(TensorMut::Vector(&mut layer.attention_norm));
            for linear in [&mut layer.q, &mut layer.k, &mut layer.v, &mut layer.o] {
                tensors.push(TensorMut::Matrix(&mut linear.weight));
                tensors.extend(linear.bias.as_mut().map(TensorMut::Vector));
            }
            tensors.push(TensorMut::Vector(&mut layer.mlp_norm));
            for linear in [&mut layer.gate, &mut layer.up, &mut layer.down] {
                tensors.push(TensorMut::Matrix(&mut linear.weight));
            }
        }
        tensors.push(TensorMut::Vector(&mut self.final_norm));
        tensors.extend(self.untied_head.as_mut().map(TensorMut::Matrix));
        tensors
    }
}

impl<D: Device> Tensor<'_, D> {
    /// The values, row-major.
    pub(crate) fn read(&self, device: &D) -> DeviceResult<Vec<f32>> {
        match self {
            Self::Vector(vector) => {
                let mut out = vec![0.0; device.len(vector)];
                device.read(vector, 0, &mut out)?;
                Ok(out)
            }
            Self::Matrix(matrix) => {
                let (n_out, n_in) = device.matrix_shape(matrix);
                let mut out = vec![0.0; n_out * n_in];
                device.matrix_read(matrix, &mut out)?;
                Ok(out)
            }
        }
    }
}

impl<D: Device> TensorMut<'_, D> {
    /// Replaces the values by row-major `values`, which must be as many as `spec` says.
    pub(crate) fn write(&mut self, device: &D, spec: &TensorSpec, values: &[f32]) -> Result<()> {
        if values.len() != n_values(spec) {
            return Err(TransformerError::WrongLength {
                name: spec.name.clone(),
                shape: spec.shape.clone(),
                expected: n_values(spec),
                found: values.len(),
            });
        }
        match self {
            Self::Vector(vector) => device.write(vector, 0, values)?,
            Self::Matrix(matrix) => device.matrix_write(matrix, values)?,
        }
        Ok(())
    }
}

/// Random values for a parameter: gains are 1, biases small, matrices normal with a deviation of
/// `1 / sqrt(n_in)`. A function of `seed` and the parameter's index alone.
pub(crate) fn random_values(spec: &TensorSpec, index: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index as u64);
    let mut normal = move || {
        // Box-Muller; the first number is kept away from 0.
        let radius = (f64::from(rng.next_u32()) + 1.0) / (f64::from(u32::MAX) + 1.0);
        let angle = f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0);
        ((-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()) as f32
    };
    match spec.shape[..] {
        [_, n_in] => {
            let deviation = 1.0 / (n_in as f32).sqrt();
            (0..n_values(spec)).map(|_| normal() * deviation).collect()
        }
        _ if spec.name.ends_with(".bias") => {
            (0..n_values(spec)).map(|_| normal() * BIAS_DEVIATION).collect()
        }
        _ => vec![1.0; n_values(spec)],
    }
}
