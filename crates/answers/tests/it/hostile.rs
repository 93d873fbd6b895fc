//! Whatever a model writes: an end, no panic, and the same verdict in both directions.

use std::time::{Duration, Instant};

use azr_answers::{Tolerance, Verdict, compare, compare_within, extract};
use proptest::prelude::*;

/// No pair may take longer, on a busy machine.
const LIMIT: Duration = Duration::from_secs(5);

fn timed(gold: &str, answer: &str) -> Verdict {
    let start = Instant::now();
    let verdict = compare(gold, answer);
    let taken = start.elapsed();
    assert!(taken < LIMIT, "{taken:?} for {gold:.100} and {answer:.100}");
    verdict
}

#[test]
fn towers_depths_and_lengths_end() {
    let nested = |open: &str, close: &str, n| format!("{}1{}", open.repeat(n), close.repeat(n));
    let texts = [
        "9^{9^{9}}".to_owned(),
        "9^{9^{9^{9^{9}}}}".to_owned(),
        "2^{1000000}".to_owned(),
        "(1000!)!".to_owned(),
        "1000!^{1000!}".to_owned(),
        "\\binom{1000}{500}^{1000}".to_owned(),
        "1e2000^{2000}".to_owned(),
        "1e99999999999999999999".to_owned(),
        "\\sqrt[1000000]{2}".to_owned(),
        "\\sin{10^{2000}}".to_owned(),
        "e^{e^{e^{e}}}".to_owned(),
        "\\log_{1}{5}".to_owned(),
        "0^{-1}".to_owned(),
        "x^{x^{x^{x}}}".to_owned(),
        "(x+y+z)^{100000}".to_owned(),
        "-".repeat(4000),
        "\\pm ".repeat(800),
        format!("1{}", "!".repeat(3000)),
        format!("x{}", "^2".repeat(1500)),
        format!("1{}", "\\pm 1".repeat(500)),
        nested("(", ")", 2000),
        nested("\\frac{", "}{2}", 500),
        nested("\\sqrt{", "}", 500),
        nested("\\sqrt{", "}", 28),
        nested("|", "|", 1000),
        nested("\\sin ", "", 700),
        "\\sin".repeat(1000),
        "\\sin x+".repeat(500) + "1",
        "\\sin{x}\\cos{y}+".repeat(250) + "1",
        "e^{\\pi x}+".repeat(400) + "1",
        "1,".repeat(2000) + "1",
        "1,".repeat(63) + "x",
        "\\sqrt{x},".repeat(60) + "1",
        "(-\\infty,\\sqrt{2})\\cup".repeat(15) + "(1,2)",
        "1/".repeat(2000) + "3",
        "9".repeat(4000),
        "{".repeat(4000),
        "\\left(".repeat(600),
        "\\begin{pmatrix}".repeat(250),
        "1\\\\&".repeat(700),
    ];
    for text in &texts {
        let other = text.replace('1', "2").replace('x', "(x+0)");
        timed(text, &format!("{text}+0"));
        timed(text, &other);
        timed(&other, text);
        timed(text, "1");
        assert_eq!(timed(text, text), Verdict::Ok, "{text:.60}");
        assert!(extract(text).is_some());
    }
}

#[test]
fn what_takes_too_much_work_is_not_judged() {
    let zero = |terms: usize| {
        let sum = "\\sin1+".repeat(terms) + "1";
        format!("({sum})-({sum})")
    };
    assert_eq!(timed(&zero(3), "0"), Verdict::Ok);
    assert_eq!(timed(&zero(300), "0"), Verdict::Unparsable);
}

#[test]
fn large_numbers_are_not_mixed_up() {
    assert_eq!(timed("2^{2017}", "2^{2017}+1"), Verdict::Different);
    assert_eq!(timed("2^{2017}\\sqrt{2}", "2^{2017}\\sqrt{2}+1"), Verdict::Different);
    assert_eq!(timed("10^{-300}\\sqrt{2}", "2\\cdot 10^{-300}\\sqrt{2}"), Verdict::Different);
    assert_eq!(timed("10^{-300}\\sqrt{2}", "0"), Verdict::Different);
    assert_eq!(timed("10^{-300}\\sqrt{2}x", "2\\cdot 10^{-300}\\sqrt{2}x"), Verdict::Different);
    assert_eq!(timed("\\sin^2 x+\\cos^2 x-1", "0"), Verdict::Ok);
    assert_eq!(timed("100!", "100!+1"), Verdict::Different);
    assert_ne!(timed("9^{9^{9}}", "9^{9^{9}}+1"), Verdict::Ok);
}

