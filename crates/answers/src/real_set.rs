//! Sets of real numbers: intervals, their unions, and the inequalities and lists of inequalities that describe them.

use std::cmp::Ordering;

use num_bigint::Sign;

use crate::identity::Comparer;
use crate::node::{Bracket, Comparison, Function, Junction, Kind, Node};
use crate::number::Part;

/// The most intervals of a set.
const MAX_INTERVALS: usize = 64;

/// An end of an interval.
#[derive(Debug, Clone)]
enum End {
    NegativeInfinity,
    Finite(Part),
    Infinity,
}

#[derive(Debug, Clone)]
struct Interval {
    low: End,
    high: End,
    low_closed: bool,
    high_closed: bool,
}

/// Intervals from left to right that do not touch.
type Set = Vec<Interval>;

/// Whether two nodes describe the same set; None where one describes none that is understood.
pub(crate) fn same(comparer: &Comparer, a: &Node, b: &Node) -> Option<bool> {
    let reader = Reader { comparer };
    let ((x, name), (y, other)) = (reader.set(a)?, reader.set(b)?);
    if name.is_some() && other.is_some() && name != other {
        return Some(false);
    }
    if x.len() != y.len() {
        return Some(false);
    }
    for (x, y) in x.iter().zip(&y) {
        let same = reader.order(&x.low, &y.low)? == Ordering::Equal
            && reader.order(&x.high, &y.high)? == Ordering::Equal
            && (x.low_closed, x.high_closed) == (y.low_closed, y.high_closed);
        if !same {
            return Some(false);
        }
    }
    Some(true)
}

struct Reader<'a> {
    comparer: &'a Comparer,
}

