//! Operators whose results on floats, huge integers or mutable objects differ: a guard looks when they are applied.

use ruff_python_ast::{Expr, ExprBinOp, Number, Operator, StmtAugAssign};
use ruff_text_size::Ranged;

use super::edits::POWER;
use super::lazy::check_pure;
use super::walk::{Checked, Use, Walk};

/// What guards an operator, and how it is written.
type Guard = (&'static str, &'static str);

impl Walk<'_> {
    pub(super) fn operation(&mut self, operation: &ExprBinOp) -> Checked {
        let use_ = match operation.op {
            Operator::BitAnd | Operator::BitOr | Operator::BitXor | Operator::Sub => Use::Ask,
            _ => Use::Escape,
        };
        let guard = self.guard(operation);
        if let Some((helper, _)) = guard {
            self.helpers.insert(helper);
            self.insert(operation.range.start().to_usize(), opening(helper), false);
        }
        self.expression(&operation.left, use_)?;
        if let Some((_, operator)) = guard {
            let start = operation.left.range().end().to_usize();
            let end = operation.right.range().start().to_usize();
            let piece = self.source.get(start..end).ok_or("rewriting")?;
            if piece.contains(['#', '\\']) || !piece.contains(operator) {
                return Err("rewriting");
            }
            self.replace(start, end, piece.replacen(operator, ",", 1));
        }
        self.expression(&operation.right, use_)?;
        if guard.is_some() {
            self.insert(operation.range.end().to_usize(), ")", true);
        }
        Ok(())
    }

    fn guard(&self, operation: &ExprBinOp) -> Option<Guard> {
        let sides = [&*operation.left, &*operation.right];
        match operation.op {
            Operator::Pow => (!sides.into_iter().all(is_whole)).then_some((POWER, "**")),
            Operator::Mod => {
                let is_text = matches!(*operation.left, Expr::StringLiteral(_) | Expr::FString(_));
                (!is_text && !sides.into_iter().all(is_int)).then_some(("__azr_mod", "%"))
            }
            Operator::FloorDiv => {
                (!sides.into_iter().all(is_int)).then_some(("__azr_floordiv", "//"))
            }
            Operator::Div => Some(("__azr_div", "/")),
            Operator::Mult => {
                let cannot_be_infinite = sides.into_iter().any(is_sequence)
                    || sides.into_iter().all(is_int)
                    || !self.facts.has_infinity && sides.into_iter().any(is_whole);
                (!cannot_be_infinite).then_some(("__azr_mul", "*"))
            }
            Operator::Add if self.facts.has_infinity => Some(("__azr_add", "+")),
            Operator::Sub if self.facts.has_infinity => Some(("__azr_sub", "-")),
            _ => None,
        }
    }

    /// `a *= b` becomes `a = guard(a, b)`; its value has been walked over.
    pub(super) fn in_place(&mut self, assign: &StmtAugAssign) -> Checked {
        let is_literal = is_whole(&assign.value);
        let (helper, operator) = match assign.op {
            Operator::Pow => (POWER, "**="),
            Operator::Mult => ("__azr_imul", "*="),
            Operator::Div => ("__azr_div", "/="),
            Operator::FloorDiv => ("__azr_floordiv", "//="),
            Operator::Mod => ("__azr_mod", "%="),
            Operator::Sub if !is_literal => ("__azr_isub", "-="),
            Operator::BitAnd if !is_literal => ("__azr_iand", "&="),
            Operator::BitOr if !is_literal => ("__azr_ior", "|="),
            Operator::BitXor if !is_literal => ("__azr_ixor", "^="),
            _ => return Ok(()),
        };
        if !is_plain_target(&assign.target, !self.facts.has_infinity) {
            return Err("in-place operator");
        }
        if matches!(*assign.value, Expr::Tuple(_) | Expr::Yield(_) | Expr::YieldFrom(_)) {
            return Err("in-place operator");
        }
        // The target is evaluated again after the value.
        let is_name = matches!(*assign.target, Expr::Name(_));
        if !is_name {
            check_pure([&*assign.value], self.facts).map_err(|_| "in-place operator")?;
        }
        let target = assign.target.range();
        let start = target.end().to_usize();
        let piece = self.source.get(start..assign.value.range().start().to_usize());
        let piece = piece.ok_or("rewriting")?;
        let before = piece.find(operator).ok_or("rewriting")?;
        if !piece.get(..before).unwrap_or_default().trim().is_empty() {
            return Err("rewriting");
        }
        let text = self.source.get(target.start().to_usize()..start).ok_or("rewriting")?;
        self.helpers.insert(helper);
        self.replace(start, start + before + operator.len(), format!(" = {helper}({text}, "));
        self.insert(assign.range.end().to_usize(), ")", true);
        Ok(())
    }
}

fn opening(helper: &'static str) -> String {
    format!("{helper}(")
}

/// A target that is the same when it is evaluated again, and that holds nothing that is rewritten.
fn is_plain_target(target: &Expr, may_add: bool) -> bool {
    match target {
        Expr::Name(_) | Expr::NumberLiteral(_) | Expr::StringLiteral(_) => true,
        Expr::Subscript(subscript) => {
            is_plain_target(&subscript.value, may_add) && is_plain_target(&subscript.slice, may_add)
        }
        Expr::Attribute(attribute) => is_plain_target(&attribute.value, may_add),
        Expr::BinOp(operation) if matches!(operation.op, Operator::Add | Operator::Sub) => {
            may_add
                && is_plain_target(&operation.left, may_add)
                && is_plain_target(&operation.right, may_add)
        }
        Expr::UnaryOp(operation) => is_plain_target(&operation.operand, may_add),
        _ => false,
    }
}

/// A positive whole number that is written out.
fn is_whole(expression: &Expr) -> bool {
    matches!(expression, Expr::NumberLiteral(literal)
        if matches!(&literal.value, Number::Int(value) if value.as_i64().is_some_and(|value| value > 0)))
}

fn is_sequence(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::StringLiteral(_) | Expr::List(_) | Expr::Tuple(_) | Expr::ListComp(_)
    )
}

/// Certainly an integer.
fn is_int(expression: &Expr) -> bool {
    match expression {
        Expr::NumberLiteral(literal) => matches!(literal.value, Number::Int(_)),
        Expr::BinOp(operation) => {
            matches!(
                operation.op,
                Operator::Add
                    | Operator::Sub
                    | Operator::Mult
                    | Operator::Mod
                    | Operator::FloorDiv
                    | Operator::LShift
                    | Operator::RShift
            ) && is_int(&operation.left)
                && is_int(&operation.right)
        }
        _ => false,
    }
}
