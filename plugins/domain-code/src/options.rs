//! The options of the code domain and their defaults.

use azr_plugin::schemars::JsonSchema;
use azr_plugin::serde::{Deserialize, Serialize};
use azr_plugin::{ErrorCode, Limits, PluginError, Result};

/// Most inputs that an induction task may have.
pub(crate) const MAX_INDUCTION_INPUTS: u32 = 10;

/// Options of the code domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "azr_plugin::schemars")]
pub struct CodeOptions {
    /// How the model is asked: raw text to continue, or a conversation.
    pub prompt_style: PromptStyle,
    /// Chat style: demand a chain of thought in `<think>` tags before the `<answer>`.
    /// Small models do better without.
    pub require_think_tags: bool,
    /// Chat style: the model's chat template ends a prompt with an opened `<think>`.
    pub prompt_opens_think: bool,
    /// Completion style: worked examples before the question. A model that was trained on the bare format needs none.
    /// With `scratchpad` only induction tasks and proposals have them: no example shows notes.
    #[schemars(range(max = 3))]
    pub worked_examples: u32,
    /// Completion style: an answer to a deduction or abduction task is the last of some comment lines, so that the
    /// model may note intermediate values before it. For models that were trained on it.
    pub scratchpad: bool,
    /// Earlier tasks shown in a deduction or abduction proposal prompt (6 in the paper).
    #[schemars(range(max = 32))]
    pub references: u32,
    /// Inputs of a proposed induction task (10 in the paper); the first half is shown to the solver.
    #[schemars(range(min = 2, max = 10))]
    pub induction_inputs: u32,
    /// How the hidden pairs of an induction task make a score.
    pub induction_score: InductionScore,
    /// Longest responses in tokens.
    pub max_new_tokens: TokenBudgets,
    /// Limits on one run of a program.
    pub limits: RunLimits,
    /// Longest program in bytes.
    #[schemars(range(min = 1, max = 16384))]
    pub max_program_bytes: u32,
    /// Longest argument list, written as Python text, in characters.
    #[schemars(range(min = 1))]
    pub max_input_chars: u32,
    /// Longest returned value, written as Python text, in characters. Longer ones make a task invalid.
    #[schemars(range(min = 1))]
    pub max_output_chars: u32,
    /// Longest induction message in characters.
    #[schemars(range(min = 1))]
    pub max_message_chars: u32,
    /// Accept proposals whose function returns `None`.
    pub allow_none_output: bool,
}

