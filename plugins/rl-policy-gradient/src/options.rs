//! The options of `policy-gradient`.

use azr_plugin::{ErrorCode, OptimizerKind, PluginError, Ratio, Result};
use azr_rl::{Aggregation, Algorithm, Estimator, Objective, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of the `policy-gradient` optimizer. The defaults are the `robust` profile; [`Options::paper`] has the published ones.
///
/// `algorithm` names a published algorithm; each of the options from `estimator` to `kl_coef` that is given replaces what
/// the algorithm says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The published algorithm that the next options vary.
    pub algorithm: Algorithm,
    /// How rewards become advantages. Estimators that compare the answers to one prompt need several of them
    /// (`selfplay.answers_per_task`, or `selfplay.reuse_estimates`) and treat the proposals of a kind as answers to one
    /// prompt, since all of them answer the same request with other references.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimator: Option<Estimator>,
    /// What an advantage is multiplied by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    /// Lower clip distance of the probability ratio.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_low: Option<f32>,
    /// Upper clip distance of the probability ratio; paper 0.2.
    #[schemars(range(min = 0.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_high: Option<f32>,
    /// Bound on the loss of bad tokens in units of their advantage, more than 1; 0 switches it off, as in the paper.
    #[schemars(range(min = 0.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dual_clip: Option<f32>,
    /// How token losses are averaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation: Option<Aggregation>,
    /// What the aggregation `sequence_sum` divides by, in tokens; more than 0. It only scales the gradient, which AdamW
    /// takes out again unless `max_grad_norm` clips or the gradient comes near `epsilon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_divisor: Option<f32>,
    /// Weight of the entropy bonus.
    #[schemars(range(min = 0.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy_coef: Option<f32>,
    /// Weight of the divergence from the model that the run started from. Above 0 a second, frozen copy of the weights
    /// stays in memory and every trained sequence is scored with it.
    #[schemars(range(min = 0.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_coef: Option<f32>,
    /// Temperature at which log-probabilities are taken: the one used for sampling.
    pub temperature: f32,
    /// How gradients become steps: `adamw`, or `muon` for hidden matrices (their momentum decays by `beta1`). Both take
    /// the same learning rates.
    pub update_rule: OptimizerKind,
    /// Peak learning rate.
    #[schemars(range(min = 0.0))]
    pub learning_rate: f32,
    /// Updates over which the learning rate rises to its peak.
    pub warmup_steps: u64,
    /// How the learning rate moves after warm-up.
    pub schedule: Schedule,
    /// Updates until a `linear` or `cosine` schedule reaches 0.
    pub total_steps: Option<u64>,
    /// First-moment decay of AdamW, and of Muon's momentum.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub beta1: f32,
    /// Second-moment decay of AdamW.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay; paper 0.01.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f32,
    /// Gradients are scaled down to this global L2 norm; 0 switches clipping off.
    #[schemars(range(min = 0.0))]
    pub max_grad_norm: f32,
    /// Weight λ of the solver's groups against the proposer's.
    #[schemars(range(min = 0.0))]
    pub solver_weight: f32,
}

impl Options {
    /// The values published numbers were made with (arXiv 2505.03335 and its code): symmetric clip,
    /// no dual clip, weight decay 0.01.
    pub fn paper() -> Self {
        Self { clip_high: Some(0.2), dual_clip: Some(0.0), weight_decay: 0.01, ..Self::default() }
    }

    /// What the update is made of: the algorithm, and what the options replace of it.
    pub fn objective(&self) -> Objective {
        let named = self.algorithm.objective();
        Objective {
            estimator: self.estimator.unwrap_or(named.estimator),
            ratio: self.ratio.unwrap_or(named.ratio),
            clip_low: self.clip_low.unwrap_or(named.clip_low),
            clip_high: self.clip_high.unwrap_or(named.clip_high),
            dual_clip: self.dual_clip.unwrap_or(named.dual_clip),
            aggregation: self.aggregation.unwrap_or(named.aggregation),
            length_divisor: self.length_divisor.unwrap_or(named.length_divisor),
            entropy_coef: self.entropy_coef.unwrap_or(named.entropy_coef),
            kl_coef: self.kl_coef.unwrap_or(named.kl_coef),
        }
    }

