//! Functions and classes as text, and functions of `math` with other last digits.

use ruff_python_ast::visitor::source_order::{
    SourceOrderVisitor, walk_expr, walk_interpolated_string_element, walk_stmt,
};
use ruff_python_ast::{Expr, InterpolatedStringElement, ModModule, Operator, Stmt};

use std::collections::BTreeSet;

use super::name;

/// Functions that Monty computes itself; all others come from the C library, as CPython's do.
const OWN_MATH: [&str; 4] = ["erf", "erfc", "gamma", "lgamma"];

/// Built-in functions and methods that make texts of objects.
const SHOWING: [&str; 5] = ["ascii", "format", "format_map", "repr", "str"];

/// Refuses programs that may show what has no text of its own: Monty's texts for these are others.
pub(super) fn check(module: &ModModule) -> Result<(), &'static str> {
    let mut seen = Seen::default();
    seen.visit_body(&module.body);
    let shows_function = seen.shown.iter().any(|name| seen.defined.contains(name));
    if shows_function || seen.shows_lambda {
        Err("address")
    } else if seen.has_own_math {
        Err("math")
    } else {
        Ok(())
    }
}

#[derive(Default)]
struct Seen<'a> {
    /// Functions and classes.
    defined: BTreeSet<&'a str>,
    /// Names that are made texts of.
    shown: Vec<&'a str>,
    shows_lambda: bool,
    has_own_math: bool,
}

impl<'a> Seen<'a> {
    fn show(&mut self, shown: &'a Expr) {
        self.shows_lambda |= matches!(shown, Expr::Lambda(_));
        self.shown.extend(name(shown));
        if let Expr::Tuple(items) = shown {
            items.elts.iter().for_each(|item| self.show(item));
        }
    }
}

impl<'a> SourceOrderVisitor<'a> for Seen<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => {
                self.defined.insert(function.name.as_str());
            }
            Stmt::ClassDef(class) => {
                self.defined.insert(class.name.as_str());
            }
            Stmt::ImportFrom(import) => {
                self.has_own_math |=
                    import.names.iter().any(|alias| OWN_MATH.contains(&alias.name.as_str()));
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Call(call) => {
                let function = match &*call.func {
                    Expr::Name(name) => name.id.as_str(),
                    Expr::Attribute(method) => method.attr.as_str(),
                    _ => "",
                };
                if SHOWING.contains(&function) {
                    call.arguments.args.iter().for_each(|argument| self.show(argument));
                }
            }
            Expr::Attribute(attribute) => {
                self.has_own_math |= OWN_MATH.contains(&attribute.attr.as_str());
            }
            Expr::BinOp(operation)
                if operation.op == Operator::Mod
                    && matches!(*operation.left, Expr::StringLiteral(_) | Expr::FString(_)) =>
            {
                self.show(&operation.right);
            }
            _ => {}
        }
        walk_expr(self, expression);
    }

    fn visit_interpolated_string_element(&mut self, element: &'a InterpolatedStringElement) {
        if let InterpolatedStringElement::Interpolation(interpolation) = element {
            self.show(&interpolation.expression);
        }
        walk_interpolated_string_element(self, element);
    }
}
