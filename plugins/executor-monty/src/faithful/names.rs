//! What the names of a program stand for, judged without regard to scopes: a name is a set if it is one anywhere.

use std::collections::BTreeSet;

use azr_executor::Value;
use azr_executor::literal::Arguments;
use azr_executor::program::ENTRY;
use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprContext, ModModule, Number, Operator, Parameters, Stmt};

use super::{aliases, is_function, name};

/// Methods that change their object.
pub(super) const MUTATORS: [&str; 25] = [
    "add",
    "append",
    "appendleft",
    "clear",
    "difference_update",
    "discard",
    "elements",
    "extend",
    "extendleft",
    "insert",
    "intersection_update",
    "move_to_end",
    "pop",
    "popitem",
    "popleft",
    "remove",
    "reverse",
    "rotate",
    "setdefault",
    "sort",
    "subtract",
    "symmetric_difference_update",
    "update",
    "__delitem__",
    "__setitem__",
];

/// Methods of sets whose result is a set.
pub(super) const SET_METHODS: [&str; 5] =
    ["copy", "difference", "intersection", "symmetric_difference", "union"];

/// Floats from which it is not far to infinity.
const HUGE: f64 = 1e100;

/// Everything that the walk asks about names.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Names that the program binds.
    pub(super) bound: BTreeSet<String>,
    /// Names that may be sets.
    pub(super) sets: BTreeSet<String>,
    /// Functions and methods whose calls may change something that others see.
    pub(super) impure: BTreeSet<String>,
    /// Names that are imported, with the names of modules.
    pub(super) imported: BTreeSet<String>,
    /// Functions that the program defines: by `def`, as lambdas or as methods.
    pub(super) functions: BTreeSet<String>,
    /// Names that are bound to views of dicts.
    views: BTreeSet<String>,
    /// `itertools` and what is imported from it.
    pub(super) iterator_makers: BTreeSet<String>,
    /// Whether the program speaks of infinity, or of numbers near it.
    pub(super) has_infinity: bool,
    /// Whether the program asks what kind of characters those of a text are.
    pub(super) looks_up: bool,
    /// Which names may stand for the same objects, or for objects inside them.
    pub(super) aliases: aliases::Aliases,
    /// Whether the entry function is called by the program itself or is not the only one of its name.
    pub(super) entry_is_used: bool,
}

impl Facts {
    pub(super) fn of(
        module: &ModModule,
        calls: &[&Arguments],
        has_sets: bool,
        looks_up: bool,
    ) -> Self {
        let mut collector = Collector::default();
        collector.facts.looks_up = looks_up;
        collector.visit_body(&module.body);
        let mut facts = collector.facts;
        facts.entry_is_used |=
            module.body.iter().filter(|statement| is_function(statement, ENTRY)).count() != 1;
        if has_sets {
            let entry = module.body.iter().rev().find(|statement| is_function(statement, ENTRY));
            if let Some(Stmt::FunctionDef(function)) = entry {
                facts.sets.extend(set_parameters(&function.parameters, calls));
            }
        }
        // Which names are sets depends on which names are sets.
        loop {
            let before = facts.sets.len() + facts.views.len();
            for (target, value) in &collector.assigned {
                if facts.is_view(value) {
                    facts.views.insert((*target).to_owned());
                }
                if facts.is_set(value) {
                    facts.sets.insert((*target).to_owned());
                }
            }
            if facts.sets.len() + facts.views.len() == before {
                break;
            }
        }
        // And a function that calls an impure one is impure.
        loop {
            let before = facts.impure.len();
            for (function, callee) in &collector.called {
                if facts.impure.contains(*callee) {
                    facts.impure.insert((*function).to_owned());
                }
            }
            if facts.impure.len() == before {
                return facts;
            }
        }
    }

    /// Whether a call of this name is a call of the built-in function.
    pub(super) fn is_builtin(&self, name: &str) -> bool {
        !self.bound.contains(name)
    }

