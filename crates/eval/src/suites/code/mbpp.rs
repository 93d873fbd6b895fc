//! MBPP+ (EvalPlus v0.2.0, 378 tasks of the sanitized MBPP with more inputs).

use std::path::Path;

use azr_executor::Value;
use azr_executor::value::BigInt;

use super::oracle::{Oracle, Rule};
use super::problem::{self, Format};
use super::synthesis::{Synthesis, Wording};
use crate::Result;

const WORDING: Wording = Wording {
    instruction: "Write the Python function that this text describes; the assertion shows its name and how it is called.",
    stops: &["\n\"\"\"", "\nassert", "\nif __name__", "\nprint(", "\nclass Test", "\n# ", "```"],
    is_header: false,
};

/// Opens `MbppPlus.jsonl`.
///
/// # Errors
/// The file cannot be read, or a line is no task: it is named.
pub fn open(path: &Path) -> Result<Synthesis> {
    let problems = problem::read(path, &Format { argument, oracle })?;
    Ok(Synthesis::new("mbpp+", WORDING, problems))
}

/// JSON has neither tuples nor sets nor complex numbers, so arguments are turned back by the number of the task
/// (`mbpp_deserialize_inputs` of EvalPlus).
fn argument(task: u32, position: usize, value: Value) -> std::result::Result<Value, String> {
    Ok(match (task, position) {
        (
            2 | 116 | 132 | 143 | 222 | 261 | 273 | 394 | 399 | 421 | 424 | 429 | 470 | 560 | 579
            | 596 | 616 | 630 | 726 | 740 | 744 | 809,
            _,
        ) => tuple(value),
        (
            63 | 64 | 70 | 94 | 120 | 237 | 272 | 299 | 400 | 409 | 417 | 438 | 473 | 614 | 780,
            _,
        )
        | (75 | 413 | 444 | 753, 0) => each(value, tuple),
        (106 | 750, 1) | (250 | 307 | 405 | 446 | 617 | 720 | 763 | 808, 0) => tuple(value),
        (259 | 278 | 401 | 445, _) => tuple(each(value, tuple)),
        (580 | 615 | 791, _) => tuples(value),
        (115, _) => each(value, set_or_dict),
        (124, 0) => Value::Float(complex(&value)?.0),
        (124, _) | (252, 0) => {
            let (re, im) = complex(&value)?;
            Value::Complex(re, im)
        }
        (722, 0) => match value {
            Value::Dict(entries) => {
                Value::Dict(entries.into_iter().map(|(name, value)| (name, tuple(value))).collect())
            }
            other => other,
        },
        _ => value,
    })
}

fn tuple(value: Value) -> Value {
    match value {
        Value::List(items) => Value::Tuple(items),
        other => other,
    }
}

/// All lists, however deep.
fn tuples(value: Value) -> Value {
    tuple(each(value, tuples))
}

fn each(value: Value, convert: fn(Value) -> Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(convert).collect()),
        other => other,
    }
}

/// A set, or an empty dict where there is nothing in it.
fn set_or_dict(value: Value) -> Value {
    match value {
        Value::List(items) if !items.is_empty() => {
            Value::set(items.clone()).unwrap_or(Value::List(items))
        }
        _ => Value::Dict(Vec::new()),
    }
}

/// What Python's `complex` makes of a number or of a text such as `(-0-1e-16j)`.
fn complex(value: &Value) -> std::result::Result<(f64, f64), String> {
    let real = |number: &BigInt| number.to_string().parse().ok().map(|number| (number, 0.0));
    let number = match value {
        Value::Int(number) => real(number),
        Value::Float(number) => Some((*number, 0.0)),
        Value::Str(text) => {
            let bare = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
            complex_of_text(bare.unwrap_or(text))
        }
        _ => None,
    };
    number.ok_or_else(|| format!("{} is no complex number", value.repr()))
}

fn complex_of_text(text: &str) -> Option<(f64, f64)> {
    let Some(numbers) = text.strip_suffix('j') else {
        return text.parse().ok().map(|real| (real, 0.0));
    };
    let is_exponent = |at: usize| numbers.get(..at).is_some_and(|text| text.ends_with(['e', 'E']));
    let mut signs = numbers.rmatch_indices(['+', '-']).map(|(at, _)| at);
    let sign = signs.find(|at| !is_exponent(*at)).unwrap_or(0);
    let (real, imaginary) = numbers.split_at_checked(sign)?;
    let real = if real.is_empty() { 0.0 } else { real.parse().ok()? };
    Some((real, imaginary.parse().ok()?))
}

fn oracle(entry_point: &str, tolerance: f64) -> Oracle {
    let rule = match entry_point {
        "check_str" | "text_match_three" | "text_starta_endb" => Rule::Found,
        "similar_elements"
        | "find_char_long"
        | "common_in_nested_lists"
        | "extract_singly"
        | "larg_nnum"
        | "intersection_array"
        | "find_dissimilar"
        | "Diff" => Rule::SameSet,
        "are_equivalent" => Rule::Anything,
        "sum_div" => Rule::OrZero,
        "surface_Area" => Rule::OrSurface,
        "digit_distance_nums" => Rule::OrDigitDistance,
        _ => Rule::Equal,
    };
    Oracle { rule, tolerance }
}

#[cfg(test)]
mod tests {
    use azr_executor::parse_literal;

    use super::*;

    #[test]
    fn arguments_get_the_types_that_their_task_takes() {
        for (task, position, json, expected) in [
            (2, 1, "[1, [2]]", "(1, [2])"),
            (63, 0, "[[1, 2], [3]]", "[(1, 2), (3,)]"),
            (75, 0, "[[1, 2]]", "[(1, 2)]"),
            (75, 1, "3", "3"),
            (106, 0, "[1]", "[1]"),
            (106, 1, "[1]", "(1,)"),
            (307, 0, "[1, [2]]", "(1, [2])"),
            (307, 2, "[1]", "[1]"),
            (259, 1, "[[1], [2]]", "((1,), (2,))"),
            (278, 0, "[1, [2, [3]]]", "(1, (2, [3]))"),
            (791, 0, "[1, [2, [3]]]", "(1, (2, (3,)))"),
            (115, 0, "[[1, 1], [], 2]", "[{1}, {}, {}]"),
            (124, 0, "'-1e-3'", "-0.001"),
            (124, 1, "'(-0-1e-16j)'", "complex(-0.0, -1e-16)"),
            (252, 0, "'1e-5+2e-6j'", "complex(1e-05, 2e-06)"),
            (252, 0, "'-3j'", "complex(0.0, -3.0)"),
            (252, 0, "'69.5'", "complex(69.5, 0.0)"),
            (252, 0, "4", "complex(4.0, 0.0)"),
            (722, 0, "{'a': [1, 2]}", "{'a': (1, 2)}"),
            (3, 0, "[[1]]", "[[1]]"),
        ] {
            let value = parse_literal(json).unwrap();
            let typed = argument(task, position, value).map(|value| value.to_canonical());
            assert_eq!(typed.as_deref(), Ok(expected), "{task} {json}");
        }
        for text in ["'j'", "'1+j'", "'é'", "''", "[1]"] {
            assert!(argument(252, 0, parse_literal(text).unwrap()).is_err(), "{text}");
        }
    }
}
