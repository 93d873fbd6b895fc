//! Benchmarks that show a program and ask what a call of it returns, or for a call that returns a value.

use std::collections::BTreeSet;
use std::path::Path;

use azr_executor::{Arguments, Value, equality};
use azr_plugin::{CallContext, Executor, JobReport, Outcome, Prompt};

use super::wave::{OK, Ticket, WRONG, Wave, failure, verdict};
use super::{prompt, stated};
use crate::{Answer, EvalError, PromptStyle, Result, Suite, Verdict};

/// Longest continuation in tokens: one line.
const COMPLETION_TOKENS: u32 = 256;

/// Longest response in chat, thoughts included.
const CHAT_TOKENS: u32 = 1024;

/// What is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    /// The value: an answer is compared with it.
    Output,
    /// The arguments: any will do that make the program return the value, which is found out by running it.
    Input,
}

/// A program and one call of it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) code: String,
    /// The function that is called.
    pub(super) function: String,
    /// The text between the parentheses of the call.
    pub(super) input: String,
    pub(super) output: Value,
}

/// A benchmark of calls to predict.
#[derive(Debug)]
pub struct Prediction {
    name: &'static str,
    hidden: Hidden,
    items: Vec<Item>,
}

/// A worked example: program, arguments and value of a call.
const EXAMPLES: [(&str, &str, &str); 2] = [
    (
        "def f(words, n):\n    kept = [word.upper() for word in words if len(word) > n]\n    return '-'.join(reversed(kept))",
        "['pear', 'fig', 'quince'], 3",
        "'QUINCE-PEAR'",
    ),
    (
        "def f(counts):\n    total = 0\n    for name in counts:\n        if name.startswith('a'):\n            total += counts[name]\n    return {'total': total, 'left': len(counts) - 1}",
        "{'ant': 2, 'bee': 5, 'ape': 4}",
        "{'total': 6, 'left': 2}",
    ),
];

impl Prediction {
    /// A benchmark of `items`, each with the line that it stands in.
    ///
    /// # Errors
    /// Two items have one id.
    pub(super) fn new(
        name: &'static str,
        hidden: Hidden,
        path: &Path,
        items: Vec<(usize, Item)>,
    ) -> Result<Self> {
        let mut ids = BTreeSet::new();
        for (line, item) in &items {
            if !ids.insert(&item.id) {
                let reason = format!("item `{}` is in the file twice", item.id);
                return Err(EvalError::Line { path: path.into(), line: *line, reason });
            }
        }
        let items = items.into_iter().map(|(_, item)| item).collect();
        Ok(Self { name, hidden, items })
    }

    /// What a continuation goes on behind.
    fn opening(&self, item: &Item) -> String {
        match self.hidden {
            Hidden::Output => format!("assert {}({}) ==", item.function, item.input),
            Hidden::Input => format!("assert {}(", item.function),
        }
    }

    fn completion(&self, item: &Item) -> String {
        let mut text = String::new();
        for (code, input, output) in EXAMPLES {
            match self.hidden {
                Hidden::Output => text += &format!("{code}\n\nassert f({input}) == {output}\n\n\n"),
                Hidden::Input => {
                    text += &format!(
                        "{code}\n\n# f(...) == {output}\nassert f({input}) == {output}\n\n\n"
                    );
                }
            }
        }
        let given = match self.hidden {
            Hidden::Output => String::new(),
            Hidden::Input => format!("# {}(...) == {}\n", item.function, item.output.repr()),
        };
        format!("{text}{}\n\n{given}{}", item.code, self.opening(item))
    }

    fn chat(&self, item: &Item) -> String {
        let asked = |function: &str, input: &str, output: &str| match self.hidden {
            Hidden::Output => (format!("{function}({input}) == ??"), output.to_owned()),
            Hidden::Input => {
                (format!("{function}(??) == {output}"), format!("{function}({input})"))
            }
        };
        let mut text = match self.hidden {
            Hidden::Output => "You are shown a Python program and an assertion about a call of it. Find the value that the call returns, by following the program step by step, even if the program does not do what its names say. Give it as a literal, without calls or operations, in a code block at the end of your answer.",
            Hidden::Input => "You are shown a Python program and the value that a call of it returned. Find arguments with which the function returns just this value; any that do will be right. Give the call with literals as arguments, without other calls or operations, in a code block at the end of your answer.",
        }
        .to_owned();
        for (code, input, output) in EXAMPLES {
            let (question, answer) = asked("f", input, output);
            text += &format!(
                "\n\nExample:\n```python\n{code}\n\nassert {question}\n```\nAnswer:\n```python\n{answer}\n```"
            );
        }
        let (question, _) = asked(&item.function, &item.input, &item.output.repr());
        format!("{text}\n\nNow yours:\n```python\n{}\n\nassert {question}\n```", item.code)
    }

