//! A program whatever its variables are called: each is named by its number, scope by scope in order of binding.
//!
//! Scopes are those of functions, lambdas and comprehensions. What a class binds are attributes, which keep their
//! names, as imported modules do.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr, walk_stmt};
use ruff_python_ast::{
    Comprehension, Expr, ExprContext, Identifier, Keyword, ModModule, Parameters, Stmt,
};
use ruff_text_size::TextRange;

use super::ENTRY;

/// The source text with every variable renamed; the entry function keeps its name.
pub(super) fn renamed(source: &str, module: &ModModule) -> String {
    let mut numbering = Numbering::default();
    let mut names = bound(|bound| bound.visit_body(&module.body));
    names.retain(|name| *name != ENTRY);
    numbering.within(names, |numbering| numbering.visit_body(&module.body));
    let (mut renamed, mut copied) = (String::with_capacity(source.len()), 0);
    for (range, number) in numbering.places {
        renamed.push_str(source.get(copied..range.0).unwrap_or_default());
        renamed.push_str(&format!("_{number}"));
        copied = range.1;
    }
    renamed.push_str(source.get(copied..).unwrap_or_default());
    renamed
}

/// Numbers the variables of each scope as it is entered.
#[derive(Default)]
struct Numbering<'a> {
    /// From the module inwards.
    scopes: Vec<BTreeMap<&'a str, usize>>,
    n_variables: usize,
    /// Where variables stand, and their numbers.
    places: BTreeMap<(usize, usize), usize>,
}

impl<'a> Numbering<'a> {
    fn within(&mut self, names: Vec<&'a str>, walk: impl FnOnce(&mut Self)) {
        let mut scope = BTreeMap::new();
        for name in names {
            scope.entry(name).or_insert_with(|| {
                self.n_variables += 1;
                self.n_variables
            });
        }
        self.scopes.push(scope);
        walk(self);
        self.scopes.pop();
    }

    fn note(&mut self, name: &str, range: TextRange) {
        if let Some(number) = self.scopes.iter().rev().find_map(|scope| scope.get(name)) {
            self.places.insert((range.start().to_usize(), range.end().to_usize()), *number);
        }
    }

    /// Defaults and annotations belong to the scope around; `walk` is what the parameters are seen in.
    fn with_parameters(
        &mut self,
        parameters: Option<&'a Parameters>,
        body: Vec<&'a str>,
        walk: impl FnOnce(&mut Self),
    ) {
        let all = || parameters.into_iter().flat_map(Parameters::iter);
        for parameter in all() {
            parameter.default().into_iter().for_each(|default| self.visit_expr(default));
            parameter.annotation().into_iter().for_each(|note| self.visit_expr(note));
        }
        let names = all().map(|parameter| parameter.name().as_str()).chain(body).collect();
        self.within(names, |numbering| {
            all().for_each(|parameter| numbering.visit_identifier(parameter.name()));
            walk(numbering);
        });
    }

    /// What the first `for` goes through belongs to the scope around.
    fn comprehension(&mut self, generators: &'a [Comprehension], results: [Option<&'a Expr>; 2]) {
        if let Some(first) = generators.first() {
            self.visit_expr(&first.iter);
        }
        let names = bound(|bound| {
            generators.iter().for_each(|generator| bound.visit_expr(&generator.target));
        });
        self.within(names, |numbering| {
            for (position, generator) in generators.iter().enumerate() {
                numbering.visit_expr(&generator.target);
                if position > 0 {
                    numbering.visit_expr(&generator.iter);
                }
                generator.ifs.iter().for_each(|condition| numbering.visit_expr(condition));
            }
            results.into_iter().flatten().for_each(|result| numbering.visit_expr(result));
        });
    }
}

impl<'a> SourceOrderVisitor<'a> for Numbering<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => {
                function.decorator_list.iter().for_each(|note| self.visit_decorator(note));
                self.visit_identifier(&function.name);
                function.returns.iter().for_each(|note| self.visit_expr(note));
                let body = bound(|bound| bound.visit_body(&function.body));
                self.with_parameters(Some(&function.parameters), body, |numbering| {
                    numbering.visit_body(&function.body);
                });
            }
            Stmt::Import(_) | Stmt::ImportFrom(_) => {}
            _ => walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) => self.note(&name.id, name.range),
            Expr::Attribute(attribute) => self.visit_expr(&attribute.value),
            Expr::Lambda(lambda) => {
                self.with_parameters(lambda.parameters.as_deref(), Vec::new(), |numbering| {
                    numbering.visit_expr(&lambda.body);
                });
            }
            Expr::ListComp(list) => self.comprehension(&list.generators, [Some(&*list.elt), None]),
            Expr::SetComp(set) => self.comprehension(&set.generators, [Some(&*set.elt), None]),
            Expr::Generator(generator) => {
                self.comprehension(&generator.generators, [Some(&*generator.elt), None]);
            }
            Expr::DictComp(dict) => {
                self.comprehension(&dict.generators, [dict.key.as_deref(), Some(&*dict.value)]);
            }
            _ => walk_expr(self, expression),
        }
    }

    fn visit_keyword(&mut self, keyword: &'a Keyword) {
        self.visit_expr(&keyword.value);
    }

    fn visit_identifier(&mut self, identifier: &'a Identifier) {
        self.note(identifier.as_str(), identifier.range);
    }
}

