//! From what a model wrote to a program that defines the wanted function.

use std::collections::{BTreeMap, BTreeSet};

use azr_executor::program::{self, ENTRY};
use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, walk_expr};
use ruff_python_ast::{Alias, Expr, ModModule, Stmt};
use ruff_text_size::Ranged;

use super::problem::Problem;
use super::wave::NO_ANSWER;
use super::{batch, fence};
use crate::PromptStyle;

/// Longest response that is looked at, in bytes: far above any token budget in use.
const MAX_RESPONSE_BYTES: usize = 256 << 10;

/// Most blocks of a response that are looked into, from the last one on.
const MAX_BLOCKS: usize = 8;

/// The part of a text that defines a function: its imports, and the definitions and assignments at top level that the
/// function reaches. Tests, prints and scripts around it are left behind, as EvalPlus does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// Python source text.
    pub(super) source: String,
    /// Whether it binds the name that programs of jobs are called by.
    binds_f: bool,
}

/// The program of a response, or why there is none. Total and bounded for any text.
///
/// Understood are a continuation of the prompt, a whole program, also behind prose, and either of them in a fenced block;
/// a later block wins over an earlier one. A whole program stands for itself: what it needs of the prompt's imports it has to repeat.
pub(super) fn read(
    problem: &Problem,
    style: PromptStyle,
    response: &str,
) -> Result<Program, &'static str> {
    let response = shortened(fence::behind_thoughts(response));
    let Problem { prompt, entry_point, .. } = problem;
    let alone = |text: &&str| Program::select(text, entry_point);
    let behind_prompt = |text: &&str| Program::select(&format!("{prompt}{text}"), entry_point);
    let mut texts: Vec<&str> = fence::blocks(response);
    texts.reverse();
    texts.truncate(MAX_BLOCKS);
    texts.extend([response, from_first_definition(response)]);
    let continued = match style {
        PromptStyle::Completion => behind_prompt(&response),
        PromptStyle::Chat => None,
    };
    let found = continued
        .or_else(|| texts.iter().find_map(alone))
        .or_else(|| texts.iter().find_map(behind_prompt));
    let tried = format!("def {entry_point}");
    found.ok_or(if response.contains(&tried) { "syntax" } else { NO_ANSWER })
}

/// `text` from the first line that can only be the beginning of a program.
fn from_first_definition(text: &str) -> &str {
    let openings = ["def ", "class ", "import ", "from ", "@"];
    let is_prose = |line: &&str| !openings.iter().any(|opening| line.starts_with(opening));
    let n_bytes = text.split_inclusive('\n').take_while(is_prose).map(str::len).sum::<usize>();
    text.get(n_bytes..).unwrap_or_default()
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_RESPONSE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl Program {
    /// What defines `entry_point` in the valid Python that `text` begins with. None if nothing does, or only a header
    /// with no more than a docstring, `pass` or `...` under it.
    pub(super) fn select(text: &str, entry_point: &str) -> Option<Self> {
        let source = program::leading(text);
        let look = |source: &str, module: &ModModule| Self::of(source, module, entry_point);
        program::inspect(&source, None, look).ok().flatten()
    }

    /// As a job runs it on the problem's batches.
    pub(super) fn for_batches(&self, problem: &Problem) -> String {
        batch::program(&self.source, &problem.entry_point, self.binds_f, problem.oracle.rule)
    }

    fn of(source: &str, module: &ModModule, entry_point: &str) -> Option<Self> {
        let parts: Vec<Part<'_>> = module.body.iter().filter_map(Part::of).collect();
        let entry = parts.iter().rfind(|part| part.binds.contains(&entry_point))?;
        if is_header(entry.statement) {
            return None;
        }
        let mut binding: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, part) in parts.iter().enumerate() {
            for name in &part.binds {
                binding.entry(name).or_default().push(index);
            }
        }
        let imports = (0..parts.len()).filter(|index| parts[*index].is_import());
        let mut kept: BTreeSet<usize> = imports.collect();
        let mut names = vec![entry_point];
        while let Some(name) = names.pop() {
            for index in binding.remove(name).unwrap_or_default() {
                if kept.insert(index) {
                    names.extend(&parts[index].uses);
                }
            }
        }
        let text = |index: &usize| source.get(parts[*index].statement.range().to_std_range());
        let lines: Vec<&str> = kept.iter().filter_map(text).collect();
        let binds_f = kept.iter().any(|index| parts[*index].binds.contains(&ENTRY));
        Some(Self { source: format!("{}\n", lines.join("\n")), binds_f })
    }
}

