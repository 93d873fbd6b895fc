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
fn an_order_by_address_is_caught() {
    let _turn = turn();
    let open = executor(Policy::Open, 1);
    for (kind, expression) in [
        ("", "object()"),
        ("class A: pass", "A()"),
        ("class A:\n    def __init__(self): self.x = 1", "A()"),
        ("class A:\n    __slots__ = ('x', 'y')", "A()"),
        ("", "lambda: 1"),
        ("", "(i for i in [])"),
    ] {
        let program = format!(
            "{kind}\ndef f(x):\n    objects = [{expression} for _ in range(x)]\n    \
             return [objects.index(one) for one in set(objects)]"
        );
        let outcomes = run_all(&open, &program, &["6", "7", "8"], Purpose::Gold);
        assert_eq!(outcomes, vec![Outcome::Nondeterministic; 3], "{program}");
    }
}

#[test]
fn only_another_result_is_nondeterminism() {
    let _turn = turn();
    let open = executor(Policy::Open, 1);
    let Outcome::Value(first) = run_one(&open, "def f(x): return hash('a')", "1", Purpose::Check)
    else {
        panic!("no value");
    };
    // The second run alone does something else.
    for (other, expected) in [
        ("while True: pass", Outcome::Limit(azr_plugin::LimitKind::Cpu)),
        ("return ' ' * 10 ** 9", Outcome::Limit(azr_plugin::LimitKind::Memory)),
        ("import os; os._exit(3)", Outcome::Crashed("exit status 3".into())),
        ("return 2", Outcome::Nondeterministic),
        ("return f", Outcome::Nondeterministic),
        ("raise ValueError", Outcome::Nondeterministic),
    ] {
        let program =
            format!("def f(x):\n    if hash('a') != {first}:\n        {other}\n    return 1");
        let mut job = job(&program, &["1"], Purpose::Gold);
        // Only processor time is short: on a busy machine the clock would come first.
        job.limits = Limits { cpu_ms: 300, ..job.limits };
        assert_eq!(open.run(&[job], &Quiet).unwrap()[0].outcomes, [expected], "{other}");
    }
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
    // Modules that keep a clock from when they were imported, and the number of the process.
    let program = "import queue, os, threading\ndef f(x): return [getattr(queue, 'time')(), threading._time(), os.getpid() < 1]";
    assert_eq!(run_one(&open, program, "1", Purpose::Gold), value("[0.0, 0.0, True]"));
}
