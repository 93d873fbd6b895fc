//! CRUXEval: 800 short programs with one call each (Gu et al. 2024, arXiv 2401.03065).
//!
//! A line holds `id`, `code` (which defines `f`), `input` (what stands between the parentheses of the call) and `output`
//! (a literal). The original evaluates what a model writes; here answers are literals, so `'ab' * 3` is no answer, but for
//! the data's own `input`, which is no literal in a few items (`sample_152`, `_239`, `_258`, `_344` and `_364` among the
//! first 400).

use std::path::Path;

use azr_executor::parse_literal;
use serde::Deserialize;

use super::prediction::{Hidden, Item, Prediction};
use crate::{EvalError, Located, Result, read_lines};

#[derive(Deserialize)]
struct Line {
    id: String,
    code: String,
    input: String,
    output: String,
}

/// Opens `cruxeval.jsonl` as `cruxeval-o`: what does the call return?
///
/// # Errors
/// The file cannot be read, or a line is no item: it is named.
pub fn open_output(path: &Path) -> Result<Prediction> {
    open("cruxeval-o", Hidden::Output, path)
}

/// Opens `cruxeval.jsonl` as `cruxeval-i`: which call returns the value?
///
/// # Errors
/// The file cannot be read, or a line is no item: it is named.
pub fn open_input(path: &Path) -> Result<Prediction> {
    open("cruxeval-i", Hidden::Input, path)
}

fn open(name: &'static str, hidden: Hidden, path: &Path) -> Result<Prediction> {
    let item = |Located { line, value }: Located<Line>| {
        let Line { id, code, input, output } = value;
        let output = parse_literal(&output).map_err(|error| EvalError::Line {
            path: path.into(),
            line,
            reason: format!("field `output`: {error}"),
        })?;
        let input = input.trim().to_owned();
        Ok((line, Item { id, code, function: "f".to_owned(), input, output }))
    };
    let items = read_lines(path)?.into_iter().map(item).collect::<Result<_>>()?;
    Prediction::new(name, hidden, path, items)
}
