//! Programs that mean well, and what stands in their way.

use azr_plugin::ErrorCode;

use crate::*;

#[test]
fn values_come_back_as_they_are() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let echo = "def f(x, y=None, k=None): return x if k is None else [x, k, y]";
    for text in [
        "None",
        "True",
        "-12",
        "123456789012345678901234567890",
        "1.5",
        "-0.0",
        "1e+16",
        "'it\\'s \\xe9 \\u4e2d'",
        "b'\\x00\\xff'",
        "[1, (2,), ()]",
        "{'b': 1, 'a': [None]}",
        "{1, 2}",
        "frozenset({'x'})",
        "set()",
    ] {
        let canonical = azr_executor::parse_arguments(text).unwrap().to_canonical();
        assert_eq!(run_one(&executor, echo, &canonical), value(&canonical), "{text}");
    }
    assert_eq!(run_one(&executor, echo, "1, 2, k='a'"), value("[1, 'a', 2]"));
}

#[test]
fn calls_of_a_job_are_independent() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let stateful = "seen = []\ndef f(x, y=[]):\n    seen.append(x)\n    y.append(x)\n    return len(seen) + len(y)";
    assert_eq!(run_all(&executor, stateful, &["1", "2", "3"]), vec![value("2"); 3]);
    let calls = ["1", "1, 2", "x=3", "bad("];
    let shapes = "def f(x, y=0): return x * 10 + y";
    let expected =
        [value("10"), value("12"), value("30"), Outcome::Refused("arguments".to_owned())];
    assert_eq!(run_all(&executor, shapes, &calls), expected);
}

#[test]
fn every_class_of_outcome_is_told() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let refused = |reason: &str| Outcome::Refused(reason.to_owned());
    let no_value = |name: &str| Outcome::NonValue(name.to_owned());
    let exception = |name: &str| Outcome::Exception(name.to_owned());
    let unsupported = |feature: &str| Outcome::Unsupported(feature.to_owned());
    for (program, call, expected) in [
        ("def f(x: return", "1", refused("syntax")),
        ("import os\ndef f(x): return x", "1", refused("import")),
        ("def f(x): return open(x)", "'a'", refused("name")),
        ("def f(x): return x.__class__", "1", refused("dunder")),
        ("def f(x): return f", "1", no_value("function")),
        ("def f(x): return [len]", "1", no_value("builtin_function_or_method")),
        ("def f(x): return range(x)", "1", no_value("range")),
        ("class A:\n    pass\ndef f(x): return A()", "1", no_value("A")),
        ("def f(x): return x.keys()", "{}", no_value("dict_keys")),
        ("def f(x): return 1 // x", "0", exception("ZeroDivisionError")),
        ("def f(x): raise ValueError('no')", "0", exception("ValueError")),
        ("def f(x): return x", "1, 2", exception("TypeError")),
        ("def f(x): return f(x + 1)", "0", limit(LimitKind::Depth)),
        ("def f(x):\n    while True: x += 1", "0", limit(LimitKind::Cpu)),
        ("def f(x): return [0] * 10 ** 9", "0", limit(LimitKind::Memory)),
        ("def f(x): return 'a' * 20_000", "0", limit(LimitKind::Output)),
        ("def f(x):\n    for _ in range(150): x = [x]\n    return x", "0", limit(LimitKind::Depth)),
        ("def f(x):\n    x.append(x)\n    return x", "[]", limit(LimitKind::Depth)),
        ("import decimal\ndef f(x): return decimal.Decimal(x)", "1", unsupported("import")),
        ("def f(x): return complex(x)", "1", unsupported("name complex")),
        ("def f(x): yield x", "1", unsupported("yield")),
        ("def f(x): return x", "complex(1.0, 2.0)", unsupported("complex")),
        (
            "from collections import Counter\ndef f(x): return Counter(x)",
            "'aab'",
            value("{'a': 2, 'b': 1}"),
        ),
        ("from collections import deque\ndef f(x): return deque(x)", "[1]", value("[1]")),
        ("def f(x):\n    print('x' * x)\n    return x", "3", value("3")),
    ] {
        assert_eq!(run_one(&executor, program, call), expected, "{program}");
    }
    assert_eq!(workers().len(), 1);
}

#[test]
fn order_is_kept_whatever_the_number_of_workers() {
    let _turn = turn();
    let jobs: Vec<Job> = (0..200)
        .map(|index| {
            let program = match index % 50 {
                7 => "def f(x):\n    while True: pass".to_owned(),
                _ => format!("def f(x): return [x, {index}]"),
            };
            let mut job = job(&program, &["0", "1"], Purpose::Check);
            job.limits.cpu_ms = 30;
            job
        })
        .collect();
    let reports: Vec<_> = [1, 3]
        .map(|workers| executor(Policy::Strict, workers).run(&jobs, &Quiet).unwrap())
        .into_iter()
        .collect();
    assert_eq!(reports[0], reports[1]);
    for (index, report) in reports[0].iter().enumerate() {
        let expected = match index % 50 {
            7 => [limit(LimitKind::Cpu), limit(LimitKind::Cpu)],
            _ => [value(&format!("[0, {index}]")), value(&format!("[1, {index}]"))],
        };
        assert_eq!(report.outcomes, expected);
    }
}

#[test]
fn gold_needs_two_processes_that_agree() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let gold = job("def f(x): return x * 2", &["1", "'a'"], Purpose::Gold);
    let report = executor.run(std::slice::from_ref(&gold), &Quiet).unwrap().remove(0);
    assert_eq!(report.outcomes, [value("2"), value("'aa'")]);
    assert_eq!(report.executor, "monty");
    assert_eq!(workers().len(), 2);
    let pinned = Job { pinned: Some("cpython".to_owned()), ..gold.clone() };
    let report = executor.run(&[pinned], &Quiet).unwrap().remove(0);
    assert_eq!(report.outcomes, vec![Outcome::Refused("pinned".to_owned()); 2]);
    let pinned = Job { pinned: Some("monty".to_owned()), ..gold };
    assert_eq!(executor.run(&[pinned], &Quiet).unwrap()[0].outcomes[0], value("2"));
}

#[test]
fn executables_that_are_no_workers_are_named() {
    let _turn = turn();
    for program in ["/bin/true", "/bin/echo", "/nonexistent"] {
        let options = MontyOptions { worker: Some(program.into()), ..MontyOptions::default() };
        let error = MontyExecutor::create(options, Services::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Unavailable);
        assert!(error.message.contains(program), "{error}");
        assert!(error.hint.unwrap().contains("run_if_asked"));
    }
}
