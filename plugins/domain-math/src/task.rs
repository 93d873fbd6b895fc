//! What the math domain stores in a task: the payload and the canonical keys.

use azr_plugin::serde::{Deserialize, Serialize};
use azr_plugin::{ErrorCode, PluginError, Result, Task};
use sha2::{Digest, Sha256};

use crate::expression::{Definition, Value, parse_arguments};

/// The kinds of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Expression and arguments are shown, the value is sought.
    Deduction,
    /// Expression and value are shown, arguments are sought.
    Abduction,
    /// A message and half of the points are shown, the expression is sought.
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
                format!("the math domain has no task kind {name:?}"),
            )
            .with_hint("its kinds are deduction, abduction and induction")
        })
    }
}

/// Payload of deduction and abduction, in canonical texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields)]
pub(crate) struct CallTask {
    /// `f(x, y) = …`.
    pub(crate) definition: String,
    /// The arguments without parentheses.
    pub(crate) input: String,
    /// The value of `f` for them.
    pub(crate) output: String,
}

/// Payload of induction, in canonical texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields)]
pub(crate) struct InductionTask {
    /// `f(x, y) = …`; never shown to the solver.
    pub(crate) definition: String,
    /// What `f` does, in words.
    pub(crate) message: String,
    /// At least two lists of arguments, each with the value of `f`.
    pub(crate) points: Vec<(String, String)>,
}

impl CallTask {
    /// Reads a deduction or abduction task.
    pub(crate) fn read(task: &Task) -> Result<Self> {
        match Kind::parse(&task.kind)? {
            Kind::Deduction | Kind::Abduction => task.read(),
            Kind::Induction => Err(unreadable(task, "a task with one input was expected")),
        }
    }

    /// The stored form. A deduction task is what it asks for (expression and arguments), and so is an abduction task
    /// (expression and value).
    pub(crate) fn to_task(&self, kind: Kind, definition: &Definition) -> Result<Task> {
        let asked = if kind == Kind::Abduction { &self.output } else { &self.input };
        to_task(kind, definition, &[asked], self)
    }
}

impl InductionTask {
    /// Reads an induction task.
    pub(crate) fn read(task: &Task) -> Result<Self> {
        if Kind::parse(&task.kind)? != Kind::Induction {
            return Err(unreadable(task, "an induction task was expected"));
        }
        let payload: Self = task.read()?;
        if payload.points.len() < 2 {
            return Err(unreadable(task, "it needs at least two points"));
        }
        Ok(payload)
    }

    /// The stored form. The order of the points counts, because it decides which ones are shown; the message does not.
    pub(crate) fn to_task(&self, definition: &Definition) -> Result<Task> {
        let asked: Vec<_> = self.points.iter().map(|(input, _)| input.as_str()).collect();
        to_task(Kind::Induction, definition, &asked, self)
    }

    /// The points that the solver is shown: half of them, rounded down.
    pub(crate) fn visible(&self) -> &[(String, String)] {
        &self.points[..self.points.len() / 2]
    }

    /// The points that decide the grade.
    pub(crate) fn hidden(&self) -> &[(String, String)] {
        &self.points[self.points.len() / 2..]
    }
}

/// The definition of a stored task.
pub(crate) fn definition(task: &Task, text: &str) -> Result<Definition> {
    Definition::parse(text).map_err(|error| unreadable(task, &format!("its definition: {error:?}")))
}

/// Arguments of a stored task.
pub(crate) fn arguments(task: &Task, definition: &Definition, text: &str) -> Result<Vec<Value>> {
    parse_arguments(text, &definition.parameters)
        .ok_or_else(|| unreadable(task, &format!("{text:?} are no arguments")))
}

/// A value of a stored task.
pub(crate) fn value(task: &Task, text: &str) -> Result<Value> {
    Value::parse(text).ok_or_else(|| unreadable(task, &format!("{text:?} is no value")))
}

