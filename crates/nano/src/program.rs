//! Random small functions: a chain of statements, each of which mostly works on what the one before it made.

use std::collections::BTreeMap;

use crate::draw::Draws;
use crate::language::{
    LETTERS, N_NAMES, Operation, PARAMETERS, Type, argument, combinations, conditions, loops,
    names, operations,
};

/// Of a hundred statements, and of a hundred copies, so many are followed by a line that copies. It takes no thought and
/// is no statement. It is there so that the number of lines does not tell where a function ends: a model that has only
/// seen functions of at most three lines counts, and stops after three (`docs/learning.md`).
const COPY_PERCENT: usize = 20;

/// A function with what its statements do in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sketch {
    parameters: Vec<(Type, &'static str)>,
    lines: Vec<Line>,
    result: String,
    words: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    depth: usize,
    text: String,
    /// The variable that the line changes.
    changes: Option<&'static str>,
}

impl Sketch {
    /// A function of `n_statements` statements (a loop or a condition counts as one) and a `return`.
    pub(crate) fn draw(draws: &mut Draws, n_statements: usize) -> Self {
        let mut builder = Builder::new(draws);
        for _ in 0..n_statements {
            builder.statement(draws);
            while draws.chance(COPY_PERCENT) {
                builder.copy();
            }
        }
        builder.finish(draws)
    }

    /// Python source text without a final line feed.
    pub(crate) fn source(&self) -> String {
        self.render(false)
    }

    /// The same function, returning `(notes, value)`. A note is the text `name = value` for each parameter, then
    /// `statement = value` for each condition outside loops, each change of a variable but the start of a loop, and a
    /// result that is no variable: with the statement beside its value, a step needs nothing but the notes before it. Each
    /// round of a loop begins with the note `item = value`.
    pub(crate) fn noting_source(&self) -> String {
        self.render(true)
    }

    /// The same function as a single expression, if it is one: no loop, condition or helper.
    pub(crate) fn nested_source(&self) -> Option<String> {
        let mut values: BTreeMap<&str, String> = BTreeMap::new();
        let nest = |values: &BTreeMap<&str, String>, code: &str| {
            replace_variables(code, |name| values.get(name).map_or(name, String::as_str).to_owned())
        };
        for Line { depth, text, changes } in &self.lines {
            let (name, code) = text.split_once(" = ").filter(|_| *depth == 1)?;
            let value = nest(&values, code);
            let value = if has_operator(code) { format!("({value})") } else { value };
            values.insert((*changes).filter(|changed| *changed == name)?, value);
        }
        let source = self.source();
        let (head, _) = source.split_once('\n')?;
        Some(format!("{head}\n    return {}", nest(&values, &self.result)))
    }

    fn render(&self, notes: bool) -> String {
        let parameters: Vec<&str> = self.parameters.iter().map(|(_, name)| *name).collect();
        let mut text = format!("def f({}):\n", parameters.join(", "));
        if notes {
            let bound = parameters.iter().map(|name| format!("'{name} = ' + repr({name})"));
            text.push_str(&format!("    notes = [{}]\n", bound.collect::<Vec<_>>().join(", ")));
        }
        for Line { depth, text: line, changes } in &self.lines {
            let indent = "    ".repeat(*depth);
            let note = |what: &str, value: &str| {
                if notes {
                    format!("{indent}notes.append(\"{what} = \" + repr({value}))\n")
                } else {
                    String::new()
                }
            };
            if let Some(condition) = line.strip_prefix("if ").filter(|_| *depth == 1) {
                let condition = condition.trim_end_matches(':');
                text.push_str(&note(condition, condition));
            }
            text.push_str(&format!("{indent}{line}\n"));
            let head = line.strip_prefix("for ").and_then(|head| head.split_once(" in "));
            if let Some((item, _)) = head.filter(|_| notes) {
                text.push_str("    ");
                text.push_str(&note(item, item));
            }
            if let Some(name) = changes {
                text.push_str(&note(line, name));
            }
        }
        if notes && !is_variable(&self.result) {
            let result = &self.result;
            text.push_str(&format!("    notes.append(\"{result} = \" + repr({result}))\n"));
        }
        let result = if notes { format!("(notes, {})", self.result) } else { self.result.clone() };
        text.push_str(&format!("    return {result}"));
        text
    }

    /// What the function does: one phrase a step, in order.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// Number of parameters.
    pub(crate) fn n_parameters(&self) -> usize {
        self.parameters.len()
    }

