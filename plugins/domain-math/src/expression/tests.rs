//! What expressions are worth, which texts are none, and what becomes of hostile ones.

use std::time::{Duration, Instant};

use super::*;

const LIMITS: Limits = Limits { steps: 50_000, bits: 4096 };

/// The value of an expression in `x = 7`, `y = -3/4` and `xs = [3, 1, 2]`, or why there is none.
fn value(body: &str) -> String {
    let definition = match Definition::parse(&format!("f(x, y, xs) = {body}")) {
        Ok(definition) => definition,
        Err(error) => return format!("{error:?}"),
    };
    let arguments =
        parse_arguments("7, -3/4, [3, 1, 2]", &definition.parameters).expect("three literals");
    match definition.evaluate(&arguments, LIMITS) {
        Ok((value, _)) => value.to_string(),
        Err(fault) => format!("{fault:?}"),
    }
}

fn assert_values(table: &[(&str, &str)]) {
    for (body, expected) in table {
        assert_eq!(value(body), *expected, "{body}");
    }
}

#[test]
fn arithmetic_is_exact() {
    assert_values(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 4 - 3", "3"),
        ("2 / 3 / 4", "1/6"),
        ("0.1 + 0.2", "3/10"),
        ("0.1 + 0.2 = 0.3", "true"),
        ("x / 2", "7/2"),
        ("x * y", "-21/4"),
        ("1/3 + 1/6", "1/2"),
        ("y + 3/4", "0"),
        ("-x^2", "-49"),
        ("(-x)^2", "49"),
        ("2^3^2", "512"),
        ("2^-3", "1/8"),
        ("y^-2", "16/9"),
        ("2 ** 10", "1024"),
        ("0^0", "1"),
        ("1^99999999999999999999", "1"),
        ("(-1)^99999999999999999999", "-1"),
        ("(-1)^-99999999999999999998", "1"),
        ("2^100", "1267650600228229401496703205376"),
        ("--x", "7"),
        ("x // 2", "3"),
        ("-x // 2", "-4"),
        ("x mod 3", "1"),
        ("-x mod 3", "2"),
        ("x mod -3", "-2"),
        ("x % 4 + 1", "4"),
        ("y mod 1", "1/4"),
        ("7/2 // (1/2)", "7"),
        ("10^20 // 3", "33333333333333333333"),
    ]);
}

#[test]
fn conditions_have_a_type_of_their_own() {
    assert_values(&[
        ("x = 7", "true"),
        ("x == 7 and y < 0", "true"),
        ("x != 7 or y >= 0", "false"),
        ("not x = 7", "false"),
        ("0 <= x < 7", "false"),
        ("1 < 2 < 3 < 4", "true"),
        ("1 < 2 > 1", "true"),
        ("xs = [3, 1, 2]", "true"),
        ("[1, 2] = [2, 1]", "false"),
        ("[1] = [true]", "false"),
        ("[2/4, [x]]", "[1/2, [7]]"),
        ("true and false or true", "true"),
        ("if x mod 2 = 0 then x / 2 else 3 * x + 1", "22"),
        ("if x > 10 then 1 else if x > 5 then 2 else 3", "2"),
        ("false and 1 / 0 = 1", "false"),
        ("if true then 1 else 1 / 0", "1"),
        ("1 > 2 > 1 / 0", "false"),
    ]);
}

