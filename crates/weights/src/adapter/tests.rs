//! What is written is read again, and everything else is refused.

use proptest::prelude::*;

use super::*;
use crate::Family;
use crate::config::tests::tiny;

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
    assert_eq!(parse(&config().print()), Ok(config()));
}

#[test]
fn adapters_merge_into_an_ordinary_model() {
    let folder = tempfile::tempdir().unwrap();
    let [base, adapter, out] = ["base", "adapter", "out"].map(|name| folder.path().join(name));
    let model = tiny(Family::Qwen2);
    write_hf_directory(&base, &model, &mut items(model.tensors())).unwrap();
    fs::write(base.join("tokenizer.json"), "{}").unwrap();
    let specs = tensors(&config(), &model);
    write_adapter_directory(&adapter, &config(), &model, &mut items(specs)).unwrap();
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
        let mut config: Value = serde_json::from_str(&config().print()).unwrap();
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
    ] {
        let text = with(key, value);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn adapters_of_another_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny(Family::Llama);
    let specs = tensors(&config(), &model);
    write_adapter_directory(folder.path(), &config(), &model, &mut items(specs)).unwrap();
    let wider = ModelConfig { intermediate_size: 66, ..model.clone() };
    let error = AdapterFile::open(folder.path(), &wider).unwrap_err();
    assert!(error.to_string().contains("expected [2, 66]"), "{error}");
    let shallower = ModelConfig { n_layers: 1, ..model.clone() };
    let error = AdapterFile::open(folder.path(), &shallower).unwrap_err();
    assert!(error.to_string().contains("layers.1."), "{error}");
    let deeper = ModelConfig { n_layers: 3, ..model.clone() };
    assert!(matches!(
        AdapterFile::open(folder.path(), &deeper),
        Err(WeightsError::MissingTensor { .. })
    ));
    let too_high = AdapterConfig { rank: 33, ..config() };
    assert!(too_high.check(&model).unwrap_err().to_string().contains("1 to 32"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_texts_never_panic(text in ".{0,120}", key in "[a-z_]{1,9}", number: f64) {
        let _ = parse(&text);
        let _ = parse(&format!(
            r#"{{"peft_type": "LORA", "r": {number}, "lora_alpha": {number}, "target_modules": ["{key}"], "{key}": {number}}}"#
        ));
    }
}
