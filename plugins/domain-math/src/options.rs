//! The options of the math domain and their defaults.

use azr_plugin::schemars::JsonSchema;
use azr_plugin::serde::{Deserialize, Serialize};
use azr_plugin::{ErrorCode, PluginError, Result};

use crate::expression::{Limits, MAX_BYTES, MAX_DEPTH};

/// Most inputs that an induction task may have.
pub(crate) const MAX_INDUCTION_INPUTS: u32 = 10;

/// Options of the math domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "azr_plugin::schemars")]
pub struct MathOptions {
    /// How the model is asked: raw text to continue, or a conversation.
    pub prompt_style: PromptStyle,
    /// Chat style: demand a chain of thought in `<think>` tags before the `<answer>`.
    /// Small models do better without.
    pub require_think_tags: bool,
    /// Chat style: the model's chat template ends a prompt with an opened `<think>`.
    pub prompt_opens_think: bool,
    /// Completion style: worked examples before the question.
    #[schemars(range(max = 3))]
    pub worked_examples: u32,
    /// Earlier tasks shown in a deduction or abduction proposal prompt.
    #[schemars(range(max = 32))]
    pub references: u32,
    /// Inputs of a proposed induction task; the first half is shown to the solver.
    #[schemars(range(min = 2, max = 10))]
    pub induction_inputs: u32,
    /// How the hidden pairs of an induction task make a score.
    pub induction_score: InductionScore,
    /// Longest responses in tokens.
    pub max_new_tokens: TokenBudgets,
    /// Limits on one evaluation of an expression.
    pub limits: EvaluationLimits,
    /// Longest definition, in canonical text, in characters.
    #[schemars(range(min = 1, max = 4096))]
    pub max_expression_chars: u32,
    /// Deepest syntax tree of a definition.
    #[schemars(range(min = 1, max = 64))]
    pub max_depth: u32,
    /// Longest list of arguments, in canonical text, in characters.
    #[schemars(range(min = 1, max = 4096))]
    pub max_input_chars: u32,
    /// Longest value, in canonical text, in characters. Longer ones make a task invalid.
    #[schemars(range(min = 1, max = 4096))]
    pub max_output_chars: u32,
    /// Longest induction message in characters.
    #[schemars(range(min = 1))]
    pub max_message_chars: u32,
}

impl Default for MathOptions {
    fn default() -> Self {
        Self {
            prompt_style: PromptStyle::Completion,
            require_think_tags: true,
            prompt_opens_think: false,
            worked_examples: 3,
            references: 3,
            induction_inputs: MAX_INDUCTION_INPUTS,
            induction_score: InductionScore::Binary,
            max_new_tokens: TokenBudgets::default(),
            limits: EvaluationLimits::default(),
            max_expression_chars: 200,
            max_depth: 24,
            max_input_chars: 100,
            max_output_chars: 100,
            max_message_chars: 200,
        }
    }
}

/// How the model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", rename_all = "snake_case")]
#[schemars(crate = "azr_plugin::schemars")]
pub enum PromptStyle {
    /// A short text with worked examples that the model continues; for base models and small models.
    Completion,
    /// A conversation with rules, tags and a worked example; for instruct models.
    Chat,
}

/// How the hidden pairs of an induction task make a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", rename_all = "snake_case")]
#[schemars(crate = "azr_plugin::schemars")]
pub enum InductionScore {
    /// 1 if every hidden pair is right, else 0.
    Binary,
    /// The share of hidden pairs that are right.
    Accuracy,
    /// 1 if at least one hidden pair is right, else 0.
    IfOneCorrect,
}

/// Longest responses in tokens; what is left out has a default that fits the prompt style.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "azr_plugin::schemars")]
pub struct TokenBudgets {
    /// Proposals of all kinds: 128 in completion style, 192 in chat style, 1024 with think tags.
    #[schemars(range(min = 1))]
    pub propose: Option<u32>,
    /// Deduction answers: 32 in completion style, 64 in chat style, 768 with think tags.
    #[schemars(range(min = 1))]
    pub deduction: Option<u32>,
    /// Abduction answers: as for deduction.
    #[schemars(range(min = 1))]
    pub abduction: Option<u32>,
    /// Induction answers: 96 in completion style, 128 in chat style, 1024 with think tags.
    #[schemars(range(min = 1))]
    pub induction: Option<u32>,
}

/// Limits on one evaluation of an expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "azr_plugin::schemars")]
pub struct EvaluationLimits {
    /// Nodes of the expression that are evaluated, each as often as it is, and arithmetic that takes about as long.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub steps: u64,
    /// Bits of every numerator and denominator on the way.
    #[schemars(range(min = 8, max = 65_536))]
    pub bits: u64,
}

impl Default for EvaluationLimits {
    fn default() -> Self {
        Self { steps: 50_000, bits: 4096 }
    }
}

impl EvaluationLimits {
    pub(crate) fn to_limits(&self) -> Limits {
        let Self { steps, bits } = *self;
        Limits { steps, bits }
    }
}

/// The token budgets after the defaults are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budgets {
    pub(crate) propose: u32,
    pub(crate) deduction: u32,
    pub(crate) abduction: u32,
    pub(crate) induction: u32,
}

