//! Honest programs: what goes in, what comes out.

use azr_executor::{Arguments, Value, parse_arguments, parse_literal};
use azr_plugin::LimitKind;

use crate::*;

#[test]
fn values_travel_unchanged_and_repr_is_pythons() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let literals = [
        "None",
        "True",
        "-170141183460469231731687303715884105728",
        "0.1",
        "-0.0",
        "1e16",
        "123456789012345.6",
        "1e-05",
        "5e-324",
        "1.7976931348623157e308",
        "[inf, -inf, nan]",
        "complex(-0.0, 2.5)",
        "1-2j",
        "'it\\'s \"é\" \\n \\x00 \\u200b \\U0001f600 \\xa0 \\u0378'",
        "b'\\x00\\xff\\'\"'",
        "[1, (2,), (), [], {}, {'b': 1, 'a': [2]}]",
        "{(1, 2): 'x', None: 'y', 1.5: 'z'}",
        "{3, 1, 2}",
        "frozenset()",
    ];
    let values: Vec<Value> = literals.iter().map(|text| parse_literal(text).unwrap()).collect();
    let calls: Vec<String> = values
        .iter()
        .map(|value| {
            Arguments { positional: vec![value.clone()], keyword: Vec::new() }.to_canonical()
        })
        .collect();
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    let same = run_all(&executor, "def f(x):\n    return x", &calls, Purpose::Check);
    let shown = run_all(&executor, "def f(x):\n    return repr(x)", &calls, Purpose::Check);
    for ((source, same), shown) in values.iter().zip(same).zip(shown) {
        assert_eq!(same, value(&source.to_canonical()));
        assert_eq!(shown, value(&Value::Str(source.repr()).to_canonical()));
    }
}

#[test]
fn ordinary_programs_run() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let program = "
from __future__ import annotations
import math, re, heapq, json, string, functools, itertools, collections, decimal, fractions, statistics, enum
from dataclasses import dataclass, field
from collections.abc import Mapping
from typing import List

@dataclass(order=True)
class Point:
    x: int
    y: int = 0
    tags: List[str] = field(default_factory=list)

class Color(enum.Enum):
    RED = 1

class Base:
    def __init__(self, value): self.value = value
    def __repr__(self): return f'Base({self.value})'

class Child(Base):
    def __init__(self, value): super().__init__(value + 1)

@functools.lru_cache(None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)

def f(n, *rest, scale=1, **more):
    assert __name__ != '__main__'
    print('ignored', Child(n))
    values = [fib(n), str(Child(n)), Color.RED.name, Point(1) < Point(2), repr(Point(1))]
    values += [json.dumps({'a': [1, None]}), re.findall('[a-c]+', 'abcxcb'), heapq.nsmallest(2, [3, 1, 2])]
    values += [str(decimal.Decimal('0.1') + 1), str(fractions.Fraction(1, 3)), statistics.mean([1, 2, 4, 5])]
    values += [collections.Counter('abca').most_common(1), list(itertools.permutations('ab')), math.gcd(12, 18)]
    values += ['é'.encode('utf-16-le'), '%s' % string.digits, sorted(more), rest, scale, isinstance({}, Mapping)]
    return values
";
    let call = parse_arguments("10, 'x', scale=2, k=[1]").unwrap().to_canonical();
    let expected = "[55, 'Base(11)', 'RED', True, \"Point(x=1, y=0, tags=[])\", '{\"a\": [1, null]}', ['abc', 'cb'], [1, 2], \
                    '1.1', '1/3', 3, [('a', 2)], [('a', 'b'), ('b', 'a')], 6, b'\\xe9\\x00', '0123456789', ['k'], ('x',), \
                    2, True]";
    let expected = parse_literal(expected).unwrap().to_canonical();
    assert_eq!(run_one(&executor, program, &call, Purpose::Gold), value(&expected));
}

