//! What the code domain stores in a task: the payload, the canonical key, the tasks that a run starts from.

use azr_executor::{Arguments, Program, Value};
use azr_plugin::serde::{Deserialize, Serialize};
use azr_plugin::{ErrorCode, PluginError, Result, Task};
use sha2::{Digest, Sha256};

/// The kinds of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Program and input are shown, the value is sought.
    Deduction,
    /// Program and value are shown, an input is sought.
    Abduction,
    /// A message and half of the pairs are shown, the program is sought.
    Induction,
}

impl Kind {
    /// All kinds in the order in which the domain lists them.
    pub(crate) const ALL: [Self; 3] = [Self::Deduction, Self::Abduction, Self::Induction];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Deduction => "deduction",
            Self::Abduction => "abduction",
            Self::Induction => "induction",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
            PluginError::new(
                ErrorCode::InvalidInput,
                format!("the code domain has no task kind {name:?}"),
            )
            .with_hint("its kinds are deduction, abduction and induction")
        })
    }
}

/// A value or an argument list in both notations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields)]
pub(crate) struct Noted {
    /// The executor's canonical text, which is computed with.
    pub(crate) canonical: String,
    /// Python text on one line, which is shown.
    pub(crate) python: String,
}

impl Noted {
    pub(crate) fn arguments(arguments: &Arguments) -> Self {
        Self { canonical: arguments.to_canonical(), python: arguments.repr() }
    }

    pub(crate) fn value(value: &Value) -> Self {
        Self { canonical: value.to_canonical(), python: value.repr() }
    }
}

/// Payload of deduction and abduction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields)]
pub(crate) struct CallTask {
    /// Python source text that defines `f`.
    pub(crate) program: String,
    /// The argument list.
    pub(crate) input: Noted,
    /// What `f` returns for it.
    pub(crate) output: Noted,
    /// The executor that established the output; absent where none was needed.
    pub(crate) executor: Option<String>,
}

/// Payload of induction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields)]
pub(crate) struct InductionTask {
    /// Python source text that defines `f`; never shown to the solver.
    pub(crate) program: String,
    /// What `f` does, in words.
    pub(crate) message: String,
    /// At least two argument lists.
    pub(crate) inputs: Vec<Noted>,
    /// What `f` returns for each.
    pub(crate) outputs: Vec<Noted>,
    /// The executor that established the outputs; absent where none was needed.
    pub(crate) executor: Option<String>,
}

impl CallTask {
    /// Reads a deduction or abduction task.
    pub(crate) fn read(task: &Task) -> Result<Self> {
        match Kind::parse(&task.kind)? {
            Kind::Deduction | Kind::Abduction => task.read(),
            Kind::Induction => Err(unreadable(task, "a task with one input was expected")),
        }
    }

    /// The stored form. Equal programs count as one whatever their layout and comments; a deduction task is what it asks
    /// for (program and input), and so is an abduction task (program and output).
    pub(crate) fn to_task(&self, kind: Kind, program: &Program) -> Result<Task> {
        let asked = if kind == Kind::Abduction { &self.output } else { &self.input };
        to_task(kind, program, [asked.canonical.as_str()], self)
    }
}

impl InductionTask {
    /// Reads an induction task.
    pub(crate) fn read(task: &Task) -> Result<Self> {
        if Kind::parse(&task.kind)? != Kind::Induction {
            return Err(unreadable(task, "an induction task was expected"));
        }
        let payload: Self = task.read()?;
        if payload.inputs.len() != payload.outputs.len() || payload.inputs.len() < 2 {
            return Err(unreadable(task, "it needs at least two inputs and as many outputs"));
        }
        Ok(payload)
    }

    /// The stored form. The order of the inputs counts, because it decides which ones are shown; the message does not.
    pub(crate) fn to_task(&self, program: &Program) -> Result<Task> {
        let inputs = self.inputs.iter().map(|input| input.canonical.as_str());
        to_task(Kind::Induction, program, inputs, self)
    }

    /// How many pairs the solver is shown: half of them, rounded down.
    pub(crate) fn n_visible(&self) -> usize {
        self.inputs.len() / 2
    }

    /// The pairs that the solver is shown, in Python text.
    pub(crate) fn visible(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.inputs.iter().zip(&self.outputs).take(self.n_visible());
        pairs.map(|(input, output)| (input.python.as_str(), output.python.as_str()))
    }

    /// The pairs that decide the grade.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = (&Noted, &Noted)> {
        self.inputs.iter().zip(&self.outputs).skip(self.n_visible())
    }
}

fn unreadable(task: &Task, why: &str) -> PluginError {
    PluginError::new(
        ErrorCode::InvalidInput,
        format!("{} task {} cannot be read: {why}", task.kind, task.key),
    )
    .with_hint("hand back tasks as this domain made them")
}