impl Default for CodeOptions {
    fn default() -> Self {
        Self {
            prompt_style: PromptStyle::Completion,
            require_think_tags: true,
            prompt_opens_think: false,
            worked_examples: 3,
            scratchpad: false,
            references: 3,
            induction_inputs: 6,
            induction_score: InductionScore::Binary,
            max_new_tokens: TokenBudgets::default(),
            limits: RunLimits::default(),
            max_program_bytes: 4096,
            max_input_chars: 1024,
            max_output_chars: 4096,
            max_message_chars: 300,
            allow_none_output: false,
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
    /// Proposals of all kinds: 160 in completion style, 256 in chat style, 1024 with think tags.
    #[schemars(range(min = 1))]
    pub propose: Option<u32>,
    /// Deduction answers: 32 in completion style, 96 with a scratchpad, 64 in chat style, 768 with think tags.
    #[schemars(range(min = 1))]
    pub deduction: Option<u32>,
    /// Abduction answers: as for deduction.
    #[schemars(range(min = 1))]
    pub abduction: Option<u32>,
    /// Induction answers: 160 in completion style, 256 in chat style, 1024 with think tags.
    #[schemars(range(min = 1))]
    pub induction: Option<u32>,
}

/// Limits on one run of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "azr_plugin::schemars")]
pub struct RunLimits {
    /// Wall-clock time in milliseconds.
    #[schemars(range(min = 1))]
    pub wall_ms: u64,
    /// Processor time in milliseconds.
    #[schemars(range(min = 1))]
    pub cpu_ms: u64,
    /// Address space in bytes.
    #[schemars(range(min = 1))]
    pub memory_bytes: u64,
    /// Longest encoded result in bytes.
    #[schemars(range(min = 1))]
    pub output_bytes: u64,
}

impl Default for RunLimits {
    fn default() -> Self {
        let Limits { wall_ms, cpu_ms, memory_bytes, output_bytes } = Limits::default();
        Self { wall_ms, cpu_ms, memory_bytes, output_bytes }
    }
}

impl RunLimits {
    pub(crate) fn to_limits(&self) -> Limits {
        let Self { wall_ms, cpu_ms, memory_bytes, output_bytes } = *self;
        Limits { wall_ms, cpu_ms, memory_bytes, output_bytes }
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

impl CodeOptions {
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
        let (long, short) = match (self.prompt_style, self.thinks()) {
            (PromptStyle::Completion, _) => (160, if self.scratchpad { 96 } else { 32 }),
            (PromptStyle::Chat, false) => (256, 64),
            (PromptStyle::Chat, true) => (1024, 768),
        };
        let given = &self.max_new_tokens;
        Budgets {
            propose: given.propose.unwrap_or(long),
            deduction: given.deduction.unwrap_or(short),
            abduction: given.abduction.unwrap_or(short),
            induction: given.induction.unwrap_or(long),
        }
    }

    /// Checks what the types cannot express.
    pub(crate) fn check(&self) -> Result<()> {
        if !(2..=MAX_INDUCTION_INPUTS).contains(&self.induction_inputs) {
            return Err(PluginError::new(
                ErrorCode::InvalidConfig,
                format!(
                    "induction_inputs is {}, which leaves nothing to show or to hide",
                    self.induction_inputs
                ),
            )
            .with_hint(format!("choose 2 to {MAX_INDUCTION_INPUTS}")));
        }
        let budgets = self.budgets();
        if [budgets.propose, budgets.deduction, budgets.abduction, budgets.induction].contains(&0) {
            return Err(PluginError::new(
                ErrorCode::InvalidConfig,
                "max_new_tokens is 0 for some response",
            )
            .with_hint("leave it out for the default of the prompt style"));
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
        let options: CodeOptions = serde_json::from_str("{}").unwrap();
        assert_eq!(options, CodeOptions::default());
        assert_eq!(
            options.budgets(),
            Budgets { propose: 160, deduction: 32, abduction: 32, induction: 160 }
        );
        assert_eq!(options.limits.to_limits(), Limits::default());
    }

    #[test]
    fn unknown_keys_are_refused_at_every_level() {
        assert!(serde_json::from_str::<CodeOptions>(r#"{"promt_style": "chat"}"#).is_err());
        assert!(serde_json::from_str::<CodeOptions>(r#"{"limits": {"wall": 1}}"#).is_err());
        assert!(
            serde_json::from_str::<CodeOptions>(r#"{"max_new_tokens": {"solve": 1}}"#).is_err()
        );
    }

    #[test]
    fn budgets_follow_the_style_unless_given() {
        let text = r#"{"prompt_style": "chat", "max_new_tokens": {"deduction": 5}}"#;
        let options: CodeOptions = serde_json::from_str(text).unwrap();
        assert_eq!(
            options.budgets(),
            Budgets { propose: 1024, deduction: 5, abduction: 768, induction: 1024 }
        );
        assert_eq!(options.longest_response(), 1024);
        let options = CodeOptions { require_think_tags: false, ..options };
        assert_eq!(
            options.budgets(),
            Budgets { propose: 256, deduction: 5, abduction: 64, induction: 256 }
        );
    }

    #[test]
    fn impossible_sizes_are_refused_with_a_hint() {
        for induction_inputs in [0, 1, 11] {
            let error =
                CodeOptions { induction_inputs, ..CodeOptions::default() }.check().unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidConfig);
            assert!(error.hint.is_some());
        }
        let zero = TokenBudgets { abduction: Some(0), ..TokenBudgets::default() };
        assert!(CodeOptions { max_new_tokens: zero, ..CodeOptions::default() }.check().is_err());
        assert!(CodeOptions::default().check().is_ok());
    }

    #[test]
    fn the_schema_refuses_what_the_types_refuse() {
        let schema = serde_json::to_value(azr_plugin::schemars::schema_for!(CodeOptions)).unwrap();
        assert_eq!(schema["additionalProperties"], serde_json::Value::Bool(false));
        assert_eq!(schema["properties"]["induction_inputs"]["maximum"], MAX_INDUCTION_INPUTS);
        assert_eq!(schema["properties"]["references"]["default"], 3);
    }
}
