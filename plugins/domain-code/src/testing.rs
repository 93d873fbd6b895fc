//! Stand-ins for tests of parsing, batching and grading; runs of real programs are tested with the CPython executor.

use std::collections::BTreeMap;
use std::sync::Mutex;

use azr_executor::{parse_arguments, parse_literal};
use azr_plugin::{CallContext, Executor, Job, JobReport, Outcome, Protection, Result, Task};

use crate::examples::EXAMPLES;
use crate::gate;
use crate::options::CodeOptions;
use crate::task::{CallTask, InductionTask, Kind, Noted};

/// Answers from a table of (program, canonical arguments); what is not in it raises. Remembers every wave.
#[derive(Debug, Default)]
pub(crate) struct TableExecutor {
    table: BTreeMap<(String, String), Outcome>,
    pub(crate) waves: Mutex<Vec<Vec<Job>>>,
}

impl TableExecutor {
    /// With everything that our own examples return.
    pub(crate) fn of_examples() -> Self {
        let mut executor = Self::default();
        for example in EXAMPLES {
            for (input, output) in example.calls {
                executor.teach(example.program, input, Outcome::Value(value(output).canonical));
            }
        }
        executor
    }

    pub(crate) fn teach(&mut self, program: &str, input: &str, outcome: Outcome) {
        self.table.insert((program.to_owned(), arguments(input).canonical), outcome);
    }

    pub(crate) fn last_wave(&self) -> Vec<Job> {
        self.waves.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

impl Executor for TableExecutor {
    fn run(&self, jobs: &[Job], context: &dyn CallContext) -> Result<Vec<JobReport>> {
        self.waves.lock().unwrap().push(jobs.to_vec());
        let look_up = |job: &Job, call: &String| {
            let raised = || Outcome::Exception("LookupError".to_owned());
            self.table.get(&(job.program.clone(), call.clone())).cloned().unwrap_or_else(raised)
        };
        let report = |(index, job): (usize, &Job)| {
            context.progress(index as u64 + 1, jobs.len() as u64);
            JobReport {
                outcomes: job.calls.iter().map(|call| look_up(job, call)).collect(),
                executor: "table".to_owned(),
            }
        };
        Ok(jobs.iter().enumerate().map(report).collect())
    }

    fn protections(&self) -> Vec<Protection> {
        Vec::new()
    }
}

/// Remembers what it was told.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) told: Mutex<Vec<(u64, u64)>>,
    pub(crate) cancelled: bool,
}

impl CallContext for Recorder {
    fn progress(&self, done: u64, total: u64) {
        self.told.lock().unwrap().push((done, total));
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled
    }
}

pub(crate) fn arguments(text: &str) -> Noted {
    Noted::arguments(&parse_arguments(text).unwrap())
}

pub(crate) fn value(text: &str) -> Noted {
    Noted::value(&parse_literal(text).unwrap())
}

/// A deduction or abduction task as validation would store it.
pub(crate) fn call_task(kind: Kind, program: &str, input: &str, output: &str) -> Task {
    let gated = gate::showable(&CodeOptions::default(), program).unwrap();
    let task = CallTask {
        program: program.to_owned(),
        input: arguments(input),
        output: value(output),
        executor: Some("table".to_owned()),
    };
    task.to_task(kind, &gated).unwrap()
}

/// An induction task with the first `n_pairs` calls of one of our examples.
pub(crate) fn induction_task(example: usize, n_pairs: usize) -> Task {
    let example = &EXAMPLES[example];
    let gated = gate::showable(&CodeOptions::default(), example.program).unwrap();
    let pairs = &example.calls[..n_pairs];
    let task = InductionTask {
        program: example.program.to_owned(),
        message: example.message.to_owned(),
        inputs: pairs.iter().map(|(input, _)| arguments(input)).collect(),
        outputs: pairs.iter().map(|(_, output)| value(output)).collect(),
        executor: Some("table".to_owned()),
    };
    task.to_task(&gated).unwrap()
}

/// The first call of one of our examples as a task.
pub(crate) fn example_task(kind: Kind, example: usize) -> Task {
    let (input, output) = EXAMPLES[example].calls[0];
    call_task(kind, EXAMPLES[example].program, input, output)
}
