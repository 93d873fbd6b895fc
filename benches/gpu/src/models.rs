//! Models by name.

use anyhow::{Result, bail};
use azr_bench::{qwen2_5_0_5b, qwen2_5_1_5b, qwen2_5_7b, smollm2_135m};
use azr_weights::ModelConfig;

/// Names as they are given on the command line and stand in results; `peers.py` has the same.
const NAMES: [&str; 5] = ["smollm2-135m", "qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-7b", "tiny"];

/// A model for emulated GPUs.
pub(crate) fn tiny() -> ModelConfig {
    ModelConfig {
        hidden_size: 128,
        intermediate_size: 192,
        n_layers: 2,
        n_heads: 2,
        n_kv_heads: 1,
        vocab_size: 320,
        context_length: 512,
        ..qwen2_5_0_5b()
    }
}

/// The configuration of that name.
pub(crate) fn model(name: &str) -> Result<ModelConfig> {
    Ok(match name {
        "smollm2-135m" => smollm2_135m(),
        "qwen2.5-0.5b" => qwen2_5_0_5b(),
        "qwen2.5-1.5b" => qwen2_5_1_5b(),
        "qwen2.5-7b" => qwen2_5_7b(),
        "tiny" => tiny(),
        _ => bail!("no model is called `{name}`; there are {}", NAMES.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_by_name() {
        assert_eq!(model("qwen2.5-7b").unwrap().n_parameters(), 7_615_616_512);
        assert!(NAMES.iter().all(|name| model(name).is_ok()));
        assert!(model("gpt").unwrap_err().to_string().contains("smollm2-135m, qwen2.5-0.5b"));
    }
}
