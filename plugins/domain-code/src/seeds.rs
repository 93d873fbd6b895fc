//! The tasks that a run starts from: the identity function.

use azr_executor::{Arguments, ImportPolicy, Program, Value, parse_literal};
use azr_plugin::{ErrorCode, PluginError, Result, Task};

use crate::task::{CallTask, InductionTask, Kind, Noted};

const IDENTITY: &str = "def f(a):\n    return a";
const INPUT: &str = "'Hello world'";
const MESSAGE: &str = "give back what was given";
/// Values of several types, so that only the identity fits.
const INDUCTION_INPUTS: [&str; 6] = [
    "'Hello world'",
    "1",
    "{'a': 1, 'b': 2}",
    "(1.1, 1.2, 1.3)",
    "'[[1, 0, 0], [0, 1, 0], [0, 0, 1]]'",
    "1001101100010001",
];

/// The one seed task of `kind`. Its outputs are its inputs, so that no executor is needed and none is pinned.
pub(crate) fn seed_task(kind: Kind) -> Result<Task> {
    let program = Program::parse(IDENTITY, &ImportPolicy::default())
        .map_err(|error| defect(&error.to_string()))?;
    match kind {
        Kind::Deduction | Kind::Abduction => {
            let (input, output) = identical(INPUT)?;
            CallTask { program: IDENTITY.to_owned(), input, output, executor: None }
                .to_task(kind, &program)
        }
        Kind::Induction => {
            let pairs = INDUCTION_INPUTS.into_iter().map(identical).collect::<Result<Vec<_>>>()?;
            let (inputs, outputs) = pairs.into_iter().unzip();
            let (source, message) = (IDENTITY.to_owned(), MESSAGE.to_owned());
            InductionTask { program: source, message, inputs, outputs, executor: None }
                .to_task(&program)
        }
    }
}

fn identical(text: &str) -> Result<(Noted, Noted)> {
    let value: Value = parse_literal(text).map_err(|error| defect(&error.to_string()))?;
    let output = Noted::value(&value);
    let input = Arguments { positional: vec![value], keyword: Vec::new() };
    Ok((Noted::arguments(&input), output))
}

fn defect(why: &str) -> PluginError {
    PluginError::new(ErrorCode::Internal, format!("a seed task of the code domain is wrong: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_starts_from_the_identity() {
        for kind in [Kind::Deduction, Kind::Abduction] {
            let seed = seed_task(kind).unwrap();
            let task = CallTask::read(&seed).unwrap();
            assert_eq!(seed.kind, kind.as_str());
            assert_eq!((task.input.python.as_str(), task.output.python.as_str()), (INPUT, INPUT));
            assert_eq!(task.executor, None);
        }
        let task = InductionTask::read(&seed_task(Kind::Induction).unwrap()).unwrap();
        assert_eq!((task.n_visible(), task.hidden().count()), (3, 3));
        assert_eq!(task.visible().last(), Some(("{'a': 1, 'b': 2}", "{'a': 1, 'b': 2}")));
    }
}
