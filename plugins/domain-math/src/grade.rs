//! From answers to grades. Answers to deduction and abduction tasks are literals; only the task's own expression, or
//! the one that an induction answer gives, is ever evaluated.

use azr_plugin::{Answer, CallContext, Grade, Result};

use crate::expression::Value;
use crate::expression::parse_arguments;
use crate::gate;
use crate::options::{InductionScore, MathOptions};
use crate::parse::Form;
use crate::reason::Reason;
use crate::task::{self, CallTask, InductionTask, Kind};
use crate::wave;

/// Grades answers one by one.
pub(crate) fn grade(
    options: &MathOptions,
    answers: &[Answer],
    context: &dyn CallContext,
) -> Result<Vec<Grade>> {
    wave::each(answers, context, |answer| {
        let form = Form::of(options);
        let (checks, well_formed) = checks(options, form, answer)?;
        let n_right = checks.iter().filter(|check| check.is_ok()).count();
        let score = match options.induction_score {
            InductionScore::Accuracy => n_right as f32 / checks.len().max(1) as f32,
            InductionScore::Binary => f32::from(n_right == checks.len()),
            InductionScore::IfOneCorrect => f32::from(n_right > 0),
        };
        let failed =
            if score < 1.0 { checks.into_iter().find_map(std::result::Result::err) } else { None };
        let reason = failed.unwrap_or(Reason::Ok);
        let reason_text = reason.as_str().to_owned();
        Ok(Grade { score, well_formed: well_formed && form.allows(reason), reason: reason_text })
    })
}

type Check = std::result::Result<(), Reason>;

/// What an answer got right: one check, or one for each hidden point. And whether it is well formed as far as parsing
/// tells.
fn checks(options: &MathOptions, form: Form, answer: &Answer) -> Result<(Vec<Check>, bool)> {
    let Answer { task, response } = answer;
    Ok(match Kind::parse(&task.kind)? {
        Kind::Deduction => {
            let gold = task::value(task, &CallTask::read(task)?.output)?;
            let parsed = form.value(response);
            let stated =
                parsed.content.and_then(|text| Value::parse(&text).ok_or(Reason::AnswerNotLiteral));
            (vec![stated.and_then(|stated| equal(&stated, &gold))], parsed.well_formed)
        }
        Kind::Abduction => {
            let call = CallTask::read(task)?;
            let definition = task::definition(task, &call.definition)?;
            let gold = task::value(task, &call.output)?;
            let known = task::arguments(task, &definition, &call.input)?;
            let parsed = form.arguments(response);
            // Any arguments are right that have the value.
            let check = parsed.content.and_then(|text| {
                let arguments = parse_arguments(&text, &definition.parameters)
                    .ok_or(Reason::AnswerNotLiteral)?;
                if arguments == known {
                    return Ok(());
                }
                let (value, _) = definition.evaluate(&arguments, options.limits.to_limits())?;
                equal(&value, &gold)
            });
            (vec![check], parsed.well_formed)
        }
        Kind::Induction => {
            let induction = InductionTask::read(task)?;
            let known = task::definition(task, &induction.definition)?;
            let point = |(input, output): &(String, String)| {
                Ok((task::arguments(task, &known, input)?, task::value(task, output)?))
            };
            let hidden = induction.hidden().iter().map(point).collect::<Result<Vec<_>>>()?;
            let parsed = form.definition(response);
            let answered = parsed.content.and_then(|text| gate::definition(options, &text));
            let checks = match answered {
                Err(reason) => vec![Err(reason)],
                Ok(answered) if answered.parameters.len() != known.parameters.len() => {
                    vec![Err(Reason::WrongArguments)]
                }
                Ok(answered) => {
                    let check = |(arguments, gold): &(Vec<Value>, Value)| {
                        let (value, _) =
                            answered.evaluate(arguments, options.limits.to_limits())?;
                        equal(&value, gold)
                    };
                    hidden.iter().map(check).collect()
                }
            };
            (checks, parsed.well_formed)
        }
    })
}

fn equal(value: &Value, gold: &Value) -> Check {
    if value == gold { Ok(()) } else { Err(Reason::Wrong) }
}

#[cfg(test)]
mod tests {
    use azr_plugin::{ErrorCode, Quiet, Task};
    use proptest::prelude::*;

