//! Problems that ask for a function, as EvalPlus keeps them: HumanEval+ and MBPP+.

use std::collections::BTreeSet;
use std::path::Path;

use azr_executor::Value;

use super::json;
use super::oracle::Oracle;
use crate::data::read_texts;
use crate::{EvalError, Located, Result};

/// A function to write.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) id: String,
    /// What the model is shown, without blank lines around it and with one line end.
    pub(super) prompt: String,
    /// The function's name.
    pub(super) entry_point: String,
    /// What makes a right program behind the prompt.
    pub(super) solution: String,
    /// Argument lists that it is called with: those of the original benchmark, then those that EvalPlus added.
    pub(super) inputs: Vec<Vec<Value>>,
    pub(super) oracle: Oracle,
}

impl Problem {
    /// The program of the data's own solution.
    pub(super) fn reference(&self) -> String {
        format!("{}{}", self.prompt, self.solution)
    }
}

/// How a benchmark differs from what is common to both.
pub(super) struct Format {
    /// An argument of task number `.0` at position `.1`, as the type that the program takes.
    pub(super) argument: fn(u32, usize, Value) -> std::result::Result<Value, String>,
    /// The rule for the values of the function of this name, with the absolute tolerance that the data state.
    pub(super) oracle: fn(&str, f64) -> Oracle,
}

/// The problems of a file with one JSON object a line: `task_id` (which ends with `/` and a number), `prompt`,
/// `entry_point`, `canonical_solution`, `base_input` and `plus_input` (lists of argument lists) and `atol`.
pub(super) fn read(path: &Path, format: &Format) -> Result<Vec<Problem>> {
    let mut ids = BTreeSet::new();
    let mut problems = Vec::new();
    for Located { line, value: text } in read_texts(path)? {
        let wrong = |reason| EvalError::Line { path: path.into(), line, reason };
        let problem = json::parse(&text).and_then(|value| Fields::of(value)?.problem(format));
        let problem = problem.map_err(wrong)?;
        if !ids.insert(problem.id.clone()) {
            return Err(wrong(format!("task `{}` is in the file twice", problem.id)));
        }
        problems.push(problem);
    }
    Ok(problems)
}

/// The fields of a line.
struct Fields(Vec<(Value, Value)>);

impl Fields {
    fn of(value: Value) -> std::result::Result<Self, String> {
        match value {
            Value::Dict(entries) => Ok(Self(entries)),
            other => Err(format!("expected an object, found a {}", other.type_name())),
        }
    }

    fn take(&mut self, name: &str) -> std::result::Result<Value, String> {
        let is_it = |(other, _): &(Value, Value)| matches!(other, Value::Str(text) if text == name);
        let at = self.0.iter().position(is_it).ok_or_else(|| format!("missing field `{name}`"))?;
        Ok(self.0.swap_remove(at).1)
    }

    fn text(&mut self, name: &str) -> std::result::Result<String, String> {
        match self.take(name)? {
            Value::Str(text) => Ok(text),
            other => Err(format!("field `{name}` is a {}, not a text", other.type_name())),
        }
    }

    /// Argument lists. MBPP+ has an empty object where there are none.
    fn inputs(&mut self, name: &str) -> std::result::Result<Vec<Vec<Value>>, String> {
        let wrong = || format!("field `{name}` is no list of argument lists");
        match self.take(name)? {
            Value::Dict(entries) if entries.is_empty() => Ok(Vec::new()),
            Value::List(inputs) => {
                let arguments = |input| match input {
                    Value::List(arguments) => Ok(arguments),
                    _ => Err(wrong()),
                };
                inputs.into_iter().map(arguments).collect()
            }
            _ => Err(wrong()),
        }
    }

    fn problem(mut self, format: &Format) -> std::result::Result<Problem, String> {
        let id = self.text("task_id")?;
        let number = id.rsplit('/').next().and_then(|number| number.parse().ok());
        let number: u32 = number.ok_or_else(|| format!("`{id}` does not end with a number"))?;
        let entry_point = self.text("entry_point")?;
        let tolerance = match self.take("atol")? {
            Value::Float(tolerance) if tolerance >= 0.0 => tolerance,
            Value::Int(whole) if whole.to_string() == "0" => 0.0,
            other => return Err(format!("field `atol` is {}, not a tolerance", other.repr())),
        };
        let mut inputs = self.inputs("base_input")?;
        inputs.extend(self.inputs("plus_input")?);
        if inputs.is_empty() {
            return Err(format!("`{id}` has no inputs, so nothing would be tested"));
        }
        let typed = |input: Vec<Value>| {
            let arguments = input.into_iter().enumerate();
            arguments.map(|(position, value)| (format.argument)(number, position, value)).collect()
        };
        Ok(Problem {
            id,
            prompt: format!("{}\n", self.text("prompt")?.trim()),
            oracle: (format.oracle)(&entry_point, tolerance),
            entry_point,
            solution: self.text("canonical_solution")?,
            inputs: inputs.into_iter().map(typed).collect::<std::result::Result<_, _>>()?,
        })
    }
}
