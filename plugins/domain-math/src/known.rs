//! Responses whose grades are known before anything is evaluated: for the conformance kit.

use azr_plugin::{KnownAnswers, Result, Task};

use crate::expression::Value;
use crate::options::MathOptions;
use crate::parse::{Form, OPENING};
use crate::task::{self, CallTask, InductionTask, Kind};

/// Two values of which no value equals both.
const SOME_VALUES: [&str; 2] = ["271828", "-1/271828"];
/// No answer of any kind, and an attempt to be evaluated.
const NO_ANSWERS: [&str; 3] = ["", "I do not know.", "0) or (true"];

/// The gold answer of `task` and some that cannot be right, in the form that is demanded.
pub(crate) fn known(options: &MathOptions, task: &Task) -> Result<KnownAnswers> {
    let form = Form::of(options);
    let (right, mut wrong) = match Kind::parse(&task.kind)? {
        Kind::Deduction => {
            let output = CallTask::read(task)?.output;
            let gold = task::value(task, &output)?;
            let is_other = |text: &&str| Value::parse(text).is_some_and(|value| value != gold);
            let wrong = SOME_VALUES.into_iter().filter(is_other);
            (value(form, &output), wrong.map(|text| value(form, text)).collect())
        }
        Kind::Abduction => (arguments(form, &CallTask::read(task)?.input), Vec::new()),
        Kind::Induction => {
            let gold = InductionTask::read(task)?.definition;
            let known = task::definition(task, &gold)?;
            // It has no value anywhere.
            let undefined = format!("f({}) = 1 / 0", known.parameters.join(", "));
            (definition(form, &gold), vec![definition(form, &undefined)])
        }
    };
    wrong.extend(NO_ANSWERS.map(String::from));
    Ok(KnownAnswers { right: vec![right], wrong })
}

fn value(form: Form, text: &str) -> String {
    match form {
        Form::Completion => format!(" {text}\n"),
        Form::Chat(_) => answer(text),
    }
}

fn arguments(form: Form, text: &str) -> String {
    match form {
        Form::Completion => format!("{text})\n"),
        Form::Chat(_) => answer(text),
    }
}

fn definition(form: Form, text: &str) -> String {
    match form {
        Form::Completion => text.strip_prefix(OPENING).unwrap_or(text).to_owned(),
        Form::Chat(_) => answer(&format!("\n```expression\n{text}\n```\n")),
    }
}

fn answer(text: &str) -> String {
    format!("<think></think>\n<answer>{text}</answer>")
}
