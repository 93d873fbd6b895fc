//! `config.json` of a Hugging Face model directory, in and out.
//!
//! Defaults are those of transformers' `LlamaConfig` and `Qwen2Config`. What would change the model's arithmetic and
//! is not implemented (rope scaling, other biases, sliding windows, quantisation) is refused, never ignored.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::Flaw;
use crate::{Family, ModelConfig};

/// The config in the text of a `config.json`.
pub(crate) fn parse(text: &str) -> Result<ModelConfig, Flaw> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| Flaw::Malformed(error.to_string()))?;
    let family = match value.get("model_type").and_then(Value::as_str) {
        Some("llama") => Family::Llama,
        Some("qwen2") => Family::Qwen2,
        Some(other) => return Err(Flaw::Unsupported(format!("architecture `{other}`"))),
        None => return Err(Flaw::Malformed("it has no `model_type`".into())),
    };
    let raw: RawConfig =
        serde_json::from_value(value).map_err(|error| Flaw::Malformed(error.to_string()))?;
    raw.refuse_extensions()?;
    let n_heads = required(raw.num_attention_heads, "num_attention_heads")?;
    let hidden_size = required(raw.hidden_size, "hidden_size")?;
    let config = ModelConfig {
        family,
        hidden_size,
        intermediate_size: required(raw.intermediate_size, "intermediate_size")?,
        n_layers: required(raw.num_hidden_layers, "num_hidden_layers")?,
        n_heads,
        n_kv_heads: raw.num_key_value_heads.unwrap_or(n_heads),
        head_dim: raw.head_dim.or(hidden_size.checked_div(n_heads)).unwrap_or(0),
        vocab_size: required(raw.vocab_size, "vocab_size")?,
        context_length: raw.max_position_embeddings.unwrap_or(match family {
            Family::Llama => 2_048,
            Family::Qwen2 => 32_768,
        }),
        rope_theta: raw
            .rope_parameters
            .and_then(|rope| rope.rope_theta)
            .or(raw.rope_theta)
            .unwrap_or(10_000.0),
        rms_norm_eps: raw.rms_norm_eps.unwrap_or(1e-6),
        tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(false),
        qkv_bias: family == Family::Qwen2,
    };
    config.check().map_err(Flaw::Malformed)?;
    Ok(config)
}

/// The text of a `config.json` that transformers (4 and 5) accepts for float32 weights. Token ids are left to
/// `generation_config.json`: a model's sizes do not tell them.
pub(crate) fn print(config: &ModelConfig) -> String {
    let architecture = match config.family {
        Family::Llama => "LlamaForCausalLM",
        Family::Qwen2 => "Qwen2ForCausalLM",
    };
    // A float32 such as 1e-5 is written with its own few digits, not with those of its float64 neighbour.
    let rms_norm_eps: f64 =
        config.rms_norm_eps.to_string().parse().unwrap_or(f64::from(config.rms_norm_eps));
    let mut value = json!({
        "architectures": [architecture],
        "model_type": config.family.as_str(),
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rms_norm_eps": rms_norm_eps,
        "hidden_act": "silu",
        "tie_word_embeddings": config.tie_word_embeddings,
        "bos_token_id": null,
        "eos_token_id": null,
        "torch_dtype": "float32",
    });
    if config.family == Family::Llama {
        value["attention_bias"] = json!(false);
        value["mlp_bias"] = json!(false);
    }
    format!("{value:#}\n")
}

fn required(value: Option<usize>, key: &str) -> Result<usize, Flaw> {
    value.ok_or_else(|| Flaw::Malformed(format!("it has no `{key}`")))
}

/// The keys that matter; others (token ids, dtype, versions) do not change the arithmetic.
#[derive(Deserialize)]
struct RawConfig {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    rope_theta: Option<f64>,
    rope_parameters: Option<RawRope>,
    rope_scaling: Option<RawRope>,
    rms_norm_eps: Option<f32>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    use_sliding_window: Option<bool>,
    rope_interleaved: Option<bool>,
    partial_rotary_factor: Option<f64>,
    hidden_act: Option<String>,
    quantization_config: Option<Value>,
}

#[derive(Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    partial_rotary_factor: Option<f64>,
}