/// Text that looks like LaTeX.
fn latex() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "1",
        "2",
        "12",
        "0.5",
        "1,000",
        "3e8",
        "x",
        "y",
        "n",
        "e",
        "i",
        "\\pi",
        "\\infty",
        "+",
        "-",
        "*",
        "/",
        "^",
        "_",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\\{",
        "\\}",
        ",",
        ";",
        ":",
        "=",
        "<",
        "\\le",
        "|",
        "!",
        "\\%",
        "^\\circ",
        "\\pm",
        "\\cup",
        "\\cap",
        "\\setminus",
        "\\in",
        "\\frac",
        "\\sqrt",
        "\\sqrt[",
        "\\binom",
        "\\log_",
        "\\sin",
        "\\arctan",
        "\\lfloor",
        "\\rfloor",
        "\\text{",
        "\\text{cm}",
        " cm",
        " and ",
        " or ",
        "\\begin{pmatrix}",
        "\\end{pmatrix}",
        "&",
        "\\\\",
        "\\left",
        "\\boxed{",
        "$",
        " ",
        "\\mathbb{R}",
        "é",
        "√",
        "²",
        "abc",
        "hello",
        "\\overline{",
        ".",
        "'",
        "\u{0}",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

/// Well-formed expressions.
fn expression() -> impl Strategy<Value = String> {
    let leaf =
        prop::sample::select(vec!["1", "2", "7", "0.25", "x", "y", "\\pi", "e", "\\sqrt{2}", "i"]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone().prop_map(|(a, b)| format!("{a}+{b}")),
            two.clone().prop_map(|(a, b)| format!("({a})-({b})")),
            two.clone().prop_map(|(a, b)| format!("({a})({b})")),
            two.prop_map(|(a, b)| format!("\\frac{{{a}}}{{{b}}}")),
            inner.clone().prop_map(|a| format!("({a})^{{2}}")),
            inner.clone().prop_map(|a| format!("\\sqrt{{{a}}}")),
            inner.prop_map(|a| format!("\\sin({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_has_a_verdict(a in latex(), b in latex()) {
        prop_assert!(extract(&a).is_none_or(|found| !found.is_empty()));
        let there = timed(&a, &b);
        // Only a decimal gold answer has a tolerance.
        if !a.contains("0.") && !b.contains("0.") {
            prop_assert_eq!(there, timed(&b, &a), "{} | {}", a, b);
        }
        if there == Verdict::Ok && !a.contains("0.") {
            let wider = compare_within(&a, &b, Tolerance::Relative(0.01));
            prop_assert_eq!(wider, Verdict::Ok, "{} | {}", a, b);
        }
    }

    #[test]
    fn arbitrary_text_has_a_verdict(a in ".{0,60}", b in ".{0,60}") {
        prop_assert!(extract(&a).is_none_or(|found| !found.is_empty()));
        timed(&a, &b);
    }

    #[test]
    fn an_expression_is_itself_however_it_is_written(a in expression(), b in expression()) {
        let text = format!("\\left({a}, {b}\\right)");
        prop_assert_eq!(timed(&text, &text), Verdict::Ok);
        let respelled = text.replace("\\frac", "\\dfrac ").replace('+', " + ").replace("\\left", "");
        prop_assert_eq!(timed(&text, &respelled.replace("\\right", "")), Verdict::Ok, "{}", respelled);
    }

    #[test]
    fn one_more_is_something_else(text in expression()) {
        prop_assert_ne!(timed(&text, &format!("{text}+1")), Verdict::Ok);
    }

    #[test]
    fn rationals_are_equal_exactly_when_their_products_are(
        a in -50_i64..50, b in 1_i64..50, c in -50_i64..50, d in 1_i64..50,
    ) {
        let (x, y) = (format!("\\frac{{{a}}}{{{b}}}"), format!("{c}/{d}"));
        prop_assert_eq!(compare(&x, &y) == Verdict::Ok, a * d == b * c);
    }
}
