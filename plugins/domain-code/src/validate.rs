//! From proposals to verified tasks: parse, gate, run everything at once, keep what is sound.

use std::collections::BTreeMap;

use azr_executor::{Arguments, Program, Value, equality, parse_literal};
use azr_plugin::{CallContext, Executor, Job, JobReport, Proposal, Purpose, Result, Validation};

use crate::gate;
use crate::options::CodeOptions;
use crate::outcome::{Wave, value_of};
use crate::parse::Form;
use crate::prompts::reference;
use crate::reason::Reason;
use crate::task::{CallTask, InductionTask, Kind, Noted};

/// Verifies a wave of proposals with one call of the executor.
pub(crate) fn validate(
    options: &CodeOptions,
    executor: &dyn Executor,
    proposals: &[Proposal],
    context: &dyn CallContext,
) -> Result<Vec<Validation>> {
    let drafts =
        proposals.iter().map(|proposal| draft(options, proposal)).collect::<Result<Vec<_>>>()?;
    let mut wave = Wave::default();
    for draft in drafts.iter().filter_map(|drafted| drafted.draft.as_ref().ok()) {
        let job = wave.push(Job {
            program: gate::source_of(&draft.program).to_owned(),
            calls: draft.inputs.iter().map(Arguments::to_canonical).collect(),
            purpose: Purpose::Gold,
            limits: options.limits.to_limits(),
            pinned: None,
        });
        wave.n_decided[job] = 1;
    }
    let mut reports = wave.run(executor, proposals.len() as u64, context)?.into_iter();
    drafts
        .into_iter()
        .map(|Drafted { draft, well_formed }| {
            let finished = match draft {
                Err(reason) => Err(reason),
                // Drafts and reports are in one order.
                Ok(draft) => match reports.next() {
                    Some(report) => draft.finish(options, &report)?,
                    None => Err(Reason::Crashed),
                },
            };
            let (task, reason) = match finished {
                Ok(task) => (Some(task), Reason::Ok),
                Err(reason) => (None, reason),
            };
            let reason = reason.as_str().to_owned();
            Ok(Validation { task, well_formed, reason, measures: BTreeMap::new() })
        })
        .collect()
}

/// What a proposal says, before anything is run.
struct Drafted {
    draft: std::result::Result<Draft, Reason>,
    well_formed: bool,
}

/// A task whose outputs are not known yet.
struct Draft {
    kind: Kind,
    program: Program,
    inputs: Vec<Arguments>,
    /// Empty except for induction.
    message: String,
}

fn draft(options: &CodeOptions, proposal: &Proposal) -> Result<Drafted> {
    let form = Form::of(options);
    let kind = Kind::parse(&proposal.kind)?;
    let (draft, mut well_formed) = if kind == Kind::Induction {
        let reference = reference(&proposal.references)?;
        let parsed = form.proposed_inputs(&proposal.response);
        let draft = parsed.content.and_then(|proposed| {
            let program = gate::showable(options, &reference.program)?;
            let inputs = gate::distinct_inputs(options, &proposed.arguments)?;
            gate::message(options, &proposed.message)?;
            Ok(Draft { kind, program, inputs, message: proposed.message })
        });
        (draft, parsed.well_formed)
    } else {
        let parsed = form.proposed_call(&proposal.response);
        let draft = parsed.content.and_then(|proposed| {
            let program = gate::showable(options, &proposed.program)?;
            let inputs = vec![gate::input(options, &proposed.arguments)?];
            Ok(Draft { kind, program, inputs, message: String::new() })
        });
        (draft, parsed.well_formed)
    };
    if form.is_bare_python() && matches!(draft, Err(Reason::Syntax)) {
        well_formed = false;
    }
    Ok(Drafted { draft, well_formed })
}

impl Draft {
    /// The task, if every call returned a value that can be asked for.
    fn finish(
        self,
        options: &CodeOptions,
        report: &JobReport,
    ) -> Result<std::result::Result<azr_plugin::Task, Reason>> {
        let values: std::result::Result<Vec<_>, _> = report
            .outcomes
            .iter()
            .map(|outcome| value_of(outcome).and_then(|value| check(options, value)))
            .collect();
        let values = match values {
            Ok(values) => values,
            Err(reason) => return Ok(Err(reason)),
        };
        let Self { kind, program, inputs, message } = self;
        let source = gate::source_of(&program).to_owned();
        let mut inputs: Vec<_> = inputs.iter().map(Noted::arguments).collect();
        let mut outputs: Vec<_> = values.iter().map(Noted::value).collect();
        let executor = Some(report.executor.clone());
        if kind == Kind::Induction {
            let task = InductionTask { program: source, message, inputs, outputs, executor };
            return task.to_task(&program).map(Ok);
        }
        let (Some(input), Some(output)) = (inputs.pop(), outputs.pop()) else {
            return Ok(Err(Reason::NoInput));
        };
        CallTask { program: source, input, output, executor }.to_task(kind, &program).map(Ok)
    }
}

