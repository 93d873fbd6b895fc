//! Models of the sizes that benches use, and what computing them takes.

use azr_plugin::{OptimizerKind, OptimizerSpec};
use azr_weights::{Family, ModelConfig};

/// The optimizer of benches that update a model, at a rate that hardly moves it.
pub const fn adamw() -> OptimizerSpec {
    OptimizerSpec {
        kind: OptimizerKind::Adamw,
        learning_rate: 1e-6,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        weight_decay: 0.0,
        max_grad_norm: 1.0,
    }
}

/// SmolLM2-135M.
pub const fn smollm2_135m() -> ModelConfig {
    ModelConfig {
        family: Family::Llama,
        hidden_size: 576,
        intermediate_size: 1536,
        n_layers: 30,
        n_heads: 9,
        n_kv_heads: 3,
        head_dim: 64,
        vocab_size: 49_152,
        context_length: 8192,
        rope_theta: 1e5,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        qkv_bias: false,
    }
}

/// Qwen2.5-Coder-0.5B.
pub const fn qwen2_5_0_5b() -> ModelConfig {
    ModelConfig {
        family: Family::Qwen2,
        hidden_size: 896,
        intermediate_size: 4864,
        n_layers: 24,
        n_heads: 14,
        n_kv_heads: 2,
        head_dim: 64,
        vocab_size: 151_936,
        context_length: 32_768,
        rope_theta: 1e6,
        rms_norm_eps: 1e-6,
        tie_word_embeddings: true,
        qkv_bias: true,
    }
}

/// Qwen2.5-1.5B.
pub const fn qwen2_5_1_5b() -> ModelConfig {
    ModelConfig {
        hidden_size: 1536,
        intermediate_size: 8960,
        n_layers: 28,
        n_heads: 12,
        head_dim: 128,
        ..qwen2_5_0_5b()
    }
}

/// Qwen2.5-7B.
pub const fn qwen2_5_7b() -> ModelConfig {
    ModelConfig {
        hidden_size: 3584,
        intermediate_size: 18_944,
        n_layers: 28,
        n_heads: 28,
        n_kv_heads: 4,
        head_dim: 128,
        vocab_size: 152_064,
        tie_word_embeddings: false,
        ..qwen2_5_0_5b()
    }
}

/// What parts of a model take.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a>(pub &'a ModelConfig);

impl Shape<'_> {
    /// Parameters of the layers' matrices.
    pub fn body(self) -> f64 {
        let c = self.0;
        let (q, kv) = (c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim);
        let layer = c.hidden_size * (2 * q + 2 * kv + 3 * c.intermediate_size);
        (c.n_layers * layer) as f64
    }

    /// Parameters of the matrix that makes logits.
    pub fn head(self) -> f64 {
        (self.0.vocab_size * self.0.hidden_size) as f64
    }

    /// Floating-point operations of attention, forward, in all layers, where queries see `n_seen` keys in all.
    pub fn attention(self, n_seen: usize) -> f64 {
        let c = self.0;
        4.0 * (c.n_layers * c.n_heads * c.head_dim) as f64 * n_seen as f64
    }

    /// Bytes of the keys and values of one position, in float32.
    pub fn cache_row(self) -> f64 {
        let c = self.0;
        8.0 * (c.n_layers * c.n_kv_heads * c.head_dim) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_published_models() {
        assert_eq!(smollm2_135m().n_parameters(), 134_515_008);
        assert_eq!(qwen2_5_0_5b().n_parameters(), 494_032_768);
        assert_eq!(qwen2_5_1_5b().n_parameters(), 1_543_714_304);
        assert_eq!(qwen2_5_7b().n_parameters(), 7_615_616_512);
        let (smollm2, qwen) = (smollm2_135m(), qwen2_5_0_5b());
        assert_eq!(Shape(&smollm2).body() + Shape(&smollm2).head(), 134_479_872.0);
        assert_eq!(Shape(&qwen).body().round(), 357_826_560.0);
        assert_eq!(Shape(&smollm2).cache_row(), 46_080.0);
    }
}
