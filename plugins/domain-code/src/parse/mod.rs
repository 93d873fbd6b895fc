//! From what a model wrote to what it meant. Every parser is total: it reads any text in linear time
//! and either finds the demanded form or says what is missing.

mod chat;
mod completion;
mod scan;

use azr_plugin::response::{TagRule, answer, answer_or_all};

use crate::options::{CodeOptions, PromptStyle};
use crate::reason::Reason;

pub(crate) use completion::{
    ANSWER_STOPS, INDUCTION_STOPS, INPUTS_STOPS, PROGRAM_OPENING, PROPOSAL_STOPS, SCRATCHPAD_STOPS,
};

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

/// A proposed program with one input, both still unchecked text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProposedCall {
    /// Python source text.
    pub(crate) program: String,
    /// What stands between the parentheses of the call.
    pub(crate) arguments: String,
}

/// Proposed inputs of a given program and a message, still unchecked text.
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
    Completion {
        /// Whether answers to deduction and abduction tasks stand behind notes.
        scratchpad: bool,
    },
    /// Tagged text.
    Chat(TagRule),
}

impl Form {
    pub(crate) fn of(options: &CodeOptions) -> Self {
        match options.prompt_style {
            PromptStyle::Completion => Self::Completion { scratchpad: options.scratchpad },
            PromptStyle::Chat => Self::Chat(TagRule {
                think: options.require_think_tags,
                think_is_open: options.require_think_tags && options.prompt_opens_think,
            }),
        }
    }

    /// A proposal of a program and one input.
    pub(crate) fn proposed_call(self, response: &str) -> Parsed<ProposedCall> {
        bounded(response, |text| match self {
            Self::Completion { .. } => from_form(completion::proposed_call(text)),
            Self::Chat(rule) => Parsed {
                content: chat::proposed_call(answer_or_all(text)),
                well_formed: rule.is_well_formed(text),
            },
        })
    }

    /// A proposal of inputs and a message for a given program.
    pub(crate) fn proposed_inputs(self, response: &str) -> Parsed<ProposedInputs> {
        bounded(response, |text| match self {
            Self::Completion { .. } => from_form(completion::proposed_inputs(text)),
            Self::Chat(rule) => Parsed {
                content: chat::proposed_inputs(answer_or_all(text)),
                well_formed: rule.is_well_formed(text),
            },
        })
    }

    /// A deduction answer: the text of a value.
    pub(crate) fn value(self, response: &str) -> Parsed<String> {
        bounded(response, |text| match self {
            Self::Completion { scratchpad } => from_form(match scratchpad {
                true => completion::noted_value(text),
                false => completion::value(text),
            }),
            Self::Chat(rule) => tagged(rule, text, chat::value),
        })
    }

    /// An abduction answer: the text between the parentheses of a call.
    pub(crate) fn arguments(self, response: &str) -> Parsed<String> {
        bounded(response, |text| match self {
            Self::Completion { scratchpad } => from_form(match scratchpad {
                true => completion::noted_arguments(text),
                false => completion::arguments(text),
            }),
            Self::Chat(rule) => tagged(rule, text, chat::arguments),
        })
    }

    /// An induction answer: the text of a program.
    pub(crate) fn program(self, response: &str) -> Parsed<String> {
        bounded(response, |text| match self {
            Self::Completion { .. } => from_form(completion::program(text)),
            Self::Chat(rule) => tagged(rule, text, chat::program),
        })
    }

    /// Whether text that cannot be read as Python breaks the demanded form.
    /// Tags are a form of their own; without them only the Python is.
    pub(crate) fn is_bare_python(self) -> bool {
        matches!(self, Self::Completion { .. })
    }
}

fn bounded<T>(response: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> Parsed<T> {
    if response.len() > MAX_RESPONSE_BYTES {
        return Parsed { content: Err(Reason::TooLong), well_formed: false };
    }
    parse(response)
}

fn from_form<T>(content: Result<T, Reason>) -> Parsed<T> {
    Parsed { well_formed: content.is_ok(), content }
}

fn tagged(rule: TagRule, text: &str, parse: fn(&str) -> Result<String, Reason>) -> Parsed<String> {
    Parsed {
        content: answer(text).ok_or(Reason::NoAnswer).and_then(parse),
        well_formed: rule.is_well_formed(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMS: [Form; 5] = [
        Form::Completion { scratchpad: false },
        Form::Completion { scratchpad: true },
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

    #[test]
    fn hostile_repetitions_are_survived() {
        let pieces = [
            "</think>",
            "<answer>",
            "```\n",
            "((((",
            "'",
            "\"\"\"",
            "f(",
            "\nf(\n",
            "\\",
            "# task",
            "</think> <answer>",
            "\n# f((",
            "\n# == [",
        ];
        for piece in pieces {
            let text = piece.repeat(MAX_RESPONSE_BYTES / piece.len());
            for form in FORMS {
                let _ = (form.proposed_call(&text), form.proposed_inputs(&text), form.value(&text));
                let _ = (form.arguments(&text), form.program(&text));
            }
        }
    }

    /// Text made of the pieces that the parsers look for.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("<think>"),
            Just("</think>"),
            Just("<answer>"),
            Just("</answer>"),
            Just("```"),
            Just("````"),
            Just("```python\n"),
            Just("```input\n"),
            Just("```output\n"),
            Just("```message\n"),
            Just("\n"),
            Just("\r\n"),
            Just("f("),
            Just("\nf("),
            Just(")"),
            Just("("),
            Just("["),
            Just("]"),
            Just("'"),
            Just("\""),
            Just("\"\"\""),
            Just("\\"),
            Just("#"),
            Just("# task 2"),
            Just("\n# == "),
            Just("\n# f("),
            Just("def f(x):\n    return x\n"),
            Just(" "),
            Just("é"),
            Just("\u{2028}"),
            Just("1"),
            Just(", "),
            Just("\0"),
            Just("assert "),
            Just("\n\n\n"),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn parsers_are_total_and_never_invent_text(text in prop_oneof![hostile(), any::<String>()]) {
            let opened = format!("def f({text}");
            for form in FORMS {
                if let Ok(call) = form.proposed_call(&text).content {
                    prop_assert!(opened.contains(&call.program));
                    prop_assert!(text.contains(&call.arguments));
                }
                if let Ok(inputs) = form.proposed_inputs(&text).content {
                    prop_assert!(inputs.arguments.iter().all(|arguments| text.contains(arguments.as_str())));
                    prop_assert!(!inputs.message.contains('\n'));
                }
                for found in [form.value(&text), form.arguments(&text)] {
                    if let Ok(answer) = found.content {
                        prop_assert!(text.contains(&answer));
                    }
                }
                if let Ok(program) = form.program(&text).content {
                    prop_assert!(opened.contains(&program));
                }
            }
        }
    }
}
