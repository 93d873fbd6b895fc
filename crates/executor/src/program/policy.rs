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

/// Modules that allowed modules happen to hold as attributes.
const HELD_MODULES: [&str; 17] = [
    "binascii",
    "bltns",
    "builtins",
    "codecs",
    "contextlib",
    "copyreg",
    "inspect",
    "io",
    "os",
    "random",
    "struct",
    "sys",
    "threading",
    "time",
    "types",
    "warnings",
    "weakref",
];

/// Attributes that lead from a function, generator or exception to the interpreter's frames and code, and the
/// method behind the refused `hash`.
const ATTRIBUTES: [&str; 21] = [
    "__hash__",
    "ag_code",
    "ag_frame",
    "co_code",
    "co_consts",
    "co_names",
    "cr_code",
    "cr_frame",
    "cr_origin",
    "f_back",
    "f_builtins",
    "f_code",
    "f_globals",
    "f_locals",
    "f_trace",
    "gi_code",
    "gi_frame",
    "gi_yieldfrom",
    "tb_frame",
    "tb_lasti",
    "tb_next",
];

/// What a program may import and name. The default is for untrusted programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPolicy {
    /// Dotted names of the modules that may be imported.
    pub modules: BTreeSet<String>,
    /// Built-in names that must not be read, unless the program binds the name itself.
    pub refused_names: BTreeSet<String>,
    /// Modules that must not be reached as attributes of other modules.
    pub held_modules: BTreeSet<String>,
    /// Attributes that must not be read or set, of whatever object.
    pub refused_attributes: BTreeSet<String>,
    /// Names with two underscores on both sides that may be used; all others are refused, also inside text,
    /// where `getattr` and `format` would find them.
    pub allowed_dunders: BTreeSet<String>,
}

impl Default for ImportPolicy {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            modules: owned(&MODULES),
            refused_names: owned(&NAMES),
            held_modules: owned(&HELD_MODULES),
            refused_attributes: owned(&ATTRIBUTES),
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
        self.judge_attributes(names)?;
        let places = names.loads.iter().chain(&names.bindings).map(|(name, _)| *name);
        let in_texts = names.texts.iter().flat_map(|text| special_names(text));
        let mut used = places.chain(names.members.iter().copied()).chain(in_texts);
        match used.find(|name| self.refuses_dunder(name)) {
            Some(name) => Err(ProgramError::Dunder(name.to_owned())),
            None => Ok(()),
        }
    }

    fn judge_attributes(&self, names: &Names<'_>) -> Result<(), ProgramError> {
        let imported: BTreeSet<&str> = names.imported.iter().copied().collect();
        let of_modules = names.attributes.iter().filter_map(|(root, name)| {
            root.is_some_and(|root| imported.contains(root)).then_some(*name)
        });
        let mut taken = of_modules.chain(names.taken.iter().copied());
        if let Some(module) = taken.find(|name| self.held_modules.contains(*name)) {
            return Err(ProgramError::Import(module.to_owned()));
        }
        let mut attributes = names.attributes.iter().map(|(_, name)| *name);
        match attributes.find(|name| self.refused_attributes.contains(*name)) {
            Some(name) => Err(ProgramError::Name(name.to_owned())),
            None => Ok(()),
        }
    }

    fn refuses_dunder(&self, name: &str) -> bool {
        let is_dunder = name.len() > 4 && name.starts_with("__") && name.ends_with("__");
        // Names of allowed modules (`__future__`) stand among the bindings of their import.
        is_dunder && !self.allowed_dunders.contains(name) && !self.modules.contains(name)
    }
}

/// The special names in a text: runs of letters, digits and underscores between two underscores each.
fn special_names(text: &str) -> impl Iterator<Item = &str> {
    let words =
        text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| {
        let is_special = word.starts_with("__") && word.ends_with("__");
        is_special && word.contains(|character: char| character != '_')
    })
}
