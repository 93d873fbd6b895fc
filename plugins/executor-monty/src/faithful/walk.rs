//! The walk over a program: what every value is used for.

use azr_executor::program::ENTRY;
use std::borrow::Cow;

use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr};
use ruff_python_ast::{
    CmpOp, Comprehension, ExceptHandler, Expr, Operator, Stmt, StmtClassDef, StmtFor, UnaryOp,
};
use ruff_text_size::Ranged;

use super::edits::{ANY_CHARACTER, CHARACTER, DIVMOD, Edit, Helpers, ROUND, SUM};
use super::lazy::{self, is_lazy};
use super::name;
use super::names::Facts;
use super::syntax::is_entry_deletion;

/// Special methods that Monty calls where CPython does.
const SPECIAL: [&str; 3] = ["__init__", "__repr__", "__str__"];

/// Built-in functions that show what an object is made of.
pub(super) const REFLECTION: [&str; 10] = [
    "callable",
    "delattr",
    "dir",
    "getattr",
    "hasattr",
    "hash",
    "id",
    "issubclass",
    "object",
    "super",
];

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Anything.
    Escape,
    /// Only its truth, its length, its type or its equality is asked for.
    Ask,
    /// A name is bound to it.
    Bind,
    /// It is the result of the call, or a part of it.
    Result,
    /// It is iterated over once to its end.
    Ordered,
    /// It is iterated over, perhaps not to its end, or while other things happen.
    Partial,
    /// It is iterated over once to its end, and the order does not matter.
    Unordered,
    /// Only its first element is taken.
    Next,
    /// It is searched: the order does not matter, but the search may end early.
    Search,
}

impl Use {
    fn takes_sets(self) -> bool {
        matches!(self, Self::Ask | Self::Bind | Self::Result | Self::Unordered | Self::Search)
    }
}

pub(super) type Checked = Result<(), &'static str>;