    use super::*;
    use crate::examples::EXAMPLES;
    use crate::options::PromptStyle;
    use crate::testing::{call_task, induction_task};

    fn chat() -> MathOptions {
        MathOptions { prompt_style: PromptStyle::Chat, ..MathOptions::default() }
    }

    fn graded(options: &MathOptions, task: &Task, response: &str) -> (f32, bool, String) {
        let answer = Answer { task: task.clone(), response: response.to_owned() };
        let Grade { score, well_formed, reason } =
            grade(options, &[answer], &Quiet).unwrap().remove(0);
        (score, well_formed, reason)
    }

    fn assert_grades(task: &Task, cases: &[(&str, f32, &str)]) {
        for (text, score, reason) in cases {
            let readable = !matches!(*reason, "answer_not_literal" | "syntax" | "no_answer");
            let expected = (*score, readable, (*reason).to_owned());
            assert_eq!(graded(&MathOptions::default(), task, text), expected, "{text}");
        }
    }

    #[test]
    fn deduction_compares_values_exactly() {
        let half = call_task(Kind::Deduction, "f(x) = x / 4", "2");
        assert_grades(
            &half,
            &[
                (" 1/2\n", 1.0, "ok"),
                (" 0.5", 1.0, "ok"),
                (" 2/4  # reduced", 1.0, "ok"),
                (" 0.50001", 0.0, "wrong"),
                (" -1/2", 0.0, "wrong"),
                (" 2", 0.0, "wrong"),
                (" true", 0.0, "wrong"),
                (" [1/2]", 0.0, "wrong"),
                (" 2 / 4 + 0", 0.0, "answer_not_literal"),
                (" f(2)", 0.0, "answer_not_literal"),
                (" 1/2 or 2", 0.0, "answer_not_literal"),
                (" 1/0", 0.0, "answer_not_literal"),
                (" half", 0.0, "answer_not_literal"),
                ("", 0.0, "no_answer"),
            ],
        );
        assert_grades(
            &call_task(Kind::Deduction, "f(x) = x = 1", "1"),
            &[(" true", 1.0, "ok"), (" 1", 0.0, "wrong")],
        );
    }

    #[test]
    fn abduction_takes_any_arguments_that_have_the_value() {
        let task = call_task(Kind::Abduction, "f(x, y) = x^2 / y", "6, 4");
        assert_grades(
            &task,
            &[
                ("6, 4)", 1.0, "ok"),
                ("-6, 4)", 1.0, "ok"),
                ("y = 1, x = 3)", 1.0, "ok"),
                ("3/2, 0.25)", 1.0, "ok"),
                ("6, 5)", 0.0, "wrong"),
                ("6, 0)", 0.0, "undefined"),
                ("true, 4)", 0.0, "type"),
                ("9)", 0.0, "answer_not_literal"),
                ("2 * 3, 4)", 0.0, "answer_not_literal"),
                ("6, 4) or (true", 0.0, "answer_not_literal"),
                ("6, 4) = 9", 0.0, "answer_not_literal"),
            ],
        );
    }

    #[test]
    fn induction_is_graded_on_the_hidden_half() {
        let inputs = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let task = induction_task("f(n) = n * (n + 1) / 2", &inputs);
        assert_grades(
            &task,
            &[
                ("n) = (n^2 + n) / 2", 1.0, "ok"),
                ("m) = sum(k, 1, m, k)", 1.0, "ok"),
                ("n) = if n < 5 then 0 else n * (n + 1) / 2", 1.0, "ok"),
                ("n) = n", 0.0, "wrong"),
                ("n) = n / (n - 9)", 0.0, "wrong"),
                ("n) = 1 / (n - 5)", 0.0, "undefined"),
                ("n, m) = n", 0.0, "wrong_arguments"),
                ("n) = n *", 0.0, "syntax"),
                ("n) = f(n - 1) + n", 0.0, "unknown_function"),
            ],
        );
        let nearly = "n) = if n = 9 then 0 else n * (n + 1) / 2";
        for (induction_score, score) in [
            (InductionScore::Binary, 0.0),
            (InductionScore::Accuracy, 0.8),
            (InductionScore::IfOneCorrect, 1.0),
        ] {
            let options = MathOptions { induction_score, ..MathOptions::default() };
            let reason = if score == 1.0 { "ok" } else { "wrong" };
            assert_eq!(graded(&options, &task, nearly), (score, true, reason.to_owned()));
            assert_eq!(graded(&options, &task, "n) = n *").0, 0.0);
        }
    }

