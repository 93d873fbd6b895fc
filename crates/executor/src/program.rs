//! The static gate: what a program must look like before it is run, judged on its syntax tree.
//!
//! It gives proposers a clear reason early and keeps honest programs deterministic. It is a filter and
//! not the boundary: a program that slips through meets the process sandbox.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::source_order::SourceOrderVisitor;
use ruff_python_ast::{ModModule, Stmt, StmtFunctionDef};
use ruff_python_parser::parse_module;

mod canonical;
mod leading;
mod names;
mod policy;
mod semantics;
mod shape;

pub use leading::leading;
use names::Names;
pub use policy::ImportPolicy;

/// Longest program in bytes.
pub const MAX_SOURCE_BYTES: usize = 16 << 10;

/// Name of the function that every program defines.
pub const ENTRY: &str = "f";

/// Stack for everything that walks a syntax tree. A tree is at most one level deep per source byte, and
/// no walk takes 16 KiB per level; pages that are not touched cost nothing.
pub(crate) const STACK_BYTES: usize = MAX_SOURCE_BYTES * (16 << 10);

/// A program that passed the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Source text that defines [`ENTRY`]: line feeds as line ends, no blank lines around it, one line end
    /// behind it.
    pub source: String,
    /// What the entry function was called before it was renamed to [`ENTRY`].
    pub entry_renamed: Option<String>,
    /// Dotted names of the imported modules, sorted.
    pub imports: Vec<String>,
    /// Number of lines of `source`.
    pub n_lines: usize,
    /// Text of the syntax tree without positions, comments and docstrings: equal texts are one program.
    pub canonical: String,
}

/// Why a program is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The source is longer than [`MAX_SOURCE_BYTES`].
    #[error("the program is longer than {MAX_SOURCE_BYTES} bytes")]
    TooLarge,
    /// It is no Python.
    #[error("the program is no valid Python: {0}")]
    Syntax(String),
    /// It defines no function at top level (an `async` one does not count).
    #[error("the program defines no top-level function")]
    NoFunction,
    /// The entry function takes nothing.
    #[error("the entry function takes no parameter")]
    NoParameter,
    /// The entry function cannot be renamed to [`ENTRY`] without touching other names.
    #[error(
        "function '{0}' cannot be renamed to '{ENTRY}': one of the names is used for something else"
    )]
    Rename(String),
    /// It imports a module that is not allowed.
    #[error("module '{0}' must not be imported")]
    Import(String),
    /// It uses a built-in function that is not allowed.
    #[error("name '{0}' must not be used")]
    Name(String),
    /// It uses a name with two underscores on both sides that is not allowed.
    #[error("special name '{0}' must not be used")]
    Dunder(String),
}

impl ProgramError {
    /// A short stable word group for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Syntax(_) => "syntax",
            Self::NoFunction => "no_function",
            Self::NoParameter => "no_parameter",
            Self::Rename(_) => "rename",
            Self::Import(_) => "import",
            Self::Name(_) => "name",
            Self::Dunder(_) => "dunder",
        }
    }
}

impl Program {
    /// Parses a program and judges it. Total and bounded for any text.
    ///
    /// The entry function is the top-level `f`; where there is none, the last top-level function becomes it,
    /// its recursive calls included.
    ///
    /// # Errors
    /// See [`ProgramError`].
    pub fn parse(source: &str, policy: &ImportPolicy) -> Result<Self, ProgramError> {
        with_stack(source, |source| {
            let Accepted { source, entry_renamed, module, imports } = judge(source, policy)?;
            let n_lines = source.lines().count();
            Ok(Self { source, entry_renamed, imports, n_lines, canonical: canonical::text(module) })
        })
    }
}

impl Program {
    /// [`Self::canonical`] whatever variables, parameters and functions of its own are called: equal texts are programs
    /// that differ in names at most.
    pub fn shape(&self) -> String {
        let shape = with_stack(&self.source, |source| {
            let renamed = shape::renamed(&source, &syntax_tree(&source)?);
            syntax_tree(&renamed).map(canonical::text)
        });
        // What was parsed before is parsed again; were it not, the program would still be itself.
        shape.unwrap_or_else(|_| self.canonical.clone())
    }
}

