//! A GGUF file as a model: its config, Hugging Face names, and the row order that Hugging Face uses.

use super::Gguf;
use crate::error::Flaw;
use crate::{Family, ModelConfig, WeightsError};

/// The config of the model in `gguf`.
pub(crate) fn config(gguf: &Gguf) -> Result<ModelConfig, WeightsError> {
    read_config(gguf).map_err(|flaw| flaw.at(gguf.path()))
}

/// The GGUF name of a tensor with the Hugging Face name `name`.
pub(crate) fn gguf_name(name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".into()),
        "model.norm.weight" => return Some("output_norm.weight".into()),
        "lm_head.weight" => return Some("output.weight".into()),
        _ => {}
    }
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (module, part) = rest.rsplit_once('.')?;
    let module = match module {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" => "ffn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{module}.{part}"))
}

/// The tensor with the Hugging Face name `name`, rows in Hugging Face order.
pub(crate) fn read_hf_tensor(
    gguf: &Gguf,
    config: &ModelConfig,
    name: &str,
) -> Result<Vec<f32>, WeightsError> {
    let missing =
        || WeightsError::MissingTensor { path: gguf.path().to_path_buf(), name: name.into() };
    let values = gguf.read_f32(&gguf_name(name).ok_or_else(missing)?)?;
    let permuted = config.family == Family::Llama
        && (name.ends_with("self_attn.q_proj.weight") || name.ends_with("self_attn.k_proj.weight"));
    Ok(if permuted { unpermute(&values, config.head_dim, config.hidden_size) } else { values })
}

/// Undoes the row order of Q and K in llama-architecture files. There, rows `2 i` and `2 i + 1` of a head are a
/// rotary pair; Hugging Face pairs rows `i` and `i + head_dim / 2`.
/// `values` is `[n_heads * head_dim, row_len]`.
fn unpermute(values: &[f32], head_dim: usize, row_len: usize) -> Vec<f32> {
    let mut rows = Vec::with_capacity(values.len());
    for head in values.chunks_exact(head_dim * row_len) {
        for parity in 0..2 {
            for pair in head.chunks_exact(2 * row_len) {
                rows.extend_from_slice(&pair[parity * row_len..(parity + 1) * row_len]);
            }
        }
    }
    rows
}

