//! From answers to grades. A deduction answer is data and is only compared; the others are run, all at once.
//!
//! Values are compared here, outside every process that runs model text, and by their structure:
//! no answer text is ever evaluated or pasted into a program.

use std::collections::BTreeMap;

use azr_executor::{Value, equality, parse_arguments, parse_literal};
use azr_plugin::{
    Answer, CallContext, ErrorCode, Executor, Grade, Job, JobReport, PluginError, Purpose, Result,
};

use crate::gate;
use crate::options::{CodeOptions, InductionScore};
use crate::outcome::{Wave, value_of};
use crate::parse::Form;
use crate::reason::Reason;
use crate::task::{CallTask, InductionTask, Kind, Noted};

/// Grades a wave of answers with one call of the executor.
pub(crate) fn grade(
    options: &CodeOptions,
    executor: &dyn Executor,
    answers: &[Answer],
    context: &dyn CallContext,
) -> Result<Vec<Grade>> {
    let mut plan =
        Plan { options, wave: Wave::default(), jobs: BTreeMap::new(), calls: BTreeMap::new() };
    let pending = answers.iter().map(|answer| plan.add(answer)).collect::<Result<Vec<_>>>()?;
    let reports = plan.wave.run(executor, answers.len() as u64, context)?;
    Ok(pending
        .into_iter()
        .map(|pending| pending.settle(options.induction_score, &reports))
        .collect())
}

/// An answer that is graded as soon as the jobs have run.
struct Pending {
    verdict: Verdict,
    well_formed: bool,
}

enum Verdict {
    /// Known without a run.
    Known(std::result::Result<(), Reason>),
    /// These calls of a job must return these values.
    Run { job: usize, expected: Vec<(usize, Value)> },
}

/// The jobs of a wave while it is put together.
struct Plan<'a> {
    options: &'a CodeOptions,
    wave: Wave,
    /// Index of the job for a program and the executor it is pinned to: it is sent once, with all its calls.
    jobs: BTreeMap<(String, Option<String>), usize>,
    /// Index of each call within its job: equal calls are run once.
    calls: BTreeMap<(usize, String), usize>,
}

impl Plan<'_> {
    fn add(&mut self, answer: &Answer) -> Result<Pending> {
        let form = Form::of(self.options);
        let response = &answer.response;
        let (verdict, mut well_formed) = match Kind::parse(&answer.task.kind)? {
            Kind::Deduction => {
                let (task, parsed) = (CallTask::read(&answer.task)?, form.value(response));
                (deduction(&value(answer, &task.output)?, parsed.content), parsed.well_formed)
            }
            Kind::Abduction => {
                let (task, parsed) = (CallTask::read(&answer.task)?, form.arguments(response));
                let gold = value(answer, &task.output)?;
                (
                    parsed.content.and_then(|text| self.abduction(task, gold, &text)),
                    parsed.well_formed,
                )
            }
            Kind::Induction => {
                let (task, parsed) = (InductionTask::read(&answer.task)?, form.program(response));
                let gold = task
                    .hidden()
                    .map(|(_, output)| value(answer, output))
                    .collect::<Result<Vec<_>>>()?;
                (
                    parsed.content.and_then(|source| self.induction(&task, gold, &source)),
                    parsed.well_formed,
                )
            }
        };
        if form.is_bare_python()
            && matches!(verdict, Err(Reason::AnswerNotLiteral | Reason::Syntax))
        {
            well_formed = false;
        }
        Ok(Pending {
            verdict: verdict.unwrap_or_else(|reason| Verdict::Known(Err(reason))),
            well_formed,
        })
    }

    /// Any arguments are right for which the task's program returns the gold value.
    fn abduction(
        &mut self,
        task: CallTask,
        gold: Value,
        text: &str,
    ) -> std::result::Result<Verdict, Reason> {
        let call = parse_arguments(text).map_err(|_| Reason::AnswerNotLiteral)?.to_canonical();
        if call == task.input.canonical {
            return Ok(Verdict::Known(Ok(())));
        }
        // The answers to one task share a job: its calls are independent of each other.
        Ok(self.run(task.program, task.executor, vec![(call, gold)]))
    }

    /// The answered program must return the gold values for the hidden inputs.
    fn induction(
        &mut self,
        task: &InductionTask,
        gold: Vec<Value>,
        source: &str,
    ) -> std::result::Result<Verdict, Reason> {
        let program = gate::runnable(self.options, source)?.source;
        let calls = task.hidden().map(|(input, _)| input.canonical.clone()).zip(gold).collect();
        // The program is the model's own: any executor may run it, whichever made the gold values.
        Ok(self.run(program, None, calls))
    }

    /// The calls of a program must return the values beside them.
    fn run(
        &mut self,
        program: String,
        pinned: Option<String>,
        calls: Vec<(String, Value)>,
    ) -> Verdict {
        let job = match self.jobs.get(&(program.clone(), pinned.clone())) {
            Some(job) => *job,
            None => {
                let job = self.wave.push(Job {
                    program: program.clone(),
                    calls: Vec::new(),
                    purpose: Purpose::Check,
                    limits: self.options.limits.to_limits(),
                    pinned: pinned.clone(),
                });
                self.jobs.insert((program, pinned), job);
                job
            }
        };
        self.wave.n_decided[job] += 1;
        let known = &mut self.wave.jobs[job].calls;
        let mut index_of = |call: String| {
            *self.calls.entry((job, call)).or_insert_with_key(|(_, call)| {
                known.push(call.clone());
                known.len() - 1
            })
        };
        let expected = calls.into_iter().map(|(call, gold)| (index_of(call), gold)).collect();
        Verdict::Run { job, expected }
    }
}

