//! From text to a syntax tree.
//!
//! ```text
//! definition  = "f" "(" name ("," name)* ")" "=" expression
//! expression  = "if" expression "then" expression "else" expression | disjunction
//! disjunction = conjunction ("or" conjunction)*
//! conjunction = negation ("and" negation)*
//! negation    = "not" negation | comparison
//! comparison  = sum (("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") sum)*
//! sum         = product (("+" | "-") product)*
//! product     = unary (("*" | "/" | "//" | "mod" | "%") unary)*
//! unary       = "-" unary | power
//! power       = primary (("^" | "**") unary)?
//! primary     = digits ("." digits)? | "true" | "false" | name | "(" expression ")"
//!             | "[" (expression ("," expression)*)? "]" | name "(" expression ("," expression)* ")"
//!             | ("sum" | "prod") "(" name "," expression "," expression "," expression ")"
//! ```
//!
//! What fails to parse is never tried again in another way, so time is linear; depth and length have limits.

use winnow::ascii::{digit1, multispace0};
use winnow::combinator::{
    alt, delimited, opt, preceded, repeat, separated, separated_foldl1, terminated,
};
use winnow::error::ParserError;
use winnow::stream::{Stateful, Stream};
use winnow::token::{any, one_of, take_while};
use winnow::{Parser, Result};

use super::functions::Function;
use super::tree::{Definition, Expression, Fold, Operator, Relation};
use super::value::decimal;

/// Longest text of an expression or a value in bytes.
pub(crate) const MAX_BYTES: usize = 4096;
/// Deepest tree, and deepest nesting while parsing.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most parameters of a definition.
pub(crate) const MAX_PARAMETERS: usize = 8;
/// Longest name in bytes.
const MAX_NAME: usize = 32;

/// How a name begins.
pub(super) const NAME_START: fn(char) -> bool = |c| c.is_ascii_alphabetic() || c == '_';
const KEYWORDS: [&str; 9] = ["if", "then", "else", "and", "or", "not", "mod", "true", "false"];
/// From long to short, so that the longest one is found.
const SIGNS: [&str; 20] = [
    "//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "^", "=", "<", ">", "(", ")", "[",
    "]", ",",
];

/// Why a text is no definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// It does not follow the grammar.
    Syntax,
    /// Longer than [`MAX_BYTES`].
    TooLong,
    /// Deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A name that is no parameter and no counting variable.
    UnknownName,
    /// A call of something that is no function.
    UnknownFunction,
    /// A function with too few or too many arguments.
    Arguments,
}

/// Of these errors only the first one says that something else may follow.
impl<I: Stream> ParserError<I> for ParseError {
    type Inner = Self;

    fn from_input(_input: &I) -> Self {
        Self::Syntax
    }

