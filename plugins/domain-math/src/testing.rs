//! Tasks for tests, made as validation makes them.

use azr_plugin::Task;

use crate::examples::EXAMPLES;
use crate::expression::list;
use crate::gate;
use crate::options::MathOptions;
use crate::task::{CallTask, InductionTask, Kind};

/// Canonical texts of arguments and of the value of `definition`.
fn point(definition: &str, input: &str) -> (String, String) {
    let options = MathOptions::default();
    let definition = gate::definition(&options, definition).unwrap();
    let arguments = gate::input(&options, &definition, input).unwrap();
    let (value, _) = gate::output(&options, &definition, &arguments).unwrap();
    (list(&arguments), value.to_string())
}

/// A deduction or abduction task.
pub(crate) fn call_task(kind: Kind, definition: &str, input: &str) -> Task {
    let (input, output) = point(definition, input);
    let definition = gate::definition(&MathOptions::default(), definition).unwrap();
    CallTask { definition: definition.text(), input, output }.to_task(kind, &definition).unwrap()
}

/// An induction task.
pub(crate) fn induction_task(definition: &str, inputs: &[&str]) -> Task {
    let points = inputs.iter().map(|input| point(definition, input)).collect();
    let definition = gate::definition(&MathOptions::default(), definition).unwrap();
    let message = "a message".to_owned();
    InductionTask { definition: definition.text(), message, points }.to_task(&definition).unwrap()
}

/// The puzzle of one of our examples as a task.
pub(crate) fn example_task(kind: Kind, example: usize) -> Task {
    call_task(kind, EXAMPLES[example].definition, EXAMPLES[example].points[0].0)
}