impl Pending {
    fn settle(self, score: InductionScore, reports: &[JobReport]) -> Grade {
        let results: Vec<_> = match self.verdict {
            Verdict::Known(known) => vec![known],
            Verdict::Run { job, expected } => {
                let outcomes = reports.get(job).map_or(&[][..], |report| &report.outcomes);
                let compare = |(index, gold): &(usize, Value)| {
                    let returned = outcomes.get(*index).map_or(Err(Reason::Crashed), value_of)?;
                    if equality::answer(&returned, gold) { Ok(()) } else { Err(Reason::Wrong) }
                };
                expected.iter().map(compare).collect()
            }
        };
        let n_right = results.iter().filter(|result| result.is_ok()).count();
        let score = match score {
            InductionScore::Accuracy => n_right as f32 / results.len().max(1) as f32,
            InductionScore::Binary => f32::from(n_right == results.len()),
            InductionScore::IfOneCorrect => f32::from(n_right > 0),
        };
        let failed =
            if score < 1.0 { results.into_iter().find_map(std::result::Result::err) } else { None };
        let reason = failed.unwrap_or(Reason::Ok).as_str().to_owned();
        Grade { score, well_formed: self.well_formed, reason }
    }
}

fn deduction(
    gold: &Value,
    answer: std::result::Result<String, Reason>,
) -> std::result::Result<Verdict, Reason> {
    let stated = parse_literal(&answer?).map_err(|_| Reason::AnswerNotLiteral)?;
    if equality::answer(&stated, gold) { Ok(Verdict::Known(Ok(()))) } else { Err(Reason::Wrong) }
}

fn value(answer: &Answer, noted: &Noted) -> Result<Value> {
    Value::from_canonical(&noted.canonical).map_err(|error| {
        let Answer { task, .. } = answer;
        PluginError::new(
            ErrorCode::InvalidInput,
            format!("{} task {} holds no value: {error}", task.kind, task.key),
        )
        .with_hint("hand back tasks as this domain made them")
    })
}

#[cfg(test)]
mod tests {
    use azr_plugin::{Outcome, Quiet, Task};
    use proptest::prelude::*;

    use super::*;
    use crate::options::PromptStyle;
    use crate::testing::{Recorder, TableExecutor, call_task, example_task, induction_task};

    const SQUARE: &str = "def f(x):\n    return x * x";

    fn chat() -> CodeOptions {
        CodeOptions { prompt_style: PromptStyle::Chat, ..CodeOptions::default() }
    }

    fn answer(task: &Task, response: impl Into<String>) -> Answer {
        Answer { task: task.clone(), response: response.into() }
    }

    fn graded(
        options: &CodeOptions,
        executor: &TableExecutor,
        task: &Task,
        response: &str,
    ) -> (f32, bool, String) {
        let grades = grade(options, executor, &[answer(task, response)], &Quiet).unwrap();
        (grades[0].score, grades[0].well_formed, grades[0].reason.clone())
    }

    fn squares() -> TableExecutor {
        let mut executor = TableExecutor::default();
        for (input, output) in [("3", "9"), ("-3", "9"), ("2", "4"), ("3.0", "9.0")] {
            executor.teach(SQUARE, input, Outcome::Value(crate::testing::value(output).canonical));
        }
        executor
    }

    #[test]
    fn deduction_compares_values_and_never_runs() {
        let executor = TableExecutor::default();
        let cases = [
            ("1", "1.0", 1.0),
            ("1", "True", 1.0),
            ("[1, 2]", "(1, 2)", 0.0),
            ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", 1.0),
            ("'a'", "\"a\"", 1.0),
            ("nan", "nan", 0.0),
            ("{1, 2}", "{2, 1}", 1.0),
            ("'6'", "6", 0.0),
            ("0.3", "0.30000000000000004", 1.0),
        ];
        for (gold, stated, score) in cases {
            let task = call_task(Kind::Deduction, SQUARE, "3", gold);
            assert_eq!(
                graded(&CodeOptions::default(), &executor, &task, &format!(" {stated}\n")).0,
                score,
                "{gold} {stated}"
            );
            let response = format!("<think></think><answer>{stated}</answer>");
            assert_eq!(graded(&chat(), &executor, &task, &response).0, score, "{gold} {stated}");
        }
        assert!(executor.waves.lock().unwrap().is_empty());
    }

