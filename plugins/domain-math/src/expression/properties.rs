//! Properties of the language: printing loses nothing, evaluation agrees with an independent oracle, no text or
//! expression does harm.

use std::time::{Duration, Instant};

use num_bigint::BigInt;
use proptest::prelude::*;

use super::functions::Function;
use super::tree::{Expression, Fold, Operator, Relation};
use super::*;

const LIMITS: Limits = Limits { steps: 20_000, bits: 2048 };
const N_PARAMETERS: usize = 2;

fn number(numerator: i64, n_digits: u32) -> Expression {
    let scale = BigInt::from(10).pow(n_digits);
    Expression::Number(rational::Rational::new(numerator.into(), scale).expect("no zero"))
}

const ARITHMETIC: [Operator; 6] = [
    Operator::Add,
    Operator::Subtract,
    Operator::Multiply,
    Operator::Divide,
    Operator::FloorDivide,
    Operator::Modulo,
];
const RELATIONS: [Relation; 6] = [
    Relation::Equal,
    Relation::Unequal,
    Relation::Less,
    Relation::LessOrEqual,
    Relation::Greater,
    Relation::GreaterOrEqual,
];

/// Any tree, of sensible types or not, in which `n_variables` can be named.
fn expression(n_variables: usize, height: u32) -> BoxedStrategy<Expression> {
    let leaf = prop_oneof![
        (0..1000_i64, 0..4_u32).prop_map(|(numerator, n_digits)| number(numerator, n_digits)),
        any::<bool>().prop_map(Expression::Boolean),
        (0..n_variables).prop_map(Expression::Variable),
    ];
    if height == 0 {
        return leaf.boxed();
    }
    let inner = || expression(n_variables, height - 1);
    let operators =
        [ARITHMETIC.to_vec(), vec![Operator::Or, Operator::And, Operator::Power]].concat();
    let functions: Vec<_> = Function::all().collect();
    let call = (prop::sample::select(functions), prop::collection::vec(inner(), 3)).prop_map(
        |(function, mut arguments)| {
            arguments.truncate((*function.arity().end()).min(3));
            Expression::Call(function, arguments)
        },
    );
    let chain = prop::collection::vec((prop::sample::select(RELATIONS.to_vec()), inner()), 1..3);
    let body = expression(n_variables + 1, height - 1);
    let folds = prop::sample::select(Fold::ALL.to_vec());
    prop_oneof![
        1 => leaf,
        1 => inner().prop_map(|inner| Expression::Negate(Box::new(inner))),
        1 => inner().prop_map(|inner| Expression::Not(Box::new(inner))),
        1 => prop::collection::vec(inner(), 0..3).prop_map(Expression::List),
        5 => (prop::sample::select(operators), inner(), inner())
            .prop_map(|(operator, left, right)| Expression::Binary(operator, Box::new(left), Box::new(right))),
        1 => (inner(), chain).prop_map(|(first, rest)| Expression::Compare(Box::new(first), rest)),
        1 => [inner(), inner(), inner()].prop_map(|parts| Expression::If(Box::new(parts))),
        2 => call,
        1 => (folds, inner(), inner(), body).prop_map(move |(fold, first, last, body)| {
            Expression::Fold(fold, format!("k{n_variables}"), Box::new([first, last, body]))
        }),
    ]
    .boxed()
}

fn definition() -> impl Strategy<Value = Definition> {
    let parameters = ["x", "y"].map(str::to_owned).to_vec();
    expression(N_PARAMETERS, 4)
        .prop_map(move |body| Definition { parameters: parameters.clone(), body })
}

