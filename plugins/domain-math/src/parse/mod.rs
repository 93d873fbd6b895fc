//! From what a model wrote to what it meant. Every parser is total: it reads any text in linear time
//! and either finds the demanded form or says what is missing.

mod chat;
mod completion;

use azr_plugin::response::{TagRule, answer, answer_or_all};

use crate::options::{MathOptions, PromptStyle};
use crate::reason::Reason;

pub(crate) use completion::{BLOCK_STOPS, LINE_STOPS, OPENING};

/// Longest response that is looked at, in bytes: far above any token budget in use.
const MAX_RESPONSE_BYTES: usize = 256 << 10;

/// A parsed response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parsed<T> {
    /// What was found, or why it was not.
    pub(crate) content: Result<T, Reason>,
    /// Whether the response had the demanded form.
    pub(crate) well_formed: bool,
}

/// A proposed definition with one input, both still unchecked text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProposedCall {
    /// `f(…) = …`.
    pub(crate) definition: String,
    /// What stands between the parentheses of the call.
    pub(crate) arguments: String,
}

/// Proposed inputs of a given definition and a message, still unchecked text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProposedInputs {
    /// What the function does, in words; one line.
    pub(crate) message: String,
    /// What stands between the parentheses of each call, in the order in which they were written.
    pub(crate) arguments: Vec<String>,
}

/// The form in which responses are demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The continuation of a text.
    Completion,
    /// Tagged text.
    Chat(TagRule),
}

impl Form {
    pub(crate) fn of(options: &MathOptions) -> Self {
        match options.prompt_style {
            PromptStyle::Completion => Self::Completion,
            PromptStyle::Chat => Self::Chat(TagRule {
                think: options.require_think_tags,
                think_is_open: options.require_think_tags && options.prompt_opens_think,
            }),
        }
    }

    /// A proposal of a definition and one input.
    pub(crate) fn proposed_call(self, response: &str) -> Parsed<ProposedCall> {
        self.proposal(response, completion::proposed_call, chat::proposed_call)
    }

    /// A proposal of inputs and a message for a given definition.
    pub(crate) fn proposed_inputs(self, response: &str) -> Parsed<ProposedInputs> {
        self.proposal(response, completion::proposed_inputs, chat::proposed_inputs)
    }

    /// A deduction answer: the text of a value.
    pub(crate) fn value(self, response: &str) -> Parsed<String> {
        self.answer(response, completion::value, chat::value)
    }

    /// An abduction answer: the text between the parentheses of a call.
    pub(crate) fn arguments(self, response: &str) -> Parsed<String> {
        self.answer(response, completion::arguments, chat::arguments)
    }

    /// An induction answer: the text of a definition.
    pub(crate) fn definition(self, response: &str) -> Parsed<String> {
        self.answer(response, completion::definition, chat::definition)
    }

    /// A proposal can be a task without its tags.
    fn proposal<T>(
        self,
        response: &str,
        completed: fn(&str) -> Result<T, Reason>,
        talked: fn(&str) -> Result<T, Reason>,
    ) -> Parsed<T> {
        self.parse(response, completed, |text| talked(answer_or_all(text)))
    }

    fn answer(
        self,
        response: &str,
        completed: fn(&str) -> Result<String, Reason>,
        talked: fn(&str) -> Result<String, Reason>,
    ) -> Parsed<String> {
        self.parse(response, completed, |text| {
            answer(text).ok_or(Reason::NoAnswer).and_then(talked)
        })
    }

    fn parse<T>(
        self,
        response: &str,
        completed: impl FnOnce(&str) -> Result<T, Reason>,
        talked: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Parsed<T> {
        if response.len() > MAX_RESPONSE_BYTES {
            return Parsed { content: Err(Reason::TooLong), well_formed: false };
        }
        match self {
            Self::Completion => {
                let content = completed(response);
                Parsed { well_formed: content.is_ok(), content }
            }
            Self::Chat(rule) => {
                Parsed { content: talked(response), well_formed: rule.is_well_formed(response) }
            }
        }
    }

    /// Whether a response that was rejected for `reason` still has the demanded form. Tags are a form of their own;
    /// without them only what can be read is.
    pub(crate) fn allows(self, reason: Reason) -> bool {
        matches!(self, Self::Chat(_))
            || !matches!(reason, Reason::Syntax | Reason::AnswerNotLiteral)
    }
}

/// What stands between the parentheses of `text`, if that is one call of `f`.
fn call(text: &str) -> Option<&str> {
    text.trim().strip_prefix(OPENING)?.strip_suffix(')')
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMS: [Form; 4] = [
        Form::Completion,
        Form::Chat(TagRule { think: true, think_is_open: false }),
        Form::Chat(TagRule { think: true, think_is_open: true }),
        Form::Chat(TagRule { think: false, think_is_open: false }),
    ];

    #[test]
    fn an_endless_response_is_not_looked_at() {
        let long = "x".repeat(MAX_RESPONSE_BYTES + 1);
        for form in FORMS {
            assert_eq!(
                form.value(&long),
                Parsed { content: Err(Reason::TooLong), well_formed: false }
            );
            assert_ne!(form.value(&long[1..]).content, Err(Reason::TooLong));
        }
    }

    /// Text made of the pieces that the parsers look for.
    fn hostile() -> impl Strategy<Value = String> {
        let pieces = [
            "<think>",
            "</think>",
            "<answer>",
            "</answer>",
            "```",
            "```expression\n",
            "```input\n",
            "```message\n",
            "\n",
            "\r\n",
            "f(",
            "\nf(",
            ")",
            "(",
            "x",
            " = ",
            "#",
            "# task 2",
            "\n\n",
            "1",
            ", ",
            "é",
            "\0",
            "\u{2028}",
            "`",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn parsers_are_total_and_never_invent_text(text in prop_oneof![hostile(), any::<String>()]) {
            let is_written = |definition: &str| {
                text.contains(definition) || definition.strip_prefix(OPENING).is_some_and(|rest| text.contains(rest))
            };
            for form in FORMS {
                if let Ok(call) = form.proposed_call(&text).content {
                    prop_assert!(is_written(&call.definition) && text.contains(&call.arguments));
                }
                if let Ok(inputs) = form.proposed_inputs(&text).content {
                    prop_assert!(inputs.arguments.iter().all(|arguments| text.contains(arguments.as_str())));
                    prop_assert!(!inputs.message.contains('\n'));
                }
                for found in [form.value(&text), form.arguments(&text)] {
                    prop_assert!(found.content.is_err() || text.contains(&found.content.unwrap()));
                }
                if let Ok(definition) = form.definition(&text).content {
                    prop_assert!(is_written(&definition));
                }
            }
        }
    }
}
