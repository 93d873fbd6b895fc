//! Where it shows that an iterator is a list: if it is kept, or if things happen while it is iterated over.

use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprContext, Operator, Stmt, StmtFor};

use super::name;
use super::names::{Facts, MUTATORS};
use super::walk::Use;

const REASON: &str = "lazy iterator";

/// Built-in functions that return iterators in CPython and lists in Monty.
const LAZY: [&str; 5] = ["enumerate", "filter", "map", "reversed", "zip"];

/// Whether the value is a list in Monty and an iterator in CPython.
pub(super) fn is_lazy(expression: &Expr, facts: &Facts) -> bool {
    match expression {
        Expr::Generator(_) => true,
        Expr::Call(call) => match &*call.func {
            Expr::Attribute(function) => {
                let mut module = &*function.value;
                while let Expr::Attribute(inner) = module {
                    module = &inner.value;
                }
                name(module).is_some_and(|module| facts.iterator_makers.contains(module))
            }
            function => name(function).is_some_and(|function| {
                LAZY.contains(&function) && facts.is_builtin(function)
                    || facts.iterator_makers.contains(function)
            }),
        },
        _ => false,
    }
}

/// A lazy value that is used in this way.
pub(super) fn check_use(lazy: &Expr, use_: Use, facts: &Facts) -> Result<(), &'static str> {
    match use_ {
        Use::Ordered | Use::Unordered => Ok(()),
        Use::Partial | Use::Search | Use::Next => check_pure([lazy], facts),
        Use::Escape | Use::Ask | Use::Bind | Use::Result => Err(REASON),
    }
}

/// Nothing in these expressions changes what others see.
pub(super) fn check_pure<'a>(
    expressions: impl IntoIterator<Item = &'a Expr>,
    facts: &Facts,
) -> Result<(), &'static str> {
    let mut effects = Effects::new(facts);
    expressions.into_iter().for_each(|expression| effects.visit_expr(expression));
    if effects.changed.is_empty() && !effects.is_impure { Ok(()) } else { Err(REASON) }
}

/// As [`check_pure`], for a choice of checks.
pub(super) fn check_all(expressions: &[&Expr], facts: &Facts) -> Result<(), &'static str> {
    check_pure(expressions.iter().copied(), facts)
}

/// Nothing in these expressions changes anything or fails for some values only.
pub(super) fn check_total(expressions: &[&Expr], facts: &Facts) -> Result<(), &'static str> {
    let mut failures = Failures(false);
    expressions.iter().for_each(|expression| failures.visit_expr(expression));
    if failures.0 { Err(REASON) } else { check_all(expressions, facts) }
}

/// An object that takes up the elements of a value must not be what a lazy part of that reads.
pub(super) fn check_receiver(
    receiver: &Expr,
    value: &Expr,
    facts: &Facts,
) -> Result<(), &'static str> {
    if !is_lazy(value, facts) {
        return Ok(());
    }
    check_pure([value], facts)?;
    let mut read = Reads::default();
    read.visit_expr(value);
    let is_read = |name: &&Expr| facts.aliases.may_meet(receiver, name);
    if read.calls_own(facts) || read.names.iter().any(is_read) { Err(REASON) } else { Ok(()) }
}

/// Operations that fail for some values.
struct Failures(bool);

impl<'a> SourceOrderVisitor<'a> for Failures {
    fn visit_expr(&mut self, expression: &'a Expr) {
        self.0 |= match expression {
            Expr::Call(call) => !matches!(&*call.func, Expr::Attribute(method)
                if matches!(method.attr.as_str(), "isdigit" | "isalpha" | "startswith" | "endswith")),
            Expr::Subscript(_) => true,
            Expr::BinOp(operation) => match operation.op {
                Operator::Add | Operator::Sub | Operator::Mult => false,
                Operator::Mod | Operator::FloorDiv | Operator::Div => {
                    !matches!(*operation.right, Expr::NumberLiteral(_))
                }
                _ => true,
            },
            _ => false,
        };
        walk_expr(self, expression);
    }
}

