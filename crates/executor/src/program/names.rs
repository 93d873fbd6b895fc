//! Collects every name of a program with what it is used for.

use ruff_python_ast::visitor::source_order::{
    SourceOrderVisitor, walk_expr, walk_keyword, walk_stmt,
};
use ruff_python_ast::{Expr, ExprContext, Identifier, Keyword, Stmt};
use ruff_text_size::TextRange;

/// A name and the byte range in which it stands.
type Place<'a> = (&'a str, (usize, usize));

/// The names of a program in source order.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    /// Names that are read.
    pub(super) loads: Vec<Place<'a>>,
    /// Names that are bound or deleted: assignments, parameters, functions, classes, imports, patterns.
    pub(super) bindings: Vec<Place<'a>>,
    /// Attributes and names of keyword arguments: no variables.
    pub(super) members: Vec<&'a str>,
    /// Dotted names of imported modules; a relative one starts with a dot.
    pub(super) imports: Vec<String>,
}

impl<'a> SourceOrderVisitor<'a> for Names<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(import) => {
                self.imports.extend(import.names.iter().map(|alias| alias.name.to_string()))
            }
            Stmt::ImportFrom(import) => {
                let module = import.module.as_ref().map_or("", |module| module.as_str());
                self.imports.push(format!("{}{module}", ".".repeat(import.level as usize)));
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) => {
                let place = (name.id.as_str(), offsets(name.range));
                if matches!(name.ctx, ExprContext::Load) {
                    &mut self.loads
                } else {
                    &mut self.bindings
                }
                .push(place);
            }
            Expr::Attribute(attribute) => {
                self.members.push(attribute.attr.as_str());
                // The attribute's own identifier would be taken for a binding.
                self.visit_expr(&attribute.value);
            }
            _ => walk_expr(self, expression),
        }
    }

    fn visit_keyword(&mut self, keyword: &'a Keyword) {
        match &keyword.arg {
            Some(name) => {
                self.members.push(name.as_str());
                self.visit_expr(&keyword.value);
            }
            None => walk_keyword(self, keyword),
        }
    }

    fn visit_identifier(&mut self, identifier: &'a Identifier) {
        self.bindings.push((identifier.as_str(), offsets(identifier.range)));
    }
}

fn offsets(range: TextRange) -> (usize, usize) {
    (range.start().to_usize(), range.end().to_usize())
}
