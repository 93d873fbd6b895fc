//! The expression language: total, exact and terminating.
//!
//! A definition is `f(x, y) = ` and an expression in the parameters. Numbers are rationals of any size: `7`, `0.25`
//! (exactly 1/4), `3/4`. There are `+ - * /`, `//` (quotient rounded down), `mod` (with the divisor's sign), `^` (integer
//! exponents; tighter than a minus before it, grouped to the right), comparisons, which may be chained, `and`, `or`,
//! `not`, `if c then a else b`, lists, the functions of [`Function`], and `sum(k, a, b, body)` and `prod(k, a, b, body)`,
//! which let `k` be each integer from `a` to `b`. Booleans are no numbers, and there is no recursion: every evaluation
//! ends, and [`Limits`] bound how soon.

mod evaluate;
mod functions;
mod grammar;
mod number_theory;
mod print;
mod rational;
mod tree;
mod value;

pub(crate) use evaluate::{Fault, Limits, Work};
pub(crate) use grammar::{MAX_BYTES, MAX_DEPTH, ParseError};
pub(crate) use tree::Definition;
pub(crate) use value::{Value, list, parse_arguments};
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