    #[test]
    fn an_echo_of_the_input_is_no_answer() {
        let task = example_task(Kind::Deduction, 0);
        let executor = TableExecutor::default();
        assert_eq!(
            graded(&CodeOptions::default(), &executor, &task, " [2, 9, 4]"),
            (0.0, true, "wrong".to_owned())
        );
        assert_eq!(
            graded(&CodeOptions::default(), &executor, &task, " 6"),
            (1.0, true, "ok".to_owned())
        );
    }

    #[test]
    fn form_and_correctness_are_separate() {
        let task = example_task(Kind::Deduction, 0);
        let executor = TableExecutor::default();
        let of = |response: &str| {
            let (score, well_formed, reason) = graded(&chat(), &executor, &task, response);
            (score, well_formed, reason.leak() as &str)
        };
        assert_eq!(of("<think>a</think>\n<answer>6</answer>"), (1.0, true, "ok"));
        assert_eq!(of("<think>a</think>\n<answer>7</answer> sorry"), (0.0, true, "wrong"));
        assert_eq!(of("<think>a\n<answer>6</answer>"), (1.0, false, "ok"));
        assert_eq!(of("<think>a</think>\n<answer>6"), (0.0, false, "no_answer"));
        assert_eq!(of("x<think>a</think>\n<answer>6</answer>"), (1.0, false, "ok"));
        assert_eq!(of("<think>a</think>\n<answer>six</answer>"), (0.0, true, "answer_not_literal"));
        let bare = |response: &str| graded(&CodeOptions::default(), &executor, &task, response);
        assert_eq!(bare(" six"), (0.0, false, "answer_not_literal".to_owned()));
        assert_eq!(bare(""), (0.0, false, "no_answer".to_owned()));
    }

    #[test]
    fn abduction_takes_any_preimage_and_nothing_else() {
        let (executor, task) = (squares(), call_task(Kind::Abduction, SQUARE, "3", "9"));
        for (text, score, reason) in [
            ("3", 1.0, "ok"),
            ("-3", 1.0, "ok"),
            ("3.0", 1.0, "ok"),
            ("2", 0.0, "wrong"),
            ("'a'", 0.0, "exception"),
            ("3) or (True", 0.0, "answer_not_literal"),
            ("0) or (True", 0.0, "answer_not_literal"),
            ("__import__('os').system('x')", 0.0, "answer_not_literal"),
            ("f(3)", 1.0, "ok"),
        ] {
            let response = format!("<think></think><answer>{text}</answer>");
            assert_eq!(
                graded(&chat(), &executor, &task, &response),
                (score, true, reason.to_owned()),
                "{text}"
            );
            if text != "f(3)" {
                let found =
                    graded(&CodeOptions::default(), &executor, &task, &format!("{text})\n"));
                assert_eq!(
                    found,
                    (score, reason != "answer_not_literal", reason.to_owned()),
                    "{text}"
                );
            }
        }
        assert!(
            executor
                .waves
                .lock()
                .unwrap()
                .iter()
                .flatten()
                .all(|job| job.purpose == Purpose::Check)
        );
    }

    #[test]
    fn a_program_is_sent_once_and_equal_calls_are_run_once() {
        let executor = squares();
        let nine = call_task(Kind::Abduction, SQUARE, "3", "9");
        let four = call_task(Kind::Abduction, SQUARE, "2", "4");
        let answers = [
            answer(&nine, "-3)"),
            answer(&four, "-3)"),
            answer(&nine, "3)"),
            answer(&nine, "2)"),
            answer(&nine, "oops"),
        ];
        let recorder = Recorder::default();
        let grades = grade(&CodeOptions::default(), &executor, &answers, &recorder).unwrap();
        assert_eq!(
            grades.iter().map(|grade| grade.score).collect::<Vec<_>>(),
            [1.0, 0.0, 1.0, 0.0, 0.0]
        );
        let wave = executor.last_wave();
        let calls: Vec<_> =
            wave.iter().map(|job| (job.calls.len(), job.pinned.as_deref())).collect();
        assert_eq!(calls, [(2, Some("table"))]);
        assert_eq!(*recorder.told.lock().unwrap(), [(2, 5), (5, 5)]);
    }

