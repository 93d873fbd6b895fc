//! LoRA adapters (arXiv 2106.09685) as Hugging Face PEFT stores them: `adapter_config.json` beside
//! `adapter_model.safetensors`. An adapter of rank `r` on a matrix `W` makes it `W + alpha / r * B A`.

mod file;
mod json;
mod merge;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{ModelConfig, TensorSpec};

pub use file::{AdapterFile, BaseDigest, write_adapter_directory};
pub use merge::merge_adapters;

/// A linear map of a layer, by its Hugging Face name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Projection {
    /// Queries.
    #[serde(rename = "q_proj")]
    Q,
    /// Keys.
    #[serde(rename = "k_proj")]
    K,
    /// Values.
    #[serde(rename = "v_proj")]
    V,
    /// Attention's output.
    #[serde(rename = "o_proj")]
    O,
    /// The gate of the feed-forward layer.
    #[serde(rename = "gate_proj")]
    Gate,
    /// What the gate multiplies.
    #[serde(rename = "up_proj")]
    Up,
    /// The feed-forward layer's output.
    #[serde(rename = "down_proj")]
    Down,
}

impl Projection {
    /// All, in the order of [`ModelConfig::tensors`].
    pub const ALL: [Self; 7] =
        [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// The name, for example `q_proj`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// Outputs and inputs.
    pub const fn shape(self, config: &ModelConfig) -> [usize; 2] {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        match self {
            Self::Q => [q, hidden],
            Self::K | Self::V => [kv, hidden],
            Self::O => [hidden, q],
            Self::Gate | Self::Up => [inner, hidden],
            Self::Down => [hidden, inner],
        }
    }

    fn path(self, layer: usize) -> String {
        let module = match self {
            Self::Q | Self::K | Self::V | Self::O => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        };
        format!("model.layers.{layer}.{module}.{}", self.as_str())
    }
}

/// Which matrices have adapters, and of what rank.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// Rank `r` of the adapters.
    pub rank: usize,
    /// The product `B A` is multiplied by `alpha / rank`.
    pub alpha: f32,
    /// The adapted maps of every layer.
    pub targets: BTreeSet<Projection>,
    /// Name or path of the model that the adapters belong to, for the reader.
    pub base_model: String,
}

/// The adapter of one matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSpec {
    /// Layer of the matrix.
    pub layer: usize,
    /// Which of the layer's.
    pub projection: Projection,
    /// Hugging Face name of the matrix.
    pub weight: String,
    /// `A`, `[rank, n_in]`, under PEFT's name.
    pub a: TensorSpec,
    /// `B`, `[n_out, rank]`, under PEFT's name.
    pub b: TensorSpec,
}

impl AdapterConfig {
    /// What `B A` is multiplied by.
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank as f32
    }

    /// Every adapter of a model of this configuration, layer by layer.
    pub fn adapters(&self, config: &ModelConfig) -> Vec<AdapterSpec> {
        let layers =
            (0..config.n_layers).flat_map(|layer| self.targets.iter().map(move |&p| (layer, p)));
        let spec = |(layer, projection): (usize, Projection)| {
            let [n_out, n_in] = projection.shape(config);
            let path = projection.path(layer);
            let peft = format!("base_model.model.{path}");
            AdapterSpec {
                layer,
                projection,
                weight: format!("{path}.weight"),
                a: TensorSpec::new(format!("{peft}.lora_A.weight"), [self.rank, n_in]),
                b: TensorSpec::new(format!("{peft}.lora_B.weight"), [n_out, self.rank]),
            }
        };
        layers.map(spec).collect()
    }

    /// Fails unless such adapters fit a model of this configuration.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn check(&self, config: &ModelConfig) -> Result<(), String> {
        if self.targets.is_empty() {
            return Err("LoRA has no targets: name some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj".to_owned());
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(format!("LoRA's alpha is {}, must be above 0", self.alpha));
        }
        for &target in &self.targets {
            let [n_out, n_in] = target.shape(config);
            if self.rank == 0 || self.rank > n_out.min(n_in) {
                return Err(format!(
                    "LoRA's rank is {}, must be 1 to {} for the {n_out} by {n_in} matrix {}",
                    self.rank,
                    n_out.min(n_in),
                    target.as_str()
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
