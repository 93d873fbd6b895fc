//! Properties of values, literals and the static gate over random and mutated text.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use azr_executor::equality::{agree, answer, strict};
use azr_executor::value::BigInt;
use azr_executor::{Arguments, ImportPolicy, Program, Value, parse_arguments, parse_literal};
use proptest::prelude::*;

const PROGRAM: &str = "import math\n\nclass A:\n    'doc'\n    def __init__(self, n=1): self.n = n\n\ndef helper(x):\n    \
                       return [i for i in x if i % 2]\n\ndef solve(x, *rest, **more):\n    total = f'{x!r:>{10}}'\n    while x:\n        \
                       x -= 1\n    try:\n        return solve(x) + math.sqrt(2)\n    except ValueError as error:\n        \
                       return {'a': lambda y: (y, -1.5e3, b'\\x00')}\n";

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        (-9..9_i32).prop_map(f64::from)
    ]
}

fn hashable() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        (-3..4_i64).prop_map(Value::from),
        (any::<i128>(), 0..200_u32)
            .prop_map(|(base, shift)| Value::Int(BigInt::from(base) << shift)),
        float().prop_map(Value::Float),
        (float(), float()).prop_map(|(re, im)| Value::Complex(re, im)),
        any::<String>().prop_map(Value::Str),
        any::<Vec<u8>>().prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Tuple),
            prop::collection::vec(inner, 0..4).prop_map(|items| Value::frozen_set(items).unwrap()),
        ]
    })
}

fn values() -> impl Strategy<Value = Value> {
    hashable().prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Tuple),
            prop::collection::vec(hashable(), 0..5).prop_map(|items| Value::set(items).unwrap()),
            prop::collection::vec((hashable(), inner), 0..5)
                .prop_map(|entries| Value::dict(entries).unwrap()),
        ]
    })
}

/// Text that is close to Python.
fn mutated(source: &'static str) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[-+*/%(){}\\[\\],.:;=#'\"\\\\\n\t 0-9a-zA-Z_]{0,6}",
        Just("lambda ".to_owned()),
        Just("f'{".to_owned()),
        Just("'''".to_owned()),
        Just("\\N{".to_owned()),
        Just("async def f(x): await x\n".to_owned()),
        Just("match x:\n case [*_]: pass\n".to_owned()),
    ];
    prop::collection::vec((0..=source.len(), 0..20_usize, piece), 0..6).prop_map(move |edits| {
        edits.into_iter().fold(source.to_owned(), |text, (at, removed, piece)| {
            let characters: Vec<char> = text.chars().collect();
            let at = at.min(characters.len());
            let rest = characters.iter().skip(at + removed);
            characters.iter().take(at).copied().chain(piece.chars()).chain(rest.copied()).collect()
        })
    })
}

fn holds_nan(value: &Value) -> bool {
    match value {
        Value::Float(value) => value.is_nan(),
        Value::Complex(re, im) => re.is_nan() || im.is_nan(),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) | Value::FrozenSet(items) => {
            items.iter().any(holds_nan)
        }
        Value::Dict(entries) => {
            entries.iter().any(|(name, value)| holds_nan(name) || holds_nan(value))
        }
        _ => false,
    }
}

/// Enough for every run of the tests; the variable that `proptest` itself reads asks for a long search.
fn n_cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: n_cases(), ..ProptestConfig::default() })]

    #[test]
    fn canonical_text_round_trips(value in values()) {
        let text = value.to_canonical();
        prop_assert!(text.is_ascii());
        let back = Value::from_canonical(&text).unwrap();
        prop_assert!(strict(&value, &back), "{}", text);
        prop_assert_eq!(back.to_canonical(), text);
    }

    #[test]
    fn repr_reads_back_as_an_equal_value(value in values()) {
        // Python's own notation of complex numbers loses infinities, NaNs and the signs of zeros.
        if let Ok(back) = parse_literal(&value.repr()) {
            prop_assert!(answer(&value, &back) || holds_nan(&value), "{}", value.repr());
        } else {
            prop_assert!(value.repr().contains('j'), "{}", value.repr());
        }
    }

    #[test]
    fn arguments_round_trip(positional in prop::collection::vec(values(), 0..4), keyword in values()) {
        let arguments = Arguments { positional, keyword: vec![("k".to_owned(), keyword)] };
        let text = arguments.to_canonical();
        prop_assert_eq!(Arguments::from_canonical(&text).unwrap().to_canonical(), text);
    }

    #[test]
    fn equality_is_symmetric_and_reflexive_but_for_nan(left in values(), right in values()) {
        prop_assert!(strict(&left, &left));
        prop_assert_eq!(answer(&left, &left), !holds_nan(&left));
        prop_assert_eq!(strict(&left, &right), strict(&right, &left));
        prop_assert_eq!(answer(&left, &right), answer(&right, &left));
        prop_assert_eq!(strict(&left, &right), left.to_canonical() == right.to_canonical());
        prop_assert!(!strict(&left, &right) || holds_nan(&left) || answer(&left, &right));
    }

    #[test]
    fn rounding_alone_is_forgiven_between_interpreters(left in values(), right in values()) {
        prop_assert!(agree(&left, &left));
        prop_assert_eq!(agree(&left, &right), agree(&right, &left));
        prop_assert!(!strict(&left, &right) || agree(&left, &right));
    }

    #[test]
    fn ranges_are_the_lists_of_their_numbers(start in -50..50_i64, end in -50..50_i64, step in 1..9_i64, up in any::<bool>()) {
        let step = if up { step } else { -step };
        let text = format!("range({start}, {end}, {step})");
        let mut expected = Vec::new();
        let mut next = start;
        while if up { next < end } else { next > end } {
            expected.push(next.to_string());
            next += step;
        }
        let arguments = parse_arguments(&text).unwrap();
        prop_assert_eq!(arguments.to_canonical(), format!("[{}]", expected.join(", ")));
        prop_assert!(parse_literal(&text).is_err());
    }

    #[test]
    fn literal_parser_is_total(text in mutated("[1, (2.5e-3,), {'a': b'\\x41', 1+2j: None}, {1, 2}, set(), dict(a=inf), r'''x''']")) {
        for value in [parse_literal(&text), parse_literal(text.trim_start_matches('['))].into_iter().flatten() {
            prop_assert!(Value::from_canonical(&value.to_canonical()).is_ok());
        }
        if let Ok(arguments) = parse_arguments(&text) {
            prop_assert!(Arguments::from_canonical(&arguments.to_canonical()).is_ok());
        }
    }

    #[test]
    fn parsers_are_total_on_any_text(text in any::<String>()) {
        let _ = (parse_literal(&text), parse_arguments(&text), Program::parse(&text, &ImportPolicy::default()));
    }

    #[test]
    fn the_gate_is_total_and_stable(source in mutated(PROGRAM)) {
        let policy = ImportPolicy::default();
        if let Ok(program) = Program::parse(&source, &policy) {
            // What passed passes again, unchanged: stored programs are parsed anew when they are used.
            let again = Program::parse(&program.source, &policy).unwrap();
            prop_assert_eq!(&again.source, &program.source);
            prop_assert_eq!(&again.canonical, &program.canonical);
            prop_assert_eq!(again.entry_renamed, None);
        }
    }
}

#[test]
fn the_sample_program_passes() {
    let program = Program::parse(PROGRAM, &ImportPolicy::default()).unwrap();
    assert_eq!(program.entry_renamed.as_deref(), Some("solve"));
    assert_eq!(program.imports, ["math"]);
}
