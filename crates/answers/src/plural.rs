//! What stands for several things: lists, sets, and `±`.

use crate::node::{Function, Kind, Node};

/// The most items that are matched in any order.
const MAX_ITEMS: usize = 64;

/// The most `±` in one expression.
const MAX_SIGNS: usize = 4;

pub(crate) fn is_list(node: &Node) -> bool {
    matches!(node, Node::Collection(Kind::List(_), _))
}

/// Whether a node stands for several things.
pub(crate) fn is_plural(node: &Node) -> bool {
    is_list(node)
        || matches!(node, Node::Collection(Kind::Set, _))
        || node.any(&|node| matches!(node, Node::Apply(Function::PlusMinus, _)))
}

/// What a node stands for, `±` resolved.
pub(crate) fn items(node: &Node) -> Option<Vec<Node>> {
    let nodes = match node {
        Node::Collection(Kind::List(_) | Kind::Set, nodes) => nodes.as_slice(),
        node => std::slice::from_ref(node),
    };
    let mut all = Vec::new();
    for node in nodes {
        let signs = count_signs(node);
        if signs > MAX_SIGNS {
            return None;
        }
        for choice in 0..1_u32 << signs {
            all.push(with_signs(node, choice, &mut 0));
        }
        if all.len() > MAX_ITEMS {
            return None;
        }
    }
    Some(all)
}

fn count_signs(node: &Node) -> usize {
    let own = usize::from(matches!(node, Node::Apply(Function::PlusMinus, _)));
    own + node.children().iter().map(count_signs).sum::<usize>()
}

/// The node with the signs of a choice: a bit for each `±` in reading order; `∓` goes against the first.
fn with_signs(node: &Node, choice: u32, next: &mut u32) -> Node {
    let minus = match node {
        Node::Apply(Function::PlusMinus, _) => {
            *next += 1;
            choice >> (*next - 1) & 1 == 1
        }
        Node::Apply(Function::MinusPlus, _) => choice & 1 == 0,
        _ => return node.map(|child| with_signs(child, choice, next)),
    };
    let function = if minus { Function::Negate } else { Function::Sum };
    Node::Apply(
        function,
        node.children().iter().map(|child| with_signs(child, choice, next)).collect(),
    )
}
