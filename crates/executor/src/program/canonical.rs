//! The text of a syntax tree without positions, comments and docstrings.

use ruff_python_ast::comparable::ComparableModModule;
use ruff_python_ast::visitor::transformer::{Transformer, walk_stmt};
use ruff_python_ast::{AtomicNodeIndex, Expr, ModModule, Stmt, StmtPass};
use ruff_text_size::TextRange;

pub(super) fn text(mut module: ModModule) -> String {
    DropDocstrings.visit_body(&mut module.body);
    format!("{:?}", ComparableModModule::from(&module))
}

struct DropDocstrings;

impl Transformer for DropDocstrings {
    fn visit_stmt(&self, statement: &mut Stmt) {
        let body = match statement {
            Stmt::FunctionDef(function) => Some(&mut function.body),
            Stmt::ClassDef(class) => Some(&mut class.body),
            _ => None,
        };
        if let Some(body) = body
            && let Some(Stmt::Expr(first)) = body.first()
            && matches!(*first.value, Expr::StringLiteral(_))
        {
            body.remove(0);
            if body.is_empty() {
                body.push(Stmt::Pass(StmtPass {
                    node_index: AtomicNodeIndex::NONE,
                    range: TextRange::default(),
                }));
            }
        }
        walk_stmt(self, statement);
    }
}