/// Whether a value can be the gold value of a task: it can be shown, and stating it is graded as right.
fn check(options: &CodeOptions, value: Value) -> std::result::Result<Value, Reason> {
    if matches!(value, Value::None) && !options.allow_none_output {
        return Err(Reason::NoneOutput);
    }
    let text = value.repr();
    gate::line_of_text(&text, options.max_output_chars, Reason::OutputTooLong)?;
    match parse_literal(&text) {
        Ok(stated) if equality::answer(&stated, &value) => Ok(value),
        _ => Err(Reason::NonValue),
    }
}

#[cfg(test)]
mod tests {
    use azr_plugin::{ErrorCode, LimitKind, Outcome, Quiet};
    use proptest::prelude::*;

    use super::*;
    use crate::examples::EXAMPLES;
    use crate::options::PromptStyle;
    use crate::testing::{Recorder, TableExecutor, example_task};

    const SQUARE: &str = "def f(x):\n    return x * x";

    fn proposal(kind: Kind, response: &str) -> Proposal {
        let references = if kind == Kind::Induction {
            vec![example_task(Kind::Deduction, 3)]
        } else {
            Vec::new()
        };
        Proposal { kind: kind.as_str().to_owned(), references, response: response.to_owned() }
    }

    fn verdicts(
        options: &CodeOptions,
        executor: &TableExecutor,
        proposals: &[Proposal],
    ) -> Vec<Validation> {
        validate(options, executor, proposals, &Quiet).unwrap()
    }

    fn reasons(
        options: &CodeOptions,
        executor: &TableExecutor,
        kind: Kind,
        responses: &[&str],
    ) -> Vec<(String, bool)> {
        let proposals: Vec<_> = responses.iter().map(|response| proposal(kind, response)).collect();
        let verdicts = verdicts(options, executor, &proposals).into_iter();
        verdicts.map(|verdict| (verdict.reason, verdict.well_formed)).collect()
    }

    fn expect(reason: &str, well_formed: bool) -> (String, bool) {
        (reason.to_owned(), well_formed)
    }

    #[test]
    fn a_sound_proposal_becomes_a_task_with_its_gold_value() {
        let mut executor = TableExecutor::default();
        executor.teach(SQUARE, "3", Outcome::Value(crate::testing::value("9").canonical));
        for kind in [Kind::Deduction, Kind::Abduction] {
            let found = verdicts(
                &CodeOptions::default(),
                &executor,
                &[proposal(kind, "x):\n    return x * x\n\nf(3)")],
            );
            let task = CallTask::read(found[0].task.as_ref().unwrap()).unwrap();
            assert_eq!((task.program.as_str(), task.output.python.as_str()), (SQUARE, "9"));
            assert_eq!(task.executor.as_deref(), Some("table"));
            assert_eq!((found[0].reason.as_str(), found[0].well_formed), ("ok", true));
        }
        assert!(
            executor
                .last_wave()
                .iter()
                .all(|job| job.purpose == Purpose::Gold && job.pinned.is_none())
        );
    }

    #[test]
    fn an_induction_proposal_without_a_reference_is_about_the_seed() {
        let seed = CallTask::read(&crate::seeds::seed_task(Kind::Deduction).unwrap()).unwrap();
        let mut executor = TableExecutor::default();
        for input in ["1", "2"] {
            let value = Outcome::Value(crate::testing::value(input).canonical);
            executor.teach(&seed.program, input, value);
        }
        let response = " give it back\nf(1)\nf(2)\n".to_owned();
        let without = Proposal { kind: "induction".to_owned(), references: Vec::new(), response };
        let options = CodeOptions { induction_inputs: 2, ..CodeOptions::default() };
        let found = verdicts(&options, &executor, &[without]);
        let task = InductionTask::read(found[0].task.as_ref().unwrap()).unwrap();
        assert_eq!(task.program, seed.program);
    }