    /// Whether the value may be a set.
    pub(super) fn is_set(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Set(_) | Expr::SetComp(_) => true,
            Expr::Name(name) => self.sets.contains(name.id.as_str()),
            Expr::If(choice) => self.is_set(&choice.body) || self.is_set(&choice.orelse),
            Expr::BoolOp(operation) => operation.values.iter().any(|value| self.is_set(value)),
            Expr::Named(named) => self.is_set(&named.value),
            Expr::BinOp(operation) => {
                let is_set_like = |side: &Expr| self.is_set(side) || self.is_view(side);
                is_set_operator(operation.op)
                    && (is_set_like(&operation.left) || is_set_like(&operation.right))
            }
            Expr::Call(call) => match &*call.func {
                Expr::Name(name) => {
                    matches!(name.id.as_str(), "set" | "frozenset") && self.is_builtin(&name.id)
                }
                Expr::Attribute(attribute) => {
                    let method = attribute.attr.as_str();
                    SET_METHODS.contains(&method)
                        && (self.is_set(&attribute.value)
                            || name(&attribute.value) == Some("set")
                            || name(&attribute.value) == Some("frozenset"))
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// A view of a dict, which becomes a set by an operator.
    pub(super) fn is_view(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Name(name) => self.views.contains(name.id.as_str()),
            Expr::Call(call) => matches!(&*call.func, Expr::Attribute(attribute)
                if matches!(attribute.attr.as_str(), "keys" | "items")),
            Expr::If(choice) => self.is_view(&choice.body) || self.is_view(&choice.orelse),
            Expr::BoolOp(operation) => operation.values.iter().any(|value| self.is_view(value)),
            Expr::Named(named) => self.is_view(&named.value),
            _ => false,
        }
    }
}

fn is_set_operator(operator: Operator) -> bool {
    matches!(operator, Operator::BitAnd | Operator::BitOr | Operator::BitXor | Operator::Sub)
}

/// Parameters that are sets in one of the calls.
fn set_parameters(parameters: &Parameters, calls: &[&Arguments]) -> Vec<String> {
    let is_set = |value: &Value| matches!(value, Value::Set(_) | Value::FrozenSet(_));
    let mut names = Vec::new();
    for call in calls {
        let positional = parameters.posonlyargs.iter().chain(&parameters.args);
        let sets = positional.zip(&call.positional).filter(|(_, value)| is_set(value));
        names.extend(sets.map(|(parameter, _)| parameter.parameter.name.to_string()));
        let named = call.keyword.iter().filter(|(_, value)| is_set(value));
        names.extend(named.map(|(name, _)| name.clone()));
        // A set that `*args` or `**kwargs` takes up cannot be followed; the names themselves are taken for sets.
        let rest = [&parameters.vararg, &parameters.kwarg];
        names.extend(rest.into_iter().flatten().map(|parameter| parameter.name.to_string()));
    }
    names
}

/// One walk that notes what is bound to what.
#[derive(Default)]
struct Collector<'a> {
    facts: Facts,
    assigned: Vec<(&'a str, &'a Expr)>,
    called: Vec<(&'a str, &'a str)>,
    /// The functions around the current place, innermost last, with the names that they bind to new objects.
    around: Vec<(&'a str, BTreeSet<&'a str>)>,
}

impl<'a> Collector<'a> {
    fn assign(&mut self, target: &'a Expr, value: &'a Expr) {
        match (target, value) {
            (Expr::Name(name), _) => {
                self.assigned.push((name.id.as_str(), value));
                if matches!(value, Expr::Lambda(_)) {
                    self.facts.functions.insert(name.id.to_string());
                }
                self.facts.aliases.bind(name.id.as_str(), value);
            }
            (Expr::Tuple(targets), Expr::Tuple(values))
                if targets.elts.len() == values.elts.len() =>
            {
                for (target, value) in targets.elts.iter().zip(&values.elts) {
                    self.assign(target, value);
                }
            }
            (Expr::Tuple(targets), _) => self.assign_all(&targets.elts, value),
            (Expr::List(targets), _) => self.assign_all(&targets.elts, value),
            (Expr::Starred(starred), _) => self.bind_parts(&starred.value, value),
            // Something is put into an object.
            (Expr::Subscript(subscript), _) => {
                self.facts.aliases.put(&subscript.value, value);
                self.mutate(&subscript.value);
            }
            (Expr::Attribute(attribute), _) => {
                self.facts.aliases.put(&attribute.value, value);
                self.mutate(&attribute.value);
            }
            _ => {}
        }
    }