/// Judges a program as [`Program::parse`] does and shows `look` its source text and syntax tree, without the
/// further work that a [`Program`] is. Without a policy only the syntax is judged and nothing is renamed.
///
/// # Errors
/// See [`ProgramError`].
pub fn inspect<R>(
    source: &str,
    policy: Option<&ImportPolicy>,
    look: impl FnOnce(&str, &ModModule) -> R,
) -> Result<R, ProgramError> {
    with_stack(source, |source| match policy {
        Some(policy) => judge(source, policy).map(|program| look(&program.source, &program.module)),
        None => syntax_tree(&source).map(|module| look(&source, &module)),
    })
}

/// A program that passed the gate, with its syntax tree.
struct Accepted {
    source: String,
    entry_renamed: Option<String>,
    module: ModModule,
    imports: Vec<String>,
}

/// Trees are made, walked and dropped in here only.
fn with_stack<R>(
    source: &str,
    judge: impl FnOnce(String) -> Result<R, ProgramError>,
) -> Result<R, ProgramError> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(ProgramError::TooLarge);
    }
    let source = normalised(source);
    stacker::maybe_grow(STACK_BYTES, STACK_BYTES, || judge(source))
}

fn normalised(source: &str) -> String {
    let lines = source.replace("\r\n", "\n").replace('\r', "\n");
    let lines = lines.trim_start_matches('\u{feff}').trim_end();
    // Leading blank lines go, leading indentation stays: it is an error that must not be hidden.
    let blank = lines.find(|character: char| !character.is_whitespace()).unwrap_or(0);
    let start =
        lines.get(..blank).and_then(|prefix| prefix.rfind('\n')).map_or(0, |position| position + 1);
    format!("{}\n", lines.get(start..).unwrap_or_default())
}

fn judge(source: String, policy: &ImportPolicy) -> Result<Accepted, ProgramError> {
    let module = syntax_tree(&source)?;
    if let Some(error) = semantics::error(&source, &module) {
        return Err(ProgramError::Syntax(error));
    }
    let names = Names::of(&module);
    let entry = entry_function(&module).ok_or(ProgramError::NoFunction)?;
    if entry.parameters.is_empty() {
        return Err(ProgramError::NoParameter);
    }
    policy.judge(&names)?;
    let imports: BTreeSet<String> = names.imports.iter().cloned().collect();
    let imports = imports.into_iter().collect();
    let old_name = entry.name.as_str();
    let (source, entry_renamed, module) = if old_name == ENTRY {
        (source, None, module)
    } else {
        let renamed = rename(&source, &module, &names, old_name)?;
        let module = syntax_tree(&renamed)?;
        (renamed, Some(old_name.to_owned()), module)
    };
    Ok(Accepted { source, entry_renamed, module, imports })
}

fn syntax_tree(source: &str) -> Result<ModModule, ProgramError> {
    match parse_module(source) {
        Ok(parsed) => Ok(parsed.into_syntax()),
        Err(error) => Err(ProgramError::Syntax(error.error.to_string())),
    }
}

/// The last top-level `f`, else the last top-level function.
fn entry_function(module: &ModModule) -> Option<&StmtFunctionDef> {
    let functions = || top_level_functions(module).rev();
    functions().find(|function| function.name.as_str() == ENTRY).or_else(|| functions().next())
}

fn top_level_functions(module: &ModModule) -> impl DoubleEndedIterator<Item = &StmtFunctionDef> {
    module.body.iter().filter_map(|statement| match statement {
        Stmt::FunctionDef(function) if !function.is_async => Some(function),
        _ => None,
    })
}

/// Renames a top-level function and the names that read it. Any other use of either name is refused.
fn rename(
    source: &str,
    module: &ModModule,
    names: &Names<'_>,
    old_name: &str,
) -> Result<String, ProgramError> {
    let refused = || ProgramError::Rename(old_name.to_owned());
    let mut ranges: BTreeSet<(usize, usize)> = top_level_functions(module)
        .filter(|function| function.name.as_str() == old_name)
        .map(|function| {
            (function.name.range.start().to_usize(), function.name.range.end().to_usize())
        })
        .collect();
    if names
        .bindings
        .iter()
        .any(|(name, range)| *name == ENTRY || (*name == old_name && !ranges.contains(range)))
    {
        return Err(refused());
    }
    for (name, range) in &names.loads {
        if *name == ENTRY {
            return Err(refused());
        }
        if *name == old_name {
            ranges.insert(*range);
        }
    }
    let mut renamed = String::with_capacity(source.len());
    let mut copied = 0;
    for (start, end) in ranges {
        renamed.push_str(source.get(copied..start).ok_or_else(refused)?);
        renamed.push_str(ENTRY);
        copied = end;
    }
    renamed.push_str(source.get(copied..).ok_or_else(refused)?);
    Ok(renamed)
}

