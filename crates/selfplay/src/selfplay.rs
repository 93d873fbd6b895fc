//! The loop itself: engines in, one step at a time out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use azr_plugin::{Domain, Policy, RlOptimizer, Tokenizer};

use crate::channel::{Channel, channels};
use crate::evaluation::{Evaluation, evaluate};
use crate::heldout::HeldOut;
use crate::learn::{learn, plan};
use crate::metrics::{Metrics, timings};
use crate::proposals::{admit, estimate, propose, reward};
use crate::seeding::seed;
use crate::solving::{self, choose, solve};
use crate::stage::{Rollout, Stage};
use crate::{
    BufferEntry, Buffers, Clock, Health, HeldOutSet, Mix, Observer, Result, RolloutRecord,
    SafetyRecord, SelfPlayConfig, SelfPlayError, SolverBatch, StepOutput, WallClock, flags,
};

/// The engines of a run.
pub struct Engines {
    /// The model's tokenizer.
    pub tokenizer: Arc<dyn Tokenizer>,
    /// The model.
    pub policy: Box<dyn Policy>,
    /// The model that the run started from, which never learns: what an optimizer with a `kl_coef` stays close to.
    pub reference: Option<Box<dyn Policy>>,
    /// Domains by name; their order is that of prompts and metrics.
    pub domains: Vec<(String, Arc<dyn Domain>)>,
    /// Rewards to updates.
    pub optimizer: Arc<dyn RlOptimizer>,
}

impl fmt::Debug for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domains: Vec<&str> = self.domains.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Engines")
            .field("policy", &self.policy.info())
            .field("domains", &domains)
            .finish_non_exhaustive()
    }
}

/// A run in memory: engines, buffers and settings.
///
/// A fresh run calls [`SelfPlay::seed`] and then [`SelfPlay::step`] with 1, 2, …; a resumed one loads the
/// policy's checkpoint, calls [`SelfPlay::restore_buffers`] and [`SelfPlay::restore_health`] and goes on with the next
/// step.
pub struct SelfPlay {
    config: SelfPlayConfig,
    engines: Engines,
    channels: Vec<Channel>,
    buffers: Buffers,
    held_out: HeldOut,
    health: Health,
    clock: Box<dyn Clock>,
}

impl fmt::Debug for SelfPlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfPlay")
            .field("config", &self.config)
            .field("engines", &self.engines)
            .finish_non_exhaustive()
    }
}

impl SelfPlay {
    /// A run with empty buffers, timed by the machine's clock.
    ///
    /// # Errors
    /// Settings that make no run, kinds that no domain has, an optimizer whose temperature is not that of sampling or that
    /// needs a reference or several answers to a task where there are none.
    pub fn new(config: SelfPlayConfig, engines: Engines) -> Result<Self> {
        config.validate()?;
        let channels = channels(&config, &engines.domains)?;
        // Found out now rather than at the end of the first step, which can be an hour later.
        let needs = engines.optimizer.needs();
        if needs.reference && engines.reference.is_none() {
            return Err(SelfPlayError::config(
                "the optimizer needs a reference model and there is none",
                "open the model a second time as `Engines::reference`, or set kl_coef = 0",
            ));
        }
        if needs.several_answers && config.answers_per_task < 2 && !config.reuse_estimates {
            return Err(SelfPlayError::config(
                "the optimizer compares the answers to one task, and each task gets one answer",
                "set selfplay.answers_per_task = 4, or selfplay.reuse_estimates = true",
            ));
        }
        plan(&engines, 0, &[], &config)?;
        let kinds = channels
            .iter()
            .map(|channel| (channel.domain_name.as_str(), channel.kind.name.as_str()));
        let buffers = Buffers::new(&config, kinds);
        let (held_out, clock) = (HeldOut::default(), Box::new(WallClock::default()));
        let health = Health::default();
        Ok(Self { config, engines, channels, buffers, held_out, health, clock })
    }

    /// The same run with tasks that are never trained on: a proposal about the same subject as one of them is
    /// graded as any other, but earns nothing and enters no buffer, and nobody learns from it or from answers to it.
    ///
    /// # Errors
    /// A set's tasks are of no kind of this run or have no subject, or its name cannot be part of a metric's.
    pub fn with_held_out(self, sets: Vec<HeldOutSet>) -> Result<Self> {
        let held_out = HeldOut::new(sets, &self.channels)?;
        Ok(Self { held_out, ..self })
    }

    /// The same run with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Box<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The settings.
    pub fn config(&self) -> &SelfPlayConfig {
        &self.config
    }