#[test]
fn outcomes_tell_failures_apart() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let limit = Outcome::Limit;
    let refused = |reason: &str| Outcome::Refused(reason.to_owned());
    for (program, expected) in [
        ("def f(x): raise Exception", exception("Exception")),
        ("class Odd(BaseException): pass\ndef f(x): raise Odd(x)", exception("Odd")),
        ("def f(x): return 1 / 0", exception("ZeroDivisionError")),
        ("def f(): return 1", refused("no_parameter")),
        ("def f(x, y): return 1", exception("TypeError")),
        ("1 / 0\ndef f(x): return x", exception("ZeroDivisionError")),
        ("def f(x): return undefined", exception("NameError")),
        ("def f(x): return 1\nreturn 2", refused("syntax")),
        ("def f(x):\n    yield = 1", refused("syntax")),
        ("import os\ndef f(x): return 1", refused("import")),
        ("def f(x): return open(x)", refused("name")),
        ("def f(x): return (i for i in [x])", Outcome::NonValue("generator".into())),
        ("def f(x): return {}.keys()", Outcome::NonValue("dict_keys".into())),
        ("def f(x): return [f]", Outcome::NonValue("function".into())),
        ("class L(list): pass\ndef f(x): return L()", Outcome::NonValue("L".into())),
        ("def f(x): return '\\ud800'", Outcome::NonValue("str".into())),
        ("def f(x): return 'a' * 20000", limit(LimitKind::Output)),
        ("def f(x): return 10 ** 4300", limit(LimitKind::Output)),
        ("def f(x): return [0] * 20001", limit(LimitKind::Output)),
        ("def f(x):\n    for i in range(101): x = [x]\n    return x", limit(LimitKind::Depth)),
        ("def f(x):\n    x = []\n    x.append(x)\n    return x", limit(LimitKind::Depth)),
        (
            "def f(x):\n    x = []\n    for i in range(40): x = [x, x]\n    return x",
            limit(LimitKind::Output),
        ),
        ("def f(x): return f(x)", limit(LimitKind::Depth)),
        ("def f(x): return ' ' * 10 ** 9", limit(LimitKind::Memory)),
    ] {
        assert_eq!(run_one(&executor, program, "1", Purpose::Check), expected, "{program}");
    }
    let mut pinned = job("def f(x): return x", &["1"], Purpose::Check);
    pinned.pinned = Some("monty".to_owned());
    assert_eq!(executor.run(&[pinned], &Quiet).unwrap()[0].outcomes, [refused("pinned")]);
    // A text that is no canonical argument list is refused without touching the other calls.
    let outcomes =
        run_all(&executor, "def f(x): return x * 0", &["1", "0) or (True", "2"], Purpose::Check);
    assert_eq!(outcomes, [value("0"), refused("arguments"), value("0")]);
}

#[test]
fn containers_of_the_library_count_as_plain_ones() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let program = "
from collections import Counter, OrderedDict, defaultdict, deque
class Mine(Counter): pass
def f(x):
    if x == 1: return Mine('a')
    ordered = OrderedDict(b=1, a=2)
    ordered.move_to_end('b')
    return [Counter('aab'), defaultdict(list, {1: [2]}), ordered, deque([1, deque()]), {'k': Counter()}]";
    let expected = "[{'a': 2, 'b': 1}, {1: [2]}, {'a': 2, 'b': 1}, [1, []], {'k': {}}]";
    let expected = parse_literal(expected).unwrap().to_canonical();
    assert_eq!(run_one(&executor, program, "2", Purpose::Gold), value(&expected));
    let outcome = run_one(&executor, program, "1", Purpose::Check);
    assert_eq!(outcome, Outcome::NonValue("Mine".into()));
}

#[test]
fn each_call_has_a_fresh_namespace() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let program = "n = [0]\ndef f(x):\n    n[0] += 1\n    return n[0]";
    let ones = [value("1"), value("1"), value("1")];
    for purpose in [Purpose::Check, Purpose::Gold] {
        assert_eq!(run_all(&executor, program, &["1", "2", "3"], purpose), ones);
    }
    // A call that ends its process leaves the others alone.
    let program = "def f(x):\n    while x == 2: pass\n    return x";
    let mut job = job(program, &["1", "2", "3"], Purpose::Check);
    job.limits = short_limits();
    let outcomes = executor.run(&[job], &Quiet).unwrap().remove(0).outcomes;
    assert!(
        matches!(outcomes[1], Outcome::Limit(LimitKind::Cpu | LimitKind::Wall)),
        "{outcomes:?}"
    );
    assert_eq!((&outcomes[0], &outcomes[2]), (&value("1"), &value("3")));
}

#[test]
fn open_programs_find_what_ordinary_ones_import() {
    let _turn = turn();
    let program = "def f(x):\n    import hashlib, random, sys\n    return hashlib.md5(eval('x')).hexdigest()[:4]";
    let [open, strict] = [Policy::Open, Policy::Strict]
        .map(|policy| run_one(&executor(policy, 1), program, "b'a'", Purpose::Gold));
    assert_eq!(open, value("'0cc1'"));
    assert_eq!(strict, Outcome::Refused("import".to_owned()));
}
