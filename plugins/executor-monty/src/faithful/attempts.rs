//! Where an error that only one of the interpreters raises could be caught, and so become a value.

use ruff_python_ast::visitor::source_order::{
    SourceOrderVisitor, walk_expr, walk_interpolated_string_element, walk_stmt,
};
use ruff_python_ast::{
    ExceptHandler, Expr, InterpolatedStringElement, ModModule, Operator, Stmt, StmtTry,
};

use super::name;

/// Exceptions that a handler may catch: Monty raises others for what it lacks.
const CATCHABLE: [&str; 5] =
    ["AssertionError", "IndexError", "KeyError", "ValueError", "ZeroDivisionError"];

/// Modules whose functions raise the same exceptions.
const SAME_ERRORS: [&str; 2] = ["collections", "typing"];

/// Functions and methods that know fewer formats or codecs than CPython's, or raise at another time.
const OTHER_ERRORS: [&str; 10] = [
    "bytes",
    "decode",
    "encode",
    "filter",
    "format",
    "format_map",
    "fromhex",
    "map",
    "iter",
    "next",
];

/// Refuses programs in which a handler or a `finally` could turn such an error into a value.
pub(super) fn check(module: &ModModule) -> Result<(), &'static str> {
    let mut attempts = Attempts::default();
    attempts.visit_body(&module.body);
    if attempts.swallows {
        return Err("finally");
    }
    let is_caught = attempts.has_handlers && attempts.raises_otherwise;
    if attempts.is_broad || is_caught { Err("except") } else { Ok(()) }
}

#[derive(Default)]
struct Attempts {
    has_handlers: bool,
    /// A handler catches too much, or looks at what it caught.
    is_broad: bool,
    /// A `finally` leaves its block and forgets the error.
    swallows: bool,
    /// Something in the program raises other errors, or the same ones at another time.
    raises_otherwise: bool,
}

impl Attempts {
    fn attempt(&mut self, attempt: &StmtTry) {
        let mut exits = Exits(false);
        exits.visit_body(&attempt.finalbody);
        self.swallows |= exits.0;
        for ExceptHandler::ExceptHandler(handler) in &attempt.handlers {
            self.has_handlers = true;
            let is_narrow = match handler.type_.as_deref() {
                Some(Expr::Tuple(all)) => all.elts.iter().all(is_catchable),
                Some(one) => is_catchable(one),
                None => false,
            };
            self.is_broad |= !is_narrow;
            if let Some(caught) = &handler.name {
                let mut reads = Reads { name: caught.as_str(), is_read: false };
                reads.visit_body(&handler.body);
                self.is_broad |= reads.is_read;
            }
        }
    }
}

fn is_catchable(caught: &Expr) -> bool {
    name(caught).is_some_and(|name| CATCHABLE.contains(&name))
}

impl<'a> SourceOrderVisitor<'a> for Attempts {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Try(attempt) => self.attempt(attempt),
            Stmt::Delete(_) => self.raises_otherwise = true,
            Stmt::Import(import) => {
                self.raises_otherwise |=
                    import.names.iter().any(|alias| !SAME_ERRORS.contains(&alias.name.as_str()));
            }
            Stmt::ImportFrom(import) => {
                let module = import.module.as_ref().map_or("", |module| module.as_str());
                self.raises_otherwise |= !SAME_ERRORS.contains(&module);
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        self.raises_otherwise |= match expression {
            Expr::Generator(_) => true,
            Expr::Name(name) => OTHER_ERRORS.contains(&name.id.as_str()),
            Expr::Attribute(attribute) => OTHER_ERRORS.contains(&attribute.attr.as_str()),
            Expr::BinOp(operation) => {
                operation.op == Operator::Mod
                    && matches!(*operation.left, Expr::StringLiteral(_) | Expr::FString(_))
            }
            // Slices with a step cannot be assigned to.
            Expr::Slice(slice) => slice.step.is_some(),
            _ => false,
        };
        walk_expr(self, expression);
    }

    fn visit_interpolated_string_element(&mut self, element: &'a InterpolatedStringElement) {
        if let InterpolatedStringElement::Interpolation(interpolation) = element {
            self.raises_otherwise |= interpolation.format_spec.is_some();
        }
        walk_interpolated_string_element(self, element);
    }
}

/// Whether a block is left by force.
struct Exits(bool);

impl<'a> SourceOrderVisitor<'a> for Exits {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        self.0 |= matches!(statement, Stmt::Return(_) | Stmt::Break(_) | Stmt::Continue(_));
        walk_stmt(self, statement);
    }
}

/// Whether a name is read.
struct Reads<'n> {
    name: &'n str,
    is_read: bool,
}

impl<'a> SourceOrderVisitor<'a> for Reads<'_> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        self.is_read |= name(expression) == Some(self.name);
        walk_expr(self, expression);
    }
}