impl RawConfig {
    fn refuse_extensions(&self) -> Result<(), Flaw> {
        for rope in self.rope_parameters.iter().chain(&self.rope_scaling) {
            match rope.rope_type.as_deref() {
                None | Some("default") => {}
                Some(other) => return Err(Flaw::Unsupported(format!("rope scaling `{other}`"))),
            }
        }
        let rotary = self.rope_parameters.as_ref().and_then(|rope| rope.partial_rotary_factor);
        let refused = [
            (
                self.attention_bias == Some(true),
                "attention_bias (a bias on the attention's output)",
            ),
            (self.mlp_bias == Some(true), "mlp_bias"),
            (self.use_sliding_window == Some(true), "sliding-window attention"),
            (self.rope_interleaved == Some(true), "rope_interleaved"),
            (
                rotary.or(self.partial_rotary_factor).is_some_and(|factor| factor != 1.0),
                "partial_rotary_factor",
            ),
            (
                self.hidden_act.as_deref().is_some_and(|name| name != "silu"),
                "an activation other than silu",
            ),
            (self.quantization_config.is_some(), "quantised safetensors"),
        ];
        match refused.into_iter().find(|(found, _)| *found) {
            Some((_, feature)) => Err(Flaw::Unsupported(feature.into())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::tests::tiny;

    fn with(key: &str, value: Value) -> Result<ModelConfig, Flaw> {
        let mut config: Value = serde_json::from_str(&print(&tiny(Family::Llama))).unwrap();
        config[key] = value;
        parse(&config.to_string())
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for family in [Family::Llama, Family::Qwen2] {
            assert_eq!(parse(&print(&tiny(family))), Ok(tiny(family)));
        }
        assert!(
            print(&tiny(Family::Llama)).contains("\"rms_norm_eps\": 0.00001")
                || print(&tiny(Family::Llama)).contains("\"rms_norm_eps\": 1e-5")
        );
    }

    #[test]
    fn defaults_are_those_of_transformers() {
        let text = r#"{"model_type": "llama", "hidden_size": 64, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 4, "vocab_size": 9, "head_dim": null, "rope_scaling": null}"#;
        let config = parse(text).unwrap();
        assert_eq!((config.n_kv_heads, config.head_dim, config.context_length), (4, 16, 2048));
        assert_eq!(
            (config.rope_theta, config.rms_norm_eps, config.tie_word_embeddings),
            (10_000.0, 1e-6, false)
        );
        let qwen2 = parse(&text.replace("llama", "qwen2")).unwrap();
        assert!(qwen2.qkv_bias && qwen2.context_length == 32_768);
    }

    #[test]
    fn rope_base_is_found_in_both_places() {
        assert_eq!(with("rope_parameters", json!({"rope_theta": 5e5})).unwrap().rope_theta, 5e5);
        assert_eq!(with("rope_parameters", Value::Null).unwrap().rope_theta, 1e4);
    }

    #[test]
    fn what_is_not_implemented_is_refused() {
        for (key, value) in [
            ("rope_scaling", json!({"type": "linear", "factor": 2.0})),
            ("rope_parameters", json!({"rope_type": "llama3", "rope_theta": 1e4})),
            ("attention_bias", json!(true)),
            ("mlp_bias", json!(true)),
            ("use_sliding_window", json!(true)),
            ("hidden_act", json!("gelu")),
            ("quantization_config", json!({"bits": 4})),
            ("model_type", json!("gemma2")),
        ] {
            assert!(matches!(with(key, value), Err(Flaw::Unsupported(_))), "{key}");
        }
    }

    #[test]
    fn what_is_missing_or_absurd_is_named() {
        for (key, value) in [
            ("hidden_size", Value::Null),
            ("vocab_size", json!(u64::MAX)),
            ("num_attention_heads", json!(-1)),
            ("num_key_value_heads", json!(0)),
            ("head_dim", json!("8")),
            ("model_type", json!(1)),
        ] {
            assert!(matches!(with(key, value), Err(Flaw::Malformed(_))), "{key}");
        }
        let missing = with("num_hidden_layers", Value::Null);
        assert_eq!(missing, Err(Flaw::Malformed("it has no `num_hidden_layers`".into())));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_edit_of_a_config_is_read_or_refused(at in 0_usize..700, insert in "[0-9a-z\"{}\\[\\],:.-]{0,4}", remove in 0_usize..4) {
            let mut text = print(&tiny(Family::Qwen2));
            let at = at.min(text.len());
            text.replace_range(at..(at + remove).min(text.len()), &insert);
            if let Ok(config) = parse(&text) {
                prop_assert_eq!(config.check(), Ok(()));
            }
        }
    }
}