/// The state of the walk.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) source: &'a str,
    pub(super) facts: &'a Facts,
    pub(super) edits: Vec<Edit>,
    pub(super) helpers: Helpers,
    /// What a returned value is used for, by enclosing function.
    returns: Vec<Use>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(source: &'a str, facts: &'a Facts) -> Self {
        Self { source, facts, edits: Vec::new(), helpers: Helpers::default(), returns: Vec::new() }
    }

    pub(super) fn body(&mut self, body: &[Stmt]) -> Checked {
        body.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Stmt) -> Checked {
        match statement {
            Stmt::FunctionDef(function) => {
                for parameter in &*function.parameters {
                    if let Some(default) = parameter.default() {
                        self.expression(default, Use::Escape)?;
                    }
                }
                for decorator in &function.decorator_list {
                    self.expression(&decorator.expression, Use::Escape)?;
                }
                let is_entry = self.returns.is_empty()
                    && function.name.as_str() == ENTRY
                    && !self.facts.entry_is_used;
                self.returns.push(if is_entry { Use::Result } else { Use::Escape });
                let checked = self.body(&function.body);
                self.returns.pop();
                checked
            }
            Stmt::ClassDef(class) => self.class(class),
            Stmt::Return(statement) => {
                let use_ = self.returns.last().copied().unwrap_or(Use::Escape);
                statement.value.iter().try_for_each(|value| self.expression(value, use_))
            }
            Stmt::Expr(statement) => self.expression(&statement.value, Use::Ask),
            Stmt::Assign(assign) => {
                assign.targets.iter().try_for_each(|target| self.target(target))?;
                assign
                    .targets
                    .iter()
                    .try_for_each(|target| self.assigned(target, &assign.value))?;
                // Last, so that it comes behind what closes the value.
                self.spread_targets(assign)
            }
            Stmt::AnnAssign(assign) => match &assign.value {
                Some(value) => {
                    self.target(&assign.target)?;
                    self.assigned(&assign.target, value)
                }
                None => Ok(()),
            },
            Stmt::AugAssign(assign) => {
                self.target(&assign.target)?;
                match assign.op {
                    Operator::BitAnd | Operator::BitOr | Operator::BitXor | Operator::Sub => {
                        self.expression(&assign.value, Use::Ask)?;
                    }
                    _ => {
                        self.received(&assign.target, &assign.value)?;
                        self.expression(&assign.value, Use::Ordered)?;
                    }
                }
                self.in_place(assign)
            }
            Stmt::For(each) => self.each(each),
            Stmt::While(each) => {
                self.expression(&each.test, Use::Ask)?;
                self.body(&each.body)?;
                self.body(&each.orelse)
            }
            Stmt::If(choice) => {
                self.expression(&choice.test, Use::Ask)?;
                self.body(&choice.body)?;
                choice.elif_else_clauses.iter().try_for_each(|clause| {
                    clause.test.iter().try_for_each(|test| self.expression(test, Use::Ask))?;
                    self.body(&clause.body)
                })
            }
            Stmt::Assert(assert) => {
                self.expression(&assert.test, Use::Ask)?;
                assert.msg.iter().try_for_each(|message| self.expression(message, Use::Escape))
            }
            Stmt::Raise(raise) => {
                raise.exc.iter().try_for_each(|value| self.expression(value, Use::Escape))
            }
            Stmt::Try(attempt) => {
                self.body(&attempt.body)?;
                for handler in &attempt.handlers {
                    let ExceptHandler::ExceptHandler(handler) = handler;
                    self.body(&handler.body)?;
                }
                self.body(&attempt.orelse)?;
                self.body(&attempt.finalbody)
            }
            Stmt::Delete(delete) if is_entry_deletion(delete) => self.delete_entry(delete),
            Stmt::Delete(delete) => {
                delete.targets.iter().try_for_each(|target| self.target(target))
            }
            Stmt::Import(_)
            | Stmt::ImportFrom(_)
            | Stmt::Global(_)
            | Stmt::Nonlocal(_)
            | Stmt::Pass(_)
            | Stmt::Break(_)
            | Stmt::Continue(_) => Ok(()),
            Stmt::TypeAlias(_) => Err("type alias"),
            Stmt::With(_) => Err("with"),
            Stmt::Match(_) => Err("match"),
            Stmt::IpyEscapeCommand(_) => Err("syntax"),
        }
    }

    fn class(&mut self, class: &StmtClassDef) -> Checked {
        for statement in &class.body {
            if let Stmt::FunctionDef(function) = statement {
                let name = function.name.as_str();
                if is_special(name) && !SPECIAL.contains(&name) {
                    return Err("special method");
                }
            }
            if let Stmt::Assign(assign) = statement
                && assign.targets.iter().any(|target| name(target).is_some_and(is_special))
            {
                return Err("special method");
            }
        }
        for decorator in &class.decorator_list {
            self.expression(&decorator.expression, Use::Escape)?;
        }
        self.watch_text(class)?;
        self.returns.push(Use::Escape);
        let checked = self.body(&class.body);
        self.returns.pop();
        checked
    }

    fn assigned(&mut self, target: &Expr, value: &Expr) -> Checked {
        match (target, value) {
            (Expr::Name(_), _) => self.expression(value, Use::Bind),
            (Expr::Tuple(targets), Expr::Tuple(values))
                if targets.elts.len() == values.elts.len() =>
            {
                let mut pairs = targets.elts.iter().zip(&values.elts);
                pairs.try_for_each(|(target, value)| self.assigned(target, value))
            }
            (Expr::Tuple(_) | Expr::List(_), _) => self.expression(value, Use::Ordered),
            (Expr::Subscript(subscript), _) => {
                self.received(&subscript.value, value)?;
                self.expression(value, Use::Escape)
            }
            _ => self.expression(value, Use::Escape),
        }
    }

    /// The expressions inside a target.
    fn target(&mut self, target: &Expr) -> Checked {
        match target {
            Expr::Name(_) => Ok(()),
            Expr::Tuple(targets) => targets.elts.iter().try_for_each(|target| self.target(target)),
            Expr::List(targets) => targets.elts.iter().try_for_each(|target| self.target(target)),
            Expr::Starred(starred) => self.target(&starred.value),
            Expr::Subscript(subscript) => {
                self.expression(&subscript.value, Use::Escape)?;
                self.expression(&subscript.slice, Use::Escape)
            }
            Expr::Attribute(attribute) => self.expression(&attribute.value, Use::Escape),
            _ => Err("syntax"),
        }
    }

    fn each(&mut self, each: &StmtFor) -> Checked {
        self.target(&each.target)?;
        if is_lazy(&each.iter, self.facts) {
            lazy::check_loop(each, self.facts)?;
        }
        self.expression(&each.iter, Use::Partial)?;
        self.body(&each.body)?;
        self.body(&each.orelse)
    }

    pub(super) fn expression(&mut self, expression: &Expr, use_: Use) -> Checked {
        if self.facts.is_set(expression) && !use_.takes_sets() {
            return Err("set order");
        }
        // Operators make sets of views, wherever those have gone.
        if use_ == Use::Escape && self.facts.is_view(expression) {
            return Err("set order");
        }
        match expression {
            Expr::Name(name) => self.value_name(name.id.as_str(), expression),
            Expr::StringLiteral(text) => {
                let text = text.value.to_str().trim().trim_start_matches(['+', '-']);
                if text.eq_ignore_ascii_case("nan") { Err("nan") } else { Ok(()) }
            }
            Expr::BoolOp(operation) => {
                operation.values.iter().try_for_each(|value| self.expression(value, use_))
            }
            Expr::Named(named) => self.expression(&named.value, use_),
            Expr::BinOp(operation) => self.operation(operation),
            Expr::UnaryOp(operation) => {
                let use_ = if operation.op == UnaryOp::Not { Use::Ask } else { Use::Escape };
                self.expression(&operation.operand, use_)
            }
            Expr::If(choice) => {
                self.expression(&choice.test, Use::Ask)?;
                self.expression(&choice.body, use_)?;
                self.expression(&choice.orelse, use_)
            }
            Expr::Compare(comparison) => {
                self.expression(&comparison.left, Use::Ask)?;
                comparison.ops.iter().zip(&comparison.comparators).try_for_each(|(op, value)| {
                    let is_search = matches!(op, CmpOp::In | CmpOp::NotIn);
                    self.expression(value, if is_search { Use::Search } else { Use::Ask })
                })
            }
            Expr::Lambda(lambda) => {
                let mut parameters = lambda.parameters.iter().flat_map(|all| all.iter());
                parameters.try_for_each(|parameter| {
                    parameter
                        .default()
                        .iter()
                        .try_for_each(|value| self.expression(value, Use::Escape))
                })?;
                self.expression(&lambda.body, Use::Escape)
            }
            Expr::ListComp(each) => {
                self.comprehension(&each.generators, [&*each.elt], use_, is_searched(use_))?;
                self.expression(&each.elt, element(use_))
            }
            Expr::Generator(each) => {
                lazy::check_use(expression, use_, self.facts)?;
                self.comprehension(&each.generators, [&*each.elt], use_, is_searched(use_))?;
                self.expression(&each.elt, element(use_))
            }
            Expr::SetComp(each) => {
                self.comprehension(&each.generators, [&*each.elt], Use::Unordered, true)?;
                self.expression(&each.elt, Use::Escape)
            }
            Expr::DictComp(each) => {
                let elements = each.key.iter().map(|key| &**key).chain([&*each.value]);
                self.comprehension(&each.generators, elements, use_, false)?;
                each.key.iter().try_for_each(|key| self.expression(key, Use::Escape))?;
                self.expression(&each.value, element(use_))
            }
            Expr::Call(call) => self.call(call, expression, use_),
            Expr::List(list) => self.all(&list.elts, element(use_)),
            Expr::Tuple(tuple) => self.all(&tuple.elts, element(use_)),
            Expr::Dict(dict) => dict.items.iter().try_for_each(|item| {
                item.key.iter().try_for_each(|key| self.expression(key, Use::Escape))?;
                self.expression(&item.value, element(use_))
            }),
            Expr::Starred(starred) => self.expression(&starred.value, Use::Ordered),
            Expr::Attribute(attribute) => match attribute.attr.as_str() {
                "nan" => Err("nan"),
                "__name__" => self.expression(&attribute.value, Use::Ask),
                _ => self.expression(&attribute.value, Use::Escape),
            },
            Expr::Yield(_) | Expr::YieldFrom(_) | Expr::Await(_) => Err("yield"),
            _ => self.all(children(expression), Use::Escape),
        }
    }

    pub(super) fn all<'e>(
        &mut self,
        items: impl IntoIterator<Item = &'e Expr>,
        use_: Use,
    ) -> Checked {
        items.into_iter().try_for_each(|item| self.expression(item, use_))
    }

    /// A name that is read but not called.
    pub(super) fn value_name(&mut self, name: &str, expression: &Expr) -> Checked {
        if !self.facts.is_builtin(name) {
            return Ok(());
        }
        match name {
            "nan" => Err("nan"),
            "set" | "frozenset" => Err("set order"),
            "map" | "filter" | "zip" | "enumerate" | "reversed" => Err("lazy iterator"),
            "pow" => Err("float power"),
            "iter" => Err("lazy iterator"),
            "type" => Err("reflection"),
            "sum" => {
                self.replace_name(expression, SUM);
                Ok(())
            }
            "round" => {
                self.replace_name(expression, ROUND);
                Ok(())
            }
            "divmod" => {
                self.replace_name(expression, DIVMOD);
                Ok(())
            }
            "chr" => {
                let helper = if self.facts.looks_up { CHARACTER } else { ANY_CHARACTER };
                self.replace_name(expression, helper);
                Ok(())
            }
            _ if REFLECTION.contains(&name) => Err("reflection"),
            _ => Ok(()),
        }
    }

    pub(super) fn insert(&mut self, at: usize, text: impl Into<Cow<'static, str>>, closes: bool) {
        self.edits.push(Edit { start: at, end: at, text: text.into(), closes });
    }

    pub(super) fn replace(&mut self, start: usize, end: usize, text: impl Into<Cow<'static, str>>) {
        self.edits.push(Edit { start, end, text: text.into(), closes: false });
    }

    /// A built-in function's name becomes that of its guard.
    pub(super) fn replace_name(&mut self, function: &Expr, helper: &'static str) {
        let range = function.range();
        self.helpers.insert(helper);
        self.replace(range.start().to_usize(), range.end().to_usize(), helper);
    }

    pub(super) fn comprehension<'e>(
        &mut self,
        parts: &'e [Comprehension],
        elements: impl IntoIterator<Item = &'e Expr>,
        use_: Use,
        is_unordered: bool,
    ) -> Checked {
        // Everything that happens for an element.
        let each: Vec<&Expr> = parts.iter().flat_map(|part| &part.ifs).chain(elements).collect();
        for part in parts {
            self.target(&part.target)?;
            if is_lazy(&part.iter, self.facts) {
                lazy::check_pure([&part.iter], self.facts)?;
                lazy::check_pure(each.iter().copied(), self.facts)?;
            }
            let iterated = match use_ {
                Use::Unordered | Use::Search if is_unordered => use_,
                Use::Ask | Use::Bind | Use::Result | Use::Escape if !is_unordered => Use::Ordered,
                Use::Partial | Use::Search | Use::Next => Use::Partial,
                _ => Use::Ordered,
            };
            if is_searched(iterated) && self.iterates_set(&part.iter) {
                let check =
                    if iterated == Use::Search { lazy::check_total } else { lazy::check_all };
                check(&each, self.facts).map_err(|_| "set order")?;
            }
            self.expression(&part.iter, iterated)?;
            self.all(&part.ifs, Use::Ask)?;
        }
        Ok(())
    }

    /// A value is taken up by an object, element by element: what is lazy in it must not see the object grow.
    pub(super) fn received(&self, receiver: &Expr, value: &Expr) -> Checked {
        lazy::check_receiver(receiver, value, self.facts)
    }
}

fn is_special(name: &str) -> bool {
    name.starts_with("__") && name.ends_with("__")
}

pub(super) fn is_searched(use_: Use) -> bool {
    matches!(use_, Use::Unordered | Use::Search)
}

/// What becomes of the elements of a value.
fn element(use_: Use) -> Use {
    if use_ == Use::Result { Use::Result } else { Use::Escape }
}

/// The expressions right below one.
fn children(expression: &Expr) -> Vec<&Expr> {
    struct Children<'a>(Vec<&'a Expr>);
    impl<'a> SourceOrderVisitor<'a> for Children<'a> {
        fn visit_expr(&mut self, expression: &'a Expr) {
            self.0.push(expression);
        }
    }
    let mut children = Children(Vec::new());
    walk_expr(&mut children, expression);
    children.0
}
