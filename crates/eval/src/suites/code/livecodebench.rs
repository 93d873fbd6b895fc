//! The execution part of LiveCodeBench (Jain et al. 2024, arXiv 2403.07974), file `execution-v2`.
//!
//! A line holds `code`, `input` (a whole call such as `count(nums = [1, 2])`) and `output` (a literal). The item's id is
//! `id`, else `question_id`; either may be a number. Other fields are passed over.

use std::path::Path;

use azr_executor::parse_literal;
use serde::Deserialize;

use super::prediction::{Hidden, Item, Prediction};
use crate::{EvalError, Located, Result, read_lines};

#[derive(Deserialize)]
struct Line {
    id: Option<Id>,
    question_id: Option<Id>,
    code: String,
    input: String,
    output: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(u64),
}

/// Opens `livecodebench_execution.jsonl`: what does the call return?
///
/// # Errors
/// The file cannot be read, or a line is no item: it is named.
pub fn open(path: &Path) -> Result<Prediction> {
    let item = |Located { line, value }: Located<Line>| {
        let item = item(value);
        let wrong = |reason| EvalError::Line { path: path.into(), line, reason };
        Ok((line, item.map_err(wrong)?))
    };
    let items = read_lines(path)?.into_iter().map(item).collect::<Result<_>>()?;
    Prediction::new("livecodebench-execution", Hidden::Output, path, items)
}

fn item(line: Line) -> std::result::Result<Item, String> {
    let id = match line.id.or(line.question_id).ok_or("missing field `id` or `question_id`")? {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    };
    let call = line.input.trim().split_once('(');
    let call = call.and_then(|(name, rest)| Some((name.trim(), rest.strip_suffix(')')?)));
    let (function, input) = call.ok_or("field `input` is no call")?;
    let output = parse_literal(&line.output).map_err(|error| format!("field `output`: {error}"))?;
    Ok(Item { id, code: line.code, function: function.to_owned(), input: input.to_owned(), output })
}
