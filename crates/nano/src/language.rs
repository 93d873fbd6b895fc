//! The words that programs are made of: types, operations with a description in English, names, random arguments.
//!
//! In the texts `{x}` and `{y}` are variables, `{c}` is a digit, `{d}` a 2 or 3, and `{a}` and `{b}` are letters.

use crate::draw::Draws;

/// Types of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Int,
    Str,
    /// A list of integers.
    List,
    /// A list of strings.
    Words,
    /// Strings to integers.
    Dict,
}

/// How often a parameter has a type.
pub(crate) const PARAMETERS: [(Type, usize); 4] =
    [(Type::Int, 26), (Type::Str, 32), (Type::List, 36), (Type::Dict, 6)];

/// An expression over one variable, or two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) to: Type,
    pub(crate) code: &'static str,
    pub(crate) words: &'static str,
}

const fn to(to: Type, code: &'static str, words: &'static str) -> Operation {
    Operation { to, code, words }
}

use Type::{Dict, Int, List, Str, Words};

/// Operations on a value of the given type.
pub(crate) const fn operations(on: Type) -> &'static [Operation] {
    match on {
        Int => {
            const {
                &[
                    to(Int, "{x} + {c}", "add {c}"),
                    to(Int, "{x} - {c}", "take away {c}"),
                    to(Int, "{x} * {d}", "times {d}"),
                    to(Int, "{x} // 2", "halve"),
                    to(Int, "{x} % {c}", "rest of division by {c}"),
                    to(Int, "max({x}, {c})", "at least {c}"),
                    to(Int, "min({x}, {c})", "at most {c}"),
                    to(Int, "-{x}", "negate"),
                    to(List, "[{x}, {c}]", "pair with {c}"),
                    to(List, "[{x}, {x} + {c}]", "pair with {c} more"),
                    to(Str, "str({x})", "as text"),
                ]
            }
        }
        Str => {
            const {
                &[
                    to(Str, "{x}[::-1]", "reverse"),
                    to(Str, "{x} + {a}", "put {a} behind"),
                    to(Str, "{a} + {x}", "put {a} before"),
                    to(Str, "{x}[1:]", "drop the first"),
                    to(Str, "{x}[:-1]", "drop the last"),
                    to(Str, "{x} + {x}[0]", "first again at the end"),
                    to(Str, "{x}[-1] + {x}", "last again at the start"),
                    to(Str, "{x}.replace({a}, {b})", "{a} becomes {b}"),
                    to(Str, "{x}.upper()", "upper case"),
                    to(Str, "{x}[:{d}]", "keep the first {d}"),
                    to(Int, "len({x})", "length"),
                    to(Int, "{x}.count({a})", "count {a}"),
                    to(Words, "list({x})", "as list"),
                ]
            }
        }
        List => {
            const {
                &[
                    to(List, "{x}[::-1]", "reverse"),
                    to(List, "sorted({x})", "sort"),
                    to(List, "{x} + [{c}]", "put {c} behind"),
                    to(List, "[{c}] + {x}", "put {c} before"),
                    to(List, "{x}[1:]", "drop the first"),
                    to(List, "{x}[:-1]", "drop the last"),
                    to(List, "{x}[:{d}]", "keep the first {d}"),
                    to(List, "[v + {c} for v in {x}]", "add {c} to each"),
                    to(List, "[v * {d} for v in {x}]", "times {d} each"),
                    to(List, "[v for v in {x} if v > {c}]", "keep above {c}"),
                    to(List, "[v for v in {x} if v != {c}]", "remove {c}"),
                    to(List, "[v for v in {x} if v % 2 == 0]", "keep even"),
                    to(Int, "len({x})", "length"),
                    to(Int, "sum({x})", "sum"),
                    to(Int, "max({x})", "largest"),
                    to(Int, "min({x})", "smallest"),
                    to(Int, "{x}[0]", "the first"),
                    to(Int, "{x}[-1]", "the last"),
                    to(Int, "{x}.count({c})", "count {c}"),
                ]
            }
        }
        Words => {
            const {
                &[
                    to(Words, "{x}[::-1]", "reverse"),
                    to(Words, "sorted({x})", "sort"),
                    to(Words, "{x} + [{a}]", "put {a} behind"),
                    to(Words, "{x}[1:]", "drop the first"),
                    to(Words, "[w for w in {x} if w != {a}]", "remove {a}"),
                    to(Str, "''.join({x})", "join"),
                    to(Str, "'-'.join({x})", "join by dashes"),
                    to(Str, "{x}[0]", "the first"),
                    to(Int, "len({x})", "length"),
                ]
            }
        }
        Dict => {
            const {
                &[
                    to(Dict, "{k: v + {c} for k, v in {x}.items()}", "add {c} to each"),
                    to(Words, "sorted({x})", "sort the keys"),
                    to(List, "list({x}.values())", "the values"),
                    to(List, "sorted({x}.values())", "sort the values"),
                    to(Int, "sum({x}.values())", "sum of values"),
                    to(Int, "{x}.get({a}, {c})", "look up {a}, else {c}"),
                    to(Int, "len({x})", "length"),
                ]
            }
        }
    }
}