fn unreadable(task: &Task, why: &str) -> PluginError {
    PluginError::new(
        ErrorCode::InvalidInput,
        format!("{} task {} cannot be read: {why}", task.kind, task.key),
    )
    .with_hint("hand back tasks as this domain made them")
}

/// A task of `kind` about `definition`, of which `asked` makes it one of its own. Names make no other task.
fn to_task(
    kind: Kind,
    definition: &Definition,
    asked: &[&str],
    payload: &impl Serialize,
) -> Result<Task> {
    let shape = definition.shape();
    let key = digest(&[&[kind.as_str(), shape.as_str()], asked].concat());
    let subject = digest(&[&shape]);
    Ok(Task { subject, ..Task::new(kind.as_str(), key, payload)? })
}

/// The first 128 bits of SHA-256 over canonical texts, in hexadecimal.
fn digest(texts: &[&str]) -> String {
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
    use super::*;
    use crate::testing::{call_task, induction_task};

    const SQUARE: &str = "f(x) = x^2";

    #[test]
    fn layout_and_names_do_not_make_a_new_task() {
        let task = call_task(Kind::Deduction, SQUARE, "3");
        assert_eq!((task.key.len(), task.subject.len()), (32, 32));
        assert_eq!(call_task(Kind::Deduction, "f(n)=( n ) ** 2", " 6/2").key, task.key);
        for (kind, definition, input) in [
            (Kind::Deduction, "f(x) = x * x", "3"),
            (Kind::Deduction, SQUARE, "-3"),
            (Kind::Abduction, SQUARE, "3"),
        ] {
            assert_ne!(call_task(kind, definition, input).key, task.key, "{definition} {input}");
        }
    }

    #[test]
    fn the_subject_is_the_expression_whatever_is_asked() {
        let subject = call_task(Kind::Deduction, SQUARE, "3").subject;
        assert_eq!(call_task(Kind::Abduction, "f(y) = y^2", "2").subject, subject);
        assert_ne!(call_task(Kind::Deduction, "f(x) = x^3", "3").subject, subject);
        let induction = induction_task(SQUARE, &["1", "2"]);
        assert_eq!(induction.subject, subject);
    }

    #[test]
    fn an_abduction_task_is_its_expression_and_value() {
        let task = call_task(Kind::Abduction, SQUARE, "3");
        assert_eq!(call_task(Kind::Abduction, SQUARE, "-3").key, task.key);
        assert_ne!(call_task(Kind::Abduction, SQUARE, "2").key, task.key);
    }

    #[test]
    fn half_of_the_points_are_shown() {
        let inputs: Vec<_> = (0..10).map(|index| index.to_string()).collect();
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        for (n_points, n_visible) in [(2, 1), (5, 2), (10, 5)] {
            let task = InductionTask::read(&induction_task(SQUARE, &inputs[..n_points])).unwrap();
            assert_eq!(
                (task.visible().len(), task.hidden().len()),
                (n_visible, n_points - n_visible)
            );
        }
    }

    #[test]
    fn payloads_are_read_only_as_what_they_are() {
        let call = call_task(Kind::Deduction, SQUARE, "3");
        let induction = induction_task(SQUARE, &["1", "2"]);
        assert_eq!(CallTask::read(&call).unwrap().output, "9");
        assert!(InductionTask::read(&call).is_err());
        assert!(CallTask::read(&induction).is_err());
        for payload in ["", "[]", "{}", "null", "{\"definition\":1}"] {
            let broken = |task: &Task| Task { payload: payload.to_owned(), ..task.clone() };
            assert!(CallTask::read(&broken(&call)).is_err());
            assert!(InductionTask::read(&broken(&induction)).is_err());
        }
        let payload = r#"{"definition":"f(x) = x","message":"m","points":[["1","1"]]}"#.to_owned();
        assert!(InductionTask::read(&Task { payload, ..induction }).is_err());
    }
}