    fn add<'a>(&'a self, answer: &Answer<'_>, wave: &mut Wave) -> Pending<'a> {
        let Some(item) = self.items.get(answer.item) else {
            return Pending::Known(verdict("no_such_item", None));
        };
        let opening = self.opening(item);
        let (style, response) = (answer.style, answer.response);
        match self.hidden {
            Hidden::Output => match stated::value(style, &opening, response) {
                Err(reason) => Pending::Known(verdict(reason, None)),
                Ok(value) => {
                    let is_right = equality::python(&value, &item.output);
                    Pending::Known(verdict(if is_right { OK } else { WRONG }, Some(value.repr())))
                }
            },
            Hidden::Input => match stated::arguments(style, &opening, &item.function, response) {
                Err(reason) => Pending::Known(verdict(reason, None)),
                Ok(text) => match stated::literals(&text) {
                    Ok(arguments) => {
                        let ticket = wave.add(item.code.clone(), [&arguments.to_canonical()]);
                        Pending::Run { item, ticket, arguments }
                    }
                    // Some data have a call with a lambda or a sum; what they state needs no run.
                    Err(_) if text == item.input => Pending::Known(verdict(OK, Some(text))),
                    Err(reason) => Pending::Known(verdict(reason, Some(text))),
                },
            },
        }
    }
}

impl Suite for Prediction {
    fn name(&self) -> &str {
        self.name
    }

    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|item| item.id.clone()).collect()
    }

    fn prompt(&self, item: usize, style: PromptStyle) -> Prompt {
        let shown = |write: fn(&Self, &Item) -> String| {
            self.items.get(item).map(|item| write(self, item)).unwrap_or_default()
        };
        match style {
            PromptStyle::Completion => {
                prompt::completion(shown(Self::completion), &["\n"], COMPLETION_TOKENS)
            }
            PromptStyle::Chat => prompt::chat(shown(Self::chat), CHAT_TOKENS),
        }
    }

    fn grade(
        &self,
        answers: &[Answer<'_>],
        executor: &dyn Executor,
        context: &dyn CallContext,
    ) -> Result<Vec<Verdict>> {
        let mut wave = Wave::default();
        let pending: Vec<_> = answers.iter().map(|answer| self.add(answer, &mut wave)).collect();
        let reports = wave.run(answers.len(), executor, context)?;
        Ok(pending.into_iter().map(|pending| pending.settle(&reports)).collect())
    }

    fn gold(&self, item: usize, style: PromptStyle) -> Option<String> {
        let item = self.items.get(item)?;
        let (input, output) = (&item.input, item.output.repr());
        Some(match (style, self.hidden) {
            (PromptStyle::Completion, Hidden::Output) => format!(" {output}"),
            (PromptStyle::Completion, Hidden::Input) => format!("{input}) == {output}"),
            (PromptStyle::Chat, Hidden::Output) => format!("```python\n{output}\n```"),
            (PromptStyle::Chat, Hidden::Input) => {
                format!("```python\n{}({input})\n```", item.function)
            }
        })
    }
}

/// An answer that is graded as soon as the wave has run.
enum Pending<'a> {
    Known(Verdict),
    Run { item: &'a Item, ticket: Ticket, arguments: Arguments },
}

impl Pending<'_> {
    fn settle(self, reports: &[JobReport]) -> Verdict {
        match self {
            Self::Known(verdict) => verdict,
            Self::Run { item, ticket, arguments } => {
                let reason = match ticket.outcomes(reports).next() {
                    Some(Outcome::Value(text)) => match Value::from_canonical(text) {
                        Ok(value) if equality::python(&value, &item.output) => OK,
                        _ => WRONG,
                    },
                    Some(outcome) => failure(outcome),
                    None => "crashed",
                };
                verdict(reason, Some(arguments.repr()))
            }
        }
    }
}