impl MathOptions {
    /// Whether think tags are part of the demanded form.
    pub(crate) fn thinks(&self) -> bool {
        self.prompt_style == PromptStyle::Chat && self.require_think_tags
    }

    /// The longest response that is asked for, in tokens.
    pub fn longest_response(&self) -> u32 {
        let Budgets { propose, deduction, abduction, induction } = self.budgets();
        propose.max(deduction).max(abduction).max(induction)
    }

    pub(crate) fn budgets(&self) -> Budgets {
        let (propose, value, induction) = match (self.prompt_style, self.thinks()) {
            (PromptStyle::Completion, _) => (128, 32, 96),
            (PromptStyle::Chat, false) => (192, 64, 128),
            (PromptStyle::Chat, true) => (1024, 768, 1024),
        };
        let given = &self.max_new_tokens;
        Budgets {
            propose: given.propose.unwrap_or(propose),
            deduction: given.deduction.unwrap_or(value),
            abduction: given.abduction.unwrap_or(value),
            induction: given.induction.unwrap_or(induction),
        }
    }

    /// Checks what the types cannot express.
    pub(crate) fn check(&self) -> Result<()> {
        let Budgets { propose, deduction, abduction, induction } = self.budgets();
        let longest = MAX_BYTES as u64;
        for (name, value, least, most) in [
            ("induction_inputs", u64::from(self.induction_inputs), 2, MAX_INDUCTION_INPUTS.into()),
            ("max_depth", self.max_depth.into(), 1, MAX_DEPTH as u64),
            ("max_expression_chars", self.max_expression_chars.into(), 1, longest),
            ("max_input_chars", self.max_input_chars.into(), 1, longest),
            ("max_output_chars", self.max_output_chars.into(), 1, longest),
            ("limits.steps", self.limits.steps, 1, 10_000_000),
            ("limits.bits", self.limits.bits, 8, 65_536),
            ("max_new_tokens.propose", propose.into(), 1, u32::MAX.into()),
            ("max_new_tokens.deduction", deduction.into(), 1, u32::MAX.into()),
            ("max_new_tokens.abduction", abduction.into(), 1, u32::MAX.into()),
            ("max_new_tokens.induction", induction.into(), 1, u32::MAX.into()),
        ] {
            if !(least..=most).contains(&value) {
                return Err(PluginError::new(
                    ErrorCode::InvalidConfig,
                    format!("the math domain's {name} is {value}"),
                )
                .with_hint(format!("choose {least} to {most}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use azr_plugin::serde_json;

    use super::*;

    #[test]
    fn the_empty_object_gives_the_defaults() {
        let options: MathOptions = serde_json::from_str("{}").unwrap();
        assert_eq!(options, MathOptions::default());
        let budgets = Budgets { propose: 128, deduction: 32, abduction: 32, induction: 96 };
        assert_eq!(options.budgets(), budgets);
        options.check().unwrap();
    }

    #[test]
    fn unknown_keys_are_refused_at_every_level() {
        for text in [
            r#"{"promt_style": "chat"}"#,
            r#"{"limits": {"wall_ms": 1}}"#,
            r#"{"max_new_tokens": {"solve": 1}}"#,
        ] {
            assert!(serde_json::from_str::<MathOptions>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn budgets_follow_the_style_unless_given() {
        let text = r#"{"prompt_style": "chat", "max_new_tokens": {"deduction": 5}}"#;
        let options: MathOptions = serde_json::from_str(text).unwrap();
        let thoughtful = Budgets { propose: 1024, deduction: 5, abduction: 768, induction: 1024 };
        assert_eq!((options.budgets(), options.longest_response()), (thoughtful, 1024));
        let options = MathOptions { require_think_tags: false, ..options };
        let bare = Budgets { propose: 192, deduction: 5, abduction: 64, induction: 128 };
        assert_eq!((options.budgets(), options.longest_response()), (bare, 192));
    }

    #[test]
    fn impossible_sizes_are_refused_by_options_and_schema_alike() {
        let schema = serde_json::to_value(azr_plugin::schemars::schema_for!(MathOptions)).unwrap();
        assert_eq!(schema["additionalProperties"], serde_json::Value::Bool(false));
        for (key, too_large) in [
            ("induction_inputs", 11),
            ("max_depth", 65),
            ("max_expression_chars", 4097),
            ("max_input_chars", 4097),
            ("max_output_chars", 4097),
        ] {
            assert_eq!(schema["properties"][key]["maximum"], too_large - 1, "{key}");
            for value in [0, too_large] {
                let mut object = serde_json::Map::new();
                object.insert(key.to_owned(), value.into());
                let options: MathOptions =
                    serde_json::from_value(serde_json::Value::Object(object)).unwrap();
                let error = options.check().unwrap_err();
                assert_eq!(error.code, ErrorCode::InvalidConfig);
                assert!(error.message.contains(key) && error.hint.is_some(), "{error}");
            }
        }
        let zero = TokenBudgets { abduction: Some(0), ..TokenBudgets::default() };
        assert!(MathOptions { max_new_tokens: zero, ..MathOptions::default() }.check().is_err());
    }
}
