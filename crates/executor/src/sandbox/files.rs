//! The Landlock ruleset of a worker: which files it may read, and nothing else.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};

/// The newest interface whose rights are asked for. Older kernels enforce those that they know.
const NEWEST: ABI = ABI::V6;

/// A ruleset under which `readable` can be read and executed and the null device written. No other file can be
/// opened, no TCP port used, no process outside signaled or reached by an abstract socket.
///
/// `None` where the kernel has no Landlock or refuses it.
pub(super) fn ruleset(readable: &[PathBuf]) -> Option<OwnedFd> {
    create(readable).ok().and_then(Into::into)
}

fn create(readable: &[PathBuf]) -> Result<RulesetCreated, RulesetError> {
    let null = AccessFs::ReadFile | AccessFs::WriteFile;
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(readable, AccessFs::from_read(NEWEST)))?
        .add_rules(path_beneath_rules(["/dev/null"], null))
}