    /// Refuses values that make no update.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] naming the option and its range.
    pub(crate) fn check(&self) -> Result<()> {
        let not_negative = |value: f32| value >= 0.0 && value.is_finite();
        let a_fraction = |value: f32| (0.0..1.0).contains(&value);
        let positive = |value: f32| value > 0.0 && value.is_finite();
        let Objective {
            clip_low, clip_high, dual_clip, length_divisor, entropy_coef, kl_coef, ..
        } = self.objective();
        let rules = [
            ("clip_low", clip_low, (0.0..=1.0).contains(&clip_low), "in 0..=1"),
            ("clip_high", clip_high, not_negative(clip_high), "0 or more"),
            (
                "dual_clip",
                dual_clip,
                dual_clip == 0.0 || (dual_clip > 1.0 && dual_clip.is_finite()),
                "more than 1, or 0 for none",
            ),
            ("length_divisor", length_divisor, positive(length_divisor), "more than 0"),
            ("entropy_coef", entropy_coef, not_negative(entropy_coef), "0 or more"),
            ("kl_coef", kl_coef, not_negative(kl_coef), "0 or more"),
            ("temperature", self.temperature, positive(self.temperature), "more than 0"),
            ("learning_rate", self.learning_rate, not_negative(self.learning_rate), "0 or more"),
            ("beta1", self.beta1, a_fraction(self.beta1), "in 0..1"),
            ("beta2", self.beta2, a_fraction(self.beta2), "in 0..1"),
            ("epsilon", self.epsilon, positive(self.epsilon), "more than 0"),
            ("weight_decay", self.weight_decay, not_negative(self.weight_decay), "0 or more"),
            ("max_grad_norm", self.max_grad_norm, not_negative(self.max_grad_norm), "0 or more"),
            ("solver_weight", self.solver_weight, not_negative(self.solver_weight), "0 or more"),
        ];
        for (name, value, holds, range) in rules {
            if !holds {
                return Err(invalid(format!("option {name} is {value}, it must be {range}")));
            }
        }
        let Objective { ratio, aggregation, .. } = self.objective();
        let (clips, divides) = (ratio != Ratio::None, aggregation == Aggregation::SequenceSum);
        for (name, value, is_used, user) in [
            ("clip_low", self.clip_low, clips, "a ratio"),
            ("clip_high", self.clip_high, clips, "a ratio"),
            ("dual_clip", self.dual_clip, clips, "a ratio"),
            ("length_divisor", self.length_divisor, divides, "the aggregation `sequence_sum`"),
        ] {
            if value.is_some() && !is_used {
                return Err(invalid(format!("option {name} needs {user}, which is not in use"))
                    .with_hint(format!(
                        "leave {name} out; name the algorithm where a profile sets it"
                    )));
            }
        }
        match (self.schedule, self.total_steps) {
            (Schedule::Linear | Schedule::Cosine, None | Some(0)) => {
                Err(invalid("a linear or cosine schedule has no end".into())
                    .with_hint("set total_steps to the number of updates of the run"))
            }
            _ => Ok(()),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            estimator: None,
            ratio: None,
            clip_low: None,
            clip_high: None,
            dual_clip: None,
            aggregation: None,
            length_divisor: None,
            entropy_coef: None,
            kl_coef: None,
            temperature: 1.0,
            update_rule: OptimizerKind::Adamw,
            learning_rate: 1e-6,
            warmup_steps: 0,
            schedule: Schedule::Constant,
            total_steps: None,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            solver_weight: 1.0,
        }
    }
}

fn invalid(message: String) -> PluginError {
    PluginError::new(ErrorCode::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use azr_plugin::serde_json;

    use super::*;

    #[test]
    fn an_empty_object_is_the_robust_profile() {
        let options: Options = serde_json::from_str("{}").unwrap();
        assert_eq!(options, Options::default());
        options.check().unwrap();
        Options::paper().check().unwrap();
    }

    #[test]
    fn single_options_replace_what_the_algorithm_says() {
        let text = r#"{"algorithm": "dr_grpo", "length_divisor": 64, "ratio": "sequence"}"#;
        let options: Options = serde_json::from_str(text).unwrap();
        options.check().unwrap();
        let expected = Objective {
            length_divisor: 64.0,
            ratio: Ratio::Sequence,
            ..Algorithm::DrGrpo.objective()
        };
        assert_eq!(options.objective(), expected);
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&text).unwrap(), options);
    }

    #[test]
    fn every_algorithm_has_the_name_that_is_advertised() {
        for name in crate::algorithm_names() {
            let options: Options =
                serde_json::from_value(serde_json::json!({ "algorithm": name })).unwrap();
            options.check().unwrap();
        }
        assert!(serde_json::from_str::<Options>(r#"{"algorithm": "ppo"}"#).is_err());
    }

    #[test]
    fn unknown_options_are_refused() {
        let error = serde_json::from_str::<Options>(r#"{"learning_rat": 1}"#).unwrap_err();
        assert!(error.to_string().contains("learning_rat"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (json, name) in [
            (r#"{"temperature": 0}"#, "temperature"),
            (r#"{"dual_clip": 0.5}"#, "dual_clip"),
            (r#"{"learning_rate": -1}"#, "learning_rate"),
            (r#"{"beta2": 1.0}"#, "beta2"),
            (r#"{"epsilon": 0}"#, "epsilon"),
            (r#"{"kl_coef": -0.1}"#, "kl_coef"),
            (r#"{"algorithm": "dr_grpo", "length_divisor": 0}"#, "length_divisor"),
        ] {
            let options: Options = serde_json::from_str(json).unwrap();
            let error = options.check().unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidConfig);
            assert!(error.message.contains(name), "{error}");
        }
        let nan = Options { max_grad_norm: f32::NAN, ..Options::default() };
        assert!(nan.check().is_err());
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for (json, name) in [
            (r#"{"algorithm": "rloo", "clip_high": 0.2}"#, "clip_high"),
            (r#"{"ratio": "none", "dual_clip": 0}"#, "dual_clip"),
            (r#"{"length_divisor": 64}"#, "length_divisor"),
        ] {
            let options: Options = serde_json::from_str(json).unwrap();
            assert!(options.check().unwrap_err().message.contains(name));
        }
    }

    #[test]
    fn a_decay_needs_an_end() {
        let options: Options = serde_json::from_str(r#"{"schedule": "cosine"}"#).unwrap();
        assert!(options.check().unwrap_err().hint.unwrap().contains("total_steps"));
    }
}