fn read_config(gguf: &Gguf) -> Result<ModelConfig, Flaw> {
    let architecture = gguf.get("general.architecture").and_then(|value| value.as_str());
    let family = match architecture {
        Some("llama") => Family::Llama,
        Some("qwen2") => Family::Qwen2,
        Some(other) => return Err(Flaw::Unsupported(format!("architecture `{other}`"))),
        None => return Err(Flaw::Malformed("it has no `general.architecture`".into())),
    };
    let keys = Keys { gguf, prefix: family.as_str() };
    keys.refuse_extensions()?;
    let hidden_size = keys.size("embedding_length")?;
    let n_heads = keys.size("attention.head_count")?;
    let n_kv_heads = keys.optional_size("attention.head_count_kv")?.unwrap_or(n_heads);
    let key_length = keys.optional_size("attention.key_length")?;
    let head_dim = key_length.or(hidden_size.checked_div(n_heads)).unwrap_or(0);
    for key in ["attention.value_length", "rope.dimension_count"] {
        if let Some(size) = keys.optional_size(key)?
            && size != head_dim
        {
            return Err(Flaw::Unsupported(format!(
                "`{key}` {size} that differs from the head width {head_dim}"
            )));
        }
    }
    let embedding = gguf.tensors().get("token_embd.weight");
    let vocab_size = match embedding.map(|tensor| tensor.shape.as_slice()) {
        Some(&[vocab_size, _]) => vocab_size,
        _ => return Err(Flaw::Malformed("it has no matrix `token_embd.weight`".into())),
    };
    let config = ModelConfig {
        family,
        hidden_size,
        intermediate_size: keys.size("feed_forward_length")?,
        n_layers: keys.size("block_count")?,
        n_heads,
        n_kv_heads,
        head_dim,
        vocab_size,
        context_length: keys.size("context_length")?,
        rope_theta: keys.float("rope.freq_base")?.unwrap_or(10_000.0),
        rms_norm_eps: keys
            .float("attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| Flaw::Malformed("it has no RMSNorm epsilon".into()))?
            as f32,
        tie_word_embeddings: !gguf.tensors().contains_key("output.weight"),
        qkv_bias: family == Family::Qwen2,
    };
    config.check().map_err(Flaw::Malformed)?;
    refuse_unknown_tensors(gguf, &config)?;
    Ok(config)
}

/// A tensor that is not understood (another norm, an expert, a bias) would make every result silently wrong.
fn refuse_unknown_tensors(gguf: &Gguf, config: &ModelConfig) -> Result<(), Flaw> {
    let known: std::collections::BTreeSet<String> =
        config.tensors().iter().filter_map(|tensor| gguf_name(&tensor.name)).collect();
    match gguf.tensors().keys().find(|name| !known.contains(*name)) {
        Some(name) => {
            Err(Flaw::Unsupported(format!("tensor `{name}` in a {} model", config.family.as_str())))
        }
        None => Ok(()),
    }
}

/// Metadata under the architecture's prefix.
struct Keys<'a> {
    gguf: &'a Gguf,
    prefix: &'a str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn optional_size(&self, name: &str) -> Result<Option<usize>, Flaw> {
        let key = self.key(name);
        match self.gguf.get(&key) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|value| usize::try_from(value).ok()) {
                Some(size) => Ok(Some(size)),
                None => Err(Flaw::Malformed(format!("`{key}` is no size"))),
            },
        }
    }

    fn size(&self, name: &str) -> Result<usize, Flaw> {
        self.optional_size(name)?
            .ok_or_else(|| Flaw::Malformed(format!("it has no `{}`", self.key(name))))
    }

    fn float(&self, name: &str) -> Result<Option<f64>, Flaw> {
        let key = self.key(name);
        match self.gguf.get(&key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(value) => Ok(Some(value)),
                None => Err(Flaw::Malformed(format!("`{key}` is no number"))),
            },
        }
    }

    /// Refuses what would change the model's arithmetic.
    fn refuse_extensions(&self) -> Result<(), Flaw> {
        let scaling = self.gguf.get(&self.key("rope.scaling.type"));
        if scaling.is_some_and(|value| value.as_str() != Some("none")) {
            return Err(Flaw::Unsupported("rope scaling".into()));
        }
        for name in ["rope.scale_linear", "rope.scaling.factor"] {
            if self.float(name)?.is_some_and(|factor| factor != 1.0) {
                return Err(Flaw::Unsupported(format!("rope scaling (`{}`)", self.key(name))));
            }
        }
        if self.optional_size("expert_count")?.is_some_and(|n| n > 0) {
            return Err(Flaw::Unsupported("a mixture of experts".into()));
        }
        if self.optional_size("attention.sliding_window")?.is_some_and(|n| n > 0) {
            return Err(Flaw::Unsupported("sliding-window attention".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::tiny;

    #[test]
    fn rows_of_a_head_are_regrouped_from_pairs_to_halves() {
        // Two heads of width 4, rows of one element: pairs (0, 1), (2, 3) become halves (0, 2), (1, 3).
        let values: Vec<f32> = (0..8_u8).map(f32::from).collect();
        assert_eq!(unpermute(&values, 4, 1), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        // Rows stay whole.
        assert_eq!(unpermute(&values, 4, 2), [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
    }

    #[test]
    fn every_tensor_of_a_model_has_a_gguf_name_of_its_own() {
        let config = ModelConfig { tie_word_embeddings: false, ..tiny(Family::Qwen2) };
        let names: std::collections::BTreeSet<_> =
            config.tensors().iter().map(|tensor| gguf_name(&tensor.name).unwrap()).collect();
        assert_eq!(names.len(), config.tensors().len());
        assert!(names.contains("blk.1.attn_q.bias"));
        assert_eq!(gguf_name("model.layers.0.self_attn.q_norm.weight"), None);
    }
}
