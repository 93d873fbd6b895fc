//! The options of the backend `cpu`.

use azr_cpu::Cpu;
use azr_plugin::Result;
use azr_transformer::{
    MemoryPlan, PolicyLimits, PolicyOptions, TrainingOptions, Workload, check_range,
};
use azr_weights::ModelConfig;
use schemars::JsonSchema;
use schemars::transform::ReplaceUnevaluatedProperties;
use serde::{Deserialize, Serialize};

/// Options of [`crate::CpuBackend`]. None of them but `rollout_weights` changes what a sample of given weights is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(crate = "schemars", transform = ReplaceUnevaluatedProperties::default())]
pub struct Options {
    /// Threads that compute; by default as many as the machine has cores. Never changes a result.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<usize>,
    /// What every backend has.
    #[serde(flatten)]
    pub policy: PolicyOptions,
}

impl Options {
    /// What a run of a model of this configuration needs in memory, beside [`Options::working_bytes`].
    ///
    /// # Errors
    /// Options that make no backend, or adapters that do not fit the model.
    pub fn plan(&self, model: &ModelConfig, workload: &Workload) -> Result<MemoryPlan> {
        self.check()?;
        self.policy.plan(model, PolicyLimits::default(), workload)
    }

    /// Bytes of the processor's working memory for what `plan` plans.
    pub fn working_bytes(&self, model: &ModelConfig, plan: &MemoryPlan) -> u64 {
        let n_rows = plan.n_training_rows.max(plan.n_generation_rows);
        let attention = model.n_heads * model.head_dim;
        let widest = model.intermediate_size.max(model.hidden_size).max(attention);
        Cpu::working_bytes(n_rows, widest, model.vocab_size)
    }

    pub(crate) fn limits(&self) -> PolicyLimits {
        self.policy.limits(PolicyLimits::default())
    }

    pub(crate) fn training(&self) -> Result<TrainingOptions> {
        self.policy.training()
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_range("threads", self.threads.map(|n| n as u64), 1024)?;
        self.policy.check()
    }
}

#[cfg(test)]
mod tests {
    use azr_plugin::{Engine, ErrorCode, Services, serde_json};
    use azr_transformer::CopyFormat;

    use super::*;
    use crate::CpuBackend;

    #[test]
    fn options_are_optional_and_checked() {
        let parse = |text: &str| serde_json::from_str::<Options>(text);
        let none = parse("{}").unwrap();
        assert_eq!(none.limits(), PolicyLimits::default());
        let some = parse(
            r#"{"threads": 1, "max_live_rows": 3, "kv_cache_mib": 5, "micro_batch_rows": 7}"#,
        )
        .unwrap();
        let limits = some.limits();
        assert_eq!((limits.generate.max_live_rows, limits.micro_batch_rows), (3, 7));
        assert_eq!(limits.generate.kv_cache_bytes, 5 << 20);
        assert!(some.check().is_ok());
        assert!(parse(r#"{"thread": 1}"#).is_err());
        // The host reads the options there are from the top of the schema.
        let schema = schemars::schema_for!(Options).to_value();
        assert_eq!(schema["additionalProperties"], false, "{schema:#}");
        let n_options = schema["properties"].as_object().map(|options| options.len());
        assert_eq!(n_options, Some(8), "{schema:#}");
        for bad in [r#"{"threads": 0}"#, r#"{"kv_cache_mib": 99999999999}"#] {
            let error = CpuBackend::create(parse(bad).unwrap(), Services::default()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidConfig);
        }
        for (bad, expected) in [
            (r#"{"lora": {"rank": 0}}"#, "lora.rank is 0"),
            (r#"{"lora": {"alpha": -1.0}}"#, "lora.alpha is -1"),
            (r#"{"lora": {"targets": []}}"#, "empty"),
            (r#"{"lora": {"targets": ["q_proj", "q_proj"]}}"#, "`q_proj` twice"),
            (r#"{"lora": {"targets": ["lm_head"]}}"#, "`lm_head`"),
        ] {
            let error = CpuBackend::create(parse(bad).unwrap(), Services::default()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidConfig);
            assert!(error.message.contains(expected), "{error}");
        }
        assert_eq!(none.training().unwrap().rollout_weights, None);
        for (text, format) in [
            (r#"{"rollout_weights": "f32"}"#, None),
            (r#"{"rollout_weights": "bf16"}"#, Some(CopyFormat::Bf16)),
            (r#"{"rollout_weights": "int8"}"#, Some(CopyFormat::Int8)),
        ] {
            assert_eq!(parse(text).unwrap().training().unwrap().rollout_weights, format);
        }
        assert!(parse(r#"{"rollout_weights": "int4"}"#).is_err());
        let lora = parse(r#"{"lora": {}}"#).unwrap().training().unwrap().lora.unwrap();
        assert_eq!((lora.adapter.rank, lora.adapter.targets.len()), (16, 7));
    }
}