    #[test]
    fn grades_do_not_depend_on_the_wave() {
        let (executor, task) = (squares(), call_task(Kind::Abduction, SQUARE, "3", "9"));
        let answers: Vec<_> =
            ["3)", "2)", "-3)", "'a')", "x", "-3)"].map(|text| answer(&task, text)).into();
        let options = CodeOptions::default();
        let together = grade(&options, &executor, &answers, &Quiet).unwrap();
        let alone = |answer| {
            grade(&options, &executor, std::slice::from_ref(answer), &Quiet).unwrap().remove(0)
        };
        assert_eq!(together, answers.iter().map(alone).collect::<Vec<_>>());
    }

    /// An executor that knows an answer to the first example which is right for `n_right` of its last five calls.
    fn partly_right(n_right: usize) -> (TableExecutor, &'static str) {
        let mut executor = TableExecutor::of_examples();
        let program = "def f(xs):\n    return xs[-1] + xs[0]\n";
        for (index, (input, output)) in
            crate::examples::EXAMPLES[0].calls.iter().enumerate().skip(5)
        {
            let output = if index < 5 + n_right { output } else { "'other'" };
            executor.teach(program, input, Outcome::Value(crate::testing::value(output).canonical));
        }
        (executor, "xs):\n    return xs[-1] + xs[0]")
    }

    #[test]
    fn induction_is_graded_on_the_hidden_half() {
        let task = induction_task(0, 10);
        for (n_right, binary, accuracy, any) in
            [(5, 1.0, 1.0, 1.0), (4, 0.0, 0.8, 1.0), (0, 0.0, 0.0, 0.0)]
        {
            let (executor, response) = partly_right(n_right);
            for (induction_score, score) in [
                (InductionScore::Binary, binary),
                (InductionScore::Accuracy, accuracy),
                (InductionScore::IfOneCorrect, any),
            ] {
                let options = CodeOptions { induction_score, ..CodeOptions::default() };
                let reason = if score == 1.0 { "ok" } else { "wrong" };
                assert_eq!(
                    graded(&options, &executor, &task, response),
                    (score, true, reason.to_owned())
                );
            }
            let wave = executor.last_wave();
            assert_eq!((wave.len(), wave[0].calls.len(), &wave[0].pinned), (1, 5, &None));
        }
    }

    #[test]
    fn answered_programs_pass_the_same_gate() {
        let (task, executor) = (induction_task(0, 10), TableExecutor::default());
        for (response, reason, well_formed) in [
            ("xs):\n    import os\n    return os.environ", "forbidden_import", true),
            ("xs):\n    return eval(xs)", "forbidden_name", true),
            ("xs:\n    return 1", "syntax", false),
            ("\n\n\n", "no_program", false),
        ] {
            let found = graded(&CodeOptions::default(), &executor, &task, response);
            assert_eq!(found, (0.0, well_formed, reason.to_owned()));
        }
        let found = graded(
            &chat(),
            &executor,
            &task,
            "<think></think><answer>```python\ndef f(\n```</answer>",
        );
        assert_eq!(found, (0.0, true, "syntax".to_owned()));
        assert!(executor.waves.lock().unwrap().is_empty());
    }

    #[test]
    fn equal_programs_for_equal_inputs_are_run_once() {
        let (executor, response) = partly_right(5);
        let task = induction_task(0, 10);
        let commented = format!("{response}  ");
        let answers = [
            answer(&task, response),
            answer(&task, commented),
            answer(&task, "xs):\n    return 0"),
        ];
        let grades = grade(&CodeOptions::default(), &executor, &answers, &Quiet).unwrap();
        assert_eq!(grades.iter().map(|grade| grade.score).collect::<Vec<_>>(), [1.0, 1.0, 0.0]);
        assert_eq!(executor.last_wave().len(), 2);
    }

    #[test]
    fn a_task_that_is_not_ours_is_an_error() {
        let task = example_task(Kind::Deduction, 0);
        let payload = task.payload.replace("\"canonical\":\"", "\"canonical\":\"?");
        let broken = Task { payload, ..task };
        let error = grade(
            &CodeOptions::default(),
            &TableExecutor::default(),
            &[answer(&broken, " 6")],
            &Quiet,
        )
        .unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidInput);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_gets_a_grade(text in r"(?s)(<think>|</think>|<answer>|</answer>|```python\n|```\n|xs\):\n|    return |\(|\)|'|\n|.){0,24}") {
            let executor = TableExecutor::of_examples();
            let tasks = [Kind::Deduction, Kind::Abduction].map(|kind| example_task(kind, 0)).into_iter().chain([induction_task(0, 6)]);
            let answers: Vec<_> = tasks.map(|task| answer(&task, text.clone())).collect();
            for options in [CodeOptions::default(), chat()] {
                let grades = grade(&options, &executor, &answers, &Quiet).unwrap();
                prop_assert_eq!(grades.len(), answers.len());
                prop_assert!(grades.iter().all(|grade| (0.0..=1.0).contains(&grade.score) && !grade.reason.is_empty()));
            }
        }
    }
}
