//! From what a model wrote to the value or the arguments that it states: text that is parsed, never evaluated.

use azr_executor::program::{self, ProgramError};
use azr_executor::{Arguments, Value, parse_arguments, parse_literal};
use ruff_python_ast::{CmpOp, Expr, ModModule, Stmt};
use ruff_text_size::{Ranged, TextRange, TextSize};

use super::fence;
use super::wave::NO_ANSWER;
use crate::PromptStyle;

/// What stands where a literal has to.
const NOT_LITERAL: &str = "not_literal";

/// Longest response that is looked at, in bytes.
const MAX_RESPONSE_BYTES: usize = 256 << 10;

/// The value that a response states, or why it states none. Total for any text.
///
/// `opening` is what the prompt of a continuation ends with: `assert f(1) ==`. Understood are a bare value and an
/// assertion or comparison whose right side it is; in chat the last fenced block, or without one the last line.
pub(super) fn value(
    style: PromptStyle,
    opening: &str,
    response: &str,
) -> Result<Value, &'static str> {
    let statement = statement(style, opening, response)?;
    let text = right_side(&statement).unwrap_or_else(|| statement.clone());
    parse_literal(&text).map_err(|_| NOT_LITERAL)
}

/// What stands between the parentheses of the call that a response states, or why it states none. Total for any text.
///
/// `opening` is what the prompt of a continuation ends with: `assert f(`. Understood are bare arguments, a call of
/// `function`, and an assertion or comparison whose left side is one; in chat as in [`value`].
pub(super) fn arguments(
    style: PromptStyle,
    opening: &str,
    function: &str,
    response: &str,
) -> Result<String, &'static str> {
    let statement = statement(style, opening, response)?;
    Ok(call_arguments(&statement, function).unwrap_or(statement).trim().to_owned())
}

/// The arguments of such a text, if they are literals.
pub(super) fn literals(arguments: &str) -> Result<Arguments, &'static str> {
    parse_arguments(arguments).map_err(|_| NOT_LITERAL)
}

/// The statement that holds the answer, as text.
fn statement(style: PromptStyle, opening: &str, response: &str) -> Result<String, &'static str> {
    if response.len() > MAX_RESPONSE_BYTES {
        return Err(NO_ANSWER);
    }
    let text = match style {
        PromptStyle::Completion if response.trim().is_empty() => return Err(NO_ANSWER),
        PromptStyle::Completion => {
            let text = format!("{opening}{response}");
            first_statement(&text).unwrap_or(text)
        }
        PromptStyle::Chat => {
            let said = fence::behind_thoughts(response);
            let block = fence::blocks(said).into_iter().rfind(|block| !block.trim().is_empty());
            let line = || said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            block.unwrap_or_else(line).trim().trim_matches('`').trim().to_owned()
        }
    };
    if text.is_empty() { Err(NO_ANSWER) } else { Ok(text) }
}

/// The text of the statement that the valid Python at the start of `text` begins with.
fn first_statement(text: &str) -> Option<String> {
    let source = program::leading(text);
    inspect(&source, |source, module| {
        source.get(module.body.first()?.range().to_std_range()).map(str::to_owned)
    })
}

/// What stands right of `==` in an assertion or comparison.
fn right_side(statement: &str) -> Option<String> {
    inspect(statement, |source, module| {
        let (_, right) = comparison(test(module)?)?;
        source.get(right.range().to_std_range()).map(str::to_owned)
    })
}

/// What stands between the parentheses of a call of `function`, alone or left of `==`.
fn call_arguments(statement: &str, function: &str) -> Option<String> {
    inspect(statement, |source, module| {
        let test = test(module)?;
        let call = match comparison(test).map_or(test, |(left, _)| left) {
            Expr::Call(call) => call,
            _ => return None,
        };
        let is_it = matches!(&*call.func, Expr::Name(name) if name.id.as_str() == function);
        let range = call.arguments.range;
        let one = TextSize::from(1);
        let inner = TextRange::new(range.start() + one, range.end().checked_sub(one)?);
        source.get(inner.to_std_range()).filter(|_| is_it).map(str::to_owned)
    })
}