    #[test]
    fn all_proposals_are_run_in_one_wave() {
        let executor = TableExecutor::of_examples();
        let mut proposals = vec![proposal(Kind::Deduction, "nothing")];
        for example in EXAMPLES {
            let response =
                format!("{}\n\nf({})", &example.program["def f(".len()..], example.calls[0].0);
            proposals.push(proposal(Kind::Abduction, &response));
        }
        let recorder = Recorder::default();
        let found = validate(&CodeOptions::default(), &executor, &proposals, &recorder).unwrap();
        assert_eq!(executor.waves.lock().unwrap().len(), 1);
        assert_eq!(executor.last_wave().len(), EXAMPLES.len());
        assert!(found[0].task.is_none());
        for (validation, example) in found[1..].iter().zip(EXAMPLES) {
            let task = CallTask::read(validation.task.as_ref().unwrap()).unwrap();
            assert_eq!(
                (task.program.as_str(), task.output.python.as_str()),
                (example.program, example.calls[0].1)
            );
        }
        let told = recorder.told.lock().unwrap();
        assert_eq!((told[0], told[told.len() - 1]), ((1, 9), (9, 9)));
    }

    #[test]
    fn reasons_name_what_is_wrong_before_anything_is_run() {
        let executor = TableExecutor::default();
        let options =
            CodeOptions { max_program_bytes: 200, max_input_chars: 40, ..CodeOptions::default() };
        let long_program = format!("x):\n    return '{}'\n\nf(1)", "y".repeat(200));
        let long_input = format!("x):\n    return x\n\nf('{}')", "y".repeat(40));
        let responses = [
            ("x):\n    return x", expect("no_input", false)),
            ("x:\n    return x\n\nf(1)", expect("syntax", false)),
            ("):\n    return 1\n\nf()", expect("no_parameter", true)),
            ("x):\n    return eval(x)\n\nf('1')", expect("forbidden_name", true)),
            ("x):\n    import os\n    return os\n\nf(1)", expect("forbidden_import", true)),
            ("x):\n    return x\n\nf(g(1))", expect("input_not_literal", true)),
            ("x):\n    return '<|im_end|>'\n\nf(1)", expect("breaks_format", true)),
            ("x):\n    return x\nassert f(1) == 1\n\nf(1)", expect("breaks_format", true)),
            ("x):\n    return x\n\nf('</answer>')", expect("breaks_format", true)),
            (&long_program, expect("program_too_long", true)),
            (&long_input, expect("input_too_long", true)),
        ];
        let (texts, expected): (Vec<_>, Vec<_>) = responses.into_iter().unzip();
        assert_eq!(reasons(&options, &executor, Kind::Deduction, &texts), expected);
        assert!(executor.waves.lock().unwrap().is_empty());
    }

    #[test]
    fn reasons_name_what_came_of_the_run() {
        let options = CodeOptions { max_output_chars: 30, ..CodeOptions::default() };
        let canonical = |text: &str| Outcome::Value(crate::testing::value(text).canonical);
        let cases = [
            (Outcome::Exception("ValueError".to_owned()), "exception"),
            (Outcome::Nondeterministic, "nondeterministic"),
            (Outcome::Limit(LimitKind::Cpu), "limit"),
            (Outcome::NonValue("generator".to_owned()), "non_value"),
            (Outcome::Value("no canonical text".to_owned()), "non_value"),
            (Outcome::Refused("policy".to_owned()), "refused"),
            (Outcome::Unsupported("yield".to_owned()), "unsupported"),
            (Outcome::Crashed("SIGSEGV".to_owned()), "crashed"),
            (canonical("None"), "none_output"),
            (canonical("[1, nan]"), "non_value"),
            (canonical(&format!("'{}'", "y".repeat(29))), "output_too_long"),
            (canonical("'```'"), "breaks_format"),
            (canonical("{'a': {1, 2.5}}"), "ok"),
            (canonical("[inf, -0.0, (1,), b'x']"), "ok"),
        ];
        for (outcome, reason) in cases {
            let mut executor = TableExecutor::default();
            executor.teach(SQUARE, "3", outcome.clone());
            let found =
                reasons(&options, &executor, Kind::Deduction, &["x):\n    return x * x\n\nf(3)"]);
            assert_eq!(found, [expect(reason, true)], "{outcome:?}");
        }
        let mut executor = TableExecutor::default();
        executor.teach(SQUARE, "3", canonical("None"));
        let options = CodeOptions { allow_none_output: true, ..options };
        let found =
            reasons(&options, &executor, Kind::Deduction, &["x):\n    return x * x\n\nf(3)"]);
        assert_eq!(found, [expect("ok", true)]);
    }

