//! The walk over a program: what every value is used for.

use azr_executor::program::ENTRY;
use std::borrow::Cow;

use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr};
use ruff_python_ast::{
    CmpOp, Comprehension, ExceptHandler, Expr, ExprBinOp, ExprCall, Number, Operator, Stmt,
    StmtClassDef, StmtFor, UnaryOp,
};
use ruff_text_size::Ranged;

use super::edits::{Edit, Helpers};
use super::lazy::{self, is_lazy};
use super::name;
use super::names::Facts;
use super::syntax::is_entry_deletion;

/// Exceptions that a handler may catch: what Monty does not know, it tells by others.
const CATCHABLE: [&str; 12] = [
    "ArithmeticError",
    "AssertionError",
    "IndexError",
    "KeyError",
    "LookupError",
    "OverflowError",
    "StopIteration",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UnicodeError",
    "ValueError",
    "ZeroDivisionError",
];

/// Special methods that Monty calls where CPython does.
const SPECIAL: [&str; 3] = ["__init__", "__repr__", "__str__"];

/// Built-in functions that show what an object is made of.
const REFLECTION: [&str; 10] = [
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

/// Methods of sets that take and give no order.
const SET_METHODS: [&str; 14] = [
    "add",
    "clear",
    "copy",
    "difference",
    "difference_update",
    "discard",
    "intersection",
    "intersection_update",
    "isdisjoint",
    "issubset",
    "issuperset",
    "symmetric_difference",
    "symmetric_difference_update",
    "union",
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
    /// It is searched: the order does not matter, but the search may end early.
    Search,
}

impl Use {
    fn takes_sets(self) -> bool {
        matches!(self, Self::Ask | Self::Bind | Self::Result | Self::Unordered | Self::Search)
    }
}

type Checked = Result<(), &'static str>;

/// The state of the walk.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) source: &'a str,
    facts: &'a Facts,
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
                    Operator::Pow => Err("float power"),
                    Operator::BitAnd | Operator::BitOr | Operator::BitXor | Operator::Sub => {
                        self.expression(&assign.value, Use::Ask)
                    }
                    _ => self.expression(&assign.value, Use::Ordered),
                }
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
                attempt.handlers.iter().try_for_each(check_handler)?;
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
                if name.starts_with("__") && name.ends_with("__") && !SPECIAL.contains(&name) {
                    return Err("special method");
                }
            }
        }
        for decorator in &class.decorator_list {
            self.expression(&decorator.expression, Use::Escape)?;
        }
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
                self.comprehension(&each.generators, use_, is_searched(use_))?;
                self.expression(&each.elt, element(use_))
            }
            Expr::Generator(each) => {
                lazy::check_use(expression, use_, self.facts)?;
                self.comprehension(&each.generators, use_, is_searched(use_))?;
                self.expression(&each.elt, element(use_))
            }
            Expr::SetComp(each) => {
                self.comprehension(&each.generators, Use::Unordered, true)?;
                self.expression(&each.elt, Use::Escape)
            }
            Expr::DictComp(each) => {
                self.comprehension(&each.generators, use_, false)?;
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
            Expr::Attribute(attribute) if attribute.attr.as_str() == "nan" => Err("nan"),
            Expr::Yield(_) | Expr::YieldFrom(_) | Expr::Await(_) => Err("yield"),
            _ => self.all(children(expression), Use::Escape),
        }
    }

    fn all<'e>(&mut self, items: impl IntoIterator<Item = &'e Expr>, use_: Use) -> Checked {
        items.into_iter().try_for_each(|item| self.expression(item, use_))
    }

    /// A name that is read but not called.
    fn value_name(&mut self, name: &str, expression: &Expr) -> Checked {
        if !self.facts.is_builtin(name) {
            return Ok(());
        }
        match name {
            "nan" => Err("nan"),
            "set" | "frozenset" => Err("set order"),
            "map" | "filter" | "zip" | "enumerate" | "reversed" => Err("lazy iterator"),
            "pow" => Err("float power"),
            "sum" => {
                self.replace_sum(expression, false);
                Ok(())
            }
            _ if REFLECTION.contains(&name) => Err("reflection"),
            _ => Ok(()),
        }
    }

    fn insert(&mut self, at: usize, text: &'static str, closes: bool) {
        self.edits.push(Edit { start: at, end: at, text: text.into(), closes });
    }

    pub(super) fn replace(&mut self, start: usize, end: usize, text: impl Into<Cow<'static, str>>) {
        self.edits.push(Edit { start, end, text: text.into(), closes: false });
    }

    fn replace_sum(&mut self, function: &Expr, is_unordered: bool) {
        let range = function.range();
        let text = if is_unordered { "__azr_sum_unordered" } else { "__azr_sum" };
        self.helpers.sum |= !is_unordered;
        self.helpers.sum_unordered |= is_unordered;
        let (start, end) = (range.start().to_usize(), range.end().to_usize());
        self.replace(start, end, text);
    }

    fn operation(&mut self, operation: &ExprBinOp) -> Checked {
        let use_ = match operation.op {
            Operator::BitAnd | Operator::BitOr | Operator::BitXor | Operator::Sub => Use::Ask,
            _ => Use::Escape,
        };
        let is_guarded = operation.op == Operator::Pow
            && !(is_whole(&operation.left) && is_whole(&operation.right));
        if is_guarded {
            self.helpers.power = true;
            let start = operation.range.start().to_usize();
            self.insert(start, "__azr_pow(", false);
        }
        self.expression(&operation.left, use_)?;
        if is_guarded {
            let start = operation.left.range().end().to_usize();
            let end = operation.right.range().start().to_usize();
            self.replace(start, end, super::edits::OPERATOR);
        }
        self.expression(&operation.right, use_)?;
        if is_guarded {
            let end = operation.range.end().to_usize();
            self.insert(end, ")", true);
        }
        Ok(())
    }

    fn comprehension(&mut self, parts: &[Comprehension], use_: Use, is_unordered: bool) -> Checked {
        for part in parts {
            self.target(&part.target)?;
            if is_lazy(&part.iter, self.facts) {
                lazy::check_pure(part.ifs.iter(), self.facts)?;
            }
            let iterated = match use_ {
                Use::Unordered | Use::Search if is_unordered => use_,
                Use::Ask | Use::Bind | Use::Result | Use::Escape if !is_unordered => Use::Ordered,
                Use::Partial | Use::Search => Use::Partial,
                _ => Use::Ordered,
            };
            self.expression(&part.iter, iterated)?;
            self.all(&part.ifs, Use::Ask)?;
        }
        Ok(())
    }

    fn call(&mut self, call: &ExprCall, expression: &Expr, use_: Use) -> Checked {
        for keyword in &call.arguments.keywords {
            self.expression(&keyword.value, Use::Escape)?;
        }
        let arguments = &call.arguments.args;
        match &*call.func {
            Expr::Name(function) if self.facts.is_builtin(&function.id) => {
                self.builtin(call, function.id.as_str(), expression, use_)
            }
            Expr::Name(function) => {
                let is_imported = self.facts.imported.contains(function.id.as_str());
                self.all(arguments, if is_imported { Use::Partial } else { Use::Escape })
            }
            Expr::Attribute(method) => {
                let is_set = self.facts.is_set(&method.value);
                match method.attr.as_str() {
                    method_name if is_set && SET_METHODS.contains(&method_name) => {
                        self.expression(&method.value, Use::Ask)?;
                        self.all(arguments, Use::Unordered)
                    }
                    "update" if is_set => {
                        self.expression(&method.value, Use::Ask)?;
                        self.all(arguments, Use::Unordered)
                    }
                    "remove" if is_set => {
                        self.expression(&method.value, Use::Ask)?;
                        self.all(arguments, Use::Escape)
                    }
                    "nan" => Err("nan"),
                    "join" | "extend" | "update" | "fromkeys" => {
                        self.expression(&method.value, Use::Escape)?;
                        self.all(arguments, Use::Ordered)
                    }
                    _ => {
                        self.expression(&method.value, Use::Escape)?;
                        let is_module = name(&method.value)
                            .is_some_and(|name| self.facts.imported.contains(name));
                        self.all(arguments, if is_module { Use::Partial } else { Use::Escape })
                    }
                }
            }
            other => {
                self.expression(other, Use::Escape)?;
                self.all(arguments, Use::Escape)
            }
        }
    }

    fn builtin(
        &mut self,
        call: &ExprCall,
        function: &str,
        expression: &Expr,
        use_: Use,
    ) -> Checked {
        let arguments = &call.arguments.args;
        let has_key = call.arguments.keywords.iter().any(|keyword| {
            keyword.arg.as_ref().is_none_or(|name| !matches!(name.as_str(), "reverse" | "default"))
        });
        match function {
            "isinstance" => self.all(arguments.first(), Use::Ask),
            "len" | "bool" | "print" | "type" => self.all(arguments, Use::Ask),
            "set" | "frozenset" => self.all(arguments, Use::Unordered),
            "any" | "all" => self.all(arguments, Use::Search),
            "sorted" | "min" | "max" if arguments.len() == 1 => {
                self.all(arguments, if has_key { Use::Ordered } else { Use::Unordered })
            }
            "sum" => {
                let is_unordered = arguments.first().is_some_and(|items| self.iterates_set(items));
                self.replace_sum(&call.func, is_unordered);
                self.all(arguments, if is_unordered { Use::Unordered } else { Use::Ordered })
            }
            // What is made of a set only to be sorted or counted.
            "list" | "tuple" if is_searched(use_) => self.all(arguments, use_),
            "list" | "tuple" | "dict" | "bytes" => self.all(arguments, Use::Ordered),
            "iter" | "next" => self.all(arguments, Use::Partial),
            "map" | "filter" | "zip" | "enumerate" | "reversed" => {
                lazy::check_use(expression, use_, self.facts)?;
                let passes_on = matches!(function, "map" | "filter");
                let iterated = match use_ {
                    Use::Unordered | Use::Search if passes_on => use_,
                    Use::Ordered if function != "zip" => Use::Ordered,
                    _ => Use::Partial,
                };
                let skipped = usize::from(passes_on);
                self.all(arguments.iter().take(skipped), Use::Escape)?;
                self.all(arguments.iter().skip(skipped), iterated)
            }
            "pow" if arguments.len() == 2 && call.arguments.keywords.is_empty() => {
                self.helpers.power = true;
                let range = call.func.range();
                let (start, end) = (range.start().to_usize(), range.end().to_usize());
                self.replace(start, end, "__azr_pow");
                self.all(arguments, Use::Escape)
            }
            "pow" => self.all(arguments, Use::Escape),
            _ if REFLECTION.contains(&function) => Err("reflection"),
            _ => self.all(arguments, Use::Escape),
        }
    }

    /// Whether the elements come out of a set.
    fn iterates_set(&self, items: &Expr) -> bool {
        let parts =
            |parts: &[Comprehension]| parts.iter().any(|part| self.iterates_set(&part.iter));
        match items {
            Expr::ListComp(each) => parts(&each.generators),
            Expr::Generator(each) => parts(&each.generators),
            Expr::Call(call)
                if matches!(name(&call.func), Some("map" | "filter" | "list" | "tuple")) =>
            {
                call.arguments.args.iter().any(|argument| self.iterates_set(argument))
            }
            other => self.facts.is_set(other),
        }
    }
}

fn is_searched(use_: Use) -> bool {
    matches!(use_, Use::Unordered | Use::Search)
}

/// What becomes of the elements of a value.
fn element(use_: Use) -> Use {
    if use_ == Use::Result { Use::Result } else { Use::Escape }
}

/// A whole number; a power of two of them is exact.
fn is_whole(power: &Expr) -> bool {
    matches!(power, Expr::NumberLiteral(literal) if matches!(literal.value, Number::Int(_)))
}

fn check_handler(handler: &ExceptHandler) -> Checked {
    let ExceptHandler::ExceptHandler(handler) = handler;
    let is_harmless = |caught: &Expr| name(caught).is_some_and(|name| CATCHABLE.contains(&name));
    let is_narrow = match handler.type_.as_deref() {
        Some(Expr::Tuple(all)) => all.elts.iter().all(is_harmless),
        Some(one) => is_harmless(one),
        None => false,
    };
    if is_narrow { Ok(()) } else { Err("except") }
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