/// An expression of numbers alone, as it is written and as fractions of `i128`; `None` where it is not defined or too
/// large for them.
#[derive(Debug, Clone)]
struct Small {
    text: String,
    value: Option<(i128, i128)>,
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

fn fraction(numerator: i128, denominator: i128) -> Option<(i128, i128)> {
    let divisor = gcd(numerator, denominator) * denominator.signum();
    (divisor != 0).then(|| (numerator / divisor, denominator / divisor))
}

fn oracle(sign: &str, (a, b): (i128, i128), (c, d): (i128, i128)) -> Option<(i128, i128)> {
    let product = |x: i128, y: i128| x.checked_mul(y);
    match sign {
        "+" => fraction(product(a, d)?.checked_add(product(c, b)?)?, product(b, d)?),
        "-" => fraction(product(a, d)?.checked_sub(product(c, b)?)?, product(b, d)?),
        "*" => fraction(product(a, c)?, product(b, d)?),
        "/" => fraction(product(a, d)?, product(b, c)?),
        "//" | "mod" => {
            let (numerator, denominator) = fraction(product(a, d)?, product(b, c)?)?;
            let quotient = (numerator.div_euclid(denominator), 1);
            if sign == "//" {
                return Some(quotient);
            }
            oracle("-", (a, b), oracle("*", quotient, (c, d))?)
        }
        "^" if d == 1 && c.abs() < 6 => {
            let one = if c < 0 { oracle("/", (1, 1), (a, b))? } else { (a, b) };
            (0..c.abs()).try_fold((1, 1), |power, _| oracle("*", power, one))
        }
        _ => None,
    }
}

fn small() -> impl Strategy<Value = Small> {
    let leaf =
        (0..30_i128, prop::option::of(0..100_i128)).prop_map(
            |(whole, hundredths)| match hundredths {
                None => Small { text: whole.to_string(), value: Some((whole, 1)) },
                Some(part) => Small {
                    text: format!("{whole}.{part:02}"),
                    value: fraction(whole * 100 + part, 100),
                },
            },
        );
    let signs = prop::sample::select(vec!["+", "-", "*", "/", "//", "mod", "^"]);
    leaf.prop_recursive(5, 40, 2, move |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| Small {
                text: format!("(-{})", a.text),
                value: a.value.map(|(numerator, denominator)| (-numerator, denominator)),
            }),
            (signs.clone(), inner.clone(), inner).prop_map(|(sign, a, b)| Small {
                text: format!("({} {sign} {})", a.text, b.text),
                value: a.value.zip(b.value).and_then(|(a, b)| oracle(sign, a, b)),
            }),
        ]
    })
}

/// Text made of the pieces of the language.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "f(x) = ",
        "x",
        "(",
        ")",
        "[",
        "]",
        ",",
        "+",
        "-",
        "*",
        "/",
        "//",
        "mod",
        "^",
        "9",
        "9^9^9^9",
        "0.5",
        "sum(k, 1, 9, ",
        "prod(",
        "if ",
        " then ",
        " else ",
        "not ",
        "and",
        "or",
        "=",
        "<=",
        "gcd(",
        "factorial(",
        "true",
        " ",
        "\n",
        "é",
        "\0",
        "٣",
        "\u{2028}",
        "_",
        ".",
        "k",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..60)
        .prop_map(|pieces| pieces.concat())
}

fn value_strategy() -> impl Strategy<Value = Value> {
    let number = (any::<i128>(), 1..i64::MAX).prop_filter_map("a fraction", |(a, b)| {
        rational::Rational::new(a.into(), b.into()).map(Value::Number)
    });
    let leaf = prop_oneof![number, any::<bool>().prop_map(Value::Boolean)];
    leaf.prop_recursive(4, 20, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::List))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parsing_what_was_printed_gives_the_same_tree(definition in definition()) {
        prop_assert_eq!(Definition::parse(&definition.text()), Ok(definition.clone()));
        let shape = Definition::parse(&definition.shape());
        prop_assert_eq!(shape.map(|renamed| renamed.shape()), Ok(definition.shape()));
    }

    #[test]
    fn parsing_a_printed_value_gives_it_back(values in prop::collection::vec(value_strategy(), 1..4)) {
        let parameters: Vec<_> = (0..values.len()).map(|index| format!("x{index}")).collect();
        prop_assert_eq!(Value::parse(&values[0].to_string()), Some(values[0].clone()));
        prop_assert_eq!(parse_arguments(&list(&values), &parameters), Some(values));
    }

    #[test]
    fn evaluation_agrees_with_small_fractions(small in small()) {
        let definition = Definition::parse(&format!("f(x) = {}", small.text));
        let Ok(definition) = definition else { return Err(TestCaseError::reject("too deep")) };
        let found = definition.evaluate(&[Value::Boolean(true)], LIMITS);
        match small.value {
            Some((a, 1)) => prop_assert_eq!(found.map(|(value, _)| value.to_string()), Ok(a.to_string())),
            Some((a, b)) => prop_assert_eq!(found.map(|(value, _)| value.to_string()), Ok(format!("{a}/{b}"))),
            None => {}
        }
    }

    #[test]
    fn every_evaluation_ends_soon(definition in definition(), x in value_strategy(), y in value_strategy()) {
        let start = Instant::now();
        let found = definition.evaluate(&[x, y], LIMITS);
        prop_assert!(start.elapsed() < Duration::from_secs(1), "{} took {:?}", definition.text(), start.elapsed());
        if let Ok((value, work)) = found {
            prop_assert!(work.steps <= LIMITS.steps && value.bits() <= work.bits && work.bits <= LIMITS.bits);
        }
    }

    #[test]
    fn no_text_does_harm(text in prop_oneof![hostile(), any::<String>()]) {
        let _ = (Value::parse(&text), parse_arguments(&text, &["x".to_owned()]));
        for text in [text.clone(), format!("f(x) = {text}")] {
            if let Ok(definition) = Definition::parse(&text) {
                prop_assert_eq!(Definition::parse(&definition.text()), Ok(definition.clone()));
                let _ = definition.evaluate(&[Value::Boolean(true)], LIMITS);
            }
        }
    }
}