/// Operations on a value of type `on` and another variable `{y}` of type `with`.
pub(crate) const fn combinations(on: Type, with: Type) -> &'static [Operation] {
    match (on, with) {
        (Int, Int) => {
            const {
                &[
                    to(Int, "{x} + {y}", "add {y}"),
                    to(Int, "{x} - {y}", "take away {y}"),
                    to(Int, "max({x}, {y})", "larger of both"),
                    to(List, "[{x}, {y}]", "pair with {y}"),
                ]
            }
        }
        (Str, Str) => const { &[to(Str, "{x} + {y}", "put {y} behind")] },
        (Str, Int) => const { &[to(Str, "{x} + str({y})", "put {y} behind")] },
        (List, List) => const { &[to(List, "{x} + {y}", "put {y} behind")] },
        (List, Int) => {
            const {
                &[
                    to(List, "{x} + [{y}]", "put {y} behind"),
                    to(List, "[{y}] + {x}", "put {y} before"),
                    to(List, "[v + {y} for v in {x}]", "add {y} to each"),
                    to(Int, "{x}.count({y})", "count {y}"),
                ]
            }
        }
        (Words, Str) => const { &[to(Words, "{x} + [{y}]", "put {y} behind")] },
        (Dict, Str) => const { &[to(Int, "{x}.get({y}, 0)", "look up {y}")] },
        _ => const { &[] },
    }
}

/// Conditions on a value of the given type.
pub(crate) const fn conditions(on: Type) -> &'static [(&'static str, &'static str)] {
    match on {
        Int => {
            const { &[("{x} > {c}", "above {c}"), ("{x} % 2 == 0", "even"), ("{x} < {c}", "below {c}")] }
        }
        Str => const { &[("{a} in {x}", "with {a}"), ("len({x}) > {c}", "longer than {c}")] },
        List => {
            const {
                &[
                    ("{c} in {x}", "with {c}"),
                    ("len({x}) > {d}", "longer than {d}"),
                    ("sum({x}) > 1{c}", "sum above 1{c}"),
                ]
            }
        }
        Words | Dict => const { &[("len({x}) > {d}", "longer than {d}")] },
    }
}

/// A loop: where the accumulator starts, what is gone over, the statement inside, and the accumulator's type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loop {
    pub(crate) to: Type,
    pub(crate) start: &'static str,
    pub(crate) over: &'static str,
    pub(crate) condition: Option<&'static str>,
    /// The accumulator is `{y}`.
    pub(crate) step: &'static str,
    pub(crate) words: &'static str,
}

const fn going(
    to: Type,
    start: &'static str,
    over: &'static str,
    condition: Option<&'static str>,
    step: &'static str,
    words: &'static str,
) -> Loop {
    Loop { to, start, over, condition, step, words }
}