#[test]
fn functions_have_their_known_values() {
    assert_values(&[
        ("abs(y)", "3/4"),
        ("min(3, y, x)", "-3/4"),
        ("max(xs)", "3"),
        ("min(xs)", "1"),
        ("gcd(84, 36)", "12"),
        ("gcd(-12, 18, 27)", "3"),
        ("gcd(0, 0)", "0"),
        ("lcm(4, 6)", "12"),
        ("lcm(xs)", "6"),
        ("lcm(0, 5)", "0"),
        ("floor(y)", "-1"),
        ("ceil(y)", "0"),
        ("floor(7/2)", "3"),
        ("numerator(6/8)", "3"),
        ("denominator(y)", "4"),
        ("poly(xs, x)", "156"),
        ("poly([], x)", "0"),
        ("poly([1, 0, -1], 1/2)", "-3/4"),
        ("factorial(0)", "1"),
        ("factorial(20)", "2432902008176640000"),
        ("binomial(10, 3)", "120"),
        ("binomial(5, 6)", "0"),
        ("binomial(5, -1)", "0"),
        ("binomial(50, 25)", "126410606437752"),
        ("isqrt(99)", "9"),
        ("isqrt(10^40)", "100000000000000000000"),
        ("fib(0)", "0"),
        ("fib(10)", "55"),
        ("fib(100)", "354224848179261915075"),
        ("digit_sum(-9875)", "29"),
        ("digit_sum(2^100)", "115"),
        ("powmod(3, 200, 13)", "9"),
        ("powmod(-2, 3, 5)", "2"),
        ("powmod(5, 0, 1)", "0"),
        ("powmod(2, 10^18, 10^9 + 7)", "719476260"),
        ("modinv(3, 11)", "4"),
        ("modinv(-3, 11)", "7"),
        ("modinv(5, 1)", "0"),
        ("is_prime(2)", "true"),
        ("is_prime(1)", "false"),
        ("is_prime(-7)", "false"),
        ("is_prime(561)", "false"),
        ("is_prime(3215031751)", "false"),
        ("is_prime(2^61 - 1)", "true"),
        ("is_prime(18446744073709551557)", "true"),
        ("is_prime(3825123056546413051)", "false"),
        ("next_prime(-5)", "2"),
        ("next_prime(13)", "17"),
        ("next_prime(10^9)", "1000000007"),
        ("phi(1)", "1"),
        ("phi(36)", "12"),
        ("phi(10^9 + 7)", "1000000006"),
        ("num_divisors(1)", "1"),
        ("num_divisors(360)", "24"),
        ("sum_divisors(28)", "56"),
        ("sum_divisors(360)", "1170"),
    ]);
}

#[test]
fn ranges_bind_their_variable_in_the_body_alone() {
    assert_values(&[
        ("sum(k, 1, x, k)", "28"),
        ("sum(k, 1, 4, 1 / k)", "25/12"),
        ("prod(k, 1, 5, k)", "120"),
        ("sum(k, 5, 4, 1 / 0)", "0"),
        ("prod(k, 5, 4, 1 / 0)", "1"),
        ("sum(k, -3, 3, k^2)", "28"),
        ("sum(i, 1, 3, sum(j, i, 3, i * j))", "25"),
        ("sum(k, 1, 100, if is_prime(k) then 1 else 0)", "25"),
        ("sum(x, 1, 3, x) + x", "13"),
        ("sum(k, k, 3, k)", "UnknownName"),
        ("sum(k, 1, 3, k) + k", "UnknownName"),
        ("sum(k, 1/2, 3, k)", "Undefined"),
        ("sum(k, 1, 3, k = 1)", "Type"),
    ]);
}

#[test]
fn what_has_no_value_says_why() {
    assert_values(&[
        ("1 / 0", "Undefined"),
        ("x mod 0", "Undefined"),
        ("x // (y - y)", "Undefined"),
        ("0^-1", "Undefined"),
        ("2^(1/2)", "Undefined"),
        ("max([])", "Undefined"),
        ("gcd(1/2, 3)", "Undefined"),
        ("factorial(-1)", "Undefined"),
        ("factorial(1/2)", "Undefined"),
        ("isqrt(-1)", "Undefined"),
        ("modinv(2, 4)", "Undefined"),
        ("modinv(2, 0)", "Undefined"),
        ("powmod(2, -1, 5)", "Undefined"),
        ("powmod(2, 2, 0)", "Undefined"),
        ("phi(0)", "Undefined"),
        ("binomial(-1, 1)", "Undefined"),
        ("1 + true", "Type"),
        ("true < false", "Type"),
        ("1 = true", "Type"),
        ("xs + 1", "Type"),
        ("not 1", "Type"),
        ("if 1 then 2 else 3", "Type"),
        ("x and true", "Type"),
        ("poly(1, 2)", "Type"),
        ("gcd(xs, 2)", "Type"),
        ("abs(xs)", "Type"),
    ]);
}

