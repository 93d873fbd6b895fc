//! Tasks that are never trained on: the sets a run is evaluated on, and what they keep out of the buffers.

use std::collections::{BTreeMap, BTreeSet};

use azr_plugin::Task;

use crate::channel::Channel;
use crate::metrics::GROUPS;
use crate::{BufferEntry, Result, SelfPlayError};

/// A set of tasks that a run is evaluated on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOutSet {
    /// The first part of its metrics' names, for example `heldout`: lower case, digits, `-` and `_`.
    pub name: String,
    /// The tasks; their steps do not matter.
    pub tasks: Vec<BufferEntry>,
}

/// The sets of a run, checked.
#[derive(Debug, Default)]
pub(crate) struct HeldOut {
    /// Names, and tasks with the positions of their channels.
    pub(crate) sets: Vec<(String, Vec<(usize, Task)>)>,
    /// Subjects of the tasks of each domain, by the domain's position.
    subjects: BTreeMap<usize, BTreeSet<String>>,
}

impl HeldOut {
    /// Finds the channel of every task.
    pub(crate) fn new(sets: Vec<HeldOutSet>, channels: &[Channel]) -> Result<Self> {
        let mut held_out = Self::default();
        for HeldOutSet { name, tasks } in sets {
            let is_plain =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
            if name.is_empty() || !name.chars().all(is_plain) {
                return Err(SelfPlayError::config(
                    format!("a held-out set is named {name:?}"),
                    "use lower case letters, digits, `-` and `_`: metrics are named after it",
                ));
            }
            if GROUPS.contains(&name.as_str()) {
                return Err(SelfPlayError::config(
                    format!("a held-out set is named {name}"),
                    format!("rename its file: metrics of the run start with `{name}/`"),
                ));
            }
            if held_out.sets.iter().any(|(other, _)| *other == name) {
                return Err(SelfPlayError::config(
                    format!("two held-out sets are named {name}"),
                    "rename one of the files",
                ));
            }
            let mut of_channels = Vec::new();
            for entry in tasks {
                let channel = channels.iter().position(|channel| {
                    channel.domain_name == entry.domain && channel.kind.name == entry.kind
                });
                let Some(channel) = channel else {
                    return Err(SelfPlayError::config(
                        format!(
                            "held-out set {name} has tasks of kind {} of domain {}, which this run does not have",
                            entry.kind, entry.domain
                        ),
                        "leave the set out (`eval.sets`), or choose its domain",
                    ));
                };
                if entry.task.subject.is_empty() {
                    return Err(SelfPlayError::config(
                        format!("task {} of held-out set {name} has no subject", entry.task.key),
                        "without one it cannot be kept out of training",
                    ));
                }
                let subjects = held_out.subjects.entry(channels[channel].domain).or_default();
                subjects.insert(entry.task.subject.clone());
                of_channels.push((channel, entry.task));
            }
            held_out.sets.push((name, of_channels));
        }
        Ok(held_out)
    }

    /// Whether there is nothing to keep out.
    pub(crate) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Whether a task of the domain at position `domain` is about what a held-out one is about.
    pub(crate) fn blocks(&self, domain: usize, task: &Task) -> bool {
        self.subjects.get(&domain).is_some_and(|subjects| subjects.contains(&task.subject))
    }
}
