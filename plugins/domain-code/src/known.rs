//! Responses whose grades are known before anything is run: for the conformance kit.

use azr_executor::{Value, equality, parse_literal};
use azr_plugin::{KnownAnswers, Result, Task};

use crate::options::CodeOptions;
use crate::parse::{Form, PROGRAM_OPENING};
use crate::task::{CallTask, InductionTask, Kind};

/// Two values of which no value equals both.
const SOME_VALUES: [&str; 2] = ["'no such value'", "-271828"];
/// A program that returns nothing for any arguments.
const RAISES: &str = "def f(*args, **kwargs):\n    raise ValueError";
/// No answer of any kind, and an attempt to be evaluated.
const NO_ANSWERS: [&str; 3] = ["", "I do not know.", "0) or (True"];

/// The gold answer of `task` and some that cannot be right, in the form that is demanded.
pub(crate) fn known(options: &CodeOptions, task: &Task) -> Result<KnownAnswers> {
    let form = Form::of(options);
    let (right, mut wrong) = match Kind::parse(&task.kind)? {
        Kind::Deduction => {
            let output = CallTask::read(task)?.output;
            let wrong = SOME_VALUES.into_iter().filter(|text| is_other(text, &output.canonical));
            (vec![value(form, &output.python)], wrong.map(|text| value(form, text)).collect())
        }
        Kind::Abduction => (vec![arguments(form, &CallTask::read(task)?.input.python)], Vec::new()),
        Kind::Induction => {
            let gold = InductionTask::read(task)?.program;
            let mut right = vec![program(form, &gold)];
            // A program may hold what ends a response in completion style: nobody could answer with it then.
            right.retain(|response| form.program(response).content.as_ref() == Ok(&gold));
            (right, vec![program(form, RAISES)])
        }
    };
    wrong.extend(NO_ANSWERS.map(String::from));
    Ok(KnownAnswers { right, wrong })
}

fn is_other(text: &str, gold: &str) -> bool {
    match (parse_literal(text), Value::from_canonical(gold)) {
        (Ok(value), Ok(gold)) => !equality::answer(&value, &gold),
        _ => false,
    }
}

fn value(form: Form, text: &str) -> String {
    match form {
        Form::Completion { scratchpad: false } => format!(" {text}\n"),
        Form::Completion { scratchpad: true } => format!(" == {text}\n"),
        Form::Chat(_) => answer(text),
    }
}

fn arguments(form: Form, text: &str) -> String {
    match form {
        Form::Completion { scratchpad: false } => format!("{text})\n"),
        Form::Completion { scratchpad: true } => format!(" f({text})\n"),
        Form::Chat(_) => answer(text),
    }
}

fn program(form: Form, text: &str) -> String {
    match form {
        Form::Completion { .. } => text.strip_prefix(PROGRAM_OPENING).unwrap_or(text).to_owned(),
        Form::Chat(_) => answer(&format!("\n```python\n{text}\n```\n")),
    }
}

fn answer(text: &str) -> String {
    format!("<think></think>\n<answer>{text}</answer>")
}

#[cfg(test)]
mod tests {
    use azr_plugin::{Answer, Outcome, Quiet};

    use super::*;
    use crate::examples::EXAMPLES;
    use crate::grade::grade;
    use crate::options::PromptStyle;
    use crate::testing::{TableExecutor, call_task, example_task, induction_task};

    fn styles() -> Vec<CodeOptions> {
        let completion = CodeOptions::default();
        let scratchpad = CodeOptions { scratchpad: true, ..completion.clone() };
        let chat = CodeOptions { prompt_style: PromptStyle::Chat, ..completion.clone() };
        vec![completion, scratchpad, chat]
    }

    #[test]
    fn known_answers_are_graded_as_known() {
        let mut executor = TableExecutor::of_examples();
        // What an answer's program is sent as ends with a line feed.
        for (input, output) in EXAMPLES[2].calls {
            let sent = format!("{}\n", EXAMPLES[2].program);
            executor.teach(&sent, input, Outcome::Value(output.into()));
        }
        let tasks = [
            example_task(Kind::Deduction, 0),
            example_task(Kind::Abduction, 1),
            induction_task(2, 4),
            call_task(
                Kind::Deduction,
                "def f(x):\n    return x",
                "'no such value'",
                "'no such value'",
            ),
        ];
        for (options, task) in styles().iter().flat_map(|o| tasks.iter().map(move |t| (o, t))) {
            let known = known(options, task).unwrap();
            assert!(known.right.len() == 1 && known.wrong.len() >= 3, "{known:?}");
            for (responses, score) in [(&known.right, 1.0), (&known.wrong, 0.0)] {
                for response in responses {
                    let answer = Answer { task: task.clone(), response: response.clone() };
                    let grades = grade(options, &executor, &[answer], &Quiet).unwrap();
                    assert_eq!(grades[0].score, score, "{} {response:?}", task.kind);
                    assert!(score == 0.0 || grades[0].well_formed, "{response:?}");
                }
            }
        }
    }

    #[test]
    fn a_program_that_cannot_be_said_is_not_known() {
        let mut task = induction_task(0, 4);
        let mut payload = InductionTask::read(&task).unwrap();
        payload.program = "import math\n\ndef f(x):\n    return math.floor(x)".into();
        task.payload = azr_plugin::serde_json::to_string(&payload).unwrap();
        let [completion, _, chat] = &styles()[..] else { panic!("three styles") };
        assert_eq!(known(completion, &task).unwrap().right, [] as [String; 0]);
        assert_eq!(known(chat, &task).unwrap().right.len(), 1);
    }
}
