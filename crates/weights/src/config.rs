//! What a model is made of: its sizes, and the tensors that follow from them.

use serde::Serialize;

// Limits on hostile configs, an order of magnitude above the largest published dense models, so that no product
// of two of them overflows 64 bits and no list of tensors grows beyond a few megabytes.
const MAX_LAYERS: usize = 1 << 10;
const MAX_WIDTH: usize = 1 << 20;
const MAX_HEADS: usize = 1 << 12;
const MAX_VOCAB: usize = 1 << 24;
const MAX_CONTEXT: usize = 1 << 30;

/// Architecture of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama and those who share its architecture, for example SmolLM2. No biases.
    Llama,
    /// Qwen2 and Qwen2.5: Llama with biases on Q, K and V.
    Qwen2,
}

impl Family {
    /// The name used as `model_type` and as GGUF architecture.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
        }
    }
}

/// Sizes of a decoder-only transformer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelConfig {
    /// Architecture.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of transformer blocks.
    pub n_layers: usize,
    /// Number of query heads.
    pub n_heads: usize,
    /// Number of key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Number of token ids that the model scores.
    pub vocab_size: usize,
    /// Longest sequence in tokens that the model was made for.
    pub context_length: usize,
    /// Base of the rotary position embedding.
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f32,
    /// Whether the output matrix is the embedding matrix.
    pub tie_word_embeddings: bool,
    /// Whether Q, K and V have biases.
    pub qkv_bias: bool,
}

/// Name and shape of a tensor; shapes are row-major, outermost dimension first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Hugging Face name, for example `model.layers.0.mlp.up_proj.weight`.
    pub name: String,
    /// Shape; a matrix is `[outputs, inputs]`.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// A spec of `name` and `shape`.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.into(), shape: shape.into() }
    }

    /// Number of elements, unless it overflows.
    pub fn n_elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))
    }
}

impl ModelConfig {
    /// Every tensor of the model, in the order embedding, blocks, final norm, output.
    /// `lm_head.weight` is there only when it is not tied to the embedding.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let (hidden, ffn) = (self.hidden_size, self.intermediate_size);
        let (q_size, kv_size) = (self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim);
        let mut tensors =
            vec![TensorSpec::new("model.embed_tokens.weight", [self.vocab_size, hidden])];
        for layer in 0..self.n_layers {
            let mut push = |name: &str, shape: &[usize]| {
                tensors.push(TensorSpec::new(format!("model.layers.{layer}.{name}"), shape));
            };
            push("input_layernorm.weight", &[hidden]);
            for (projection, size) in [("q", q_size), ("k", kv_size), ("v", kv_size)] {
                push(&format!("self_attn.{projection}_proj.weight"), &[size, hidden]);
                if self.qkv_bias {
                    push(&format!("self_attn.{projection}_proj.bias"), &[size]);
                }
            }
            push("self_attn.o_proj.weight", &[hidden, q_size]);
            push("post_attention_layernorm.weight", &[hidden]);
            push("mlp.gate_proj.weight", &[ffn, hidden]);
            push("mlp.up_proj.weight", &[ffn, hidden]);
            push("mlp.down_proj.weight", &[hidden, ffn]);
        }
        tensors.push(TensorSpec::new("model.norm.weight", [hidden]));
        if !self.tie_word_embeddings {
            tensors.push(TensorSpec::new("lm_head.weight", [self.vocab_size, hidden]));
        }
        tensors
    }

    /// Number of parameters; tied matrices count once.
    pub fn n_parameters(&self) -> u64 {
        self.tensors().iter().map(|tensor| tensor.n_elements().unwrap_or(0) as u64).sum()
    }

    /// The first contradiction in the config, if any.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sizes = [
            ("hidden_size", self.hidden_size, MAX_WIDTH),
            ("intermediate_size", self.intermediate_size, MAX_WIDTH),
            ("number of layers", self.n_layers, MAX_LAYERS),
            ("number of attention heads", self.n_heads, MAX_HEADS),
            ("number of key-value heads", self.n_kv_heads, MAX_HEADS),
            ("head_dim", self.head_dim, MAX_HEADS),
            ("vocab_size", self.vocab_size, MAX_VOCAB),
            ("context length", self.context_length, MAX_CONTEXT),
        ];
        for (name, value, max) in sizes {
            if value == 0 || value > max {
                return Err(format!("{name} is {value}, must be 1 to {max}"));
            }
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return Err(format!(
                "{} attention heads cannot share {} key-value heads",
                self.n_heads, self.n_kv_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(format!(
                "head_dim is {}, must be even for rotary embeddings",
                self.head_dim
            ));
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 0.0) {
            return Err(format!("rope_theta is {}, must be positive", self.rope_theta));
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps >= 0.0) {
            return Err(format!("rms_norm_eps is {}, must not be negative", self.rms_norm_eps));
        }
        if self.qkv_bias != (self.family == Family::Qwen2) {
            return Err(format!(
                "qkv_bias is {} for the family {}",
                self.qkv_bias,
                self.family.as_str()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn tiny(family: Family) -> ModelConfig {
        ModelConfig {
            family,
            hidden_size: 32,
            intermediate_size: 64,
            n_layers: 2,
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: 8,
            vocab_size: 20,
            context_length: 64,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: family == Family::Llama,
            qkv_bias: family == Family::Qwen2,
        }
    }

    #[test]
    fn parameters_of_smollm2_match_its_file() {
        // 30 layers of 576 wide, 9 heads, 3 key-value heads: the published 134,515,008 parameters.
        let smollm2 = ModelConfig {
            hidden_size: 576,
            intermediate_size: 1536,
            n_layers: 30,
            n_heads: 9,
            n_kv_heads: 3,
            head_dim: 64,
            vocab_size: 49_152,
            ..tiny(Family::Llama)
        };
        assert_eq!(smollm2.n_parameters(), 134_515_008);
        assert_eq!(smollm2.tensors().len(), 272);
    }

    #[test]
    fn contradictions_are_named() {
        type Change = fn(&mut ModelConfig);
        let cases: [(Change, &str); 6] = [
            (|c| c.n_kv_heads = 3, "cannot share"),
            (|c| c.head_dim = 7, "head_dim"),
            (|c| c.n_layers = 0, "layers"),
            (|c| c.vocab_size = usize::MAX, "vocab_size"),
            (|c| c.rope_theta = f64::NAN, "rope_theta"),
            (|c| c.qkv_bias = true, "qkv_bias"),
        ];
        for (change, expected) in cases {
            let mut config = tiny(Family::Llama);
            assert_eq!(config.check(), Ok(()));
            change(&mut config);
            assert!(config.check().unwrap_err().contains(expected));
        }
    }
}
