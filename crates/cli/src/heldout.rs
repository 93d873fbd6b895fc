//! The held-out sets of a run: those built in by name, others from files.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use azr_run::{RunError, parse_tasks, sha256};
use azr_selfplay::HeldOutSet;

/// Sets that are part of this binary: name, and tasks as a run's buffer log has them.
const BUILT_IN: [(&str, &[u8]); 2] = [
    ("heldout", include_bytes!("../../../tests/data/heldout/heldout.jsonl")),
    ("cruxeval", include_bytes!("../../../tests/data/heldout/cruxeval.jsonl")),
];

/// The domain that the tasks of the built-in sets belong to.
pub(crate) const DOMAIN: &str = "code";

/// Reads the sets that `names` (names of built-in sets, or paths) choose, and notes the content of each in `sums`.
pub(crate) fn read(
    names: &[String],
    sums: &mut BTreeMap<String, String>,
) -> Result<Vec<HeldOutSet>> {
    names.iter().map(|name| read_one(name, sums)).collect()
}

/// Whether `name` is a set of this binary rather than a path.
pub(crate) fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
}

/// Reads the set that `name` chooses, and notes its content in `sums`.
pub(crate) fn read_one(name: &str, sums: &mut BTreeMap<String, String>) -> Result<HeldOutSet> {
    let path = Path::new(name);
    let built_in = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
    if built_in.is_none() && !path.exists() {
        let known = BUILT_IN.map(|(name, _)| name).join(", ");
        let message = format!("`eval.sets` names `{name}`, which is no file; built in are {known}");
        return Err(RunError::Config { message }.into());
    }
    let text = match built_in {
        Some((_, text)) => text.to_vec(),
        None => std::fs::read(path).with_context(|| format!("cannot read `{name}`"))?,
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    sums.insert(format!("held-out set `{name}`"), sha256(&text));
    Ok(HeldOutSet { tasks: parse_tasks(path, &text)?, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_sets_are_whole_and_can_be_kept_out() {
        let mut sums = BTreeMap::new();
        for set in read(&["heldout".to_owned(), "cruxeval".to_owned()], &mut sums).unwrap() {
            for kind in ["deduction", "abduction", "induction"] {
                let is_absent = set.tasks.iter().all(|entry| entry.kind != kind);
                assert!(!is_absent || set.name == "cruxeval", "{} lacks {kind}", set.name);
            }
            assert!(set.tasks.len() >= 100, "{} has {} tasks", set.name, set.tasks.len());
            let is_sound = |entry: &azr_selfplay::BufferEntry| {
                entry.domain == "code" && entry.step == 0 && entry.task.subject.len() == 32
            };
            assert!(set.tasks.iter().all(is_sound), "{}", set.name);
        }
        assert!(sums.len() == 2 && sums["held-out set `heldout`"].len() == 64, "{sums:?}");
        assert!(is_built_in("heldout") && !is_built_in("heldout.jsonl"));
    }
}