/// The body of a loop must not change what a lazy value will still read.
pub(super) fn check_loop(each: &StmtFor, facts: &Facts) -> Result<(), &'static str> {
    check_pure([&*each.iter], facts)?;
    let mut effects = Effects::new(facts);
    effects.visit_body(&each.body);
    let mut read = Reads::default();
    read.visit_expr(&each.iter);
    let meets =
        |changed: &&Expr| read.names.iter().any(|name| facts.aliases.may_meet(changed, name));
    let is_rebound =
        |name: &&Expr| super::name(name).is_some_and(|name| effects.rebound.contains(&name));
    let changes = !effects.changed.is_empty() || !effects.rebound.is_empty();
    if effects.is_impure
        || (changes && read.calls_own(facts))
        || effects.changed.iter().any(meets)
        || (read.is_deferred && read.names.iter().any(is_rebound))
    {
        return Err(REASON);
    }
    Ok(())
}

/// The names that an iterator reads.
#[derive(Default)]
struct Reads<'a> {
    names: Vec<&'a Expr>,
    /// Whether it evaluates expressions while it is iterated over.
    is_deferred: bool,
}

impl Reads<'_> {
    /// Whether a function of the program is among them, which may read everything.
    fn calls_own(&self, facts: &Facts) -> bool {
        self.names
            .iter()
            .filter_map(|expression| name(expression))
            .any(|name| facts.functions.contains(name))
    }
}

impl<'a> SourceOrderVisitor<'a> for Reads<'a> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(_) => self.names.push(expression),
            Expr::Generator(_) | Expr::Lambda(_) => self.is_deferred = true,
            Expr::Call(call) if matches!(name(&call.func), Some("map" | "filter")) => {
                self.is_deferred = true;
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}

/// What a piece of a program changes.
struct Effects<'a> {
    facts: &'a Facts,
    changed: Vec<&'a Expr>,
    rebound: Vec<&'a str>,
    is_impure: bool,
}

impl<'a> Effects<'a> {
    fn new(facts: &'a Facts) -> Self {
        Self { facts, changed: Vec::new(), rebound: Vec::new(), is_impure: false }
    }

    fn target(&mut self, target: &'a Expr) {
        match target {
            Expr::Subscript(subscript) => self.changed.push(&subscript.value),
            Expr::Attribute(attribute) => self.changed.push(&attribute.value),
            Expr::Tuple(targets) => targets.elts.iter().for_each(|target| self.target(target)),
            Expr::List(targets) => targets.elts.iter().for_each(|target| self.target(target)),
            Expr::Starred(starred) => self.target(&starred.value),
            _ => {}
        }
    }
}

impl<'a> SourceOrderVisitor<'a> for Effects<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Assign(assign) => assign.targets.iter().for_each(|target| self.target(target)),
            Stmt::AnnAssign(assign) => self.target(&assign.target),
            Stmt::AugAssign(assign) => {
                self.target(&assign.target);
                if let Expr::Name(_) = &*assign.target {
                    self.changed.push(&assign.target);
                }
            }
            Stmt::For(each) => self.target(&each.target),
            Stmt::Delete(delete) => delete.targets.iter().for_each(|target| self.target(target)),
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {
                self.is_impure = true;
                return;
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) => {
                let id = name.id.as_str();
                if matches!(name.ctx, ExprContext::Load) {
                    self.is_impure |= self.facts.impure.contains(id);
                } else {
                    self.rebound.push(id);
                }
            }
            Expr::Named(_) | Expr::Yield(_) | Expr::YieldFrom(_) | Expr::Await(_) => {
                self.is_impure = true;
            }
            // A method that is named may be called, also through `map`.
            Expr::Attribute(method) => {
                let name = method.attr.as_str();
                if MUTATORS.contains(&name) {
                    self.changed.push(&method.value);
                } else {
                    self.is_impure |= self.facts.impure.contains(name);
                }
            }
            Expr::Call(call) if name(&call.func) == Some("next") => self.is_impure = true,
            _ => {}
        }
        walk_expr(self, expression);
    }
}
