//! Hand-made models of both formats.

use std::fs;
use std::path::Path;

use azr_weights::{
    AdapterConfig, BaseDigest, Family, ModelConfig, ModelFile, Outline, Projection, WeightsError,
    inspect, merge_adapters, write_adapter_directory, write_hf_directory,
};

fn config(family: Family) -> ModelConfig {
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
        rope_theta: 500_000.0,
        rms_norm_eps: 1e-6,
        tie_word_embeddings: true,
        qkv_bias: family == Family::Qwen2,
    }
}

/// Values that tell tensors and elements apart.
fn values(name: &str, n: usize) -> Vec<f32> {
    let salt: u32 =
        name.bytes().fold(7, |hash: u32, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    (0..n).map(|i| (salt % 1000) as f32 + i as f32 / 1024.0).collect()
}

fn write(directory: &Path, config: &ModelConfig) {
    let mut tensors = config.tensors().into_iter().rev().map(|spec| {
        let n = spec.n_elements().unwrap();
        Ok::<_, WeightsError>((spec.name.clone(), spec.shape, values(&spec.name, n)))
    });
    write_hf_directory(directory, config, &mut tensors).unwrap();
}

#[test]
fn a_written_directory_is_read_back_to_the_bit() {
    for family in [Family::Llama, Family::Qwen2] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/model");
        write(&path, &config(family));
        let model = ModelFile::open(&path).unwrap();
        assert_eq!(model.config(), &config(family));
        assert_eq!(model.names().len(), config(family).tensors().len());
        for spec in config(family).tensors() {
            assert_eq!(model.shape(&spec.name), Some(spec.shape.as_slice()));
            assert_eq!(
                model.read_f32(&spec.name).unwrap(),
                values(&spec.name, spec.n_elements().unwrap())
            );
        }
        assert!(model.read_f32("lm_head.weight").is_err());
        let facts = inspect(&path).unwrap();
        assert_eq!(
            (facts.format.as_str(), facts.n_parameters),
            ("safetensors", config(family).n_parameters())
        );
        assert_eq!(facts.tensor_types["F32"], config(family).tensors().len());
        assert!(facts.tokenizer.is_none() && !facts.has_chat_template);
    }
}

#[test]
fn what_a_directory_lacks_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = ModelFile::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("no config.json"), "{error}");
    write(directory.path(), &config(Family::Llama));
    fs::remove_file(directory.path().join("model.safetensors")).unwrap();
    let error = ModelFile::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("no model.safetensors"), "{error}");
    // Its sizes are known all the same.
    let outline = Outline::read(directory.path()).unwrap();
    assert_eq!((outline.config, outline.has_bf16_layers), (config(Family::Llama), false));
    // Weights that are said to be there have to be.
    fs::write(directory.path().join("model.safetensors.index.json"), "{}").unwrap();
    assert!(Outline::read(directory.path()).is_err());
    assert!(Outline::read(&directory.path().join("nothing.gguf")).is_err());
    let error = ModelFile::open(&directory.path().join("nothing.gguf")).unwrap_err();
    assert!(error.to_string().contains("nothing.gguf"), "{error}");
}

