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
        ("def f(x): return sum({i for i in x})", "[0.1, 0.2]", "set order"),
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
        ("def f(x): return round(x, 2)", "2.675", "float rounding"),
        ("def f(x): return list(map(round, x, [2]))", "[2.675]", "float rounding"),
        ("def f(x): return x // 0.1", "1.0", "float division"),
        ("def f(x): return x % 0.1", "0.7", "float division"),
        ("def f(x): return divmod(x, 0.1)", "1.0", "float division"),
        ("def f(x):\n    x %= 0.1\n    return x", "0.7", "float division"),
        ("def f(x):\n    x[0] //= 0.1\n    return x", "[1.0]", "float division"),
        ("def f(x):\n    y = x\n    x *= 2\n    return y", "[1]", "in-place operator"),
        ("def f(x):\n    for row in x: row *= 2\n    return x", "[[1]]", "in-place operator"),
        ("def f(x):\n    a = b = set(x)\n    a -= {1}\n    return b", "[1]", "in-place operator"),
        (
            "def f(x):\n    r = 0\n    try: r = x.bit_length()\n    finally: return r",
            "1",
            "finally",
        ),
        (
            "def f(x):\n    for _ in [1]:\n        try: x.bit_length()\n        finally: continue\n    return x",
            "1",
            "finally",
        ),
        (
            "def f(x):\n    r = []\n    try: r.extend(int(v) for v in x)\n    except ValueError: pass\n    return r",
            "['1', 'a']",
            "except",
        ),
        (
            "def f(x):\n    try: return any(1 // v for v in x)\n    except ZeroDivisionError: return 'z'",
            "[1, 0]",
            "except",
        ),
        (
            "def f(x):\n    try: return [1].index(x)\n    except ValueError as e: return str(e)",
            "3",
            "except",
        ),
        ("def f(x):\n    try: return f'{x:n}'\n    except ValueError: return 'v'", "12", "except"),
        (
            "import math\ndef f(x):\n    try: return math.factorial(x)\n    except ValueError: return 'v'",
            "12",
            "except",
        ),
        (
            "from collections import Counter\ndef f(x):\n    c = Counter(x)\n    try: del c['z']\n    except KeyError: return 'k'\n    return 'ok'",
            "'a'",
            "except",
        ),
        (
            "def f(x):\n    s = []\n    s.extend(len(s) for _ in x)\n    return s",
            "[1, 2]",
            "lazy iterator",
        ),
        (
            "def f(x):\n    s = [0]\n    s += map(lambda a: len(s), x)\n    return s",
            "[1, 2]",
            "lazy iterator",
        ),
        (
            "def f(x):\n    x[1:] = map(lambda v: v + len(x), x)\n    return x",
            "[1, 2]",
            "lazy iterator",
        ),
        (
            "def f(x):\n    s = []\n    return [s.append(v) or v for v in (len(s) for _ in x)]",
            "[1, 2]",
            "lazy iterator",
        ),
        (
            "def f(x):\n    r = []\n    def g(a): return a * len(r)\n    for v in map(g, x): r.append(v)\n    return r",
            "[1, 2]",
            "lazy iterator",
        ),
        (
            "from itertools import islice\ndef f(x):\n    s = []\n    for v in islice((len(s) for _ in x), 3): s.append(v)\n    return s",
            "[1, 2, 3]",
            "lazy iterator",
        ),
        ("def f(x):\n    it = iter(x)\n    return list(zip(it, it))", "[1, 2]", "lazy iterator"),
        ("import re\ndef f(x): return re.split('(,)', x)", "'a,b'", "re"),
        ("import re\ndef f(x): return re.sub('b*', '-', x)", "'abc'", "re"),
        ("import re\ndef f(x): return re.findall('^\\\\s+$', x)", "'a'", "re"),
        ("import re\ndef f(x): return re.sub('a', '\\\\\\\\n', x)", "'a'", "re"),
        ("import re\ndef f(x): return re.compile('a').findall(x)", "'a'", "re"),
        ("import re\ndef f(x): return re.findall(x, 'a')", "'a'", "re"),
        ("def f(x):\n    d = {1: 'a'}\n    d[True] = 'c'\n    return d", "0", "equal keys"),
        ("def f(x): return dict.fromkeys(x)", "[1, 1.0]", "equal keys"),
        ("def f(x):\n    d = {0: 1}\n    d[-0.0] = 3\n    return d", "1", "equal keys"),
        ("def f(x): return list(dict.fromkeys([float(v) for v in x] + x))", "[1]", "equal keys"),
        ("def f(x):\n    d = {}\n    d[x / 2] = d[x // 2] = 1\n    return d", "2", "equal keys"),
        ("def f(x):\n    d = {}\n    d[x > 0] = d[x] = 1\n    return d", "1", "equal keys"),
        ("def f(x): return x.center(9)", "'ab'", "center"),
        ("def f(x): return 1.5 + 10 ** x", "400", "infinity"),
        ("def f(x): return x", "inf", "infinity"),
        ("def f(x):\n    a = 1e308 * x\n    return [a - a] == [a - a]", "10", "float range"),
        ("def f(x): return float('inf') - float('inf')", "10", "nan"),
        ("def f(x): return x / 3", "18446744073709551617", "huge division"),
        (
            "def f(x): return x * 1.5",
            "10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
            "float range",
        ),
        ("def f(x): return sum([[v] for v in x], [])", "{1, 17, 30}", "set order"),
        (
            "def f(x):\n    r = []\n    sorted([r.append(v) or 0 for v in set(x)])\n    return r",
            "[30, 1]",
            "set order",
        ),
        (
            "def f(x):\n    r = []\n    set(map(r.append, set(x)))\n    return r",
            "[30, 1]",
            "set order",
        ),
        ("def f(x): return any(1 // v for v in set(x))", "[1, 0]", "set order"),
        (
            "def f(x):\n    k = x.keys()\n    m = x.keys()\n    return list(k | m)",
            "{30: 1, 1: 2}",
            "set order",
        ),
        ("def f(x):\n    t = type({1})\n    return list(t(x))", "[30, 1]", "reflection"),
        ("def f(x): return x.splitlines()", "'a\\x0cb'", "unicode"),
        ("def f(x): return x.title()", "'\\xdf'", "unicode"),
        ("def f(x): return chr(x).upper()", "223", "unicode"),
        ("def f(x): return len('\\ud800')", "1", "surrogate"),
        (
            "def f(x):\n    try: return len(chr(x))\n    except ValueError: return 0",
            "55296",
            "surrogate",
        ),
        ("def f(x): return f'{x=}'", "1", "f-string"),
        ("class A:\n    __slots__ = ('a',)\ndef f(x): return x", "1", "special method"),
        (
            "class A:\n    def pop(self, i): return i\ndef f(x):\n    del x[0]\n    return x",
            "[1]",
            "del",
        ),
        ("def g(): pass\ndef f(x): return str(g)[:11]", "1", "address"),
        ("class A:\n    pass\ndef f(x): return str(x or A())[:9]", "0", "address"),
        ("def f(x):\n    x.append(x)\n    return str(x)", "[1]", "cycle"),
        ("import math\ndef f(x): return math.gamma(x)", "0.97", "math"),
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
        ("def f(x):\n    x *= 2\n    x -= 3; x |= 8\n    x //= (2)\n    return x", "4", "6"),
        ("def f(x):\n    x[0] *= x[1] + 1\n    x[1] -= len(x)\n    return x", "[2, 3]", "[8, 1]"),
        (
            "def f(x): return round(x, 1), round(x), divmod(7, 2), x / 2, f'{7 % 4}'",
            "2.5",
            "(2.5, 2, (3, 1), 1.25, '3')",
        ),
        (
            "import re\ndef f(x): return re.findall('[a-c]+', x), re.sub('(a)b', '\\\\1-', x), re.split(', *', x)",
            "'ab, d'",
            "(['ab'], 'a-, d', ['ab', 'd'])",
        ),
        (
            "def f(x): return type(x) == int, type(x).__name__, next(iter([x])), ''.join(chr(ord(c) + 1) for c in 'abc')",
            "1",
            "(True, 'int', 1, 'bcd')",
        ),
        (
            "def f(x):\n    d = {1: 2}\n    try: return d[x]\n    except KeyError: return 'none'\n    finally: d.clear()",
            "3",
            "'none'",
        ),
    ] {
        assert_eq!(run_one(&executor, program, call), value(expected), "{program}");
    }
}
