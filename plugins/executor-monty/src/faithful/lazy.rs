//! Where it shows that an iterator is a list: if it is kept, or if things happen while it is iterated over.

use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprContext, Stmt, StmtFor};

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
        Expr::Call(call) => name(&call.func)
            .is_some_and(|function| LAZY.contains(&function) && facts.is_builtin(function)),
        _ => false,
    }
}

/// A lazy value that is used in this way.
pub(super) fn check_use(lazy: &Expr, use_: Use, facts: &Facts) -> Result<(), &'static str> {
    match use_ {
        Use::Ordered | Use::Unordered => Ok(()),
        Use::Partial | Use::Search => check_pure([lazy], facts),
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
    if effects.is_impure
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
            Expr::Call(call) => {
                if let Expr::Attribute(method) = &*call.func {
                    let name = method.attr.as_str();
                    if MUTATORS.contains(&name) {
                        self.changed.push(&method.value);
                    } else {
                        self.is_impure |= self.facts.impure.contains(name);
                    }
                } else if name(&call.func) == Some("next") {
                    self.is_impure = true;
                }
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}
