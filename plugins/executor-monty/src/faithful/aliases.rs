//! Which names may stand for one object.
//!
//! Every name has two nodes: its object, and everything inside that. An edge leads from a node to those that may be the
//! same objects, without regard to scopes and order.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::Expr;

/// A name's object, or with `true` what is inside it.
type Node = (String, bool);

/// What a value may be, and what it may hold.
#[derive(Debug, Default)]
struct Nodes {
    object: BTreeSet<Node>,
    inside: BTreeSet<Node>,
}

/// Built-in functions whose result holds nothing of their arguments.
const SCALAR: [&str; 14] = [
    "abs", "all", "any", "bool", "chr", "float", "hex", "int", "len", "ord", "range", "round",
    "str", "sum",
];

/// Functions and methods whose result is a new object that holds what their arguments hold.
const SHELL: [&str; 12] = [
    "copy",
    "dict",
    "enumerate",
    "filter",
    "frozenset",
    "list",
    "map",
    "reversed",
    "set",
    "sorted",
    "tuple",
    "zip",
];

/// Edges between nodes.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    edges: BTreeMap<Node, BTreeSet<Node>>,
}

impl Aliases {
    /// A name is bound to a value.
    pub(super) fn bind(&mut self, name: &str, value: &Expr) {
        let nodes = nodes(value);
        self.add((name.to_owned(), false), nodes.object);
        self.add((name.to_owned(), true), nodes.inside);
    }

    /// A name is bound to something inside a value.
    pub(super) fn bind_part(&mut self, name: &str, value: &Expr) {
        let nodes = nodes(value);
        self.add((name.to_owned(), false), nodes.inside.clone());
        self.add((name.to_owned(), true), nodes.inside);
    }

    /// A value is put into an object.
    pub(super) fn put(&mut self, object: &Expr, value: &Expr) {
        let value = nodes(value);
        for (name, _) in nodes(object).object {
            self.add((name.clone(), true), value.object.clone());
            self.add((name, true), value.inside.clone());
        }
    }

    /// Whether a change of the object `changed` may be seen in the object `seen`.
    pub(super) fn may_meet(&self, changed: &Expr, seen: &Expr) -> bool {
        let (changed, seen) =
            (self.closure(nodes(changed).object), self.closure(nodes(seen).object));
        changed.intersection(&seen).next().is_some()
    }

    fn add(&mut self, from: Node, to: BTreeSet<Node>) {
        self.edges.entry(from).or_default().extend(to);
    }

    fn closure(&self, mut open: BTreeSet<Node>) -> BTreeSet<Node> {
        let mut closed = BTreeSet::new();
        while let Some(node) = open.pop_first() {
            open.extend(self.edges.get(&node).into_iter().flatten().cloned());
            closed.insert(node);
            open.retain(|node| !closed.contains(node));
        }
        closed
    }
}

impl Nodes {
    fn merge(&mut self, other: Self) {
        self.object.extend(other.object);
        self.inside.extend(other.inside);
    }

    fn hold(&mut self, other: Self) {
        self.inside.extend(other.object);
        self.inside.extend(other.inside);
    }
}

fn nodes(expression: &Expr) -> Nodes {
    let mut found = Nodes::default();
    match expression {
        Expr::Name(name) => {
            found.object.insert((name.id.to_string(), false));
            found.inside.insert((name.id.to_string(), true));
        }
        Expr::Subscript(subscript) => {
            found.inside = nodes(&subscript.value).inside;
            if !matches!(*subscript.slice, Expr::Slice(_)) {
                found.object = found.inside.clone();
            }
        }
        Expr::Attribute(attribute) => {
            found.inside = nodes(&attribute.value).inside;
            found.object = found.inside.clone();
        }
        Expr::Starred(starred) => found.inside = nodes(&starred.value).inside,
        Expr::Named(named) => found = nodes(&named.value),
        Expr::If(choice) => {
            found = nodes(&choice.body);
            found.merge(nodes(&choice.orelse));
        }
        Expr::BoolOp(operation) => {
            operation.values.iter().for_each(|value| found.merge(nodes(value)));
        }
        Expr::BinOp(operation) => {
            found.inside = nodes(&operation.left).inside;
            found.inside.extend(nodes(&operation.right).inside);
        }
        Expr::List(list) => list.elts.iter().for_each(|item| found.hold(nodes(item))),
        Expr::Tuple(tuple) => tuple.elts.iter().for_each(|item| found.hold(nodes(item))),
        Expr::Set(set) => set.elts.iter().for_each(|item| found.hold(nodes(item))),
        Expr::Dict(dict) => dict.items.iter().for_each(|item| found.hold(nodes(&item.value))),
        Expr::ListComp(each) => found.hold(nodes(&each.elt)),
        Expr::SetComp(each) => found.hold(nodes(&each.elt)),
        Expr::Generator(each) => found.hold(nodes(&each.elt)),
        Expr::DictComp(each) => found.hold(nodes(&each.value)),
        Expr::Call(call) => {
            let arguments = call.arguments.args.iter().map(nodes);
            let (function, receiver) = match &*call.func {
                Expr::Name(name) => (name.id.as_str(), None),
                Expr::Attribute(method) => (method.attr.as_str(), Some(nodes(&method.value))),
                _ => ("", None),
            };
            let all = arguments.chain(receiver);
            if SCALAR.contains(&function) {
                return found;
            }
            if SHELL.contains(&function) {
                all.for_each(|nodes| found.inside.extend(nodes.inside));
            } else {
                all.for_each(|nodes| found.hold(nodes));
                found.object = found.inside.clone();
            }
        }
        _ => {}
    }
    found
}
