//! Names that a rewritten program and the worker share.

/// How the names begin that no program may use.
pub(crate) const PREFIX: &str = "__azr_";

/// The list in which a rewritten program collects reasons to distrust its own result.
pub(crate) const FLAGS: &str = "__azr_flags";
