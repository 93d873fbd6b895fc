//! The suites of this binary: those that are read from files, and the built-in held-out sets.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use azr_eval::suites::{self, Opened, Source, TaskSuite};
use azr_plugin::{Domain, Executor};

use crate::heldout;

/// A suite that is made of a built-in set.
struct BuiltIn {
    name: &'static str,
    set: &'static str,
    /// The kind of its tasks; all kinds where there is none.
    kind: Option<&'static str>,
}

const BUILT_IN: [BuiltIn; 4] = [
    BuiltIn { name: "heldout", set: "heldout", kind: None },
    BuiltIn { name: "cruxeval", set: "cruxeval", kind: None },
    BuiltIn { name: "cruxeval-o", set: "cruxeval", kind: Some("deduction") },
    BuiltIn { name: "cruxeval-i", set: "cruxeval", kind: Some("abduction") },
];

/// The executor of each suite: `executor`, or where its programs import what they like, one that lets them.
pub(crate) fn executors(
    opened: &[Opened],
    executor: &Arc<dyn Executor>,
    open: impl Fn() -> Result<Arc<dyn Executor>>,
) -> Result<Vec<Arc<dyn Executor>>> {
    let is_open = opened.iter().any(|opened| opened.runs_programs);
    let open = if is_open { open()? } else { Arc::clone(executor) };
    let of = |opened: &Opened| Arc::clone(if opened.runs_programs { &open } else { executor });
    Ok(opened.iter().map(of).collect())
}

/// Opens the suites `names`, from the folder `data` where it has their files; `domain` makes a domain by its name.
pub(crate) fn open(
    names: &[String],
    data: Option<&Path>,
    domain: impl Fn(&str) -> Result<Arc<dyn Domain>>,
) -> Result<Vec<Opened>> {
    let open = |name: &String| match BUILT_IN.iter().find(|built_in| built_in.name == *name) {
        Some(built_in) if !data.is_some_and(|data| suites::is_here(name, data)) => {
            built_in.open(&domain)
        }
        _ => Ok(suites::open(name, data, &BUILT_IN.map(|built_in| built_in.name))?),
    };
    names.iter().map(open).collect()
}

impl BuiltIn {
    fn open(&self, domain: impl Fn(&str) -> Result<Arc<dyn Domain>>) -> Result<Opened> {
        let mut sums = BTreeMap::new();
        let set = heldout::read_one(self.set, &mut sums)?;
        let of_kind = |kind: &str| self.kind.is_none_or(|of| of == kind);
        let tasks: Vec<_> = set
            .tasks
            .into_iter()
            .filter(|entry| of_kind(&entry.kind))
            .map(|entry| entry.task)
            .collect();
        let variant = format!("{} built-in tasks of the domain {}", tasks.len(), heldout::DOMAIN);
        let source = Source {
            file: format!("built-in set {}", self.set),
            sha256: sums.into_values().next().unwrap_or_default(),
            variant: self.kind.map(|_| variant),
        };
        let suite = TaskSuite::new(self.name, domain(heldout::DOMAIN)?, tasks)?;
        Ok(Opened { suite: Box::new(suite), source, runs_programs: false })
    }
}
