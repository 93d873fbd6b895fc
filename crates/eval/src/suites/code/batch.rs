//! Many calls of a function in one call of a job.
//!
//! A call of a job costs a process. A problem of EvalPlus has hundreds of inputs, so a program gets a function `f` that
//! takes a list of argument lists, calls the problem's function with each and returns the list of what came back. As in
//! EvalPlus the calls of a batch share the program's state. What the program does to `f` changes what its own process
//! says and nothing else: values are compared on the host.

use azr_executor::value::MAX_NODES;
use azr_executor::{Arguments, Value};

use super::oracle::Rule;

/// Most values in a batch, well below what a call may hold.
const MAX_VALUES: usize = MAX_NODES / 2;

/// Longest batch in bytes of canonical text; on the way to a process it may grow to some times that.
const MAX_BYTES: usize = 96 << 10;

/// Inputs that go out together, by their positions among a problem's inputs.
pub(super) type Batch = Vec<usize>;

/// All of `inputs` in as few batches as the bounds allow, in order. An input beyond them has a batch of its own.
pub(super) fn plan(inputs: &[Vec<Value>]) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let (mut n_values, mut n_bytes) = (usize::MAX, usize::MAX);
    for (position, input) in inputs.iter().enumerate() {
        let values = 1 + input.iter().map(count).sum::<usize>();
        let bytes = call([input]).len();
        n_values = n_values.saturating_add(values);
        n_bytes = n_bytes.saturating_add(bytes);
        match batches.last_mut() {
            Some(batch) if n_values <= MAX_VALUES && n_bytes <= MAX_BYTES => batch.push(position),
            _ => {
                batches.push(vec![position]);
                (n_values, n_bytes) = (values, bytes);
            }
        }
    }
    batches
}

/// The canonical text of the arguments that stand for these inputs.
pub(super) fn call<'a>(inputs: impl IntoIterator<Item = &'a Vec<Value>>) -> String {
    let lists = inputs.into_iter().map(|input| Value::List(input.clone())).collect();
    Arguments { positional: vec![Value::List(lists)], keyword: Vec::new() }.to_canonical()
}

/// The program with an `f` that takes batches. `binds_f` says whether it has an `f` of its own, which the program has to
/// find under that name again.
pub(super) fn program(source: &str, entry_point: &str, binds_f: bool, rule: Rule) -> String {
    let (parameter, first) =
        if binds_f { (", _own=f", "    global f\n    f = _own\n") } else { ("", "") };
    let results = format!("[{entry_point}(*_call) for _call in _calls]");
    let results = match rule {
        Rule::Found => format!(
            "[_value if isinstance(_value, bool) else _value is not None for _value in {results}]"
        ),
        _ => results,
    };
    format!("{source}\n\ndef f(_calls{parameter}):\n{first}    return {results}\n")
}

/// The number of values in a value, itself included.
fn count(value: &Value) -> usize {
    match value {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            1 + items.iter().map(count).sum::<usize>()
        }
        Value::Dict(entries) => {
            1 + entries.iter().map(|(name, value)| count(name) + count(value)).sum::<usize>()
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_as_large_as_the_bounds_allow_and_keep_the_order() {
        let small = vec![Value::from(1), Value::from("a")];
        assert_eq!(call([&small, &small]), "[[1, 'a'], [1, 'a']]");
        assert_eq!(plan(&[]), Vec::<Batch>::new());
        assert_eq!(plan(&vec![small.clone(); 3]), [[0, 1, 2]]);
        let wide = vec![Value::List(vec![Value::None; MAX_VALUES - 2])];
        let long = vec![Value::Str("a".repeat(MAX_BYTES))];
        let inputs = [small.clone(), wide.clone(), small.clone(), long, small.clone(), small];
        assert_eq!(plan(&inputs), [vec![0], vec![1], vec![2], vec![3], vec![4, 5]]);
        assert_eq!(plan(&[wide.clone(), wide]), [[0], [1]]);
        assert_eq!(plan(&vec![vec![Value::None]; MAX_VALUES + 1]).len(), 3);
    }
}
