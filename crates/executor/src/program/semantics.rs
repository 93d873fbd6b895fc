//! Errors of syntax that no grammar shows: `return` outside a function, a parameter that is named twice.
//!
//! The rules are the parser library's own; what is here tells it which scopes surround a node. Where that
//! would take an analysis of names, the context answers so that nothing is reported: such programs raise
//! `SyntaxError` when they are run.

use std::cell::RefCell;

use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ModModule, PythonVersion, Stmt};
use ruff_python_parser::semantic_errors::{
    LazyImportContext, SemanticSyntaxChecker, SemanticSyntaxContext, SemanticSyntaxError,
};
use ruff_text_size::TextRange;

/// What the first such error of a program is.
pub(super) fn error(source: &str, module: &ModModule) -> Option<String> {
    let context = Context { source, scopes: Vec::new(), error: RefCell::new(None) };
    let mut walk = Walk { checker: SemanticSyntaxChecker::new(), context };
    walk.visit_body(&module.body);
    walk.context.error.into_inner()
}

struct Walk<'a> {
    checker: SemanticSyntaxChecker,
    context: Context<'a>,
}

struct Context<'a> {
    source: &'a str,
    /// From the module's own statements inwards; empty at module level.
    scopes: Vec<Scope<'a>>,
    error: RefCell<Option<String>>,
}

struct Scope<'a> {
    kind: Kind,
    is_async: bool,
    parameters: Vec<&'a str>,
    n_loops: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The module itself, entered by its first loop only.
    Module,
    Function,
    Lambda,
    Class,
    Comprehension,
    Generator,
}

impl<'a> Walk<'a> {
    fn within(
        &mut self,
        kind: Kind,
        is_async: bool,
        parameters: Vec<&'a str>,
        walk: impl FnOnce(&mut Self),
    ) {
        self.context.scopes.push(Scope { kind, is_async, parameters, n_loops: 0 });
        walk(self);
        self.context.scopes.pop();
    }

    /// The body of a loop. What stands behind its `else` is outside of it again.
    fn in_loop(&mut self, body: &'a [Stmt]) {
        if self.context.scopes.is_empty() {
            return self.within(Kind::Module, false, Vec::new(), |walk| walk.in_loop(body));
        }
        if let Some(scope) = self.context.scopes.last_mut() {
            scope.n_loops += 1;
        }
        self.visit_body(body);
        if let Some(scope) = self.context.scopes.last_mut() {
            scope.n_loops -= 1;
        }
    }
}

impl<'a> SourceOrderVisitor<'a> for Walk<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        self.checker.visit_stmt(statement, &self.context);
        match statement {
            Stmt::FunctionDef(function) => {
                let names = function.parameters.iter().map(|parameter| parameter.name().as_str());
                let names = names.collect();
                self.within(Kind::Function, function.is_async, names, |walk| {
                    walk_stmt(walk, statement)
                });
            }
            Stmt::ClassDef(_) => {
                self.within(Kind::Class, false, Vec::new(), |walk| walk_stmt(walk, statement))
            }
            Stmt::For(statement) => {
                self.visit_expr(&statement.target);
                self.visit_expr(&statement.iter);
                self.in_loop(&statement.body);
                self.visit_body(&statement.orelse);
            }
            Stmt::While(statement) => {
                self.visit_expr(&statement.test);
                self.in_loop(&statement.body);
                self.visit_body(&statement.orelse);
            }
            _ => walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        self.checker.visit_expr(expression, &self.context);
        let (kind, is_async) = match expression {
            Expr::Lambda(_) => (Kind::Lambda, false),
            Expr::Generator(generator) => {
                (Kind::Generator, generator.generators.iter().any(|clause| clause.is_async))
            }
            Expr::ListComp(list) => {
                (Kind::Comprehension, list.generators.iter().any(|clause| clause.is_async))
            }
            Expr::SetComp(set) => {
                (Kind::Comprehension, set.generators.iter().any(|clause| clause.is_async))
            }
            Expr::DictComp(dict) => {
                (Kind::Comprehension, dict.generators.iter().any(|clause| clause.is_async))
            }
            _ => return walk_expr(self, expression),
        };
        self.within(kind, is_async, Vec::new(), |walk| walk_expr(walk, expression));
    }
}

impl Context<'_> {
    fn innermost(&self) -> Kind {
        self.scopes.last().map_or(Kind::Module, |scope| scope.kind)
    }

    /// The innermost scope that is neither a comprehension nor a generator.
    fn body(&self) -> Option<&Scope<'_>> {
        let is_body =
            |scope: &&Scope<'_>| !matches!(scope.kind, Kind::Comprehension | Kind::Generator);
        self.scopes.iter().rev().find(is_body)
    }
}

impl SemanticSyntaxContext for Context<'_> {
    fn future_annotations_or_stub(&self) -> bool {
        true
    }

    fn lazy_import_context(&self) -> Option<LazyImportContext> {
        None
    }

    fn python_version(&self) -> PythonVersion {
        PythonVersion::latest()
    }

    fn source(&self) -> &str {
        self.source
    }

    fn global(&self, _name: &str) -> Option<TextRange> {
        None
    }

    fn has_nonlocal_binding(&self, _name: &str) -> bool {
        true
    }

    fn in_async_context(&self) -> bool {
        self.body().is_some_and(|scope| scope.is_async)
    }

    fn in_await_allowed_context(&self) -> bool {
        self.body().is_some_and(|scope| matches!(scope.kind, Kind::Function | Kind::Lambda))
    }

    fn in_yield_allowed_context(&self) -> bool {
        matches!(self.innermost(), Kind::Function | Kind::Lambda)
    }

    fn in_sync_comprehension(&self) -> bool {
        self.scopes.iter().any(|scope| scope.kind == Kind::Comprehension && !scope.is_async)
    }

    fn in_class_body_comprehension(&self) -> bool {
        let in_comprehension = matches!(self.innermost(), Kind::Comprehension | Kind::Generator);
        in_comprehension && self.body().is_some_and(|scope| scope.kind == Kind::Class)
    }

    fn in_module_scope(&self) -> bool {
        self.innermost() == Kind::Module
    }

    fn in_function_scope(&self) -> bool {
        matches!(self.innermost(), Kind::Function | Kind::Lambda)
    }

    fn in_generator_context(&self) -> bool {
        self.innermost() == Kind::Generator
    }

    fn in_notebook(&self) -> bool {
        false
    }

    fn report_semantic_error(&self, error: SemanticSyntaxError) {
        self.error.borrow_mut().get_or_insert_with(|| error.to_string());
    }

    fn in_loop_context(&self) -> bool {
        self.scopes.last().is_some_and(|scope| scope.n_loops > 0)
    }

    fn is_bound_parameter(&self, name: &str) -> bool {
        self.scopes.last().is_some_and(|scope| scope.parameters.contains(&name))
    }
}