    /// The model.
    pub fn policy(&self) -> &dyn Policy {
        self.engines.policy.as_ref()
    }

    /// The model, to sample from it between steps.
    pub fn policy_mut(&mut self) -> &mut dyn Policy {
        self.engines.policy.as_mut()
    }

    /// Writes a checkpoint: a Hugging Face directory with model, tokenizer and optimizer state. Randomness is keyed by
    /// the step and buffers are rebuilt from admitted tasks, so nothing else is needed to go on.
    ///
    /// # Errors
    /// The policy or the tokenizer could not write.
    pub fn save(&self, directory: &Path) -> azr_plugin::Result<()> {
        self.engines.policy.save(directory, true)?;
        self.engines.tokenizer.save(directory)
    }

    /// Loads weights and optimizer state from a checkpoint.
    ///
    /// # Errors
    /// The policy could not read it.
    pub fn load(&mut self, directory: &Path) -> azr_plugin::Result<()> {
        self.engines.policy.load(directory)
    }

    /// The buffers.
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Rebuilds the buffers from every task that was admitted so far, in order ([`StepOutput::admitted`]).
    ///
    /// # Errors
    /// See [`Buffers::restore`].
    pub fn restore_buffers(
        &mut self,
        entries: impl IntoIterator<Item = BufferEntry>,
    ) -> Result<()> {
        self.buffers.restore(entries)
    }

    /// What the loop remembers of the steps before beside weights and buffers; a checkpoint keeps it.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Goes on with what a checkpoint kept.
    pub fn restore_health(&mut self, health: Health) {
        self.health = health;
    }

    /// Whether there are held-out tasks.
    pub fn has_held_out(&self) -> bool {
        !self.held_out.is_empty()
    }

    /// Solves the held-out tasks, greedily and in one wave: all of them, or the part alone that has at most
    /// `tasks_per_kind` of each kind of a set, evenly spaced (0 means all). It changes nothing about the run. `step` is
    /// the number of steps that are finished.
    ///
    /// # Errors
    /// An engine failed or the observer cancelled.
    pub fn evaluate(
        &mut self,
        step: u64,
        tasks_per_kind: usize,
        asks_all: bool,
        observer: &dyn Observer,
    ) -> Result<Evaluation> {
        evaluate(&mut self.stage(step, observer).0, tasks_per_kind, asks_all)
    }

    /// Fills empty buffers before the first step: with the domains' own seed tasks and, when
    /// [`SelfPlayConfig::seed_tasks`] asks for more, with proposals of the untrained policy.
    ///
    /// # Errors
    /// An engine failed or the observer cancelled; the buffers are then to be restored before going on.
    pub fn seed(&mut self, observer: &dyn Observer) -> Result<StepOutput> {
        let start = self.clock.now();
        let mut metrics = Metrics::default();
        let (mut stage, buffers) = self.stage(0, observer);
        let (admitted, rollouts) = seed(&mut stage, buffers, &mut metrics)?;
        metrics.buffers(&stage, buffers, &[])?;
        let rollouts = rollouts.into_iter().map(|rollout| rollout.record).collect();
        let step_s = (stage.clock.now().saturating_sub(start)).as_secs_f64();
        Ok(output(&stage, metrics, step_s, 0, rollouts, admitted))
    }