impl Reader<'_> {
    /// The set and the variable it speaks of, if it names one.
    fn set<'n>(&self, node: &'n Node) -> Option<(Set, Option<&'n str>)> {
        match node {
            Node::Collection(Kind::Sequence(left, right), ends) => {
                let ([low, high], true) =
                    (&ends[..], *left != Bracket::Angle && *right != Bracket::Angle)
                else {
                    return None;
                };
                let interval = Interval {
                    low: self.end(low)?,
                    high: self.end(high)?,
                    low_closed: *left == Bracket::Square,
                    high_closed: *right == Bracket::Square,
                };
                // An interval from right to left is none.
                if self.order(&interval.low, &interval.high)? == Ordering::Greater {
                    return None;
                }
                Some((self.union(vec![interval])?, None))
            }
            Node::Collection(Kind::Set, items) => {
                let points = items.iter().map(|item| self.end(item).map(point));
                Some((self.union(points.collect::<Option<_>>()?)?, None))
            }
            Node::Collection(
                kind @ (Kind::Union | Kind::Intersection | Kind::Difference),
                nodes,
            ) => {
                let [left, right] = &nodes[..] else { return None };
                let (x, name) = self.set(left)?;
                let (y, other) = self.set(right)?;
                let set = match kind {
                    Kind::Union => self.union([x, y].concat())?,
                    Kind::Intersection => self.intersection(&x, &y)?,
                    _ => self.intersection(&x, &self.complement(&y)?)?,
                };
                Some((set, name.or(other)))
            }
            Node::Collection(Kind::List(junction), items) => self.list(*junction, items),
            Node::Relation(signs, sides) => self.relation(signs, sides),
            _ => None,
        }
    }

    /// Inequalities in a row: `or` unites them, `and` intersects them, and so does a comma unless nothing is left.
    fn list<'n>(&self, junction: Junction, items: &'n [Node]) -> Option<(Set, Option<&'n str>)> {
        let mut both = vec![whole()];
        let mut either = Vec::new();
        let mut name = None;
        for item in items {
            let (set, own) = self.set(item)?;
            own?;
            if name.is_some() && name != own {
                return None;
            }
            name = own;
            both = self.intersection(&both, &set)?;
            either.extend(set);
        }
        let united = junction == Junction::Or || (junction == Junction::Comma && both.is_empty());
        Some((if united { self.union(either)? } else { both }, name))
    }

    /// `a < x ≤ b`, `x ≠ a`, `x ∈ S` with one variable that stands alone.
    fn relation<'n>(
        &self,
        signs: &[Comparison],
        sides: &'n [Node],
    ) -> Option<(Set, Option<&'n str>)> {
        let at = sides.iter().position(|side| matches!(side, Node::Variable(_)))?;
        let Some(Node::Variable(name)) = sides.get(at) else { return None };
        if let ([Comparison::In], [_, set]) = (signs, sides) {
            return Some((self.set(set)?.0, Some(name)));
        }
        let mut set = vec![whole()];
        for (index, side) in sides.iter().enumerate().filter(|(index, _)| *index != at) {
            // Of `1 < 2 < x` only the neighbours say something of x.
            let (sign, before) = if index + 1 == at {
                (signs.get(index)?, true)
            } else if index == at + 1 {
                (signs.get(at)?, false)
            } else {
                return None;
            };
            let end = self.end(side)?;
            let part = match (sign, before) {
                (Comparison::Equal, _) => vec![point(end)],
                (Comparison::NotEqual, _) => self.complement(&vec![point(end)])?,
                (Comparison::Less, true) | (Comparison::Greater, false) => vec![above(end, false)],
                (Comparison::LessOrEqual, true) | (Comparison::GreaterOrEqual, false) => {
                    vec![above(end, true)]
                }
                (Comparison::Less, false) | (Comparison::Greater, true) => vec![below(end, false)],
                (Comparison::LessOrEqual, false) | (Comparison::GreaterOrEqual, true) => {
                    vec![below(end, true)]
                }
                (Comparison::In, _) => return None,
            };
            set = self.intersection(&set, &part)?;
        }
        Some((set, Some(name)))
    }

    fn end(&self, node: &Node) -> Option<End> {
        match node {
            Node::Infinity => Some(End::Infinity),
            Node::Apply(Function::Negate, inner) if inner[..] == [Node::Infinity] => {
                Some(End::NegativeInfinity)
            }
            node => Some(End::Finite(self.comparer.constant(node)?.real()?.clone())),
        }
    }

    /// The order of two ends; numbers that differ by less than their errors are equal.
    fn order(&self, a: &End, b: &End) -> Option<Ordering> {
        Some(match (a, b) {
            (End::Finite(a), End::Finite(b)) => match self.comparer.difference_sign(a, b)? {
                Sign::Minus => Ordering::Less,
                Sign::NoSign => Ordering::Equal,
                Sign::Plus => Ordering::Greater,
            },
            (End::NegativeInfinity, End::NegativeInfinity) | (End::Infinity, End::Infinity) => {
                Ordering::Equal
            }
            (End::NegativeInfinity, _) | (_, End::Infinity) => Ordering::Less,
            _ => Ordering::Greater,
        })
    }

    fn is_empty(&self, interval: &Interval) -> Option<bool> {
        Some(match self.order(&interval.low, &interval.high)? {
            Ordering::Less => false,
            Ordering::Equal => !(interval.low_closed && interval.high_closed),
            Ordering::Greater => true,
        })
    }

    /// Whether `a` begins before `b`.
    fn begins_before(&self, a: &Interval, b: &Interval) -> Option<bool> {
        Some(match self.order(&a.low, &b.low)? {
            Ordering::Equal => a.low_closed && !b.low_closed,
            order => order == Ordering::Less,
        })
    }

    /// Intervals in any order as a set.
    fn union(&self, intervals: Vec<Interval>) -> Option<Set> {
        if intervals.len() > MAX_INTERVALS {
            return None;
        }
        let mut sorted: Set = Vec::new();
        for interval in intervals {
            if self.is_empty(&interval)? {
                continue;
            }
            let mut at = 0;
            while let Some(other) = sorted.get(at)
                && !self.begins_before(&interval, other)?
            {
                at += 1;
            }
            sorted.insert(at, interval);
        }
        let mut merged: Set = Vec::new();
        for interval in sorted {
            let Some(last) = merged.last_mut() else {
                merged.push(interval);
                continue;
            };
            match self.order(&interval.low, &last.high)? {
                Ordering::Greater => merged.push(interval),
                Ordering::Equal if !interval.low_closed && !last.high_closed => {
                    merged.push(interval);
                }
                _ => match self.order(&interval.high, &last.high)? {
                    Ordering::Greater => {
                        last.high = interval.high;
                        last.high_closed = interval.high_closed;
                    }
                    Ordering::Equal => last.high_closed |= interval.high_closed,
                    Ordering::Less => {}
                },
            }
        }
        Some(merged)
    }

    fn complement(&self, set: &Set) -> Option<Set> {
        let mut gaps = Vec::new();
        let (mut low, mut low_closed) = (End::NegativeInfinity, false);
        for interval in set {
            let high_closed = !interval.low_closed;
            gaps.push(Interval { low, low_closed, high: interval.low.clone(), high_closed });
            (low, low_closed) = (interval.high.clone(), !interval.high_closed);
        }
        gaps.push(Interval { low, low_closed, high: End::Infinity, high_closed: false });
        // What begins or ends at an infinity that is none of its numbers is empty.
        let finite = |gap: &Interval| {
            !matches!(gap.high, End::NegativeInfinity) && !matches!(gap.low, End::Infinity)
        };
        self.union(gaps.into_iter().filter(finite).collect())
    }

    fn intersection(&self, x: &Set, y: &Set) -> Option<Set> {
        let mut parts = Vec::new();
        for a in x {
            for b in y {
                let (low, low_closed) = match self.order(&a.low, &b.low)? {
                    Ordering::Less => (&b.low, b.low_closed),
                    Ordering::Equal => (&a.low, a.low_closed && b.low_closed),
                    Ordering::Greater => (&a.low, a.low_closed),
                };
                let (high, high_closed) = match self.order(&a.high, &b.high)? {
                    Ordering::Less => (&a.high, a.high_closed),
                    Ordering::Equal => (&a.high, a.high_closed && b.high_closed),
                    Ordering::Greater => (&b.high, b.high_closed),
                };
                let (low, high) = (low.clone(), high.clone());
                let part = Interval { low, high, low_closed, high_closed };
                if !self.is_empty(&part)? {
                    parts.push(part);
                }
            }
        }
        self.union(parts)
    }
}

fn whole() -> Interval {
    Interval {
        low: End::NegativeInfinity,
        high: End::Infinity,
        low_closed: false,
        high_closed: false,
    }
}

fn point(at: End) -> Interval {
    Interval { low: at.clone(), high: at, low_closed: true, high_closed: true }
}

fn above(low: End, low_closed: bool) -> Interval {
    Interval { low, low_closed, ..whole() }
}

fn below(high: End, high_closed: bool) -> Interval {
    Interval { high, high_closed, ..whole() }
}
