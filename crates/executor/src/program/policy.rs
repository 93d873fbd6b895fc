//! Which modules and names a program may use.

use std::collections::BTreeSet;

use super::ProgramError;
use super::names::Names;

/// Modules that compute and neither reach the system nor depend on the clock or on chance.
const MODULES: [&str; 28] = [
    "__future__",
    "abc",
    "array",
    "base64",
    "bisect",
    "cmath",
    "collections",
    "collections.abc",
    "copy",
    "dataclasses",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "heapq",
    "itertools",
    "json",
    "math",
    "numbers",
    "operator",
    "queue",
    "re",
    "statistics",
    "string",
    "textwrap",
    "typing",
    "unicodedata",
    "zlib",
];

/// Built-in functions that evaluate text, reach files or interpreter state, or differ between processes.
const NAMES: [&str; 16] = [
    "__import__",
    "breakpoint",
    "compile",
    "eval",
    "exec",
    "exit",
    "globals",
    "hash",
    "help",
    "id",
    "input",
    "locals",
    "memoryview",
    "open",
    "quit",
    "vars",
];

/// Special names that ordinary classes and scripts use.
const DUNDERS: [&str; 68] = [
    "__abs__",
    "__add__",
    "__and__",
    "__bool__",
    "__call__",
    "__ceil__",
    "__complex__",
    "__contains__",
    "__delitem__",
    "__divmod__",
    "__doc__",
    "__enter__",
    "__eq__",
    "__exit__",
    "__float__",
    "__floor__",
    "__floordiv__",
    "__format__",
    "__ge__",
    "__getitem__",
    "__gt__",
    "__hash__",
    "__iadd__",
    "__iand__",
    "__imul__",
    "__index__",
    "__init__",
    "__int__",
    "__invert__",
    "__ior__",
    "__isub__",
    "__iter__",
    "__ixor__",
    "__le__",
    "__len__",
    "__lshift__",
    "__lt__",
    "__main__",
    "__matmul__",
    "__missing__",
    "__mod__",
    "__mul__",
    "__name__",
    "__ne__",
    "__neg__",
    "__new__",
    "__next__",
    "__or__",
    "__pos__",
    "__post_init__",
    "__pow__",
    "__radd__",
    "__repr__",
    "__reversed__",
    "__rmul__",
    "__round__",
    "__rshift__",
    "__rsub__",
    "__rtruediv__",
    "__setitem__",
    "__slots__",
    "__str__",
    "__sub__",
    "__truediv__",
    "__trunc__",
    "__xor__",
    "__rfloordiv__",
    "__rmod__",
];

/// What a program may import and name. The default is for untrusted programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPolicy {
    /// Dotted names of the modules that may be imported.
    pub modules: BTreeSet<String>,
    /// Built-in names that must not be read, unless the program binds the name itself.
    pub refused_names: BTreeSet<String>,
    /// Names with two underscores on both sides that may be used; all others are refused.
    pub allowed_dunders: BTreeSet<String>,
}

impl Default for ImportPolicy {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            modules: owned(&MODULES),
            refused_names: owned(&NAMES),
            allowed_dunders: owned(&DUNDERS),
        }
    }
}

impl ImportPolicy {
    pub(super) fn judge(&self, names: &Names<'_>) -> Result<(), ProgramError> {
        if let Some(module) = names.imports.iter().find(|module| !self.modules.contains(*module)) {
            return Err(ProgramError::Import(module.clone()));
        }
        // A program may well call its own parameter `input` or `id`.
        let bound: BTreeSet<&str> = names.bindings.iter().map(|(name, _)| *name).collect();
        let refused = |name: &&str| self.refused_names.contains(*name) && !bound.contains(*name);
        if let Some(name) = names.loads.iter().map(|(name, _)| *name).find(refused) {
            return Err(ProgramError::Name(name.to_owned()));
        }
        let places = names.loads.iter().chain(&names.bindings).map(|(name, _)| *name);
        match places.chain(names.members.iter().copied()).find(|name| self.refuses_dunder(name)) {
            Some(name) => Err(ProgramError::Dunder(name.to_owned())),
            None => Ok(()),
        }
    }

    fn refuses_dunder(&self, name: &str) -> bool {
        let is_dunder = name.len() > 4 && name.starts_with("__") && name.ends_with("__");
        // Names of allowed modules (`__future__`) stand among the bindings of their import.
        is_dunder && !self.allowed_dunders.contains(name) && !self.modules.contains(name)
    }
}
