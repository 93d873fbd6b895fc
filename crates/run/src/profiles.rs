//! The named sets of defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use azr_selfplay::SelfPlayConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::invalid;
use crate::{EngineChoice, EvalConfig, Result, RunConfig, RunError};

/// Name of the model that is built in, and of the profile that suits it.
pub const NANO: &str = "nano";

/// Its other name: what it is called outside of this program.
const AZR_NANO: &str = "azr-nano";

/// Whether `model` means the model that is built in. A path of that name comes first.
pub fn is_nano(model: &str) -> bool {
    [NANO, AZR_NANO].contains(&model) && !Path::new(model).exists()
}

/// The domain of a run that names none, and of the held-out sets that are built in.
pub(crate) const CODE: &str = "code";
const MATH: &str = "math";

/// The model of a run that names none.
pub(crate) const DEFAULT_MODEL: &str = NANO;

/// Options by which profiles vary the optimizer's own algorithm; an algorithm that is named is meant as published.
pub(crate) const VARIED: [&str; 3] = ["estimator", "clip_high", "dual_clip"];

/// A named set of defaults; `ARCHITECTURE.md` tells where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The built-in model learns within minutes on two cores.
    Nano,
    /// The published system's settings, the defects included that shape its numbers.
    Paper,
    /// Our fixes, sized for one small machine.
    Robust,
}

impl FromStr for Profile {
    type Err = RunError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "nano" => Ok(Self::Nano),
            "paper" => Ok(Self::Paper),
            "robust" => Ok(Self::Robust),
            _ => Err(invalid(format!(
                "unknown profile `{text}`: there are `nano`, `paper` and `robust`"
            ))),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nano => "nano",
            Self::Paper => "paper",
            Self::Robust => "robust",
        })
    }
}

impl Profile {
    /// The profile of a run that names none: that of its model.
    pub(crate) fn of_model(model: &str) -> Self {
        if model == NANO { Self::Nano } else { Self::Robust }
    }
}

impl RunConfig {
    /// The defaults of `profile`.
    pub fn of_profile(profile: Profile) -> Self {
        let mut config = Self::of_profile_with_all_domains(profile);
        config.domains.retain(|name, _| name == CODE);
        config
    }

    /// The defaults of `profile`, with the options of every domain that it says something about.
    pub(crate) fn of_profile_with_all_domains(profile: Profile) -> Self {
        match profile {
            Profile::Nano => nano(),
            Profile::Paper => paper(),
            Profile::Robust => robust(),
        }
    }
}

/// Our fixes. A step fits a laptop: small batches, few samples.
fn robust() -> RunConfig {
    RunConfig {
        profile: Profile::Robust,
        model: "smollm2-135m".to_owned(),
        steps: 10,
        save_every: 10,
        keep_checkpoints: 2,
        plugins: Vec::new(),
        selfplay: SelfPlayConfig {
            batch_size: 4,
            learnability_samples: 4,
            ..SelfPlayConfig::robust()
        },
        eval: EvalConfig { every: 10, ..EvalConfig::default() },
        tokenizer: EngineChoice::named("hf"),
        backend: EngineChoice::named("cpu"),
        executor: EngineChoice::named("auto"),
        optimizer: EngineChoice::named("policy-gradient"),
        domains: BTreeMap::from([(CODE.to_owned(), Table::new())]),
    }
}

/// The published system. Its prompts, references and lengths fit models of 3 B parameters and more.
fn paper() -> RunConfig {
    let mut optimizer = EngineChoice::named("policy-gradient");
    for (key, value) in [("clip_high", 0.2), ("dual_clip", 0.0), ("weight_decay", 0.01)] {
        optimizer.options.insert(key.to_owned(), Value::Float(value));
    }
    let code = toml::toml! {
        prompt_style = "chat"
        references = 6
        induction_inputs = 10
        max_new_tokens = { propose = 8096, deduction = 8096, abduction = 8096, induction = 8096 }
        limits = { wall_ms = 10_000, cpu_ms = 10_000 }
    };
    // The published system has no such domain; this is what it would have been given.
    let math = toml::toml! {
        prompt_style = "chat"
        references = 6
        max_new_tokens = { propose = 8096, deduction = 8096, abduction = 8096, induction = 8096 }
    };
    RunConfig {
        profile: Profile::Paper,
        steps: 500,
        selfplay: SelfPlayConfig::paper(),
        optimizer,
        domains: BTreeMap::from([(CODE.to_owned(), code), (MATH.to_owned(), math)]),
        ..robust()
    }
}

