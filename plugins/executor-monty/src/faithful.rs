//! Keeps the interpreter honest: finds on the syntax tree where Monty would silently do something else than CPython.
//!
//! A program that could show such a difference is refused with the name of the feature, or rewritten so that it
//! notices by itself (see [`edits`]). All rules err on the side of refusal: what is refused costs time, what slips
//! through is a wrong answer.
//!
//! | feature | what differs |
//! |---|---|
//! | `set order` | sets iterate in the order of insertion |
//! | `lazy iterator` | generator expressions, `map`, `filter`, `zip`, `enumerate` and `reversed` are lists |
//! | `in-place operator` | they make new lists, sets and dicts |
//! | `float division`, `float rounding` | remainders and digits of floats are computed with rounding |
//! | `huge division`, `float range`, `infinity` | integers that are too long for a float do not overflow |
//! | `equal keys` | of equal numbers of different types, another one stays in a dict |
//! | `unicode`, `surrogate`, `center` | other tables and rules for characters |
//! | `re` | the engine is another one |
//! | `math` | some functions have other last digits |
//! | `address`, `cycle` | texts of functions, objects and values that hold themselves |
//! | `finally` | one that leaves its block swallows what only Monty raises |
//! | `float power` | a negative number to a fraction is NaN and not complex, an overflow is infinite |
//! | `float sum` | sums are not compensated, as they are from CPython 3.12 on |
//! | `nan` | `x in [x]` is false for NaN |
//! | `except` | a handler could catch what only Monty raises |
//! | `special method` | only some are called |
//! | `reflection` | attributes that Monty does not have are seen to be missing |

use azr_executor::Value;
use azr_executor::literal::Arguments;
use ruff_python_ast::{Expr, ModModule, Stmt};

mod aliases;
mod attempts;
mod calls;
mod edits;
mod keys;
mod lazy;
mod names;
mod operators;
mod patterns;
mod shown;
mod syntax;
mod text;
mod walk;

use walk::Walk;

/// A program as the worker gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Faithful {
    pub(crate) source: String,
    /// Whether the program collects reasons to distrust its own result.
    pub(crate) is_guarded: bool,
}

/// The program in a form that gives CPython's results for calls with these arguments, or the feature that stands against it.
pub(crate) fn faithful(
    source: &str,
    module: &ModModule,
    calls: &[&Arguments],
) -> Result<Faithful, &'static str> {
    if source.contains(crate::guard::PREFIX) {
        return Err("name");
    }
    let mut has_sets = false;
    for value in calls.iter().flat_map(|call| values(call)) {
        has_sets |= check_argument(value)?;
    }
    attempts::check(module)?;
    patterns::check(module)?;
    shown::check(module)?;
    let looks_up = text::check(source, module, calls)?;
    keys::check(module, calls)?;
    let facts = names::Facts::of(module, calls, has_sets, looks_up);
    let mut walk = Walk::new(source, &facts);
    walk.body(&module.body)?;
    edits::apply(source, walk.edits, &walk.helpers)
}

fn values(call: &Arguments) -> impl Iterator<Item = &Value> {
    call.positional.iter().chain(call.keyword.iter().map(|(_, value)| value))
}

/// Whether an argument is a set. Sets inside other arguments cannot be followed.
fn check_argument(value: &Value) -> Result<bool, &'static str> {
    match value {
        Value::Set(items) | Value::FrozenSet(items) => {
            items.iter().try_for_each(check_plain)?;
            Ok(true)
        }
        other => check_plain(other).map(|()| false),
    }
}

fn check_plain(value: &Value) -> Result<(), &'static str> {
    match value {
        Value::Float(value) if value.is_nan() => Err("nan"),
        // The way to NaN is short.
        Value::Float(value) if value.is_infinite() => Err("infinity"),
        Value::Set(items) | Value::FrozenSet(items) if items.len() > 1 => Err("set order"),
        Value::Set(items) | Value::FrozenSet(items) | Value::List(items) | Value::Tuple(items) => {
            items.iter().try_for_each(check_plain)
        }
        Value::Dict(entries) => entries
            .iter()
            .try_for_each(|(key, value)| check_plain(key).and_then(|()| check_plain(value))),
        _ => Ok(()),
    }
}

/// Whether a statement is the definition of a function of this name.
fn is_function(statement: &Stmt, name: &str) -> bool {
    matches!(statement, Stmt::FunctionDef(function) if function.name.as_str() == name)
}

/// The name that an expression is, if it is one.
fn name(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Name(name) => Some(name.id.as_str()),
        _ => None,
    }
}
