//! The tasks that a run starts from: the identity.

use azr_plugin::{ErrorCode, PluginError, Result, Task};

use crate::expression::Definition;
use crate::task::{CallTask, InductionTask, Kind};

const IDENTITY: &str = "f(x) = x";
const INPUT: &str = "7";
const MESSAGE: &str = "give back what was given";
/// Values of several types and sizes, so that only the identity fits.
const INDUCTION_INPUTS: [&str; 10] =
    ["7", "-3/4", "0", "1001101100010001", "[1, 2]", "1", "-12", "5/2", "true", "100"];

/// The one seed task of `kind`. Its values are its arguments.
pub(crate) fn seed_task(kind: Kind) -> Result<Task> {
    let definition = Definition::parse(IDENTITY).map_err(|error| {
        PluginError::new(ErrorCode::Internal, format!("the math domain's seed is wrong: {error:?}"))
    })?;
    let (definition_text, itself) = (IDENTITY.to_owned(), |text: &str| text.to_owned());
    match kind {
        Kind::Deduction | Kind::Abduction => {
            CallTask { definition: definition_text, input: itself(INPUT), output: itself(INPUT) }
                .to_task(kind, &definition)
        }
        Kind::Induction => {
            let points = INDUCTION_INPUTS.map(|input| (itself(input), itself(input))).to_vec();
            InductionTask { definition: definition_text, message: MESSAGE.to_owned(), points }
                .to_task(&definition)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{list, parse_arguments};

    #[test]
    fn every_kind_starts_from_the_identity() {
        for kind in [Kind::Deduction, Kind::Abduction] {
            let seed = seed_task(kind).unwrap();
            let task = CallTask::read(&seed).unwrap();
            assert_eq!(seed.kind, kind.as_str());
            assert_eq!((task.input.as_str(), task.output.as_str()), (INPUT, INPUT));
        }
        let task = InductionTask::read(&seed_task(Kind::Induction).unwrap()).unwrap();
        assert_eq!((task.visible().len(), task.hidden().len()), (5, 5));
        for (input, output) in task.points {
            let arguments = parse_arguments(&input, &["x".to_owned()]).unwrap();
            assert_eq!((list(&arguments), &input), (input.clone(), &output));
        }
    }
}