    /// Random arguments, as Python text.
    pub(crate) fn arguments(&self, draws: &mut Draws) -> String {
        let values: Vec<String> =
            self.parameters.iter().map(|(of, _)| argument(*of, draws)).collect();
        values.join(", ")
    }
}

/// A program whatever its variables are called: their names replaced by numbers in order of appearance.
pub(crate) fn shape(source: &str) -> String {
    let mut seen: Vec<String> = Vec::new();
    replace_variables(source, |name| {
        let number = seen.iter().position(|seen| seen == name).unwrap_or(seen.len());
        if number == seen.len() {
            seen.push(name.to_owned());
        }
        format!("${number}")
    })
}

/// The text with each variable of [`names`] replaced. A text in quotes is kept as it is: its letters are no names.
fn replace_variables(source: &str, mut replace: impl FnMut(&str) -> String) -> String {
    let mut replaced = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = match first {
            '\'' => rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (piece, behind) = rest.split_at(end);
        if is_variable(piece) {
            replaced.push_str(&replace(piece));
        } else {
            replaced.push_str(piece);
        }
        rest = behind;
    }
    replaced
}

/// Whether an expression is an operation on operands, which could bind to what is around it: then, and only then, it has
/// a space outside brackets.
fn has_operator(code: &str) -> bool {
    let mut depth = 0;
    code.chars().any(|c| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        c == ' ' && depth == 0
    })
}

fn is_variable(word: &str) -> bool {
    let types = [Type::Int, Type::Str, Type::List, Type::Dict];
    types.iter().any(|of| names(*of).contains(&word))
}