    fn assign_all(&mut self, targets: &'a [Expr], value: &'a Expr) {
        for target in targets {
            self.bind_parts(target, value);
        }
    }

    /// Binds a target to something inside a value.
    fn bind_parts(&mut self, target: &'a Expr, value: &'a Expr) {
        match target {
            Expr::Name(name) => self.facts.aliases.bind_part(name.id.as_str(), value),
            Expr::Tuple(targets) => self.assign_all(&targets.elts, value),
            Expr::List(targets) => self.assign_all(&targets.elts, value),
            Expr::Starred(starred) => self.bind_parts(&starred.value, value),
            Expr::Subscript(subscript) => self.mutate(&subscript.value),
            Expr::Attribute(attribute) => self.mutate(&attribute.value),
            _ => {}
        }
    }

    /// An object is changed: a function that does so to anything but its own new objects is impure.
    fn mutate(&mut self, object: &'a Expr) {
        if let Some((function, own)) = self.around.last()
            && !name(object).is_some_and(|object| own.contains(object))
        {
            self.facts.impure.insert((*function).to_owned());
        }
    }

    fn function(&mut self, function: &'a str, parameters: &'a Parameters, body: &'a [Stmt]) {
        for parameter in parameters.iter() {
            self.facts.bound.insert(parameter.name().to_string());
        }
        let mut own = OwnObjects::default();
        own.visit_body(body);
        self.around.push((function, own.names));
        self.visit_parameters(parameters);
        self.visit_body(body);
        self.around.pop();
    }
}

impl<'a> SourceOrderVisitor<'a> for Collector<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => {
                let name = function.name.as_str();
                if name == ENTRY && !self.around.is_empty() {
                    self.facts.entry_is_used = true;
                }
                self.facts.bound.insert(name.to_owned());
                self.facts.functions.insert(name.to_owned());
                for decorator in &function.decorator_list {
                    self.visit_decorator(decorator);
                }
                return self.function(name, &function.parameters, &function.body);
            }
            Stmt::ClassDef(class) => {
                self.facts.bound.insert(class.name.to_string());
            }
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    self.assign(target, &assign.value);
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.assign(&assign.target, value);
                }
            }
            Stmt::AugAssign(assign) => match &*assign.target {
                Expr::Name(name) => {
                    if is_set_operator(assign.op) {
                        self.assigned.push((name.id.as_str(), &assign.value));
                    }
                    self.facts.aliases.put(&assign.target, &assign.value);
                }
                Expr::Subscript(subscript) => self.mutate(&subscript.value),
                Expr::Attribute(attribute) => self.mutate(&attribute.value),
                _ => {}
            },
            Stmt::For(each) => self.bind_parts(&each.target, &each.iter),
            Stmt::With(with) => {
                for item in &with.items {
                    if let Some(target) = &item.optional_vars {
                        self.bind_parts(target, &item.context_expr);
                    }
                }
            }
            Stmt::Delete(delete) => {
                for target in &delete.targets {
                    if let Expr::Subscript(subscript) = target {
                        self.mutate(&subscript.value);
                    }
                }
            }
            Stmt::Global(_) | Stmt::Nonlocal(_) => {
                if let Some((function, _)) = self.around.last() {
                    self.facts.impure.insert((*function).to_owned());
                }
            }
            Stmt::Import(import) => {
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.facts.bound.insert(name.to_string());
                    self.facts.imported.insert(name.to_string());
                    if alias.name.as_str() == "itertools" {
                        self.facts.iterator_makers.insert(name.to_string());
                    }
                }
            }
            Stmt::ImportFrom(import) => {
                let is_itertools =
                    import.module.as_ref().is_some_and(|module| module.as_str() == "itertools");
                for alias in &import.names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.facts.bound.insert(name.to_string());
                    self.facts.imported.insert(name.to_string());
                    if is_itertools {
                        self.facts.iterator_makers.insert(name.to_string());
                    }
                }
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) => {
                let id = name.id.as_str();
                if !matches!(name.ctx, ExprContext::Load) {
                    self.facts.bound.insert(id.to_owned());
                } else {
                    self.facts.entry_is_used |= id == ENTRY;
                    // A function that is named may be called, also through `map`.
                    if let Some((function, _)) = self.around.last() {
                        self.called.push((function, id));
                    }
                }
            }
            Expr::Named(named) => self.assign(&named.target, &named.value),
            Expr::StringLiteral(text) => {
                let text = text.value.to_str().trim().trim_start_matches(['+', '-']);
                self.facts.has_infinity |=
                    text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("infinity");
            }
            Expr::NumberLiteral(literal) => {
                self.facts.has_infinity |=
                    matches!(literal.value, Number::Float(value) if value >= HUGE);
            }
            Expr::Attribute(attribute) => {
                self.facts.has_infinity |= attribute.attr.as_str() == "inf";
            }
            Expr::Lambda(lambda) => {
                for parameter in lambda.parameters.iter().flat_map(|parameters| parameters.iter()) {
                    self.facts.bound.insert(parameter.name().to_string());
                }
            }
            Expr::Call(call) => {
                if let Expr::Attribute(attribute) = &*call.func {
                    let method = attribute.attr.as_str();
                    if MUTATORS.contains(&method) {
                        self.mutate(&attribute.value);
                        for argument in &call.arguments.args {
                            self.facts.aliases.put(&attribute.value, argument);
                        }
                    }
                    if let Some((function, _)) = self.around.last() {
                        self.called.push((function, method));
                    }
                }
            }
            Expr::ListComp(each) => {
                for part in &each.generators {
                    self.bind_parts(&part.target, &part.iter);
                }
            }
            Expr::SetComp(each) => {
                for part in &each.generators {
                    self.bind_parts(&part.target, &part.iter);
                }
            }
            Expr::DictComp(each) => {
                for part in &each.generators {
                    self.bind_parts(&part.target, &part.iter);
                }
            }
            Expr::Generator(each) => {
                for part in &each.generators {
                    self.bind_parts(&part.target, &part.iter);
                }
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}