/// For the built-in model: minutes on two cores; `docs/learning.md` has what was tried.
fn nano() -> RunConfig {
    let mut optimizer = EngineChoice::named("policy-gradient");
    optimizer.options = toml::toml! {
        estimator = "prompt_relative"
        learning_rate = 4e-5
        solver_weight = 0.3
    };
    // As it was taught in pre-training.
    let code = toml::toml! {
        worked_examples = 0
        scratchpad = true
        references = 1
        induction_inputs = 6
        max_new_tokens = { propose = 128, deduction = 160, abduction = 160, induction = 96 }
    };
    // It was taught nothing of this; short lines are what it copies best, and fit its context.
    let math = toml::toml! {
        worked_examples = 2
        references = 2
        induction_inputs = 6
        max_new_tokens = { propose = 64, deduction = 16, abduction = 24, induction = 48 }
        max_expression_chars = 60
        max_input_chars = 40
        max_output_chars = 40
        max_message_chars = 60
    };
    RunConfig {
        profile: Profile::Nano,
        model: NANO.to_owned(),
        steps: 50,
        selfplay: SelfPlayConfig {
            batch_size: 48,
            learnability_samples: 8,
            reuse_estimates: true,
            answers_per_task: 8,
            ..SelfPlayConfig::robust()
        },
        eval: EvalConfig {
            every: 10,
            sets: vec!["heldout".to_owned(), "cruxeval".to_owned()],
            tasks_per_kind: 50,
            ..EvalConfig::default()
        },
        optimizer,
        domains: BTreeMap::from([(CODE.to_owned(), code), (MATH.to_owned(), math)]),
        ..robust()
    }
}

#[cfg(test)]
mod tests {
    use azr_rl_policy_gradient::{Algorithm, Options};

    use super::*;

    #[test]
    fn the_paper_profile_sets_the_options_that_the_optimizer_calls_paper() {
        let options = RunConfig::of_profile(Profile::Paper).optimizer.options;
        let options: Options = options.try_into().unwrap();
        assert_eq!(options, Options::paper());
    }

    #[test]
    fn a_named_algorithm_is_itself_under_every_profile() {
        for profile in [Profile::Nano, Profile::Paper, Profile::Robust] {
            for algorithm in Algorithm::ALL {
                let named = Value::try_from(algorithm).unwrap();
                let overrides =
                    [format!("profile={profile}"), format!("optimizer.options.algorithm={named}")];
                let config = RunConfig::layered(None, Table::new(), &overrides).unwrap();
                let options: Options = config.optimizer.options.clone().try_into().unwrap();
                assert_eq!(options.objective(), algorithm.objective(), "{overrides:?}");
                let defaults: Options =
                    RunConfig::of_profile(profile).optimizer.options.try_into().unwrap();
                assert_eq!(
                    (options.learning_rate, options.weight_decay),
                    (defaults.learning_rate, defaults.weight_decay)
                );
            }
        }
        let overrides =
            ["profile=nano", "optimizer.options.algorithm=dapo", "optimizer.options.clip_high=0.3"];
        let config = RunConfig::layered(None, Table::new(), &overrides.map(str::to_owned)).unwrap();
        assert_eq!(config.optimizer.options["clip_high"].as_float(), Some(0.3));
        let overrides = ["profile=nano", "optimizer.name=other"].map(str::to_owned);
        let config = RunConfig::layered(None, Table::new(), &overrides).unwrap();
        assert!(config.optimizer.options.is_empty(), "another engine has other options");
    }

    #[test]
    fn every_profile_makes_a_run_and_is_found_by_its_name() {
        for profile in [Profile::Nano, Profile::Paper, Profile::Robust] {
            let config = RunConfig::of_profile(profile);
            config.validate().unwrap();
            assert_eq!(profile.to_string().parse::<Profile>().unwrap(), config.profile);
            let options = config.optimizer.options;
            options.try_into::<Options>().unwrap();
        }
    }
}
