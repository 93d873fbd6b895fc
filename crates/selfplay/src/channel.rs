//! The task kinds of a run.

use std::collections::BTreeSet;
use std::sync::Arc;

use azr_plugin::{Domain, TaskKind};

use crate::{Buffers, Result, SelfPlayConfig, SelfPlayError};

/// A task kind of a domain.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Position of the domain.
    pub(crate) domain: usize,
    pub(crate) domain_name: String,
    pub(crate) kind: TaskKind,
    /// Whether it is proposed and solved.
    pub(crate) is_active: bool,
    /// Proposals per step, and tasks that the solver gets for them; per round of seeding too, for one that is not active.
    pub(crate) batch_size: usize,
    /// Whether it is filled before the first step: it is active, or an active kind refers to it.
    pub(crate) is_seeded: bool,
}

impl Channel {
    /// `<domain>/<kind>`, as metrics have it.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.domain_name, self.kind.name)
    }

    pub(crate) fn buffer<'a>(&self, buffers: &'a Buffers) -> Result<&'a crate::Buffer> {
        buffers.get(&self.domain_name, &self.kind.name)
    }
}

/// The kinds of all domains, in their order.
pub(crate) fn channels(
    config: &SelfPlayConfig,
    domains: &[(String, Arc<dyn Domain>)],
) -> Result<Vec<Channel>> {
    let (mut channels, mut names) = (Vec::new(), BTreeSet::new());
    for (position, (domain_name, domain)) in domains.iter().enumerate() {
        let kinds = domain.kinds();
        let is_active = |kind: &str| {
            let is_chosen =
                config.kinds.is_empty() || config.kinds.iter().any(|wanted| wanted == kind);
            is_chosen && config.batch_size_of(domain_name, kind) > 0
        };
        let referred: BTreeSet<String> = kinds
            .iter()
            .filter(|kind| is_active(&kind.name))
            .flat_map(|kind| kind.references.from.clone())
            .collect();
        let known: BTreeSet<String> = kinds.iter().map(|kind| kind.name.clone()).collect();
        if let Some(missing) =
            kinds.iter().flat_map(|kind| &kind.references.from).find(|from| !known.contains(*from))
        {
            let message = format!("references of kind {missing}, which it does not have");
            return Err(SelfPlayError::contract(&format!("domain {domain_name}"), message));
        }
        for kind in kinds {
            if !names.insert((domain_name.clone(), kind.name.clone())) {
                let message = format!("kind {} comes up twice", kind.name);
                return Err(SelfPlayError::contract(&format!("domain {domain_name}"), message));
            }
            let is_active = is_active(&kind.name);
            let is_seeded = is_active || referred.contains(&kind.name);
            let batch_size = match config.batch_size_of(domain_name, &kind.name) {
                0 => config.batch_size,
                size => size,
            };
            channels.push(Channel {
                domain: position,
                domain_name: domain_name.clone(),
                kind,
                is_active,
                batch_size,
                is_seeded,
            });
        }
    }
    let all: BTreeSet<&str> = channels.iter().map(|channel| channel.kind.name.as_str()).collect();
    let named = config.kinds.iter().map(|kind| ("kinds", kind));
    let rewarded = config.unsolved_reward.keys().map(|kind| ("unsolved_reward", kind));
    if let Some((key, unknown)) =
        named.chain(rewarded).find(|(_, kind)| !all.contains(kind.as_str()))
    {
        let all: Vec<&str> = all.into_iter().collect();
        return Err(SelfPlayError::config(
            format!("{key} names {unknown}, which no domain has"),
            format!("there are: {}", all.join(", ")),
        ));
    }
    let is_known =
        |name: &str| channels.iter().any(|of| of.domain_name == name || of.name() == name);
    if let Some(unknown) = config.batch_sizes.keys().find(|name| !is_known(name)) {
        let all: Vec<String> = channels.iter().map(Channel::name).collect();
        return Err(SelfPlayError::config(
            format!(
                "batch_sizes names {unknown}, which is no domain of this run and no kind of one"
            ),
            format!("there are: {}", all.join(", ")),
        ));
    }
    if !channels.iter().any(|channel| channel.is_active) {
        return Err(SelfPlayError::config(
            "there is nothing to propose",
            "choose at least one domain with a task kind",
        ));
    }
    Ok(channels)
}
