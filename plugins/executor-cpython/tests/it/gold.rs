//! Gold values: only what two fresh processes agree on.

use crate::*;

#[test]
fn nondeterminism_is_caught() {
    let _turn = turn();
    let strict = executor(Policy::Strict, 1);
    for program in [
        "def f(x): return str({'apple', 'pear', 'plum', 'fig', 'kiwi', 'lime'})",
        "def f(x): return list(set('abcdefghij'))",
        "def f(x): return {name: 1 for name in set('abcdefghij')}",
        "def f(x): return str(object())",
    ] {
        assert_eq!(
            run_one(&strict, program, "1", Purpose::Gold),
            Outcome::Nondeterministic,
            "{program}"
        );
        assert!(
            matches!(run_one(&strict, program, "1", Purpose::Check), Outcome::Value(_)),
            "{program}"
        );
    }
    for (program, expected) in [
        ("def f(x): return set('abc')", value("{'a', 'b', 'c'}")),
        ("def f(x): return float('nan')", value("nan")),
        ("def f(x): raise Exception", exception("Exception")),
        ("def f(x): return f", Outcome::NonValue("function".into())),
    ] {
        assert_eq!(run_one(&strict, program, "1", Purpose::Gold), expected, "{program}");
    }
    let program = "def f(x):\n    return str(set('abcdefgh')) if x == 1 else x";
    let outcomes = run_all(&strict, program, &["0", "1", "2"], Purpose::Gold);
    assert_eq!(outcomes, [value("0"), Outcome::Nondeterministic, value("2")]);
}

#[test]
fn clock_and_chance_stand_still() {
    let _turn = turn();
    let open = executor(Policy::Open, 1);
    let program =
        "import time, random\ndef f(x): return [time.time(), time.monotonic_ns(), random.random()]";
    let outcome = run_one(&open, program, "1", Purpose::Gold);
    assert!(
        matches!(&outcome, Outcome::Value(text) if text.starts_with("[0.0, 0, 0.")),
        "{outcome:?}"
    );
}