/// The names that a scope binds itself, in order of appearance.
fn bound<'a>(walk: impl FnOnce(&mut Bound<'a>)) -> Vec<&'a str> {
    let mut bound = Bound::default();
    walk(&mut bound);
    bound.names.retain(|name| !bound.outer.contains(name));
    bound.names
}

#[derive(Default)]
struct Bound<'a> {
    names: Vec<&'a str>,
    /// Names that are declared to be of a scope around.
    outer: BTreeSet<&'a str>,
    /// Whether a comprehension is being walked, whose own variables do not count.
    is_inside: bool,
}

impl<'a> SourceOrderVisitor<'a> for Bound<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => self.names.push(function.name.as_str()),
            Stmt::ClassDef(class) => self.names.push(class.name.as_str()),
            Stmt::Import(_) | Stmt::ImportFrom(_) => {}
            Stmt::Global(global) => self.outer.extend(global.names.iter().map(Identifier::as_str)),
            Stmt::Nonlocal(outer) => self.outer.extend(outer.names.iter().map(Identifier::as_str)),
            _ => walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) if !self.is_inside && name.ctx != ExprContext::Load => {
                self.names.push(name.id.as_str());
            }
            Expr::Named(named) => {
                if let Expr::Name(name) = &*named.target {
                    self.names.push(name.id.as_str());
                }
                self.visit_expr(&named.value);
            }
            Expr::Attribute(attribute) => self.visit_expr(&attribute.value),
            Expr::Lambda(_) => {}
            Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) => {
                let before = std::mem::replace(&mut self.is_inside, true);
                walk_expr(self, expression);
                self.is_inside = before;
            }
            _ => walk_expr(self, expression),
        }
    }

    fn visit_keyword(&mut self, keyword: &'a Keyword) {
        self.visit_expr(&keyword.value);
    }

    fn visit_identifier(&mut self, identifier: &'a Identifier) {
        self.names.push(identifier.as_str());
    }
}

#[cfg(test)]
mod tests {
    use crate::{ImportPolicy, Program};

    fn shape(source: &str) -> String {
        Program::parse(source, &ImportPolicy::default()).unwrap().shape()
    }

    #[test]
    fn names_do_not_matter_wherever_they_are_bound() {
        for (one, other) in [
            ("def f(n, s): return n + s", "def f(m, n): return m + n"),
            ("def f(x):\n    y = x\n    return y", "def solve(y):\n    x = y\n    return x"),
            ("def f(x): return [x for x in x if x]", "def f(xs): return [y for y in xs if y]"),
            (
                "def f(a): return {k: v for k, v in a.items()}",
                "def f(k): return {a: b for a, b in k.items()}",
            ),
            (
                "def f(x): return (lambda x, y=x: x + y)(1)",
                "def f(z): return (lambda a, b=z: a + b)(1)",
            ),
            (
                "def g(a): return a\nN = 1\ndef f(x): return g(x) + N",
                "def h(x): return x\nM = 1\ndef f(a): return h(a) + M",
            ),
            (
                "def f(x):\n    n = 0\n    def g():\n        nonlocal n\n        n += x\n    g()\n    return n",
                "def f(a):\n    b = 0\n    def c():\n        nonlocal b\n        b += a\n    c()\n    return b",
            ),
            (
                "def f(x):\n    try: return x[0]\n    except IndexError as e: return str(e)",
                "def f(e):\n    try: return e[0]\n    except IndexError as x: return str(x)",
            ),
            (
                "def f(x):\n    match x:\n        case [a, *b]: return b\n    return f'{x}'",
                "def f(b):\n    match b:\n        case [x, *y]: return y\n    return f'{b}'",
            ),
            (
                "def f(x): return [y := x, [y + z for z in x]]",
                "def f(a): return [b := a, [b + a for a in a]]",
            ),
        ] {
            assert_eq!(shape(one), shape(other), "{one}\n{other}");
        }
    }

    #[test]
    fn everything_else_matters() {
        for (one, other) in [
            ("def f(n, s): return n + s", "def f(n, s): return s + n"),
            ("def f(s): return s + 'a'", "def f(s): return s + 'b'"),
            ("def f(x): return len(x)", "def f(x): return sum(x)"),
            ("def f(x): return x.count(1)", "def f(x): return x.index(1)"),
            ("import math\ndef f(x): return math.pi", "import cmath\ndef f(x): return cmath.pi"),
            ("def f(x): return [x for y in x]", "def f(x): return [y for y in x]"),
            ("def f(x, y):\n    x = y\n    return x", "def f(x, y):\n    z = y\n    return x"),
            ("def f(x): return dict(a=x)", "def f(x): return dict(b=x)"),
        ] {
            assert_ne!(shape(one), shape(other), "{one}\n{other}");
        }
    }
}