/// Loops over a value of the given type.
pub(crate) const fn loops(on: Type) -> &'static [Loop] {
    match on {
        Int => {
            const {
                &[
                    going(
                        Int,
                        "{x}",
                        "i in range({d})",
                        None,
                        "{y} + i",
                        "add each number below {d}",
                    ),
                    going(Int, "{x}", "i in range({d})", None, "{y} * 2", "double {d} times"),
                    going(Int, "0", "i in range({d})", None, "{y} + {x}", "{d} times"),
                ]
            }
        }
        Str => {
            const {
                &[
                    going(Str, "''", "v in {x}", None, "v + {y}", "build it backwards"),
                    going(Str, "''", "v in {x}", None, "{y} + v + v", "double each"),
                    going(Str, "''", "v in {x}", Some("v != {a}"), "{y} + v", "without {a}"),
                    going(Int, "0", "v in {x}", Some("v == {a}"), "{y} + 1", "count {a} in a loop"),
                ]
            }
        }
        List => {
            const {
                &[
                    going(Int, "0", "v in {x}", None, "{y} + v", "sum in a loop"),
                    going(Int, "0", "v in {x}", Some("v > {c}"), "{y} + v", "sum above {c}"),
                    going(Int, "0", "v in {x}", Some("v % 2 == 0"), "{y} + 1", "how many even"),
                    going(
                        Int,
                        "0",
                        "v in {x}",
                        None,
                        "max({y}, v)",
                        "largest in a loop, at least 0",
                    ),
                    going(List, "[]", "v in {x}", None, "[v] + {y}", "build it backwards"),
                    going(
                        List,
                        "[]",
                        "v in {x}",
                        Some("v > {c}"),
                        "{y} + [v]",
                        "collect above {c}",
                    ),
                    going(List, "[]", "v in {x}", None, "{y} + [v + {c}]", "collect plus {c}"),
                ]
            }
        }
        Words => {
            const {
                &[
                    going(Str, "''", "v in {x}", None, "{y} + v", "join in a loop"),
                    going(Str, "''", "v in {x}", None, "v + {y}", "join backwards"),
                ]
            }
        }
        Dict => {
            const {
                &[
                    going(
                        Int,
                        "0",
                        "v in {x}.values()",
                        None,
                        "{y} + v",
                        "sum of values in a loop",
                    ),
                    going(Str, "''", "k in {x}", None, "{y} + k", "join the keys"),
                ]
            }
        }
    }
}

/// Names of variables of the given type.
pub(crate) const fn names(of: Type) -> &'static [&'static str] {
    match of {
        Int => const { &["n", "m", "p", "q", "r"] },
        Str => const { &["s", "t", "u", "a", "b"] },
        List => const { &["xs", "ys", "zs", "us", "vs"] },
        Words => const { &["ws", "ts", "ps", "qs"] },
        Dict => const { &["d", "e", "g", "h"] },
    }
}

/// A random value of the given type, as Python text.
pub(crate) fn argument(of: Type, draws: &mut Draws) -> String {
    let letters =
        |draws: &mut Draws, n: i64| -> String { (0..n).map(|_| *draws.choose(&LETTERS)).collect() };
    match of {
        Int => match draws.chance(10) {
            true => draws.between(-5, -1),
            false => draws.between(0, 12),
        }
        .to_string(),
        Str => {
            let n = draws.between(2, 4);
            format!("'{}'", letters(draws, n))
        }
        List => {
            let n = draws.between(2, 4);
            let items: Vec<_> = (0..n).map(|_| draws.between(0, 9).to_string()).collect();
            format!("[{}]", items.join(", "))
        }
        Words => {
            let n = draws.between(2, 4);
            let items: Vec<_> = (0..n).map(|_| format!("'{}'", letters(draws, 1))).collect();
            format!("[{}]", items.join(", "))
        }
        Dict => {
            let mut keys = LETTERS;
            draws.shuffle(&mut keys);
            let n = draws.between(2, 3) as usize;
            let items: Vec<_> =
                (keys[..n].iter()).map(|key| format!("'{key}': {}", draws.between(0, 9))).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// The letters of texts: few, so that conditions on letters often hold.
pub(crate) const LETTERS: [char; 6] = ['a', 'b', 'c', 'e', 'k', 'o'];