impl<'a> Names<'a> {
    fn of(module: &'a ModModule) -> Self {
        let mut names = Self::default();
        names.visit_body(&module.body);
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(source: &str) -> Result<Program, ProgramError> {
        Program::parse(source, &ImportPolicy::default())
    }

    fn reason(source: &str) -> &'static str {
        parse(source).map_or_else(|error| error.reason(), |_| "ok")
    }

    #[test]
    fn reasons_are_stable() {
        for (source, expected) in [
            ("def f(x):\n    return x", "ok"),
            ("import math\nfrom collections import Counter\ndef f(x): return math.sqrt(x)", "ok"),
            (
                "class A:\n    def __init__(self): self.x = 1\ndef g(x): return x\ndef f(*a): return g(a)",
                "ok",
            ),
            ("def f(input, id=1):\n    hash = input\n    return hash", "ok"),
            ("def f(x):\n    return __name__ == '__main__'", "ok"),
            ("", "no_function"),
            ("x = 1", "no_function"),
            ("async def f(x): pass", "no_function"),
            ("if True:\n    def f(x): pass", "no_function"),
            ("def f(): return 1", "no_parameter"),
            ("def f(x: return", "syntax"),
            ("  def f(x): return x", "syntax"),
            ("def f(x): return x\nreturn 1", "syntax"),
            ("nonlocal x\ndef f(x): return x", "syntax"),
            ("def f(x, x): return x", "syntax"),
            ("def f(x): return lambda y, y: x", "syntax"),
            ("yield 1\ndef f(x): return x", "syntax"),
            ("class A:\n    yield 1\ndef f(x): return x", "syntax"),
            ("def f(x):\n    break", "syntax"),
            ("def f(x):\n    for i in x: pass\n    else: continue", "syntax"),
            ("def f(x):\n    while x:\n        def g(): break", "syntax"),
            ("def f(x):\n    await x", "syntax"),
            ("def f(x):\n    global x", "syntax"),
            ("def f(x): return [(yield i) for i in x]", "syntax"),
            ("def f(x):\n    import math\nfrom __future__ import annotations", "syntax"),
            ("for i in range(3):\n    if i: break\nelse: pass\ndef f(x): return x", "ok"),
            (
                "def f(x):\n    while x:\n        for i in x: continue\n        else: break\n    return (yield)",
                "ok",
            ),
            (
                "def f(x):\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n    return g",
                "ok",
            ),
            (
                "async def g(x): return [i async for i in x]\ndef f(x): return [(lambda: (yield)) for y in x]",
                "ok",
            ),
            (
                "class A:\n    n = [i for i in range(3)]\ndef f(x): return {y: (z := y) for y in x}",
                "ok",
            ),
            ("import os\ndef f(x): return x", "import"),
            ("def f(x):\n    from sys import argv\n    return argv", "import"),
            ("from . import math\ndef f(x): return x", "import"),
            ("import math, os.path\ndef f(x): return x", "import"),
            ("def f(x): return eval(x)", "name"),
            ("def f(x): return f'{open(x)}'", "name"),
            ("def f(x): return __import__('os')", "name"),
            ("def f(x): return x.__class__", "dunder"),
            ("def f(x): return __builtins__", "dunder"),
            ("class A:\n    def __reduce__(self): pass\ndef f(x): return x", "dunder"),
            ("from math import __loader__ as l\ndef f(x): return l", "dunder"),
            ("def f(x): return getattr(x, '__class__')", "dunder"),
            ("def f(x): return '{0.__class__}'.format(x)", "dunder"),
            ("def f(x): return f'{x}.__globals__'", "dunder"),
            ("def f(x): return '_' * 2 + '____' + '__name__' + 'a__b'", "ok"),
            ("import enum\ndef f(x): return enum.sys.path", "import"),
            ("import re as r\ndef f(x): return r.enum.sys", "import"),
            ("from enum import bltns as b\ndef f(x): return b", "import"),
            ("import math\ndef f(x): return x.sys + math.pi", "ok"),
            ("def f(x): return (i for i in x).gi_frame", "name"),
            ("def f(x): return x.__hash__()", "name"),
            ("class A:\n    def __hash__(self): return 1\ndef f(x): return {A()}", "ok"),
        ] {
            assert_eq!(reason(source), expected, "{source}");
        }
        assert_eq!(reason(&"#".repeat(MAX_SOURCE_BYTES + 1)), "too_large");
    }