/// A statement at top level that a function may need.
struct Part<'a> {
    statement: &'a Stmt,
    binds: Vec<&'a str>,
    uses: Vec<&'a str>,
}

impl<'a> Part<'a> {
    fn of(statement: &'a Stmt) -> Option<Self> {
        let binds = match statement {
            Stmt::Import(import) => import.names.iter().map(bound_by).collect(),
            Stmt::ImportFrom(import) => import.names.iter().map(bound_by).collect(),
            Stmt::FunctionDef(function) => vec![function.name.as_str()],
            Stmt::ClassDef(class) => vec![class.name.as_str()],
            Stmt::Assign(assign) => assign.targets.iter().flat_map(names_of).collect(),
            Stmt::AnnAssign(assign) => names_of(&assign.target),
            Stmt::AugAssign(assign) => names_of(&assign.target),
            _ => return None,
        };
        let mut uses = Names::default();
        uses.visit_stmt(statement);
        Some(Self { statement, binds, uses: uses.0 })
    }

    fn is_import(&self) -> bool {
        matches!(self.statement, Stmt::Import(_) | Stmt::ImportFrom(_))
    }
}

fn bound_by(alias: &Alias) -> &str {
    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
    name.split('.').next().unwrap_or(name)
}

fn names_of(expression: &Expr) -> Vec<&str> {
    let mut names = Names::default();
    names.visit_expr(expression);
    names.0
}

/// The names in an expression or statement, wherever they stand.
#[derive(Default)]
struct Names<'a>(Vec<&'a str>);

impl<'a> SourceOrderVisitor<'a> for Names<'a> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Name(name) = expression {
            self.0.push(name.id.as_str());
        }
        walk_expr(self, expression);
    }
}

/// Whether it is a function that does nothing yet.
fn is_header(statement: &Stmt) -> bool {
    let does_nothing = |statement: &Stmt| match statement {
        Stmt::Pass(_) => true,
        Stmt::Expr(expression) => {
            matches!(*expression.value, Expr::StringLiteral(_) | Expr::EllipsisLiteral(_))
        }
        _ => false,
    };
    matches!(statement, Stmt::FunctionDef(function) if function.body.iter().all(does_nothing))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::suites::code::oracle::{Oracle, Rule};

    fn source(text: &str) -> Option<String> {
        Program::select(text, "g").map(|program| program.source)
    }

    #[test]
    fn a_program_keeps_what_its_function_reaches() {
        let text = "'''Doc.'''\nimport math as m, os\nK = [1]\nL = K\nK[0] = 2\nunused = input()\nclass A:\n    n = L\n@m.cache\ndef h(): return A\ndef other(): return 1\ndef g(x): return h(), x\nassert g(1)\nif K: g(2)\ng.n = 1\n";
        let kept = "import math as m, os\nK = [1]\nL = K\nK[0] = 2\nclass A:\n    n = L\n@m.cache\ndef h(): return A\ndef g(x): return h(), x\ng.n = 1\n";
        assert_eq!(source(text).as_deref(), Some(kept));
        for text in [
            "def h(x): return 1",
            "def g(x):\n    '''Doc.'''\n    ...",
            "class A:\n    def g(x): return 1",
            "",
        ] {
            assert_eq!(source(text), None, "{text}");
        }
    }

    #[test]
    fn an_own_f_is_seen() {
        for (text, binds_f) in [
            ("def f(x): return x\ndef g(x): return f(x)", true),
            ("from math import floor as f\ndef g(x): return f(x)", true),
            ("f = 3\ndef g(x): return f", true),
            ("def f(x): return x\ndef g(x): return x", false),
        ] {
            assert_eq!(Program::select(text, "g").unwrap().binds_f, binds_f, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in r"(?s)(def g\(x\):\n|    return x\n|```python\n|```\n|</think>|import os\n|g = |\n|    |é|.){0,24}") {
            let problem = Problem {
                id: "a/1".into(),
                prompt: "def g(x):\n    '''Doc.'''\n".into(),
                entry_point: "g".into(),
                solution: String::new(),
                inputs: Vec::new(),
                oracle: Oracle { rule: Rule::Equal, tolerance: 0.0 },
            };
            for style in [PromptStyle::Completion, PromptStyle::Chat] {
                if let Ok(program) = read(&problem, style, &text) {
                    prop_assert_eq!(Program::select(&program.source, "g"), Some(program));
                }
            }
        }
    }
}