/// A task of `kind` about `program`, of which `asked` makes it one of its own.
fn to_task<'a>(
    kind: Kind,
    program: &'a Program,
    asked: impl IntoIterator<Item = &'a str>,
    payload: &impl Serialize,
) -> Result<Task> {
    let key = digest([kind.as_str(), program.canonical.as_str()].into_iter().chain(asked));
    let subject = digest([program.shape().as_str()]);
    Ok(Task { subject, ..Task::new(kind.as_str(), key, payload)? })
}

/// The first 128 bits of SHA-256 over canonical texts, in hexadecimal.
fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        // The length keeps neighbouring texts apart.
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use azr_plugin::serde_json;

    use super::*;
    use crate::testing::{call_task, induction_task};

    const PROGRAM: &str = "def f(x):\n    return x * x";

    fn key_of(kind: Kind, program: &str, input: &str, output: &str) -> String {
        call_task(kind, program, input, output).key
    }

    #[test]
    fn layout_and_comments_do_not_make_a_new_task() {
        let key = key_of(Kind::Deduction, PROGRAM, "3", "9");
        assert_eq!(key.len(), 32);
        assert_eq!(
            key_of(Kind::Deduction, "def f( x ):\n  # square\n  return (x*x)\n", " 3 ", "9"),
            key
        );
        assert_ne!(key_of(Kind::Deduction, "def f(x):\n    return x * 3", "3", "9"), key);
        assert_ne!(key_of(Kind::Deduction, PROGRAM, "-3", "9"), key);
        assert_ne!(key_of(Kind::Abduction, PROGRAM, "3", "9"), key);
    }

    #[test]
    fn the_subject_is_the_program_whatever_is_asked() {
        let task = |kind, program, input, output| call_task(kind, program, input, output);
        let subject = task(Kind::Deduction, PROGRAM, "3", "9").subject;
        assert_eq!(subject.len(), 32);
        let spelled = "def f( x ):\n  # square\n  return (x*x)\n";
        assert_eq!(task(Kind::Abduction, spelled, "2", "4").subject, subject);
        let named = task(Kind::Deduction, "def f(y):\n    return y * y", "3", "9");
        assert_eq!(named.subject, subject, "names do not make another program");
        assert_ne!(named.key, task(Kind::Deduction, PROGRAM, "3", "9").key);
        let other = "def f(x):\n    return x * 3";
        assert_ne!(task(Kind::Deduction, other, "3", "9").subject, subject);
        let induction = induction_task(0, 4);
        let payload = InductionTask::read(&induction).unwrap();
        let about = task(Kind::Deduction, &payload.program, "3", "9").subject;
        assert_eq!(induction.subject, about);
    }

    #[test]
    fn built_in_held_out_tasks_have_the_subjects_of_their_programs() {
        for set in ["heldout", "cruxeval"] {
            let file = format!("../../tests/data/heldout/{set}.jsonl");
            let text = std::fs::read_to_string(file).unwrap();
            for line in text.lines() {
                let entry: serde_json::Value = serde_json::from_str(line).unwrap();
                let payload = entry["task"]["payload"].as_str().unwrap();
                let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
                let program = payload["program"].as_str().unwrap();
                let expected = call_task(Kind::Deduction, program, "1", "1").subject;
                assert_eq!(entry["task"]["subject"], expected, "{program}");
            }
        }
    }

    #[test]
    fn an_abduction_task_is_its_program_and_output() {
        let key = key_of(Kind::Abduction, PROGRAM, "3", "9");
        assert_eq!(key_of(Kind::Abduction, PROGRAM, "-3", "9"), key);
        assert_ne!(key_of(Kind::Abduction, PROGRAM, "2", "4"), key);
    }

    #[test]
    fn half_of_the_pairs_are_shown() {
        for (n_pairs, n_visible) in [(2, 1), (5, 2), (6, 3), (10, 5)] {
            let task = InductionTask::read(&induction_task(0, n_pairs)).unwrap();
            assert_eq!(task.visible().count(), n_visible);
            assert_eq!(task.hidden().count(), n_pairs - n_visible);
        }
    }

    #[test]
    fn payloads_are_read_only_as_what_they_are() {
        let call = call_task(Kind::Deduction, PROGRAM, "3", "9");
        let induction = induction_task(0, 4);
        assert_eq!(CallTask::read(&call).unwrap().output.python, "9");
        assert!(InductionTask::read(&call).is_err());
        assert!(CallTask::read(&induction).is_err());
        for payload in ["", "[]", "{}", "null", "{\"program\":1}"] {
            assert!(CallTask::read(&Task { payload: payload.to_owned(), ..call.clone() }).is_err());
            assert!(
                InductionTask::read(&Task { payload: payload.to_owned(), ..induction.clone() })
                    .is_err()
            );
        }
        let mut uneven = InductionTask::read(&induction).unwrap();
        uneven.outputs.pop();
        let payload = serde_json::to_string(&uneven).unwrap();
        assert!(InductionTask::read(&Task { payload, ..induction }).is_err());
    }
}
