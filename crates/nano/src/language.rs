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
    /// Strings to integers.
    Dict,
}

/// How often a parameter has a type.
pub(crate) const PARAMETERS: [(Type, usize); 4] =
    [(Type::Int, 26), (Type::Str, 32), (Type::List, 34), (Type::Dict, 8)];

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

use Type::{Dict, Int, List, Str};

/// Operations on a value of the given type. Few: each is a skill that a small model has to learn from examples.
pub(crate) const fn operations(on: Type) -> &'static [Operation] {
    match on {
        Int => {
            const {
                &[
                    to(Int, "{x} + {c}", "add {c}"),
                    to(Int, "{x} - {c}", "take away {c}"),
                    to(Int, "{x} * {d}", "times {d}"),
                    to(Int, "{x} // 2", "halve"),
                    to(Int, "max({x}, {c})", "at least {c}"),
                    to(List, "[{x}, {c}]", "pair with {c}"),
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
                    to(Str, "{x}.replace({a}, {b})", "{a} becomes {b}"),
                    to(Str, "{x}.upper()", "upper case"),
                    to(Int, "len({x})", "length"),
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
                    to(List, "[v + {c} for v in {x}]", "add {c} to each"),
                    to(List, "[v for v in {x} if v > {c}]", "keep above {c}"),
                    to(Int, "len({x})", "length"),
                    to(Int, "sum({x})", "sum"),
                    to(Int, "max({x})", "largest"),
                    to(Int, "{x}[0]", "the first"),
                    to(Int, "{x}[-1]", "the last"),
                ]
            }
        }
        Dict => {
            const {
                &[
                    to(Dict, "{k: v + {c} for k, v in {x}.items()}", "add {c} to each"),
                    to(List, "list({x}.values())", "the values"),
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
            const { &[to(Int, "{x} + {y}", "add {y}"), to(List, "[{x}, {y}]", "pair with {y}")] }
        }
        (Str, Str) => const { &[to(Str, "{x} + {y}", "put {y} behind")] },
        (List, Int) => {
            const {
                &[
                    to(List, "{x} + [{y}]", "put {y} behind"),
                    to(List, "[{y}] + {x}", "put {y} before"),
                ]
            }
        }
        (Dict, Str) => const { &[to(Int, "{x}.get({y}, 0)", "look up {y}")] },
        _ => const { &[] },
    }
}

/// Conditions on a value of the given type.
pub(crate) const fn conditions(on: Type) -> &'static [(&'static str, &'static str)] {
    match on {
        Int => const { &[("{x} > {c}", "above {c}")] },
        Str => const { &[("{a} in {x}", "with {a}"), ("len({x}) > {d}", "longer than {d}")] },
        List => const { &[("{c} in {x}", "with {c}"), ("len({x}) > {d}", "longer than {d}")] },
        Dict => const { &[("len({x}) > 2", "longer than 2")] },
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
    [start, over, step, words]: [&'static str; 4],
    condition: Option<&'static str>,
) -> Loop {
    Loop { to, start, over, condition, step, words }
}

/// Loops over a value of the given type.
pub(crate) const fn loops(on: Type) -> &'static [Loop] {
    match on {
        Int => {
            const { &[going(Int, ["{x}", "i in range({d})", "{y} + {d}", "{d} times add {d}"], None)] }
        }
        Str => {
            const {
                &[
                    going(Str, ["''", "v in {x}", "v + {y}", "build it backwards"], None),
                    going(Str, ["''", "v in {x}", "{y} + v", "without {a}"], Some("v != {a}")),
                ]
            }
        }
        List => {
            const {
                &[
                    going(Int, ["0", "v in {x}", "{y} + v", "sum in a loop"], None),
                    going(
                        List,
                        ["[]", "v in {x}", "{y} + [v]", "collect above {c}"],
                        Some("v > {c}"),
                    ),
                ]
            }
        }
        Dict => const { &[going(Str, ["''", "k in {x}", "{y} + k", "join the keys"], None)] },
    }
}

/// Names of variables of the given type, in alphabetical order: the letter tells the place in a function, what follows it
/// the type. Letters of texts, of functions and of items are left out.
pub(crate) const fn names(of: Type) -> &'static [&'static str; N_NAMES] {
    match of {
        Int => &["d", "h", "j", "l", "m", "n", "p", "q", "r", "s", "t", "u", "w", "x", "y", "z"],
        Str => &[
            "dt", "ht", "jt", "lt", "mt", "nt", "pt", "qt", "rt", "st", "tt", "ut", "wt", "xt",
            "yt", "zt",
        ],
        List => &[
            "ds", "hs", "js", "ls", "ms", "ns", "ps", "qs", "rs", "ss", "ts", "us", "ws", "xs",
            "ys", "zs",
        ],
        Dict => &[
            "dd", "hd", "jd", "ld", "md", "nd", "pd", "qd", "rd", "sd", "td", "ud", "wd", "xd",
            "yd", "zd",
        ],
    }
}

/// Letters of names.
pub(crate) const N_NAMES: usize = 16;

/// A random value of the given type, as Python text.
pub(crate) fn argument(of: Type, draws: &mut Draws) -> String {
    let letters =
        |draws: &mut Draws, n: i64| -> String { (0..n).map(|_| *draws.choose(&LETTERS)).collect() };
    match of {
        Int => match draws.chance(5) {
            true => draws.between(-5, -1),
            false => draws.between(0, 9),
        }
        .to_string(),
        Str => {
            let n = draws.between(2, 4);
            format!("'{}'", letters(draws, n))
        }
        List => {
            let n = draws.between(2, 4);
            let items: Vec<_> = (0..n).map(|_| draws.between(0, 6).to_string()).collect();
            format!("[{}]", items.join(", "))
        }
        Dict => {
            let mut keys = LETTERS;
            draws.shuffle(&mut keys);
            let n = draws.between(2, 3) as usize;
            let items: Vec<_> =
                (keys[..n].iter()).map(|key| format!("'{key}': {}", draws.between(0, 6))).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// The letters of texts: few, so that conditions on letters often hold.
pub(crate) const LETTERS: [char; 6] = ['a', 'b', 'c', 'e', 'k', 'o'];
