//! Programs that are nearly right: a right one with one change, made on its syntax tree.

use azr_executor::program;
use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ModModule, Number, Stmt};
use ruff_text_size::{Ranged, TextRange};

/// Programs that differ from `source` in one place of its function `entry_point`, each with what was done.
pub(super) fn mutants(source: &str, entry_point: &str) -> Vec<(&'static str, String)> {
    let look = |source: &str, module: &ModModule| {
        let is_it = |statement: &&Stmt| matches!(statement, Stmt::FunctionDef(function) if function.name.as_str() == entry_point);
        let Some(Stmt::FunctionDef(function)) = module.body.iter().rfind(is_it) else {
            return Vec::new();
        };
        let mut places = Places::default();
        places.visit_body(&function.body);
        let is_text = |statement: &&Stmt| matches!(statement, Stmt::Expr(expression) if expression.value.is_string_literal_expr());
        let edit = |range: TextRange, text: &dyn Fn(&str) -> String| {
            let (start, end) = (range.start().to_usize(), range.end().to_usize());
            format!("{}{}{}", &source[..start], text(&source[start..end]), &source[end..])
        };
        let first = function.body.iter().find(|statement| !is_text(statement));
        let nothing = first.map(|first| {
            let line = source[..first.start().to_usize()].rfind('\n').map_or(0, |at| at + 1);
            let indent = &source[line..first.start().to_usize()];
            let is_alone = indent.trim().is_empty();
            let rest = |text: &str| {
                if is_alone {
                    format!("return None\n{indent}{text}")
                } else {
                    format!("return None; {text}")
                }
            };
            ("return None", edit(first.range(), &rest))
        });
        let integer =
            places.integer.map(|(range, next)| ("integer + 1", edit(range, &|_| next.clone())));
        let negated = places
            .condition
            .map(|range| ("negated", edit(range, &|text| format!("(not ({text}))"))));
        let dropped =
            places.statement.map(|range| ("dropped", edit(range, &|_| "pass".to_owned())));
        let boxed =
            places.returned.map(|range| ("boxed", edit(range, &|text| format!("[({text})]"))));
        [nothing, boxed, integer, negated, dropped].into_iter().flatten().collect()
    };
    program::inspect(source, None, look).unwrap()
}

/// The first place for each change.
#[derive(Default)]
struct Places {
    integer: Option<(TextRange, String)>,
    condition: Option<TextRange>,
    statement: Option<TextRange>,
    returned: Option<TextRange>,
}

impl<'a> SourceOrderVisitor<'a> for Places {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Assign(_) | Stmt::AugAssign(_) => {
                self.statement.get_or_insert(statement.range());
            }
            Stmt::Expr(expression) if !expression.value.is_string_literal_expr() => {
                self.statement.get_or_insert(statement.range());
            }
            Stmt::Return(end) => {
                self.returned = self.returned.or(end.value.as_ref().map(|value| value.range()));
            }
            Stmt::If(branch) => {
                self.condition.get_or_insert(branch.test.range());
            }
            Stmt::While(branch) => {
                self.condition.get_or_insert(branch.test.range());
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::NumberLiteral(literal) => {
                if let Number::Int(integer) = &literal.value
                    && let Some(integer) = integer.as_i64()
                {
                    self.integer.get_or_insert((literal.range, (integer + 1).to_string()));
                }
            }
            Expr::If(choice) => {
                self.condition.get_or_insert(choice.test.range());
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}

#[test]
fn a_mutant_differs_in_one_place() {
    let source =
        "def g(x):\n    '''7'''\n    y = x - 1\n    if y > 2:\n        return y\n    return 0\n";
    let expected = [
        ("return None", source.replace("    y = x", "    return None\n    y = x")),
        ("boxed", source.replace("return y", "return [(y)]")),
        ("integer + 1", source.replace("x - 1", "x - 2")),
        ("negated", source.replace("y > 2", "(not (y > 2))")),
        ("dropped", source.replace("y = x - 1", "pass")),
    ];
    assert_eq!(mutants(source, "g"), expected);
    let short = mutants("def g(x): return x\n", "g");
    assert_eq!(short[0], ("return None", "def g(x): return None; return x\n".to_owned()));
    assert_eq!(short[1..], [("boxed", "def g(x): return [(x)]\n".to_owned())]);
}
