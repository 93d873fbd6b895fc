//! The real models, where they have been pulled. Expected values are from the `gguf` package (numpy).

use std::path::PathBuf;

use azr_weights::{Family, ModelFile, inspect, models};

/// The model that must be there where the environment sets `AZR_REQUIRE_MODELS`.
const REQUIRED: &str = "smollm2-135m";

/// The path of a pulled model, or nothing (with a line that says so).
fn pulled(name: &str) -> Option<PathBuf> {
    let path = models::models_dir().unwrap().join(name).join("model.gguf");
    if !path.exists() {
        let is_required = name == REQUIRED && std::env::var_os("AZR_REQUIRE_MODELS").is_some();
        assert!(!is_required, "AZR_REQUIRE_MODELS is set, but there is no {}", path.display());
        println!("skipped: the model {name} is not on this machine");
        return None;
    }
    Some(path)
}

/// A checksum over the bits that no reordering survives: FNV-1a over 32-bit words.
fn checksum(values: &[f32]) -> u64 {
    values.iter().fold(0xcbf2_9ce4_8422_2325, |hash, value| {
        (hash ^ u64::from(value.to_bits())).wrapping_mul(0x100_0000_01b3)
    })
}

#[test]
fn smollm2_is_read_as_the_reference_reads_it() {
    let Some(path) = pulled("smollm2-135m") else { return };
    let facts = inspect(&path).unwrap();
    assert_eq!(facts.n_parameters, 134_515_008);
    assert_eq!(
        facts.tensor_types.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(),
        [("F32", 61), ("Q4_1", 210), ("Q8_0", 1)]
    );
    assert!(facts.has_chat_template);
    assert_eq!(facts.tokenizer.as_deref(), Some("gpt2/smollm"));
    let model = ModelFile::open(&path).unwrap();
    let config = model.config();
    assert_eq!((config.family, config.hidden_size, config.n_layers), (Family::Llama, 576, 30));
    assert_eq!((config.n_heads, config.n_kv_heads, config.head_dim), (9, 3, 64));
    assert_eq!(
        (config.vocab_size, config.context_length, config.rope_theta),
        (49_152, 8192, 100_000.0)
    );
    assert!(config.tie_word_embeddings && !config.qkv_bias);
    for (name, expected) in [
        ("model.layers.0.self_attn.q_proj.weight", 0x0bcd_c159_b23c_4525), // Q4_1
        ("model.layers.29.self_attn.k_proj.weight", 0x4420_8bde_4898_d925), // Q4_1
        ("model.layers.3.self_attn.v_proj.weight", 0xa3d9_b3b1_48a5_c925), // Q4_1
        ("model.layers.7.mlp.down_proj.weight", 0x5e9d_e465_1ad4_1125),    // Q4_1
        ("model.norm.weight", 0x0f5e_dac9_3420_3025),                      // F32
        ("model.layers.4.input_layernorm.weight", 0x7fb7_9f6c_447e_3025),  // F32
    ] {
        assert_eq!(checksum(&model.read_f32(name).unwrap()), expected, "{name}");
    }
}

#[test]
fn qwen_coder_is_read_as_the_reference_reads_it() {
    let Some(path) = pulled("qwen2.5-coder-0.5b") else { return };
    let model = ModelFile::open(&path).unwrap();
    let config = model.config();
    assert_eq!((config.family, config.hidden_size, config.n_layers), (Family::Qwen2, 896, 24));
    assert_eq!((config.n_heads, config.n_kv_heads, config.head_dim), (14, 2, 64));
    assert_eq!(
        (config.vocab_size, config.context_length, config.rope_theta),
        (151_936, 32_768, 1e6)
    );
    assert!(!config.tie_word_embeddings && config.qkv_bias);
    for (name, expected) in [
        ("model.layers.0.self_attn.k_proj.weight", 0xa89a_26eb_7a62_2b25), // Q5_0
        ("model.layers.0.self_attn.k_proj.bias", 0x6a9e_f661_a659_ed25),   // F32
        ("model.layers.0.self_attn.v_proj.weight", 0x0d61_af6e_a2ca_bda5), // Q8_0
        ("model.layers.0.mlp.down_proj.weight", 0x50ec_74b1_7112_1005),    // Q6_K
        ("model.layers.23.mlp.down_proj.weight", 0x6613_6999_3e65_23d5),   // Q4_K
        ("model.layers.5.mlp.down_proj.weight", 0x8b98_eaef_d4af_6b9d),    // Q4_K
        ("model.layers.9.self_attn.q_proj.weight", 0x969c_86a1_5b99_e125), // Q5_0
        ("model.norm.weight", 0xf006_e573_6c2b_a925),                      // F32
    ] {
        assert_eq!(checksum(&model.read_f32(name).unwrap()), expected, "{name}");
    }
}
