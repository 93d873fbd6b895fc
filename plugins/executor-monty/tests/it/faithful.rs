//! What Monty would do in another way than CPython is not answered.

use crate::*;

#[test]
fn what_would_differ_is_unsupported() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    for (program, call, feature) in [
        ("def f(x): return list(set(x))", "[3, 1]", "set order"),
        ("def f(x): return ''.join({c for c in x})", "'ba'", "set order"),
        ("def f(x):\n    for c in x: return c", "{1, 2}", "set order"),
        ("def f(x): return [*x]", "{1, 2}", "set order"),
        ("def f(x): return str(x[0])", "[{1, 2}]", "set order"),
        ("def f(x):\n    a = set(x)\n    b = a\n    return b.pop()", "[1, 2]", "set order"),
        ("def g(s): return list(s)\ndef f(x): return g(set(x))", "[1]", "set order"),
        ("def f(x): return sum({0.1 * i for i in x})", "[1, 2]", "set order"),
        ("def f(x): return sorted(set(x), key=len)", "['b', 'a']", "set order"),
        ("def f(x): return x.keys() | {1}, list(x.keys() - {1})", "{2: 3}", "set order"),
        ("def f(x): return (i for i in x)", "[1]", "lazy iterator"),
        ("def f(x):\n    m = map(str, x)\n    return list(m), list(m)", "[1]", "lazy iterator"),
        ("def f(x): return len(zip(x, x))", "[1]", "lazy iterator"),
        (
            "def f(x):\n    for i, y in enumerate(x): x.append(y) if len(x) < 9 else 0\n    return x",
            "[1]",
            "lazy iterator",
        ),
        (
            "def f(x):\n    for r, row in enumerate(x):\n        for c, v in enumerate(row): x[r][-1] += v\n    return x",
            "[[1, 2]]",
            "lazy iterator",
        ),
        ("def f(x): return any(x.append(y) or y for y in [1, 2]), x", "[]", "lazy iterator"),
        ("def f(x): return (-x) ** 0.5", "2", "float power"),
        ("def f(x): return pow(-x, 0.5)", "2", "float power"),
        ("def f(x): return 10.0 ** x", "400", "float power"),
        ("def f(x): return sum(x)", "[0.1, 0.2, 0.3, 0.4, 1e+16, -1e+16]", "float sum"),
        ("def f(x): return x in [x]", "nan", "nan"),
        ("def f(x): return float('NaN')", "1", "nan"),
        (
            "def f(x):\n    try: return x.bit_length()\n    except AttributeError: return 0",
            "1",
            "except",
        ),
        ("def f(x):\n    try: return x.bit_length()\n    except: return 0", "1", "except"),
        ("def f(x): return hasattr(x, 'bit_length')", "1", "reflection"),
        (
            "class A:\n    def __eq__(self, o): return True\ndef f(x): return A() == 3",
            "1",
            "special method",
        ),
        ("def f(x):\n    __azr_flags = 1\n    return x", "1", "name"),
    ] {
        assert_eq!(
            run_one(&executor, program, call),
            Outcome::Unsupported(feature.to_owned()),
            "{program}"
        );
    }
}

#[test]
fn what_does_not_differ_is_answered() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    for (program, call, expected) in [
        (
            "def f(x): return len(set(x)), sorted(set(x)), x[0] in set(x)",
            "[3, 1, 3]",
            "(2, [1, 3], True)",
        ),
        (
            "def f(x):\n    s = set()\n    for y in x:\n        if y in s: return s\n        s.add(y)\n    return s",
            "[2, 1]",
            "{1, 2}",
        ),
        (
            "def f(a, b): return len(a & b), sorted(a | b), a - b, max(a)",
            "{1, 2}, {2, 3}",
            "(1, [1, 2, 3], {1}, 2)",
        ),
        ("def f(x): return [set(y) for y in x]", "[[1, 2]]", "[{1, 2}]"),
        ("def f(x): return sum(y * y for y in set(x))", "[1, 2, 2]", "5"),
        ("def f(x): return sum(y * 0.5 for y in x)", "[1, 2, 2]", "2.5"),
        (
            "def f(x):\n    out = []\n    for i, y in enumerate(x): out.append(i * y)\n    return out",
            "[1, 2]",
            "[0, 2]",
        ),
        (
            "def f(x):\n    d = {}\n    for a, b in zip(x, x[1:]): d.setdefault(a, []).append(b)\n    return d",
            "[1, 2, 3]",
            "{1: [2], 2: [3]}",
        ),
        (
            "def f(x): return dict(zip(x, map(str, x))), list(reversed(x))",
            "[1, 2]",
            "({1: '1', 2: '2'}, [2, 1])",
        ),
        (
            "def f(x): return (2 ** x, x ** -1, (x + 1) ** 0.5, (2) ** (x) ** (1))",
            "8",
            "(256, 0.125, 3.0, 256)",
        ),
        (
            "def f(x):\n    try: return 1 // x\n    except ZeroDivisionError: return 'zero'",
            "0",
            "'zero'",
        ),
        (
            "def f(x):\n    del x[0]\n    d = {1: 2, 3: 4}\n    del d[1]\n    return x, d",
            "[1, 2]",
            "([2], {3: 4})",
        ),
        (
            "def f(x):\n    i = 0\n    x[i], i, x[i + 1] = x[1], 5, x[0] ** 2; x[0], x[1] = x[1], x[0]\n    return x, i",
            "[3, 4, 1, 1, 1, 1, 1]",
            "([4, 4, 1, 1, 1, 1, 9], 5)",
        ),
        ("def f(x): return sorted(list(set(x))), sum(list(set(x)))", "[2, 1, 2]", "([1, 2], 3)"),
        ("def f(x): return any(y > 1 for y in x), max(x, key=lambda y: -y)", "[1, 2]", "(True, 1)"),
    ] {
        assert_eq!(run_one(&executor, program, call), value(expected), "{program}");
    }
}
