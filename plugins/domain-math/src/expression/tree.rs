//! The syntax tree of a definition, and what can be counted in it.

use std::collections::BTreeSet;

use super::functions::Function;
use super::rational::Rational;

/// `f(x, y) = body`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    /// Names of the parameters, each different.
    pub(crate) parameters: Vec<String>,
    pub(crate) body: Expression,
}

/// An expression. Variables are numbered: the parameters first, then the counting variables of the sums and products
/// around an expression, from the outermost to the innermost. So names are for readers only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// A literal: not negative, and a decimal fraction.
    Number(Rational),
    Boolean(bool),
    Variable(usize),
    List(Vec<Expression>),
    Negate(Box<Expression>),
    Not(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// A chain such as `a <= b < c`.
    Compare(Box<Expression>, Vec<(Relation, Expression)>),
    /// Condition, then, else.
    If(Box<[Expression; 3]>),
    Call(Function, Vec<Expression>),
    /// Name of the counting variable; first and last value, body.
    Fold(Fold, String, Box<[Expression; 3]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operator {
    Or,
    And,
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is made of the values of a body for each integer of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fold {
    Sum,
    Product,
}

impl Operator {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::FloorDivide => "//",
            Self::Modulo => "mod",
            Self::Power => "^",
        }
    }
}

impl Relation {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Fold {
    pub(super) const ALL: [Self; 2] = [Self::Sum, Self::Product];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Product => "prod",
        }
    }
}

/// How large an expression is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Nodes of the tree.
    pub(crate) nodes: usize,
    /// Nodes on the longest way from the root to a leaf.
    pub(crate) depth: usize,
    /// Different named functions, sums and products among them.
    pub(crate) functions: usize,
}

impl Definition {
    /// Whether the value depends on no argument, because the body names none.
    pub(crate) fn is_constant(&self) -> bool {
        let n_parameters = self.parameters.len();
        let mut names_one = false;
        self.body.visit(1, &mut |node, _| {
            names_one |= matches!(node, Expression::Variable(level) if *level < n_parameters);
        });
        !names_one
    }

    pub(crate) fn size(&self) -> Size {
        let (mut nodes, mut deepest) = (0, 0);
        let mut functions = BTreeSet::new();
        self.body.visit(1, &mut |node, depth| {
            nodes += 1;
            deepest = deepest.max(depth);
            functions.extend(match node {
                Expression::Call(function, _) => Some(function.as_str()),
                Expression::Fold(fold, ..) => Some(fold.as_str()),
                _ => None,
            });
        });
        Size { nodes, depth: deepest, functions: functions.len() }
    }
}

impl Expression {
    /// Shows every node with its depth; the root's is `depth`.
    fn visit(&self, depth: usize, see: &mut dyn FnMut(&Self, usize)) {
        see(self, depth);
        let mut below = |node: &Self| node.visit(depth + 1, see);
        match self {
            Self::Number(_) | Self::Boolean(_) | Self::Variable(_) => {}
            Self::List(items) | Self::Call(_, items) => items.iter().for_each(below),
            Self::Negate(inner) | Self::Not(inner) => below(inner),
            Self::Binary(_, left, right) => {
                below(left);
                below(right);
            }
            Self::Compare(first, rest) => {
                below(first);
                rest.iter().for_each(|(_, node)| below(node));
            }
            Self::If(parts) | Self::Fold(_, _, parts) => parts.iter().for_each(below),
        }
    }
}
