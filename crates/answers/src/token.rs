//! LaTeX, Unicode and plain text as one series of tokens: what only changes how an answer looks is dropped here.

use crate::words;

/// Longer texts are no answers.
pub(crate) const MAX_BYTES: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// Digits with at most one point, a repeating part in parentheses, an exponent after `e`.
    Number(String),
    /// A variable: one letter, or the name of a Greek one.
    Letter(String),
    /// A run of letters that is no product.
    Word(String),
    /// `\text{…}`
    Text(String),
    /// A command or function by its name, without the backslash.
    Command(String),
    /// An operator or bracket. `{` and `}` group, `⦃` and `⦄` are the braces of a set, `⏎` ends a row.
    Symbol(char),
    Begin(String),
    /// `and`, `or` between items.
    And,
    Or,
}

/// A token and whether white space stood before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spaced {
    pub(crate) token: Token,
    pub(crate) space: bool,
}

/// How what can be read in two ways is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// `1,000` is a thousand, not two numbers.
    pub(crate) thousands: bool,
    /// `2e-1` is a fifth, not `2e - 1`.
    pub(crate) scientific: bool,
}

/// The tokens of a text, None when it is too long or a brace does not end.
pub(crate) fn tokens(text: &str, reading: Reading) -> Option<Vec<Spaced>> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let chars: Vec<char> = text.chars().collect();
    let mut lexer =
        Lexer { chars: &chars, at: 0, reading, brackets: 0, space: false, out: Vec::new() };
    while lexer.step()? {}
    Some(lexer.out)
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
    reading: Reading,
    brackets: usize,
    space: bool,
    out: Vec<Spaced>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    fn take_while(&mut self, test: impl Fn(char) -> bool) -> String {
        let taken: String =
            self.chars.get(self.at..).unwrap_or(&[]).iter().take_while(|c| test(**c)).collect();
        self.at += taken.chars().count();
        taken
    }

    fn push(&mut self, token: Token) {
        self.out.push(Spaced { token, space: std::mem::take(&mut self.space) });
    }

    fn symbol(&mut self, symbol: char) {
        match symbol {
            '(' | '[' | '⦃' => self.brackets += 1,
            ')' | ']' | '⦄' => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        self.push(Token::Symbol(symbol));
    }

    fn step(&mut self) -> Option<bool> {
        let Some(c) = self.peek(0) else { return Some(false) };
        if c.is_ascii_digit() || (c == '.' && self.peek(1).is_some_and(|c| c.is_ascii_digit())) {
            self.number()?;
            return Some(true);
        }
        if c.is_ascii_alphabetic() {
            let run = self.take_while(|c| c.is_ascii_alphabetic());
            self.letters(run);
            return Some(true);
        }
        self.at += 1;
        match c {
            '\\' => self.command()?,
            '$' => {}
            '~' => self.space = true,
            c if c.is_whitespace() => self.space = true,
            '*' if self.peek(0) == Some('*') => {
                self.at += 1;
                self.symbol('^');
            }
            '<' | '>' | '!' | '=' if self.peek(0) == Some('=') => {
                self.at += 1;
                self.symbol(match c {
                    '<' => '≤',
                    '>' => '≥',
                    '!' => '≠',
                    _ => '=',
                });
            }
            c if c.is_alphabetic()
                && c != 'π'
                && !words::UNICODE.iter().any(|(from, _)| *from == c) =>
            {
                self.push(Token::Letter(c.to_string()));
            }
            c => match words::UNICODE.iter().find(|(from, _)| *from == c) {
                Some((_, to)) => self.replacement(to),
                None => self.symbol(c),
            },
        }
        Some(true)
    }

    /// Pushes what a Unicode character or a command stands for: symbols, or the name of a command.
    fn replacement(&mut self, to: &str) {
        if let Some(token) = words::plain(to) {
            self.push(token);
        } else if words::GREEK.contains(&to) {
            self.push(Token::Letter(to.to_owned()));
        } else if to.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.push(Token::Command(to.to_owned()));
        } else {
            for c in to.chars() {
                if c.is_ascii_digit() {
                    self.push(Token::Number(c.to_string()));
                } else {
                    self.symbol(c);
                }
            }
        }
    }

    fn digits(&mut self) -> String {
        self.take_while(|c| c.is_ascii_digit())
    }

    /// The length of a separator of thousands before exactly three digits.
    fn separator(&self) -> Option<usize> {
        let sure = ["{,}", ",\\!", "\\,", " ", "{\\,}", "\\;", ",\\,"];
        let separators =
            sure.iter().chain((self.reading.thousands && self.brackets == 0).then_some(&","));
        separators.map(|text| (text, text.chars().count())).find_map(|(text, length)| {
            let spaces = (0..).take_while(|n| self.peek(length + n) == Some(' ')).count();
            let skipped = length + if text.contains("\\!") { spaces } else { 0 };
            let digits = (0..4)
                .take_while(|n| self.peek(skipped + n).is_some_and(|c| c.is_ascii_digit()))
                .count();
            (self.starts_with(text) && digits == 3).then_some(skipped)
        })
    }

    fn number(&mut self) -> Option<()> {
        let mut number = self.digits();
        if (1..=3).contains(&number.len()) && !number.starts_with('0') {
            while let Some(length) = self.separator() {
                self.at += length;
                number += &self.digits();
            }
        }
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            number.push('.');
            number += &self.digits();
        }
        for overline in ["\\overline{", ".\\overline{"] {
            if self.starts_with(overline) && (overline.starts_with('.') != number.contains('.')) {
                self.at += overline.len();
                let repeated = self.digits();
                if repeated.is_empty() || self.peek(0) != Some('}') {
                    return None;
                }
                self.at += 1;
                if !number.contains('.') {
                    number.push('.');
                }
                number += &format!("({repeated})");
            }
        }
        let exponent = matches!(self.peek(0), Some('e' | 'E')) && self.reading.scientific;
        let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
        if exponent && self.peek(1 + sign).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            number.push('e');
            number.extend((sign == 1).then(|| self.peek(0)).flatten().filter(|c| *c == '-'));
            self.at += sign;
            number += &self.digits();
        }
        self.push(Token::Number(number));
        Some(())
    }

    /// A run of letters outside of a command.
    fn letters(&mut self, run: String) {
        let before = self.out.last().map(|spaced| &spaced.token);
        let after_number = matches!(before, Some(Token::Number(_) | Token::Symbol('}' | ')')));
        let number = matches!(before, Some(Token::Number(_))) && !self.space;
        if number && matches!(run.as_str(), "st" | "nd" | "rd" | "th") {
            // `8th` is a number as well.
        } else if run == "U" && matches!(before, Some(Token::Symbol(')' | ']' | '⦄'))) {
            self.symbol('∪');
        } else if run.len() == 1 {
            self.push(Token::Letter(run));
        } else if let Some(token) = words::plain(&run) {
            self.push(token);
        } else if words::unit(&run).is_some() && before.is_some() {
            self.push(Token::Word(run));
        } else if run.len() <= 3 && !words::is_word(&run) || after_number && !self.space {
            for letter in run.chars() {
                self.push(Token::Letter(letter.to_string()));
            }
        } else {
            self.push(Token::Word(run));
        }
    }

    /// What stands in the braces that come next, with their nesting.
    fn braced(&mut self) -> Option<String> {
        self.take_while(char::is_whitespace);
        if self.peek(0) != Some('{') {
            return None;
        }
        let start = self.at + 1;
        let mut depth = 0_usize;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => {
                    return Some(self.chars.get(start..self.at - 1)?.iter().collect());
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        None
    }

    fn command(&mut self) -> Option<()> {
        let name = self.take_while(|c| c.is_ascii_alphabetic());
        if name.is_empty() {
            let c = self.peek(0)?;
            self.at += 1;
            match c {
                '!' => {}
                ',' | ';' | ':' | '>' | ' ' => self.space = true,
                '{' => self.symbol('⦃'),
                '}' => self.symbol('⦄'),
                '\\' => {
                    // `\\[2pt]` is a row that ends with more space.
                    if self.peek(0) == Some('[') && self.peek(1).is_some_and(|c| c.is_ascii_digit())
                    {
                        self.take_while(|c| c != ']');
                        self.at += 1;
                    }
                    self.symbol('⏎');
                }
                '|' => self.symbol('|'),
                '%' => self.symbol('%'),
                '(' | ')' | '[' | ']' | '$' => {}
                c => self.symbol(c),
            }
            return Some(());
        }
        if words::INVISIBLE.contains(&name.as_str()) {
            self.space |= name.ends_with("quad");
            // `\left.` is a bracket that is not seen.
            if matches!(name.as_str(), "left" | "right") && self.peek(0) == Some('.') {
                self.at += 1;
            }
            return Some(());
        }
        if let Some((_, to)) = words::COMMANDS.iter().find(|(from, _)| *from == name) {
            self.replacement(to);
            return Some(());
        }
        match name.as_str() {
            "text" | "textbf" | "textit" | "textrm" | "mbox" | "mathrm" | "rm" | "mathit"
            | "operatorname" => self.text(&name)?,
            "begin" => {
                let name = self.braced()?;
                if name == "array" {
                    self.braced()?;
                }
                self.push(Token::Begin(name));
            }
            "end" => {
                self.braced()?;
                self.symbol('∎');
            }
            "pmod" | "hspace" | "vspace" | "phantom" | "label" | "tag" => {
                self.braced()?;
            }
            _ if words::GREEK.contains(&name.as_str()) => self.push(Token::Letter(name)),
            _ => self.push(Token::Command(name)),
        }
        Some(())
    }

    fn text(&mut self, command: &str) -> Option<()> {
        let Some(inner) = self.braced() else { return Some(()) };
        let plain = inner.replace(['~', '$'], " ").replace("\\,", " ");
        let plain = plain.trim_matches(|c: char| c.is_whitespace() || c == '\\');
        match words::plain(plain) {
            Some(token) => self.push(token),
            None if plain == "," || plain == ";" => self.symbol(','),
            None if plain.is_empty() => self.space = true,
            // `\text{12 cm}`: without a backslash it holds no further text.
            None if !plain.contains('\\') && plain.starts_with(|c: char| c.is_ascii_digit()) => {
                self.out.extend(tokens(plain, self.reading)?);
            }
            None if command.starts_with("math")
                && plain.chars().count() == 1
                && !inner.contains('~') =>
            {
                self.push(Token::Letter(plain.to_owned()));
            }
            None => self.push(Token::Text(plain.to_owned())),
        }
        Some(())
    }
}