#[test]
fn tensors_that_do_not_fit_the_config_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &config(Family::Qwen2));
    let path = directory.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to, expected) in [
        ("\"intermediate_size\": 64", "\"intermediate_size\": 96", "expected [32, 96]"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "no tensor `model.layers.2."),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "tensor `model.layers.1."),
        (
            "\"tie_word_embeddings\": true",
            "\"tie_word_embeddings\": false",
            "no tensor `lm_head.weight`",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        let error = ModelFile::open(directory.path()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_failed_write_keeps_the_model_that_was_there() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &config(Family::Llama));
    let mut broken = [Err::<(String, Vec<usize>, Vec<f32>), _>("gone".to_string())].into_iter();
    let error =
        write_hf_directory(directory.path(), &config(Family::Qwen2), &mut broken).unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
    assert_eq!(ModelFile::open(directory.path()).unwrap().config(), &config(Family::Llama));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

/// A llama-architecture GGUF file with this many key-value heads and the values of [`values`], in the file's names.
fn gguf(extra_tensor: bool) -> Vec<u8> {
    let config = config(Family::Llama);
    let mut specs: Vec<(String, Vec<usize>)> = config
        .tensors()
        .into_iter()
        .map(|spec| {
            let name = spec
                .name
                .replace("model.layers.", "blk.")
                .replace("model.embed_tokens", "token_embd");
            let name =
                name.replace("model.norm", "output_norm").replace("input_layernorm", "attn_norm");
            let name =
                name.replace("post_attention_layernorm", "ffn_norm").replace("self_attn.", "attn_");
            let name =
                name.replace("o_proj", "output").replace("_proj", "").replace("mlp.", "ffn_");
            (name, spec.shape)
        })
        .collect();
    if extra_tensor {
        specs.push(("blk.0.attn_q_norm.weight".into(), vec![8]));
    }
    let sizes = [
        ("embedding_length", 32_u32),
        ("feed_forward_length", 64),
        ("block_count", 2),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("context_length", 64),
    ];
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    let string = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    bytes.extend((specs.len() as u64).to_le_bytes());
    bytes.extend((sizes.len() as u64 + 4).to_le_bytes());
    for (key, value) in [("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2")] {
        string(&mut bytes, key);
        bytes.extend(8_u32.to_le_bytes());
        string(&mut bytes, value);
    }
    for (key, value) in sizes {
        string(&mut bytes, &format!("llama.{key}"));
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    for (key, value) in
        [("rope.freq_base", 500_000.0_f32), ("attention.layer_norm_rms_epsilon", 1e-6)]
    {
        string(&mut bytes, &format!("llama.{key}"));
        bytes.extend(6_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    let mut offset = 0_u64;
    for (name, shape) in &specs {
        string(&mut bytes, name);
        bytes.extend((shape.len() as u32).to_le_bytes());
        for &size in shape.iter().rev() {
            bytes.extend((size as u64).to_le_bytes());
        }
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        offset += 4 * shape.iter().product::<usize>() as u64;
    }
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    for (name, shape) in &specs {
        bytes.extend(
            values(name, shape.iter().product()).iter().flat_map(|value| value.to_le_bytes()),
        );
    }
    bytes
}

#[test]
fn a_gguf_file_is_a_model_with_hugging_face_names_and_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.gguf");
    fs::write(&path, gguf(false)).unwrap();
    let model = ModelFile::open(&path).unwrap();
    assert_eq!(model.config(), &config(Family::Llama));
    assert_eq!(
        model.read_f32("model.layers.1.mlp.down_proj.weight").unwrap(),
        values("blk.1.ffn_down.weight", 2048)
    );
    // Row 1 of the first head stood at row 2 of the file; row 4 (the second half) at row 1.
    let (found, file) = (
        model.read_f32("model.layers.0.self_attn.k_proj.weight").unwrap(),
        values("blk.0.attn_k.weight", 512),
    );
    assert_eq!(found[32..64], file[64..96]);
    assert_eq!(found[4 * 32..5 * 32], file[32..64]);
    let v = model.read_f32("model.layers.0.self_attn.v_proj.weight").unwrap();
    assert_eq!(v, values("blk.0.attn_v.weight", 512));
    let facts = inspect(&path).unwrap();
    assert_eq!((facts.format.as_str(), facts.tokenizer.as_deref()), ("GGUF v3", Some("gpt2")));
    assert_eq!(facts.n_bytes, fs::metadata(&path).unwrap().len());
}

#[test]
fn adapters_of_a_gguf_file_bring_their_tokenizer() {
    let directory = tempfile::tempdir().unwrap();
    let [base, adapters, out] =
        ["model.gguf", "adapters", "out"].map(|name| directory.path().join(name));
    fs::write(&base, gguf(false)).unwrap();
    let model = ModelFile::open(&base).unwrap();
    let adapter = AdapterConfig {
        rank: 1,
        alpha: 1.0,
        targets: [Projection::V].into(),
        base_model: String::new(),
    };
    let mut digest = BaseDigest::default();
    let specs = adapter.adapters(model.config());
    for spec in &specs {
        digest.add(&model.read_f32(&spec.weight).unwrap());
    }
    let mut tensors = specs.into_iter().flat_map(|spec| [spec.a, spec.b]).map(|spec| {
        let n = spec.n_elements().unwrap();
        Ok::<_, WeightsError>((spec.name, spec.shape, vec![0.0; n]))
    });
    write_adapter_directory(&adapters, &adapter, model.config(), &digest.finish(), &mut tensors)
        .unwrap();
    fs::write(adapters.join("tokenizer.json"), "{}").unwrap();
    merge_adapters(&base, &adapters, &out).unwrap();
    let merged = ModelFile::open(&out).unwrap();
    for name in model.names() {
        assert_eq!(merged.read_f32(&name).unwrap(), model.read_f32(&name).unwrap());
    }
    assert_eq!(fs::read_to_string(out.join("tokenizer.json")).unwrap(), "{}");
    assert!(!out.join("adapter_config.json").exists());
}

#[test]
fn a_tensor_that_is_not_understood_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.gguf");
    fs::write(&path, gguf(true)).unwrap();
    let error = ModelFile::open(&path).unwrap_err();
    assert!(error.to_string().contains("blk.0.attn_q_norm.weight"), "{error}");
}
