//! What is written is read again, and everything else is refused.

use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::json::{is_understood, parse, print};
use super::*;
use crate::config::tests::tiny;
use crate::error::Flaw;
use crate::{Family, ModelFile, WeightsError, write_hf_directory};

fn config() -> AdapterConfig {
    AdapterConfig {
        rank: 2,
        alpha: 3.0,
        targets: [Projection::Q, Projection::Down].into(),
        base_model: "some/model".into(),
    }
}

fn values(spec: &TensorSpec) -> Vec<f32> {
    let n = spec.n_elements().unwrap();
    (0..n).map(|i| (i % 7) as f32 - 3.0 + spec.name.len() as f32 / 64.0).collect()
}

type Item = Result<(String, Vec<usize>, Vec<f32>), WeightsError>;

fn items(specs: Vec<TensorSpec>) -> impl Iterator<Item = Item> {
    specs.into_iter().map(|spec| Ok((spec.name.clone(), spec.shape.clone(), values(&spec))))
}

fn digest(model: &ModelConfig) -> String {
    let mut digest = BaseDigest::default();
    for adapter in config().adapters(model) {
        let [n_out, n_in] = adapter.projection.shape(model);
        digest.add(&values(&TensorSpec::new(adapter.weight, [n_out, n_in])));
    }
    digest.finish()
}

fn tensors(config: &AdapterConfig, model: &ModelConfig) -> Vec<TensorSpec> {
    config.adapters(model).into_iter().flat_map(|spec| [spec.a, spec.b]).collect()
}

#[test]
fn names_and_shapes_are_those_of_peft() {
    let adapters = config().adapters(&tiny(Family::Llama));
    assert_eq!(adapters.len(), 4);
    assert_eq!(
        adapters[0].a.name,
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    );
    assert_eq!(adapters[3].b.name, "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight");
    assert_eq!((&adapters[3].a.shape[..], &adapters[3].b.shape[..]), (&[2, 64][..], &[32, 2][..]));
    assert_eq!(adapters[3].weight, "model.layers.1.mlp.down_proj.weight");
    assert_eq!(parse(&print(&config())), Ok(config()));
}

#[test]
fn adapters_merge_into_an_ordinary_model() {
    let folder = tempfile::tempdir().unwrap();
    let [base, adapter, out] = ["base", "adapter", "out"].map(|name| folder.path().join(name));
    let model = tiny(Family::Qwen2);
    write_hf_directory(&base, &model, &mut items(model.tensors())).unwrap();
    fs::write(base.join("tokenizer.json"), "{}").unwrap();
    let specs = tensors(&config(), &model);
    write_adapter_directory(&adapter, &config(), &model, &digest(&model), &mut items(specs))
        .unwrap();
    assert!(AdapterFile::is_at(&adapter) && !AdapterFile::is_at(&base));
    merge_adapters(&base, &adapter, &out).unwrap();
    assert_eq!(fs::read_to_string(out.join("tokenizer.json")).unwrap(), "{}");
    // Nothing that is there already is replaced, least of all the base itself.
    for taken in [&base, &adapter, &out] {
        let error = merge_adapters(&base, &adapter, taken).unwrap_err().to_string();
        assert!(error.contains(&taken.display().to_string()), "{error}");
    }
    assert_eq!(fs::read_to_string(base.join("tokenizer.json")).unwrap(), "{}");
    let (base, merged) = (ModelFile::open(&base).unwrap(), ModelFile::open(&out).unwrap());
    let adapters = config().adapters(&model);
    for spec in model.tensors() {
        let mut expected = base.read_f32(&spec.name).unwrap();
        if let Some(adapter) = adapters.iter().find(|adapter| adapter.weight == spec.name) {
            let (a, b) = (values(&adapter.a), values(&adapter.b));
            let n_in = spec.shape[1];
            for (index, value) in expected.iter_mut().enumerate() {
                let (row, column) = (index / n_in, index % n_in);
                *value += 1.5 * (b[row * 2] * a[column] + b[row * 2 + 1] * a[n_in + column]);
            }
            assert_ne!(expected, base.read_f32(&spec.name).unwrap());
        }
        let found = merged.read_f32(&spec.name).unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{}: {found} {expected}", spec.name);
        }
    }
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let with = |key: &str, value: Value| {
        let mut config: Value = serde_json::from_str(&print(&config())).unwrap();
        config[key] = value;
        match parse(&config.to_string()).unwrap_err() {
            Flaw::Malformed(text) | Flaw::Unsupported(text) => text,
        }
    };
    for (key, value, expected) in [
        ("peft_type", json!("IA3"), "IA3"),
        ("r", json!(0), "`r`"),
        ("r", json!(1e9), "`r`"),
        ("r", json!(-4), "`r`"),
        ("lora_alpha", json!("16"), "lora_alpha"),
        ("lora_alpha", json!(-1.0), "lora_alpha"),
        ("target_modules", json!("all-linear"), "target_modules"),
        ("target_modules", json!([]), "empty"),
        ("target_modules", json!(["q_proj", "lm_head"]), "lm_head"),
        ("use_dora", json!(true), "use_dora"),
        ("bias", json!("all"), "bias"),
        ("rank_pattern", json!({"q_proj": 4}), "rank_pattern"),
        ("modules_to_save", json!(["lm_head"]), "modules_to_save"),
        ("init_lora_weights", json!("pissa_niter_16"), "pissa_niter_16"),
        ("init_lora_weights", json!("olora"), "olora"),
        ("use_qalora", json!(true), "use_qalora"),
        ("alora_invocation_tokens", json!([1, 2]), "alora_invocation_tokens"),
        ("not_invented_yet", json!("x"), "not_invented_yet"),
    ] {
        let text = with(key, value);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn what_peft_writes_without_being_asked_is_accepted() {
    // Every field of PEFT 0.21.2.
    let text = r#"{
        "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "auto_mapping": null,
        "base_model_name_or_path": "some/model", "bias": "none", "corda_config": null, "ensure_weight_tying": false,
        "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false, "inference_mode": true,
        "init_lora_weights": true, "kasa_config": null, "layer_replication": null, "layers_pattern": null, "layers_to_transform": null,
        "loftq_config": {}, "lora_alpha": 3, "lora_bias": false, "lora_dropout": 0.1, "lora_ga_config": null,
        "megatron_config": null, "monteclora_config": null,
        "megatron_core": "megatron.core", "modules_to_save": null, "peft_type": "LORA", "peft_version": "0.21.2",
        "qalora_group_size": 16, "r": 2, "rank_pattern": {}, "revision": null,
        "target_modules": ["down_proj", "q_proj"], "target_parameters": null, "task_type": "CAUSAL_LM",
        "trainable_token_indices": null, "use_bdlora": null, "use_dora": false, "use_qalora": false, "use_rslora": false,
        "velora_config": null
    }"#;
    assert_eq!(parse(text), Ok(config()));
}