#[test]
fn texts_outside_the_grammar_are_refused() {
    assert_values(&[
        ("", "Syntax"),
        ("2x", "Syntax"),
        ("x(3)", "UnknownFunction"),
        ("x +", "Syntax"),
        ("(x", "Syntax"),
        ("x)", "Syntax"),
        ("x y", "Syntax"),
        ("1.", "Syntax"),
        (".5", "Syntax"),
        ("1 + if true then 1 else 2", "Syntax"),
        ("if true then 1", "Syntax"),
        ("not", "Syntax"),
        ("if", "Syntax"),
        ("x = ", "Syntax"),
        ("x; y", "Syntax"),
        ("x # y", "Syntax"),
        ("'a'", "Syntax"),
        ("x²", "Syntax"),
        ("x × y", "Syntax"),
        ("z", "UnknownName"),
        ("gcd", "UnknownName"),
        ("f(x)", "UnknownFunction"),
        ("eval(x)", "UnknownFunction"),
        ("abs(1, 2)", "Arguments"),
        ("sum(xs)", "Syntax"),
        ("abs()", "Syntax"),
        ("[x,]", "Syntax"),
    ]);
    for text in
        ["", "f", "f(x)", "f() = 1", "f(1) = 1", "g(x) = x", "f(x, x) = x", "f(if) = 1", "x = 1"]
    {
        assert_eq!(Definition::parse(text), Err(ParseError::Syntax), "{text}");
    }
    let many = |n: usize| (0..n).map(|index| format!("x{index}")).collect::<Vec<_>>().join(", ");
    assert!(Definition::parse(&format!("f({}) = x0", many(8))).is_ok());
    assert!(Definition::parse(&format!("f({}) = x0", many(9))).is_err());
}

#[test]
fn the_canonical_text_has_no_needless_signs() {
    for (text, canonical) in [
        ("f( x )=x", "f(x) = x"),
        ("f(x) == (x)", "f(x) = x"),
        ("f(x,y)=((x*y))**2%7", "f(x, y) = (x * y)^2 mod 7"),
        ("f(x) = x-(1-(2-3))", "f(x) = x - (1 - (2 - 3))"),
        ("f(x) = (x-1)-2", "f(x) = x - 1 - 2"),
        ("f(x) = -(x^2) + (-x)^2", "f(x) = -x^2 + (-x)^2"),
        ("f(x) = 0.250 * 007", "f(x) = 0.25 * 7"),
        ("f(x) = (x^2)^(3^x)", "f(x) = (x^2)^3^x"),
        ("f(x) =\n  if (x == 1)\n  then (1) else [x , 2]", "f(x) = if x = 1 then 1 else [x, 2]"),
        ("f(x) = (if x > 0 then x else -x) + 1", "f(x) = (if x > 0 then x else -x) + 1"),
        (
            "f(x) = not (not (x = 1 or x = 2)) and (x = x) = true",
            "f(x) = not not (x = 1 or x = 2) and (x = x) = true",
        ),
    ] {
        assert_eq!(Definition::parse(text).map(|found| found.text()).as_deref(), Ok(canonical));
    }
}

#[test]
fn names_do_not_make_another_shape() {
    let shape = |text: &str| Definition::parse(text).map(|found| found.shape());
    let expected = Ok("f(v0, v1) = v0 + sum(v2, 1, v1, v2 * v0)".to_owned());
    assert_eq!(shape("f(x, y) = x + sum(k, 1, y, k * x)"), expected);
    assert_eq!(shape("f(a, n) = (a + sum(a2, 1, n, a2*a))"), expected);
    assert_ne!(shape("f(y, x) = x + sum(k, 1, y, k * x)"), expected);
}

#[test]
fn sizes_count_what_is_there() {
    let of = |text: &str| {
        let definition = Definition::parse(text).expect("a definition");
        let tree::Size { nodes, depth, functions } = definition.size();
        (nodes, depth, functions, definition.is_constant())
    };
    assert_eq!(of("f(x) = x"), (1, 1, 0, false));
    assert_eq!(of("f(x) = gcd(x, 2) + gcd(x, abs(3))"), (8, 4, 2, false));
    assert_eq!(of("f(x) = sum(k, 1, 3, k^2)"), (6, 3, 1, true));
    assert_eq!(of("f(x) = sum(k, 1, 3, x)"), (4, 2, 1, false));
}

#[test]
fn work_is_measured() {
    let definition = Definition::parse("f(n) = sum(k, 1, n, 2^k)").expect("a definition");
    let of = |n: &str| {
        let arguments = parse_arguments(n, &definition.parameters).expect("a literal");
        definition.evaluate(&arguments, LIMITS).map(|(_, work)| work)
    };
    assert_eq!(of("0"), Ok(Work { steps: 3, bits: 1 }));
    assert_eq!(of("10"), Ok(Work { steps: 43, bits: 11 }));
    assert_eq!(of("5000"), Err(Fault::Limit));
}