    #[test]
    fn form_and_correctness_are_separate() {
        let task = call_task(Kind::Deduction, "f(x) = x + 1", "5");
        for (response, score, well_formed, reason) in [
            ("<think>a</think>\n<answer>6</answer>", 1.0, true, "ok"),
            ("<think>a</think>\n<answer>7</answer> sorry", 0.0, true, "wrong"),
            ("<think>a\n<answer>6</answer>", 1.0, false, "ok"),
            ("<think>a</think>\n<answer>6", 0.0, false, "no_answer"),
            ("<think>a</think>\n<answer>six</answer>", 0.0, true, "answer_not_literal"),
        ] {
            assert_eq!(
                graded(&chat(), &task, response),
                (score, well_formed, reason.to_owned()),
                "{response}"
            );
        }
    }

    #[test]
    fn a_task_that_is_not_ours_is_an_error() {
        for kind in [Kind::Deduction, Kind::Abduction] {
            let task = call_task(kind, "f(x) = x + 1", "5");
            let payload = task.payload.replace("\"6\"", "\"?\"");
            let answer = Answer { task: Task { payload, ..task }, response: " 6".to_owned() };
            let error = grade(&MathOptions::default(), &[answer], &Quiet).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidInput);
        }
    }

    /// The right answer to a task of an example, and a wrong one.
    fn right_and_wrong(kind: Kind, example: usize, shift: u32) -> (Task, String, String) {
        let example = &EXAMPLES[example];
        let (input, output) = example.points[0];
        let wrong = format!("{output}{shift}");
        match kind {
            Kind::Deduction => (
                call_task(kind, example.definition, input),
                format!(" {output}"),
                format!(" {wrong}"),
            ),
            Kind::Abduction => {
                // Every example gives another value where the last argument is moved far away.
                let task = call_task(kind, example.definition, input);
                (task, format!("{input})"), format!("{input}.{}5)", shift))
            }
            Kind::Induction => {
                let inputs = example.points.map(|(input, _)| input);
                let right = example.definition["f(".len()..].to_owned();
                let wrong = right.replace(" = ", &format!(" = {shift} + ")).replace("+ if", "if");
                let wrong = if wrong.contains("if") {
                    right.replace("+ 1", &format!("- {shift}"))
                } else {
                    wrong
                };
                (induction_task(example.definition, &inputs), right, wrong)
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn gold_scores_one_and_what_differs_nothing(example in 0..EXAMPLES.len(), shift in 1..9_u32, kind in prop::sample::select(Kind::ALL.to_vec())) {
            let (task, right, wrong) = right_and_wrong(kind, example, shift);
            prop_assert_eq!(graded(&MathOptions::default(), &task, &right), (1.0, true, "ok".to_owned()));
            prop_assert_eq!(graded(&MathOptions::default(), &task, &wrong).0, 0.0, "{} {}", task.payload, wrong);
        }

        #[test]
        fn any_text_gets_a_grade_that_depends_on_nothing_else(texts in prop::collection::vec(r"(?s)(<think>|</think>|<answer>|</answer>|```|n\) = |n|9\^9\^9|\(|\)|7|-|,|\n|.){0,24}", 1..4)) {
            let tasks = [
                call_task(Kind::Deduction, "f(n) = n + 1", "6"),
                call_task(Kind::Abduction, "f(n) = n + 1", "6"),
                induction_task("f(n) = n", &["7", "8", "9", "10"]),
            ];
            let answers: Vec<_> = texts.iter().flat_map(|text| {
                tasks.iter().map(|task| Answer { task: task.clone(), response: text.clone() })
            }).collect();
            for options in [MathOptions::default(), chat()] {
                let together = grade(&options, &answers, &Quiet).unwrap();
                prop_assert!(together.iter().all(|grade| (0.0..=1.0).contains(&grade.score) && !grade.reason.is_empty()));
                let alone = answers.iter().rev().map(|answer| grade(&options, std::slice::from_ref(answer), &Quiet).unwrap().remove(0));
                let mut alone: Vec<_> = alone.collect();
                alone.reverse();
                prop_assert_eq!(together, alone);
            }
        }
    }
}
