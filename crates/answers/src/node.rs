//! What an answer says, as a tree.

use num_bigint::BigInt;
use num_rational::BigRational;

/// A mathematical object or a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Number(Decimal),
    /// A letter, with its subscript or accent.
    Variable(String),
    Pi,
    E,
    I,
    Infinity,
    /// Words.
    Text(String),
    Apply(Function, Vec<Node>),
    Collection(Kind, Vec<Node>),
    /// `a < b ≤ c`: one comparison less than nodes.
    Relation(Vec<Comparison>, Vec<Node>),
    /// A value and its unit.
    Quantity(Box<Node>, String),
}

/// A literal number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) value: BigRational,
    /// What the last digit counts and the number of significant digits, if it was written with a point.
    pub(crate) precision: Option<(BigRational, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Sum,
    Product,
    Negate,
    Inverse,
    Power,
    /// The index comes first.
    Root,
    Factorial,
    Binomial,
    Absolute,
    Floor,
    Ceiling,
    Percent,
    Degree,
    PlusMinus,
    MinusPlus,
    Exponential,
    /// One argument: natural or common, as the other answer has it.
    BareLog,
    NaturalLog,
    /// The base comes first.
    Log,
    Gcd,
    Lcm,
    Minimum,
    Maximum,
    Trigonometric(Trigonometric),
    /// `sin^{-1}` and the like: the angle.
    Inverted(Trigonometric),
    Hyperbolic(Trigonometric),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigonometric {
    Sine,
    Cosine,
    Tangent,
    Cotangent,
    Secant,
    Cosecant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `(a, b]`: a tuple, vector or interval.
    Sequence(Bracket, Bracket),
    /// `\{a, b\}`
    Set,
    /// `a, b` or `a and b`.
    List(Junction),
    Union,
    Intersection,
    Difference,
    /// `a : b`
    Ratio,
    Matrix {
        columns: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bracket {
    Round,
    Square,
    Angle,
}

/// What stands between the items of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Junction {
    Comma,
    And,
    Or,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

/// `above / below`
pub(crate) fn quotient(above: &Node, below: &Node) -> Node {
    let inverse = Node::apply(Function::Inverse, below.clone());
    Node::Apply(Function::Product, vec![above.clone(), inverse])
}

impl Node {
    pub(crate) fn integer(value: impl Into<BigInt>) -> Self {
        let value = BigRational::from_integer(value.into());
        Self::Number(Decimal { value, precision: None })
    }

    pub(crate) fn apply(function: Function, argument: Node) -> Self {
        Self::Apply(function, vec![argument])
    }

    pub(crate) fn children(&self) -> &[Node] {
        match self {
            Self::Apply(_, nodes) | Self::Collection(_, nodes) | Self::Relation(_, nodes) => nodes,
            Self::Quantity(node, _) => std::slice::from_ref(node),
            _ => &[],
        }
    }

    /// Whether this or something within it satisfies `test`.
    pub(crate) fn any(&self, test: &impl Fn(&Node) -> bool) -> bool {
        test(self) || self.children().iter().any(|child| child.any(test))
    }

    /// The node with `change` applied to its children.
    pub(crate) fn map(&self, mut change: impl FnMut(&Node) -> Node) -> Self {
        match self {
            Self::Apply(function, nodes) => {
                Self::Apply(*function, nodes.iter().map(change).collect())
            }
            Self::Collection(kind, nodes) => {
                Self::Collection(*kind, nodes.iter().map(change).collect())
            }
            Self::Relation(signs, nodes) => {
                Self::Relation(signs.clone(), nodes.iter().map(change).collect())
            }
            Self::Quantity(node, unit) => Self::Quantity(Box::new(change(node)), unit.clone()),
            leaf => leaf.clone(),
        }
    }
}
