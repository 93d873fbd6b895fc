//! Statements that Monty does not know, in words that it does.

use ruff_python_ast::{Expr, StmtAssign, StmtClassDef, StmtDelete};
use ruff_text_size::Ranged;

use super::walk::Walk;

/// Functions whose names are replaced.
const REWRITTEN: [&str; 5] = ["chr", "divmod", "pow", "round", "sum"];

/// Whether a statement deletes one entry of a list or dict.
pub(super) fn is_entry_deletion(delete: &StmtDelete) -> bool {
    matches!(&delete.targets[..], [Expr::Subscript(subscript)]
        if !matches!(*subscript.slice, Expr::Slice(_) | Expr::Tuple(_) | Expr::Starred(_)))
}

impl Walk<'_> {
    /// `del a[i]` becomes `a.pop(i)`: the same errors and, on lists and dicts, the same change.
    pub(super) fn delete_entry(&mut self, delete: &StmtDelete) -> Result<(), &'static str> {
        let [Expr::Subscript(subscript)] = &delete.targets[..] else { return Err("del") };
        if self.facts.functions.contains("pop") {
            return Err("del");
        }
        let end_of = |expression: &Expr| expression.range().end().to_usize();
        let start_of = |expression: &Expr| expression.range().start().to_usize();
        let target = subscript.range;
        let pieces = [
            (delete.range.start().to_usize(), target.start().to_usize(), "del", ""),
            (end_of(&subscript.value), start_of(&subscript.slice), "[", ".pop("),
            (end_of(&subscript.slice), target.end().to_usize(), "]", ")"),
        ];
        for (start, end, expected, text) in pieces {
            if self.source.get(start..end).map(str::trim) != Some(expected) {
                return Err("del");
            }
            self.replace(start, end, text);
        }
        self.expression(&subscript.value, super::walk::Use::Escape)?;
        self.expression(&subscript.slice, super::walk::Use::Escape)
    }

    /// A class that does not say how its objects are shown gets a method that notices when one is.
    pub(super) fn watch_text(&mut self, class: &StmtClassDef) -> Result<(), &'static str> {
        let shows_itself =
            class.body.iter().any(|statement| super::is_function(statement, "__repr__"));
        // Decorators such as `dataclass` add the method.
        if shows_itself || !class.decorator_list.is_empty() {
            return Ok(());
        }
        let start = class.body.first().ok_or("syntax")?.range().start().to_usize();
        let before = self.source.get(..start).unwrap_or_default();
        let indent = before.rsplit('\n').next().unwrap_or_default();
        if !indent.trim().is_empty() {
            return Err("one-line class");
        }
        self.insert(start, format!("{}{indent}", super::edits::REPR), false);
        Ok(())
    }

    /// `a[i], a[j] = …` becomes an assignment to names and one of each name to its target, in the same order.
    pub(super) fn spread_targets(&mut self, assign: &StmtAssign) -> Result<(), &'static str> {
        let [Expr::Tuple(targets)] = &assign.targets[..] else { return Ok(()) };
        let is_place = |target: &Expr| matches!(target, Expr::Subscript(_) | Expr::Attribute(_));
        if !targets.elts.iter().any(is_place) {
            return Ok(());
        }
        if !targets.elts.iter().all(|target| is_place(target) || matches!(target, Expr::Name(_))) {
            return Err("nested targets");
        }
        let mut after = String::new();
        for (index, target) in targets.elts.iter().enumerate() {
            let (start, end) = (target.range().start().to_usize(), target.range().end().to_usize());
            let text = self.source.get(start..end).ok_or("rewriting")?;
            // What is rewritten inside a target would be written twice.
            if text.contains(['\n', '#', '*', '/', '%'])
                || REWRITTEN.iter().any(|function| text.contains(function))
                || (self.facts.has_infinity && text.contains(['+', '-']))
            {
                return Err("targets");
            }
            after.push_str(&format!("; {text} = __azr_target{index}"));
            self.replace(start, end, format!("__azr_target{index}"));
        }
        let end = assign.range.end().to_usize();
        self.edits.push(super::edits::Edit { start: end, end, text: after.into(), closes: true });
        Ok(())
    }
}
