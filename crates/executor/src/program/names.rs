//! Collects every name of a program with what it is used for.

use ruff_python_ast::visitor::source_order::{
    SourceOrderVisitor, walk_alias, walk_expr, walk_interpolated_string_element, walk_keyword,
    walk_stmt,
};
use ruff_python_ast::{
    Alias, Expr, ExprContext, Identifier, InterpolatedStringElement, Keyword, Stmt, StringLiteral,
};
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
    /// Attributes alone, each with the name that its chain of attributes starts from.
    pub(super) attributes: Vec<(Option<&'a str>, &'a str)>,
    /// Names that are taken out of a module by `from … import`.
    pub(super) taken: Vec<&'a str>,
    /// Variables that hold a module or something out of one.
    pub(super) imported: Vec<&'a str>,
    /// Parts of text literals.
    pub(super) texts: Vec<&'a str>,
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
                self.taken.extend(import.names.iter().map(|alias| alias.name.as_str()));
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
                self.attributes.push((root(&attribute.value), attribute.attr.as_str()));
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

    fn visit_alias(&mut self, alias: &'a Alias) {
        let bound = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
        self.imported.push(bound.split('.').next().unwrap_or(bound));
        walk_alias(self, alias);
    }

    fn visit_string_literal(&mut self, literal: &'a StringLiteral) {
        self.texts.push(&literal.value);
    }

    fn visit_interpolated_string_element(&mut self, element: &'a InterpolatedStringElement) {
        if let InterpolatedStringElement::Literal(literal) = element {
            self.texts.push(&literal.value);
        }
        walk_interpolated_string_element(self, element);
    }

    fn visit_identifier(&mut self, identifier: &'a Identifier) {
        self.bindings.push((identifier.as_str(), offsets(identifier.range)));
    }
}

/// The name that a chain of attributes starts from.
fn root(mut expression: &Expr) -> Option<&str> {
    while let Expr::Attribute(attribute) = expression {
        expression = &attribute.value;
    }
    match expression {
        Expr::Name(name) => Some(name.id.as_str()),
        _ => None,
    }
}

fn offsets(range: TextRange) -> (usize, usize) {
    (range.start().to_usize(), range.end().to_usize())
}