    #[test]
    fn inputs_are_proposed_for_the_reference_program() {
        let executor = TableExecutor::of_examples();
        let options =
            CodeOptions { induction_inputs: 3, max_message_chars: 20, ..CodeOptions::default() };
        let response = " digits\nf(13, 2)\nf(255, 16)\nf(13,  2)\nf(0, 10)\nf(7, 8)";
        let found = verdicts(&options, &executor, &[proposal(Kind::Induction, response)]);
        let task = InductionTask::read(found[0].task.as_ref().unwrap()).unwrap();
        let inputs: Vec<_> = task.inputs.iter().map(|input| input.python.as_str()).collect();
        assert_eq!(inputs, ["13, 2", "255, 16", "0, 10"]);
        assert_eq!((task.message.as_str(), task.program.as_str()), ("digits", EXAMPLES[3].program));
        let responses = [
            (" digits\nf(13, 2)\nf(255, 16)\nf(13, 2)", expect("too_few_inputs", true)),
            (" digits\nf(13, 2)\nf(255, x)\nf(0, 10)", expect("input_not_literal", true)),
            (" digits\nf(13, 2)\nf(255, 16)\nf('a', 2)", expect("exception", true)),
            ("\nf(13, 2)", expect("no_message", false)),
            (" digits", expect("no_input", false)),
            (
                " a long story of digits\nf(13, 2)\nf(255, 16)\nf(0, 10)",
                expect("message_too_long", true),
            ),
            (" </think>\nf(13, 2)\nf(255, 16)\nf(0, 10)", expect("breaks_format", true)),
        ];
        let (texts, expected): (Vec<_>, Vec<_>) = responses.into_iter().unzip();
        assert_eq!(reasons(&options, &executor, Kind::Induction, &texts), expected);
    }

    #[test]
    fn tags_and_validity_are_separate_in_chat_style() {
        let executor = TableExecutor::of_examples();
        let options = CodeOptions { prompt_style: PromptStyle::Chat, ..CodeOptions::default() };
        let blocks = "```python\ndef f(xs):\n    return xs[0] + xs[-1]\n```\n```input\n[5]\n```";
        let responses = [
            (format!("<think>a</think><answer>{blocks}</answer>"), expect("ok", true)),
            (format!("<answer>{blocks}</answer>"), expect("ok", false)),
            (blocks.to_owned(), expect("ok", false)),
            ("<think>a</think><answer>none</answer>".to_owned(), expect("no_program", true)),
            (
                "<think>a</think><answer>```python\ndef\n```\n```input\n1\n```</answer>".to_owned(),
                expect("syntax", true),
            ),
        ];
        let (texts, expected): (Vec<_>, Vec<_>) = responses.into_iter().unzip();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        assert_eq!(reasons(&options, &executor, Kind::Deduction, &texts), expected);
    }

    #[test]
    fn a_caller_that_gave_up_gets_no_run() {
        let executor = TableExecutor::of_examples();
        let context = Recorder { cancelled: true, ..Recorder::default() };
        let proposals = [proposal(Kind::Deduction, "x):\n    return x\n\nf(1)")];
        let error = validate(&CodeOptions::default(), &executor, &proposals, &context).unwrap_err();
        assert_eq!(error.code, ErrorCode::Cancelled);
        assert!(executor.waves.lock().unwrap().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_gets_a_verdict(text in r"(?s)(<think>|</answer>|<answer>|```python\n|```input\n|```\n|x\):\n|    return |\nf\(|\)|'|\n|.){0,24}") {
            let executor = TableExecutor::of_examples();
            let proposals = Kind::ALL.map(|kind| proposal(kind, &text));
            for prompt_style in [PromptStyle::Completion, PromptStyle::Chat] {
                let options = CodeOptions { prompt_style, ..CodeOptions::default() };
                let found = verdicts(&options, &executor, &proposals);
                prop_assert!(found.iter().all(|verdict| verdict.task.is_some() == (verdict.reason == "ok")));
            }
        }
    }
}