    fn is_backtrack(&self) -> bool {
        *self == Self::Syntax
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'i> {
    /// Digits, and those behind the point of a decimal fraction.
    Number(&'i str, Option<&'i str>),
    /// A name or a keyword.
    Word(&'i str),
    Sign(&'static str),
}

/// What is known at a place in the text.
#[derive(Debug, Clone, Default)]
struct State {
    /// Names of the variables that can be named here.
    scope: Vec<String>,
    depth: usize,
}

type Input<'i> = Stateful<&'i [Token<'i>], State>;
type Parsed<T> = Result<T, ParseError>;

impl Definition {
    /// Reads a definition.
    pub(crate) fn parse(text: &str) -> Parsed<Self> {
        if text.len() > MAX_BYTES {
            return Err(ParseError::TooLong);
        }
        let tokens: Vec<Token<'_>> =
            preceded(multispace0, repeat(0.., terminated(token, multispace0)))
                .parse(text)
                .map_err(|_| ParseError::Syntax)?;
        let mut input = Input { input: tokens.as_slice(), state: State::default() };
        let found = definition(&mut input)?;
        if !input.input.is_empty() {
            return Err(ParseError::Syntax);
        }
        // A long sum is a deep tree without being nested.
        if found.size().depth > MAX_DEPTH { Err(ParseError::TooDeep) } else { Ok(found) }
    }
}

/// Whether a name may go on with `c`.
pub(super) fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn token<'i>(input: &mut &'i str) -> Parsed<Token<'i>> {
    let word = (one_of(NAME_START), take_while(0.., is_name_part)).take();
    let sign = |input: &mut &'i str| {
        let found = SIGNS.into_iter().find(|&sign| input.starts_with(sign));
        let sign = found.ok_or(ParseError::Syntax)?;
        *input = &input[sign.len()..];
        Ok(Token::Sign(sign))
    };
    let number =
        (digit1, opt(preceded('.', digit1))).map(|(whole, part)| Token::Number(whole, part));
    alt((number, word.map(Token::Word), sign)).parse_next(input)
}

fn definition(input: &mut Input<'_>) -> Parsed<Definition> {
    let parameters: Vec<String> =
        delimited((word("f"), sign("(")), separated(1.., name, sign(",")), (sign(")"), equals))
            .parse_next(input)?;
    let is_new = |(at, name): (usize, &String)| !parameters[..at].contains(name);
    if parameters.len() > MAX_PARAMETERS || !parameters.iter().enumerate().all(is_new) {
        return Err(ParseError::Syntax);
    }
    input.state.scope = parameters.clone();
    Ok(Definition { parameters, body: expression(input)? })
}

fn expression(input: &mut Input<'_>) -> Parsed<Expression> {
    nested(input, |input| {
        let part = |keyword| preceded(word(keyword), expression);
        let conditional = (part("if"), part("then"), part("else"))
            .map(|(condition, yes, no)| Expression::If(Box::new([condition, yes, no])));
        alt((conditional, disjunction)).parse_next(input)
    })
}

fn disjunction(input: &mut Input<'_>) -> Parsed<Expression> {
    separated_foldl1(conjunction, word("or").value(Operator::Or), binary).parse_next(input)
}

fn conjunction(input: &mut Input<'_>) -> Parsed<Expression> {
    separated_foldl1(negation, word("and").value(Operator::And), binary).parse_next(input)
}

fn negation(input: &mut Input<'_>) -> Parsed<Expression> {
    let negated = preceded(word("not"), |input: &mut Input<'_>| nested(input, negation))
        .map(|inner| Expression::Not(Box::new(inner)));
    alt((negated, comparison)).parse_next(input)
}

fn comparison(input: &mut Input<'_>) -> Parsed<Expression> {
    let relation = alt((
        equals.value(Relation::Equal),
        sign("!=").value(Relation::Unequal),
        sign("<=").value(Relation::LessOrEqual),
        sign("<").value(Relation::Less),
        sign(">=").value(Relation::GreaterOrEqual),
        sign(">").value(Relation::Greater),
    ));
    let (first, rest): (_, Vec<_>) = (sum, repeat(0.., (relation, sum))).parse_next(input)?;
    Ok(if rest.is_empty() { first } else { Expression::Compare(Box::new(first), rest) })
}

fn sum(input: &mut Input<'_>) -> Parsed<Expression> {
    let operator = alt((sign("+").value(Operator::Add), sign("-").value(Operator::Subtract)));
    separated_foldl1(product, operator, binary).parse_next(input)
}

fn product(input: &mut Input<'_>) -> Parsed<Expression> {
    let operator = alt((
        sign("*").value(Operator::Multiply),
        sign("//").value(Operator::FloorDivide),
        sign("/").value(Operator::Divide),
        alt((word("mod"), sign("%"))).value(Operator::Modulo),
    ));
    separated_foldl1(unary, operator, binary).parse_next(input)
}

fn unary(input: &mut Input<'_>) -> Parsed<Expression> {
    let negated = preceded(sign("-"), |input: &mut Input<'_>| nested(input, unary))
        .map(|inner| Expression::Negate(Box::new(inner)));
    alt((negated, power)).parse_next(input)
}

fn power(input: &mut Input<'_>) -> Parsed<Expression> {
    let exponent =
        preceded(alt((sign("^"), sign("**"))), |input: &mut Input<'_>| nested(input, unary));
    let (base, exponent) = (primary, opt(exponent)).parse_next(input)?;
    Ok(match exponent {
        Some(exponent) => binary(base, Operator::Power, exponent),
        None => base,
    })
}

fn primary(input: &mut Input<'_>) -> Parsed<Expression> {
    let parenthesised = delimited(sign("("), expression, sign(")"));
    let list = delimited(sign("["), separated(0.., expression, sign(",")), sign("]"));
    let truth =
        alt((word("true").value(true), word("false").value(false))).map(Expression::Boolean);
    alt((number, truth, parenthesised, list.map(Expression::List), named)).parse_next(input)
}

fn number(input: &mut Input<'_>) -> Parsed<Expression> {
    any.verify_map(|token| match token {
        Token::Number(whole, part) => decimal(whole, part).map(Expression::Number),
        _ => None,
    })
    .parse_next(input)
}

/// A variable, a call, a sum or a product.
fn named(input: &mut Input<'_>) -> Parsed<Expression> {
    let name = name(input)?;
    if opt(sign("(")).parse_next(input)?.is_none() {
        let level = input.state.scope.iter().rposition(|known| *known == name);
        return level.map(Expression::Variable).ok_or(ParseError::UnknownName);
    }
    if let Some(fold) = Fold::ALL.into_iter().find(|fold| fold.as_str() == name) {
        return terminated(|input: &mut Input<'_>| folded(input, fold), sign(")"))
            .parse_next(input);
    }
    let function = Function::named(&name).ok_or(ParseError::UnknownFunction)?;
    let arguments: Vec<_> =
        terminated(separated(1.., expression, sign(",")), sign(")")).parse_next(input)?;
    if function.arity().contains(&arguments.len()) {
        Ok(Expression::Call(function, arguments))
    } else {
        Err(ParseError::Arguments)
    }
}

/// `k, first, last, body`; the body alone may name `k`.
fn folded(input: &mut Input<'_>, fold: Fold) -> Parsed<Expression> {
    let (variable, first, last) = (
        terminated(name, sign(",")),
        terminated(expression, sign(",")),
        terminated(expression, sign(",")),
    )
        .parse_next(input)?;
    input.state.scope.push(variable.clone());
    let body = expression(input);
    input.state.scope.pop();
    Ok(Expression::Fold(fold, variable, Box::new([first, last, body?])))
}

/// Calls `parse` one level deeper.
fn nested<'i, T>(
    input: &mut Input<'i>,
    mut parse: impl FnMut(&mut Input<'i>) -> Parsed<T>,
) -> Parsed<T> {
    if input.state.depth == MAX_DEPTH {
        return Err(ParseError::TooDeep);
    }
    input.state.depth += 1;
    let found = parse(input);
    input.state.depth -= 1;
    found
}

fn binary(left: Expression, operator: Operator, right: Expression) -> Expression {
    Expression::Binary(operator, Box::new(left), Box::new(right))
}

fn name(input: &mut Input<'_>) -> Parsed<String> {
    any.verify_map(|token| match token {
        Token::Word(word) if !KEYWORDS.contains(&word) && word.len() <= MAX_NAME => {
            Some(word.to_owned())
        }
        _ => None,
    })
    .parse_next(input)
}

fn equals<'i>(input: &mut Input<'i>) -> Parsed<Token<'i>> {
    alt((sign("="), sign("=="))).parse_next(input)
}

fn word<'i>(word: &'static str) -> impl Parser<Input<'i>, Token<'i>, ParseError> {
    one_of(move |token| token == Token::Word(word))
}

fn sign<'i>(sign: &'static str) -> impl Parser<Input<'i>, Token<'i>, ParseError> {
    one_of(move |token| token == Token::Sign(sign))
}