struct Builder {
    /// Place of the next name in the alphabet.
    next_name: usize,
    parameters: Vec<(Type, &'static str)>,
    variables: Vec<(Type, &'static str)>,
    lines: Vec<Line>,
    words: Vec<String>,
}

impl Builder {
    fn new(draws: &mut Draws) -> Self {
        let mut builder = Self {
            next_name: draws.below(N_NAMES),
            parameters: Vec::new(),
            variables: Vec::new(),
            lines: Vec::new(),
            words: Vec::new(),
        };
        let first = draws.weighted(&PARAMETERS);
        let second = draws.chance(30).then_some(match first {
            Type::Str | Type::Dict => Type::Str,
            _ => Type::Int,
        });
        for of in [first].into_iter().chain(second) {
            let name = builder.new_name(of);
            builder.parameters.push((of, name));
        }
        // The last variable is the one that is worked on, so the first parameter comes last.
        builder.variables = builder.parameters.iter().rev().copied().collect();
        builder
    }

    /// The name after the last one. Names in alphabetical order tell which statement is next, however long the function
    /// is: see `docs/learning.md`.
    fn new_name(&mut self, of: Type) -> &'static str {
        let name = names(of)[self.next_name % N_NAMES];
        self.next_name += 1;
        name
    }

    fn current(&self) -> (Type, &'static str) {
        self.variables[self.variables.len() - 1]
    }

    /// Makes `name` the variable that is worked on.
    fn set(&mut self, of: Type, name: &'static str) {
        self.variables.retain(|(_, taken)| *taken != name);
        self.variables.push((of, name));
    }

    fn push(&mut self, depth: usize, text: String, changes: Option<&'static str>) {
        self.lines.push(Line { depth, text, changes });
    }

    fn statement(&mut self, draws: &mut Draws) {
        match draws.weighted(&[(0, 66), (1, 16), (2, 8), (3, 4), (4, 6)]) {
            0 => self.operation(draws),
            1 => self.combination(draws),
            2 => self.condition(draws),
            3 => self.helper(draws),
            _ => self.going(draws),
        }
    }

    fn operation(&mut self, draws: &mut Draws) {
        let (of, x) = self.current();
        let operation = draws.choose(operations(of));
        let (code, words) = fill_both(operation.code, operation.words, x, "", draws);
        self.assign(operation.to, code, words);
    }

    /// A second name for the current variable.
    fn copy(&mut self) {
        let (of, x) = self.current();
        self.assign(of, x.to_owned(), "copy".to_owned());
    }

    /// An operation with another variable; if there is none that fits, one without.
    fn combination(&mut self, draws: &mut Draws) {
        let (of, x) = self.current();
        let others: Vec<(Operation, &'static str)> = (self.variables.iter())
            .filter(|(_, name)| *name != x)
            .flat_map(|(with, y)| combinations(of, *with).iter().map(|operation| (*operation, *y)))
            .collect();
        if others.is_empty() {
            return self.operation(draws);
        }
        let (operation, y) = *draws.choose(&others);
        let (code, words) = fill_both(operation.code, operation.words, x, y, draws);
        self.assign(operation.to, code, words);
    }

    /// Under a name of its own.
    fn assign(&mut self, of: Type, code: String, words: String) {
        let name = self.new_name(of);
        self.push(1, format!("{name} = {code}"), Some(name));
        self.set(of, name);
        self.words.push(words);
    }

    /// `if` with a change of the current variable, perhaps with an `else`.
    fn condition(&mut self, draws: &mut Draws) {
        let (of, x) = self.current();
        let same: Vec<&Operation> =
            operations(of).iter().filter(|operation| operation.to == of).collect();
        let (condition, when) = draws.choose(conditions(of));
        let (condition, when) = fill_both(condition, when, x, "", draws);
        let first = draws.choose(&same);
        let (code, words) = fill_both(first.code, first.words, x, "", draws);
        self.push(1, format!("if {condition}:"), None);
        self.push(2, format!("{x} = {code}"), Some(x));
        let mut words = format!("if {when} {words}");
        if draws.chance(50) {
            let second = draws.choose(&same);
            let (code, otherwise) = fill_both(second.code, second.words, x, "", draws);
            self.push(1, "else:".to_owned(), None);
            self.push(2, format!("{x} = {code}"), Some(x));
            words.push_str(&format!(" else {otherwise}"));
        }
        self.words.push(words);
    }

    /// An operation in a function of its own.
    fn helper(&mut self, draws: &mut Draws) {
        let (of, x) = self.current();
        let operation = draws.choose(operations(of));
        let (code, words) = fill_both(operation.code, operation.words, "v", "", draws);
        // A comprehension's own variable would hide the parameter.
        if code.contains(" for ") {
            return self.operation(draws);
        }
        self.push(1, "def g(v):".to_owned(), None);
        self.push(2, format!("return {code}"), None);
        self.assign(operation.to, format!("g({x})"), words);
    }

    fn going(&mut self, draws: &mut Draws) {
        let (of, x) = self.current();
        let going = draws.choose(loops(of));
        let y = self.new_name(going.to);
        // All texts of a loop are about the same constants.
        let texts =
            [going.start, going.over, going.condition.unwrap_or_default(), going.step, going.words];
        let [start, over, condition, step, words] = fill(texts, x, y, draws);
        self.push(1, format!("{y} = {start}"), None);
        self.push(1, format!("for {over}:"), None);
        let depth = if going.condition.is_some() {
            self.push(2, format!("if {condition}:"), None);
            3
        } else {
            2
        };
        self.push(depth, format!("{y} = {step}"), Some(y));
        self.set(going.to, y);
        self.words.push(words);
    }

    fn finish(mut self, draws: &mut Draws) -> Sketch {
        let (of, x) = self.current();
        let mut result = x.to_owned();
        if self.lines.is_empty() || draws.chance(50) {
            let operation = draws.choose(operations(of));
            let (code, words) = fill_both(operation.code, operation.words, x, "", draws);
            result = code;
            self.words.push(words);
        }
        Sketch { parameters: self.parameters, lines: self.lines, result, words: self.words }
    }
}

fn fill_both(code: &str, words: &str, x: &str, y: &str, draws: &mut Draws) -> (String, String) {
    let [code, words] = fill([code, words], x, y, draws);
    (code, words)
}

/// The texts with variables and the same drawn constants in them.
fn fill<const N: usize>(texts: [&str; N], x: &str, y: &str, draws: &mut Draws) -> [String; N] {
    let digit = draws.between(1, 4).to_string();
    let few = draws.between(2, 3).to_string();
    let mut letters = LETTERS;
    draws.shuffle(&mut letters);
    let [a, b] = [format!("'{}'", letters[0]), format!("'{}'", letters[1])];
    texts.map(|text| {
        [("{x}", x), ("{y}", y), ("{c}", &digit), ("{d}", &few), ("{a}", &a), ("{b}", &b)]
            .iter()
            .fold(text.to_owned(), |text, (hole, filling)| text.replace(hole, filling))
    })
}

#[cfg(test)]
mod tests {
    use azr_executor::{ImportPolicy, Program};

    use super::*;

    #[test]
    fn every_function_passes_the_gate() {
        for index in 0..2_000 {
            let sketch = Sketch::draw(&mut Draws::of(7, index), index as usize % 5);
            for source in [sketch.source(), sketch.noting_source()] {
                let program = Program::parse(&source, &ImportPolicy::default());
                assert!(program.is_ok(), "{program:?}\n{source}");
                let holes = ["{x}", "{y}", "{c}", "{d}", "{a}", "{b}"];
                let texts = sketch.words().join(" ") + &source;
                assert!(!holes.iter().any(|hole| texts.contains(hole)), "{texts}");
            }
            assert!(!sketch.words().is_empty());
            assert!(
                azr_executor::parse_arguments(&sketch.arguments(&mut Draws::of(8, index))).is_ok()
            );
        }
    }

    #[test]
    fn a_shape_forgets_names_but_nothing_else() {
        let shape_of = |source: &str| shape(&format!("def f{source}"));
        assert_eq!(shape_of("(n, s): return n + s"), shape_of("(m, n): return m + n"));
        assert_ne!(shape_of("(n, s): return n + s"), shape_of("(n, s): return s + n"));
        assert_ne!(shape_of("(s): return s + 'a'"), shape_of("(s): return s + 'b'"));
        assert_eq!(
            shape_of("(s): return s.replace('s', 'b')"),
            "def f($0): return $0.replace('s', 'b')"
        );
    }

    #[test]
    fn nesting_keeps_the_order_of_operations() {
        let sketch = |lines: &[(&'static str, &str)], result: &str| Sketch {
            parameters: vec![(Type::List, "xs"), (Type::Int, "n")],
            lines: (lines.iter())
                .map(|(name, code)| Line {
                    depth: 1,
                    text: format!("{name} = {code}"),
                    changes: Some(*name),
                })
                .collect(),
            result: result.to_owned(),
            words: Vec::new(),
        };
        let lines = [("xs", "[3] + xs"), ("n", "n + 1"), ("xs", "xs[1:]"), ("ys", "xs + [n]")];
        assert_eq!(
            sketch(&lines, "ys[::-1]").nested_source().unwrap(),
            "def f(xs, n):\n    return (([3] + xs)[1:] + [(n + 1)])[::-1]"
        );
        let mut looped = sketch(&lines[..1], "xs");
        looped.lines[0].changes = None;
        assert_eq!(looped.nested_source(), None);
    }

    #[test]
    fn names_are_in_alphabetical_order() {
        let letters: Vec<&str> = names(Type::Int).to_vec();
        assert!(letters.is_sorted());
        for of in [Type::Str, Type::List, Type::Dict] {
            assert!(
                (names(of).iter().zip(&letters)).all(|(name, letter)| name.starts_with(letter))
            );
        }
        for index in 0..200 {
            let sketch = Sketch::draw(&mut Draws::of(7, index), 3);
            let parameters = sketch.parameters.iter().map(|(_, name)| *name);
            let mut bound: Vec<&str> = Vec::new();
            for name in parameters.chain(sketch.lines.iter().filter_map(|line| line.changes)) {
                // A condition changes a variable that was there before.
                if !bound.contains(&name) {
                    bound.push(name);
                }
            }
            let places: Vec<usize> = (bound.iter())
                .map(|name| letters.iter().position(|letter| name.starts_with(letter)).unwrap())
                .collect();
            assert!(
                places.windows(2).all(|pair| pair[1] == (pair[0] + 1) % N_NAMES),
                "{bound:?}\n{}",
                sketch.source()
            );
        }
    }

    #[test]
    fn the_number_of_lines_does_not_tell_the_number_of_statements() {
        let n_lines = |n_statements| {
            let draw = move |index| Sketch::draw(&mut Draws::of(7, index), n_statements);
            (0..400).map(move |index| draw(index).lines.len())
        };
        assert!(n_lines(3).any(|n| n == 3) && n_lines(3).any(|n| n > 5));
        assert!(n_lines(4).any(|n| n == 4));
    }

    #[test]
    fn functions_differ() {
        let sources: std::collections::BTreeSet<String> =
            (0..2_000).map(|index| Sketch::draw(&mut Draws::of(7, index), 2).source()).collect();
        assert!(sources.len() > 1_950, "{}", sources.len());
    }
}
