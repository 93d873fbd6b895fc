//! The text of an `adapter_config.json`. Like a model's config it is untrusted: what would change the adapters' arithmetic
//! and is not implemented is refused, never ignored, and so is what is not known.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{AdapterConfig, Projection};
use crate::error::Flaw;

const MAX_RANK: usize = 1 << 12;
/// What changes nothing about saved adapters, whatever its value. Options of what is refused when it is in use
/// (`megatron_core`, `qalora_group_size`) are written even where it is not.
const INERT: [&str; 10] = [
    "auto_mapping",
    "base_model_name_or_path",
    "eva_config",
    "inference_mode",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "task_type",
];
/// First values of adapters. The others that there are (PiSSA, OLoRA, CorDA, LoftQ, …) change the model as well, so that
/// the adapters belong to a model that is not the one on disk.
const INITS: [&str; 3] = ["eva", "gaussian", "orthogonal"];

/// The text of an `adapter_config.json` that PEFT accepts.
pub(super) fn print(config: &AdapterConfig) -> String {
    let value = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": config.base_model,
        "r": config.rank,
        "lora_alpha": f64::from(config.alpha),
        "target_modules": config.targets,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": false,
        "use_rslora": false,
        "use_dora": false,
        "modules_to_save": null,
        "init_lora_weights": true,
        "inference_mode": true,
    });
    format!("{value:#}\n")
}

/// The config in the text of an `adapter_config.json`.
pub(super) fn parse(text: &str) -> Result<AdapterConfig, Flaw> {
    let value: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| Flaw::Malformed(error.to_string()))?;
    match value.get("peft_type").and_then(Value::as_str) {
        Some("LORA") => {}
        Some(other) => return Err(Flaw::Unsupported(format!("adapters of type `{other}`"))),
        None => return Err(Flaw::Malformed("it has no `peft_type`".into())),
    }
    if let Some((key, value)) = value.iter().find(|(key, value)| !is_understood(key, value)) {
        let value = value.to_string();
        return Err(Flaw::Unsupported(format!("an adapter with `{key:.40}` = {value:.40}")));
    }
    let rank = value.get("r").and_then(Value::as_u64).and_then(|rank| usize::try_from(rank).ok());
    let rank = rank
        .filter(|rank| (1..=MAX_RANK).contains(rank))
        .ok_or_else(|| Flaw::Malformed(format!("`r` must be a number from 1 to {MAX_RANK}")))?;
    let alpha = value.get("lora_alpha").and_then(Value::as_f64).map(|alpha| alpha as f32);
    let alpha = alpha
        .filter(|alpha| alpha.is_finite() && *alpha > 0.0)
        .ok_or_else(|| Flaw::Malformed("`lora_alpha` must be a number above 0".into()))?;
    let Some(Value::Array(names)) = value.get("target_modules") else {
        return Err(Flaw::Unsupported("`target_modules` that is not a list of names".into()));
    };
    let targets = names
        .iter()
        .map(|name| {
            Projection::ALL
                .into_iter()
                .find(|projection| name == projection.as_str())
                .ok_or_else(|| Flaw::Unsupported(format!("an adapter on {:.40}", name.to_string())))
        })
        .collect::<Result<BTreeSet<_>, _>>()?;
    if targets.is_empty() {
        return Err(Flaw::Malformed("`target_modules` is empty".into()));
    }
    let base_model = value.get("base_model_name_or_path").and_then(Value::as_str);
    Ok(AdapterConfig {
        rank,
        alpha,
        targets,
        base_model: base_model.unwrap_or_default().to_owned(),
    })
}

/// Whether an entry is read by [`parse`], changes nothing, or is off.
pub(super) fn is_understood(key: &str, value: &Value) -> bool {
    match key {
        "peft_type" | "r" | "lora_alpha" | "target_modules" => true,
        "bias" if value == "none" => true,
        "init_lora_weights" => value.is_boolean() || INITS.iter().any(|init| value == init),
        _ if INERT.contains(&key) => true,
        // PEFT's ways to say that something is not used.
        _ => match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            _ => false,
        },
    }
}