/// Names that a function binds to objects which nobody else can have: displays, comprehensions and calls of types.
#[derive(Default)]
struct OwnObjects<'a> {
    names: BTreeSet<&'a str>,
    others: BTreeSet<&'a str>,
}

impl<'a> SourceOrderVisitor<'a> for OwnObjects<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if let Stmt::Assign(assign) = statement {
            for target in &assign.targets {
                if let Expr::Name(name) = target {
                    let id = name.id.as_str();
                    if is_new(&assign.value) && !self.others.contains(id) {
                        self.names.insert(id);
                    } else {
                        self.names.remove(id);
                        self.others.insert(id);
                    }
                }
            }
        }
        if !matches!(statement, Stmt::FunctionDef(_) | Stmt::ClassDef(_)) {
            walk_stmt(self, statement);
        }
    }

    fn visit_expr(&mut self, _expression: &'a Expr) {}
}

fn is_new(value: &Expr) -> bool {
    match value {
        Expr::List(_)
        | Expr::Dict(_)
        | Expr::Set(_)
        | Expr::ListComp(_)
        | Expr::DictComp(_)
        | Expr::SetComp(_) => true,
        Expr::BinOp(operation) => is_new(&operation.left) || is_new(&operation.right),
        Expr::Call(call) => name(&call.func).is_some_and(|function| {
            ["list", "dict", "set", "sorted", "defaultdict", "Counter", "deque", "OrderedDict"]
                .contains(&function)
        }),
        _ => false,
    }
}