/// What the one statement of a module asserts or states.
fn test(module: &ModModule) -> Option<&Expr> {
    match &module.body[..] {
        [Stmt::Assert(assertion)] => Some(&assertion.test),
        [Stmt::Expr(expression)] => Some(&expression.value),
        _ => None,
    }
}

fn comparison(expression: &Expr) -> Option<(&Expr, &Expr)> {
    match expression {
        Expr::Compare(compare) if *compare.ops == [CmpOp::Eq] => {
            Some((&compare.left, compare.comparators.first()?))
        }
        _ => None,
    }
}

fn inspect<R>(text: &str, look: impl FnOnce(&str, &ModModule) -> Option<R>) -> Option<R> {
    let found: Result<_, ProgramError> = program::inspect(text, None, look);
    found.ok().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STYLES: [PromptStyle; 2] = [PromptStyle::Completion, PromptStyle::Chat];

    fn stated(style: PromptStyle, response: &str) -> Result<String, &'static str> {
        value(style, "assert g(x=2) ==", response).map(|value| value.repr())
    }

    fn called(style: PromptStyle, response: &str) -> Result<String, &'static str> {
        let text = arguments(style, "assert g(", "g", response)?;
        literals(&text).map(|arguments| arguments.repr())
    }

    #[test]
    fn a_value_is_bare_or_right_of_an_equals_sign() {
        for response in [
            "[1, 'a == b']",
            "`[1, 'a == b']`",
            "So it is\n```python\nassert g(x=2) == [1, 'a == b']\n```\nas said.",
            "```\n[1, 2]\n```\nno, wait\n```\n[1, 'a == b']\n```",
            "<think>[2]</think>It returns:\ng(x=2) == [1, 'a == b']",
        ] {
            assert_eq!(stated(PromptStyle::Chat, response).as_deref(), Ok("[1, 'a == b']"));
        }
        for response in
            [" [1,\n 'a == b']", " [1, 'a == b']  # yes\nassert g(3) == [4]", " [1, 'a == b']\n)"]
        {
            assert_eq!(stated(PromptStyle::Completion, response).as_deref(), Ok("[1, 'a == b']"));
        }
    }

    #[test]
    fn arguments_are_bare_or_those_of_the_call() {
        for response in [
            "2, k=')'",
            "g(2, k=')')",
            "```python\nassert g(2, k=')') == 5\n```",
            "I would call it with\n```\ng(2, k=')') == 5\n```",
        ] {
            assert_eq!(
                called(PromptStyle::Chat, response).as_deref(),
                Ok("2, k=')'"),
                "{response}"
            );
        }
        for response in ["2, k=')') == 5", "2, k=')')\nassert g(3)"] {
            assert_eq!(called(PromptStyle::Completion, response).as_deref(), Ok("2, k=')'"));
        }
        assert_eq!(called(PromptStyle::Chat, "h(2)"), Err(NOT_LITERAL));
    }

    #[test]
    fn what_would_have_to_be_evaluated_is_no_answer() {
        for response in
            ["g(x=2)", " 1 + 1", " 1 or 2", " [1] * 3", "assert True", "x", " 1 == 1 == 1"]
        {
            for style in STYLES {
                assert_eq!(stated(style, response), Err(NOT_LITERAL), "{style:?} {response}");
            }
        }
        for response in
            ["1) or g(2", "len('a')) == 1", "*[1])", "1) + g(2) == 3", "2) == 3 or (True"]
        {
            for style in STYLES {
                assert_eq!(called(style, response), Err(NOT_LITERAL), "{style:?} {response}");
            }
        }
        for style in STYLES {
            assert_eq!(stated(style, " \n "), Err(NO_ANSWER));
            assert_eq!(called(style, "\n"), Err(NO_ANSWER));
        }
        assert_eq!(called(PromptStyle::Completion, ") == 3").as_deref(), Ok(""));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in r"(?s)(assert |g\(|\)| == |\[|\]|'|1|, |k=|```|\n|</think>|é|.){0,24}") {
            for style in STYLES {
                let _ = stated(style, &text);
                let _ = called(style, &text);
            }
        }
    }
}