    #[test]
    fn entry_is_renamed_with_its_calls() {
        let source = "# solve f\r\ndef g(x):\r\n    return solve(x - 1)\r\ndef solve(n):\r\n    '''solve'''\r\n    return g(n) + solve(n=n) if n else a.solve\r\n\r\n";
        let program = parse(source).unwrap();
        let expected = "# solve f\ndef g(x):\n    return f(x - 1)\ndef f(n):\n    '''solve'''\n    return g(n) + f(n=n) if n else a.solve\n";
        assert_eq!(program.source, expected);
        assert_eq!(program.entry_renamed.as_deref(), Some("solve"));
        assert_eq!(program.n_lines, 6);
        let program = parse("def f(x):\n    return x\n\ndef solve(n):\n    return n\n").unwrap();
        assert_eq!(program.entry_renamed, None);
    }

    #[test]
    fn ambiguous_renames_are_refused() {
        for source in [
            "def solve(f): return f",
            "def solve(n):\n    with n as f:\n        return f",
            "def solve(solve): return solve",
            "def solve(n): return [solve for solve in n]",
            "class A:\n    def solve(self): pass\ndef solve(n): return n",
            "def solve(n): return f(n)",
            "import math as f\ndef solve(n): return n",
        ] {
            assert_eq!(reason(source), "rename", "{source}");
        }
    }

    #[test]
    fn canonical_text_ignores_layout_comments_and_docstrings() {
        let canonical = |source: &str| parse(source).unwrap().canonical;
        let plain = canonical("def f(x):\n    return x + 1");
        assert_eq!(canonical("# c\ndef f( x ):\n\n  'doc'\n  return (x+1) # c\n"), plain);
        assert_eq!(canonical("def solve(x):\n    return x + 1"), plain);
        assert_ne!(canonical("def f(y):\n    return y + 1"), plain);
        assert_ne!(canonical("def f(x):\n    return x + 2"), plain);
        assert_eq!(canonical("def f(x):\n    'doc'"), canonical("def f(x): pass"));
        assert_eq!(
            canonical("class A:\n    'doc'\n    x = 1\ndef f(x): return A"),
            canonical("class A:\n    x = 1\ndef f(x): return A")
        );
    }

    #[test]
    fn deep_nesting_is_survived() {
        let budget = MAX_SOURCE_BYTES - 64;
        for (opening, middle, closing) in [
            ("(", "1", ")"),
            ("[", "", "]"),
            ("{1:", "1", "}"),
            ("-", "1", ""),
            ("not ", "1", ""),
            ("lambda:", "1", ""),
            ("1 if 1 else ", "1", ""),
            ("1+", "1", ""),
            ("1**", "1", ""),
            ("x(", "", ")"),
            ("x[", "1", "]"),
            ("f'{", "1", "}'"),
            ("await ", "x", ""),
            ("", "x", ".a"),
            ("", "x", "()"),
            ("", "x", "[1]"),
        ] {
            let depth = budget / (opening.len() + closing.len());
            let body = format!("{}{middle}{}", opening.repeat(depth), closing.repeat(depth));
            let _ = parse(&format!("def f(x): return {body}")).map(|program| program.shape());
            let _ = parse(&format!("def f(x): return {}", opening.repeat(depth)));
            let _ = parse(&format!("def f(x):\n match x:\n  case {body}: pass"));
        }
        let blocks: String =
            (0..150).map(|depth| format!("{}if x:\n", " ".repeat(depth + 1))).collect();
        let _ = parse(&format!("def f(x):\n{blocks}{}pass", " ".repeat(151)));
    }
}
