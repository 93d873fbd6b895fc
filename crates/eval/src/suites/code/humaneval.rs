//! HumanEval+ (EvalPlus v0.1.10, the 164 tasks of HumanEval with more inputs).

use std::path::Path;

use super::oracle::{Oracle, Rule};
use super::problem::{self, Format};
use super::synthesis::{Synthesis, Wording};
use crate::Result;

const WORDING: Wording = Wording {
    instruction: "Complete this Python function.",
    stops: &[
        "\ndef ",
        "\nclass ",
        "\nimport ",
        "\nfrom ",
        "\nassert ",
        "\nif __name__",
        "\nprint(",
        "\n#",
        "```",
    ],
    is_header: true,
};

/// Opens `HumanEvalPlus.jsonl`.
///
/// # Errors
/// The file cannot be read, or a line is no task: it is named.
pub fn open(path: &Path) -> Result<Synthesis> {
    let format = Format { argument: |_, _, value| Ok(value), oracle };
    Ok(Synthesis::new("humaneval+", WORDING, problem::read(path, &format)?))
}

fn oracle(entry_point: &str, tolerance: f64) -> Oracle {
    let rule = if entry_point == "find_zero" { Rule::Root } else { Rule::Equal };
    Oracle { rule, tolerance }
}