#[test]
fn adapters_of_another_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny(Family::Llama);
    let adapter = folder.path().join("adapter");
    let write = |digest: &str| {
        let specs = tensors(&config(), &model);
        write_adapter_directory(&adapter, &config(), &model, digest, &mut items(specs)).unwrap();
    };
    write(&digest(&model));
    let wider = ModelConfig { intermediate_size: 66, ..model.clone() };
    let error = AdapterFile::open(&adapter, &wider).unwrap_err();
    assert!(error.to_string().contains("expected [2, 66]"), "{error}");
    assert!(error.hint().unwrap().contains("LoRA"));
    let shallower = ModelConfig { n_layers: 1, ..model.clone() };
    let error = AdapterFile::open(&adapter, &shallower).unwrap_err();
    assert!(error.to_string().contains("layers.1."), "{error}");
    let deeper = ModelConfig { n_layers: 3, ..model.clone() };
    assert!(matches!(
        AdapterFile::open(&adapter, &deeper),
        Err(WeightsError::MissingTensor { .. })
    ));
    let too_high = AdapterConfig { rank: 33, ..config() };
    assert!(too_high.check(&model).unwrap_err().contains("1 to 32"));
    fs::write(adapter.join("adapter_config.json"), print(&too_high)).unwrap();
    let error = AdapterFile::open(&adapter, &model).unwrap_err();
    assert!(error.to_string().contains("adapter_config.json` is not supported: LoRA's rank"));

    // The shape is the same, the values are not.
    let [base, out] = ["base", "out"].map(|name| folder.path().join(name));
    write_hf_directory(&base, &model, &mut items(model.tensors())).unwrap();
    write("0123");
    let error = merge_adapters(&base, &adapter, &out).unwrap_err();
    assert!(matches!(&error, WeightsError::OtherBase { base, .. } if base == "some/model"));
    assert!(!out.exists());
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "r",
        "lora_alpha",
        "target_modules",
        "bias",
        "init_lora_weights",
        "use_dora",
        "rank_pattern",
    ];
    let known = prop::sample::select(known.to_vec()).prop_map(str::to_owned);
    prop_oneof![4 => known, 1 => Just("revision".to_owned()), 1 => "[a-z_]{1,9}"]
}

fn value() -> impl Strategy<Value = Value> {
    let names = ["q_proj", "down_proj", "lm_head", "gaussian", "pissa", "none", "all", ""];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u64..20).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(names.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..2)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_is_understood(changes in prop::collection::vec((key(), value()), 0..6)) {
        let mut config: serde_json::Map<String, Value> =
            serde_json::from_str(&print(&config())).unwrap();
        config.extend(changes);
        let is_understood = config.iter().all(|(key, value)| is_understood(key, value));
        match parse(&Value::Object(config.clone()).to_string()) {
            Ok(parsed) => {
                prop_assert!(is_understood);
                prop_assert_eq!(config["r"].as_u64(), Some(parsed.rank as u64));
                prop_assert!(parsed.alpha > 0.0 && !parsed.targets.is_empty());
                prop_assert_eq!(parse(&print(&parsed)), Ok(parsed));
            }
            Err(Flaw::Malformed(text) | Flaw::Unsupported(text)) => prop_assert!(!text.is_empty()),
        }
    }

    #[test]
    fn arbitrary_texts_never_panic(text in ".{0,120}") {
        let _ = parse(&text);
    }
}
