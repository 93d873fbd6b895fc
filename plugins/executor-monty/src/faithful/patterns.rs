//! Regular expressions: Monty's engine is another one. Only patterns on which the two cannot differ are let through.

use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr, walk_stmt};
use ruff_python_ast::{Alias, Expr, ExprCall, ModModule, Stmt};

use super::name;

const REASON: &str = "re";

const MODULE: &str = "re";

/// Refuses programs that use the module in any other way than by calls with plain patterns.
pub(super) fn check(module: &ModModule) -> Result<(), &'static str> {
    let mut uses = Uses::default();
    uses.visit_body(&module.body);
    if uses.is_refused { Err(REASON) } else { Ok(()) }
}

#[derive(Default)]
struct Uses {
    is_imported: bool,
    is_refused: bool,
}

impl<'a> SourceOrderVisitor<'a> for Uses {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        let is_module = |alias: &&Alias| alias.name.as_str() == MODULE;
        match statement {
            Stmt::Import(import) => {
                for alias in import.names.iter().filter(is_module) {
                    self.is_imported = true;
                    self.is_refused |= alias.asname.is_some();
                }
            }
            Stmt::ImportFrom(import) => {
                self.is_refused |=
                    import.module.as_ref().is_some_and(|module| module.as_str() == MODULE);
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(call) = expression
            && let Expr::Attribute(function) = &*call.func
            && name(&function.value) == Some(MODULE)
        {
            self.is_refused |= !is_plain_call(function.attr.as_str(), call);
            return self.visit_arguments(&call.arguments);
        }
        self.is_refused |= self.is_imported && name(expression) == Some(MODULE);
        walk_expr(self, expression);
    }
}

fn is_plain_call(function: &str, call: &ExprCall) -> bool {
    let arguments = &call.arguments.args;
    let n_expected = match function {
        "findall" | "fullmatch" | "match" | "search" | "split" => 2,
        "sub" => 3,
        _ => return false,
    };
    if arguments.len() != n_expected || !call.arguments.keywords.is_empty() {
        return false;
    }
    let Some(Expr::StringLiteral(text)) = arguments.first() else { return false };
    let Some(pattern) = Pattern::of(text.value.to_str()) else { return false };
    match (function, arguments.get(1)) {
        ("split", _) => pattern.n_groups == 0,
        ("sub", Some(Expr::StringLiteral(text))) => {
            is_plain_replacement(text.value.to_str(), pattern.n_groups)
        }
        ("sub", _) => false,
        _ => true,
    }
}

/// Text that is put in as it is, but for the numbers of groups.
fn is_plain_replacement(text: &str, n_groups: u32) -> bool {
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '$' => return false,
            '\\' => {
                let group = characters.next().and_then(|digit| digit.to_digit(10));
                if !group.is_some_and(|group| (1..=n_groups).contains(&group))
                    || characters.peek().is_some_and(char::is_ascii_digit)
                {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}

/// A pattern of literal characters, classes, simple groups and greedy repetitions that matches one character at least.
struct Pattern<'p> {
    rest: std::str::Chars<'p>,
    n_groups: u32,
}

impl<'p> Pattern<'p> {
    fn of(text: &'p str) -> Option<Self> {
        let mut pattern = Self { rest: text.chars(), n_groups: 0 };
        let can_be_empty = pattern.sequence(false)?;
        (pattern.rest.as_str().is_empty() && !can_be_empty).then_some(pattern)
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn take(&mut self, expected: char) -> bool {
        let is_next = self.peek() == Some(expected);
        if is_next {
            self.rest.next();
        }
        is_next
    }

    /// Whether a sequence, up to the end or to a closing parenthesis, can match nothing; none if it is not plain.
    fn sequence(&mut self, is_inside: bool) -> Option<bool> {
        let mut can_be_empty = true;
        while let Some(character) = self.peek() {
            if character == ')' {
                return is_inside.then_some(can_be_empty);
            }
            self.rest.next();
            let is_group = character == '(';
            let is_empty = match character {
                '(' => self.group()?,
                '[' => {
                    self.class()?;
                    false
                }
                '\\' => self.escape()?,
                '.' => false,
                _ if is_literal(character) => false,
                _ => return None,
            };
            let can_be_left_out = self.repetition(is_group || is_empty)?;
            can_be_empty &= is_empty || can_be_left_out;
        }
        Some(can_be_empty)
    }

    fn group(&mut self) -> Option<bool> {
        if self.take('?') {
            if !self.take(':') {
                return None;
            }
        } else {
            self.n_groups += 1;
        }
        let can_be_empty = self.sequence(true)?;
        self.take(')').then_some(can_be_empty)
    }

    /// Whether what follows an item lets it be left out; none where an item that may not be repeated is.
    fn repetition(&mut self, is_fixed: bool) -> Option<bool> {
        let can_be_left_out = match self.peek() {
            Some('*' | '?') => true,
            Some('+') => false,
            _ => return Some(false),
        };
        self.rest.next();
        // Lazy, possessive and nested repetitions are not plain.
        let is_nested = matches!(self.peek(), Some('*' | '+' | '?' | '{'));
        (!is_fixed && !is_nested).then_some(can_be_left_out)
    }

    /// Whether an escape matches a place and no character.
    fn escape(&mut self) -> Option<bool> {
        match self.rest.next()? {
            'b' => Some(true),
            'd' | 'w' => Some(false),
            character if character.is_ascii_punctuation() => Some(false),
            _ => None,
        }
    }

    fn class(&mut self) -> Option<()> {
        self.take('^');
        let mut before: Option<char> = None;
        loop {
            let character = self.rest.next()?;
            match character {
                ']' if before.is_some() => return Some(()),
                '\\' => {
                    self.escape().filter(|is_place| !is_place)?;
                }
                '[' | ']' | '^' | '&' | '~' | '|' => return None,
                // Only between letters or digits, so that it cannot be an operator on classes.
                '-' => {
                    let is_range = matches!((before, self.peek()), (Some(low), Some(high))
                        if low.is_ascii_alphanumeric() && high.is_ascii_alphanumeric() && low <= high);
                    let is_last = self.peek() == Some(']') && before != Some('-');
                    if !is_range && !is_last {
                        return None;
                    }
                }
                _ if character.is_ascii_graphic() || character == ' ' => {}
                _ => return None,
            }
            before = Some(character);
        }
    }
}

fn is_literal(character: char) -> bool {
    character.is_ascii_alphanumeric() || " -_,:;@%&=<>!~'\"/`".contains(character)
}