    /// One self-play step, numbered from 1: proposals, their verification and solve rates, answers, one update.
    ///
    /// # Errors
    /// An engine failed or the observer cancelled. Unless the update itself reported success, the policy's weights
    /// are those before the step, but the buffers may hold tasks of the step: restore them before going on.
    pub fn step(&mut self, step: u64, observer: &dyn Observer) -> Result<StepOutput> {
        let start = self.clock.now();
        let (mut stage, buffers) = self.stage(step, observer);
        let SelfPlayConfig { mix, solver_batch, reuse_estimates, .. } = *stage.config;
        let (channels, config) = (stage.channels, stage.config);
        let early = match solver_batch {
            SolverBatch::PreviousStep => {
                let n_of = |channel: usize| channels[channel].batch_size;
                Some(choose(&stage, buffers, step.saturating_sub(1), mix, n_of)?)
            }
            SolverBatch::SameStep => None,
        };

        let is_proposing = step > stage.config.solver_only_steps;
        let active = |(number, channel): (usize, &Channel)| {
            (is_proposing && channel.is_active).then_some(number)
        };
        let proposing: Vec<usize> = stage.channels.iter().enumerate().filter_map(active).collect();
        let (mut proposed, n_overlong) = propose(&mut stage, buffers, &proposing)?;
        let mut estimates = estimate(&mut stage, &mut proposed)?;
        reward(&stage, &mut proposed);
        let admitted = admit(&stage, buffers, &proposed)?;

        let mut n_estimated: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        if reuse_estimates {
            solving::reward(&mut estimates);
            for rollout in estimates.iter().filter(|rollout| !rollout.is_held_out) {
                n_estimated.entry(rollout.channel).or_default().insert(rollout.prompt_index);
            }
        }
        let tasks = match early {
            Some(tasks) => tasks,
            None => {
                let n_left = |channel: usize| {
                    let n_reused = n_estimated.get(&channel).map_or(0, BTreeSet::len);
                    let n_filled = if config.reuse_fills_batch { n_reused } else { 0 };
                    channels[channel].batch_size.saturating_sub(n_filled)
                };
                let mix = if reuse_estimates { Mix::UniformTotal } else { mix };
                choose(&stage, buffers, step, mix, n_left)?
            }
        };
        let mut solved = solve(&mut stage, tasks)?;

        let is_trained = stage.config.train_proposer;
        let proposals =
            proposed.iter_mut().map(|proposal| &mut proposal.rollout).filter(|_| is_trained);
        let reused = estimates.iter_mut().filter(|_| reuse_estimates);
        let mut trained: Vec<&mut Rollout> = proposals.chain(reused).chain(&mut solved).collect();
        if stage.config.shuffle_rewards {
            solving::shuffle_rewards(&stage, &mut trained);
        }
        let learned = learn(&mut stage, &mut trained)?;

        let mut metrics = Metrics::default();
        metrics.proposals(&stage, &proposed, &n_overlong);
        metrics.estimates(&stage, &proposed);
        let answers: Vec<&Rollout> =
            estimates.iter().filter(|_| reuse_estimates).chain(&solved).collect();
        metrics.solutions(&stage, &answers);
        metrics.update(learned.as_ref());
        metrics.buffers(&stage, buffers, &proposed)?;
        let rollouts =
            proposed.into_iter().map(|proposal| proposal.rollout).chain(estimates).chain(solved);
        let rollouts = rollouts.map(|rollout| rollout.record).collect();
        let step_s = stage.clock.now().saturating_sub(start).as_secs_f64();
        let n_trained = learned.map_or(0, |learned| learned.report.n_tokens);
        let mut output = output(&stage, metrics, step_s, n_trained, rollouts, admitted);
        let is_proposal = |rollout: &&RolloutRecord| rollout.phase == crate::RolloutPhase::Propose;
        let n_proposals = output.rollouts.iter().filter(is_proposal).count();
        let (alarms, lasting) =
            self.health.observe(step, &output.metrics, n_proposals, &self.config.health);
        output.metrics.extend(lasting.into_iter().map(|name| (format!("alarm/{name}"), 1.0)));
        output.alarms = alarms;
        Ok(output)
    }

    fn stage<'a>(
        &'a mut self,
        step: u64,
        observer: &'a dyn Observer,
    ) -> (Stage<'a>, &'a mut Buffers) {
        let stage = Stage {
            config: &self.config,
            engines: &mut self.engines,
            channels: &self.channels,
            held_out: &self.held_out,
            bounds: self.health.bounds(&self.config.health),
            clock: self.clock.as_ref(),
            observer,
            step,
            seconds: BTreeMap::new(),
            overlapped: BTreeMap::new(),
            n_prompts: 0,
            n_checks: 0,
        };
        (stage, &mut self.buffers)
    }
}

fn output(
    stage: &Stage<'_>,
    mut metrics: Metrics,
    step_s: f64,
    n_trained: u64,
    rollouts: Vec<RolloutRecord>,
    admitted: Vec<BufferEntry>,
) -> StepOutput {
    let flagged = |(position, record): (usize, &RolloutRecord)| {
        let flags = flags(&record.response);
        let (domain, kind, phase) = (record.domain.clone(), record.kind.clone(), record.phase);
        let text = record.response.clone();
        (!flags.is_empty()).then_some(SafetyRecord {
            step: stage.step,
            domain,
            kind,
            phase,
            rollout: position,
            flags,
            text,
        })
    };
    let safety: Vec<SafetyRecord> = rollouts.iter().enumerate().filter_map(flagged).collect();
    if !rollouts.is_empty() {
        metrics.set("safety/flag_rate", safety.len() as f64 / rollouts.len() as f64);
    }
    let timings = timings(stage, step_s, &rollouts, n_trained).0;
    let (step, metrics, alarms) = (stage.step, metrics.0, Vec::new());
    StepOutput { step, metrics, timings, rollouts, admitted, safety, alarms }
}