#[test]
fn hostile_expressions_end_at_a_limit() {
    let tower = "9^".repeat(40) + "9";
    for body in [
        "9^9^9^9",
        &tower,
        "(1/9)^9^9",
        "2^4097",
        "factorial(10^9)",
        "factorial(factorial(x))",
        "fib(10^30)",
        "binomial(10^30, 10^20)",
        "prod(k, 1, 10^9, 10^9)",
        "sum(k, 1, 10^30, k)",
        "sum(i, 1, 1000, sum(j, 1, 1000, sum(k, 1, 1000, 1)))",
        "sum(k, 1, 10^6, 1/k)",
        "phi((10^9 + 7)^2)",
        "sum_divisors((10^9 + 7) * (10^9 + 9))",
        "is_prime(2^64)",
        "next_prime(2^64 - 1)",
        "sum(k, 1, 10^5, next_prime(2^60 + k))",
        "sum(k, 1, 10^5, powmod(3^2000, 3^2000, 7^1000))",
        "sum(k, 1, 10^5, gcd(3^2000 + k, 7^1000))",
        "sum(k, 1, 10^5, digit_sum(3^2500 + k))",
        "sum(k, 1, 10^5, isqrt(3^2500 + k))",
        "sum(k, 1, 10^5, modinv(2, 3^2500 + 2 * k))",
        "sum(k, 1, 10^5, if (3^2500 + k) / 7^1400 < 5^1700 / (2^4000 - k) then 1 else 0)",
        "sum(k, 1, 10^5, (3^2500 + k) mod (7^500))",
    ] {
        let start = Instant::now();
        assert_eq!(value(body), "Limit", "{body}");
        assert!(start.elapsed() < Duration::from_secs(2), "{body} took {:?}", start.elapsed());
    }
    let short = Limits { steps: 10, bits: 8 };
    let definition = Definition::parse("f(x) = x").expect("a definition");
    let of = |text: &str| {
        let arguments = parse_arguments(text, &definition.parameters).expect("a literal");
        definition.evaluate(&arguments, short).map(|(value, _)| value.to_string())
    };
    assert_eq!(of("255").as_deref(), Ok("255"));
    assert_eq!(of("256"), Err(Fault::Limit));
    assert_eq!(of("[1,2,3,4,5,6,7,8,9,10]"), Err(Fault::Limit));
}

#[test]
fn hostile_texts_end_at_a_limit() {
    let deep = |open: &str, close: &str, n: usize| {
        format!("f(x) = {}x{}", open.repeat(n), close.repeat(n))
    };
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("-", ""),
        ("not ", ""),
        ("abs(", ")"),
        ("2^", ""),
        ("if x then x else ", ""),
        ("sum(k, 1, 2, ", ")"),
    ] {
        assert!(Definition::parse(&deep(open, close, 20)).is_ok(), "{open}");
        assert_eq!(Definition::parse(&deep(open, close, 200)), Err(ParseError::TooDeep), "{open}");
        assert!(Definition::parse(&deep(open, "", 20)).is_ok() == close.is_empty(), "{open}");
    }
    assert_eq!(Definition::parse(&deep("", " + x", 100)), Err(ParseError::TooDeep));
    assert_eq!(Definition::parse(&deep("(", ")", 3000)), Err(ParseError::TooLong));
    assert!(Value::parse(&format!("{}1{}", "[".repeat(60), "]".repeat(60))).is_some());
    assert_eq!(Value::parse(&format!("{}1{}", "[".repeat(2000), "]".repeat(2000))), None);
    assert_eq!(Value::parse(&"9".repeat(MAX_BYTES + 1)), None);
    // What fails is not tried again in another way.
    for piece in ["(", "[", "sum(k,1,", "if 1 then ", "x^", "1<", "gcd(x,", "not(", "-(", "[-["] {
        let text = |n: usize| format!("f(x) = {}", piece.repeat(n));
        let start = Instant::now();
        for n in [25, 60, MAX_BYTES / piece.len() - 10] {
            assert!(Definition::parse(&text(n)).is_err(), "{piece}");
        }
        assert!(start.elapsed() < Duration::from_millis(200), "{piece} took {:?}", start.elapsed());
    }
}
