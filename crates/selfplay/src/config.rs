//! The loop's settings and the two named profiles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{HealthConfig, Result, SelfPlayError};

/// Settings of the loop. The default is [`SelfPlayConfig::robust`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelfPlayConfig {
    /// Seed of every random choice of the run.
    pub seed: u64,
    /// Proposals per (domain, task kind) and step, and tasks that the solver gets for them.
    pub batch_size: usize,
    /// The same for a domain (`math`) or one kind of it (`math/induction`), where it is another number: the mix of a run
    /// with several domains. The kind's own counts before its domain's; with 0 a kind is neither proposed nor solved.
    pub batch_sizes: BTreeMap<String, usize>,
    /// Answers to each of the solver's tasks; at least 1. Optimizers whose advantages compare the answers to one prompt
    /// (`grpo`, `rloo`, `dr_grpo`, `dapo`, `gspo`) need several.
    pub answers_per_task: u32,
    /// Solver samples per valid proposal from which its solve rate is estimated; at least 2.
    pub learnability_samples: u32,
    /// Softmax temperature of all sampling, more than 0; the optimizer must use the same.
    pub temperature: f32,
    /// Nucleus mass in (0, 1]. Below 1 the recorded log-probabilities (of the full distribution) are not quite
    /// those of the sampler, so the update is slightly off-policy.
    pub top_p: f32,
    /// How a solve rate becomes a proposer's reward.
    pub learnability: Learnability,
    /// Reward of a valid, well-formed proposal whose learnability is 0 (always or never solved).
    ///
    /// The paper's formula says 0, its code says -0.5, and its published numbers come from the code; both
    /// profiles use -0.5. It still ranks such a proposal above an invalid one (-1), and it keeps a wide gap to the
    /// lowest positive reward (1/8 with 8 samples), without which a proposer that has learned to be valid
    /// gains next to nothing by leaving tasks that everybody solves.
    pub zero_learnability_reward: f32,
    /// Reward, by task kind, of a valid, well-formed proposal that no sample solved, where it is not
    /// `zero_learnability_reward`: for kinds whose tasks can always be worked out, so that what is never solved is hard
    /// and not impossible. Above 0 it keeps a proposer from shying away from what the solver cannot do yet.
    pub unsolved_reward: BTreeMap<String, f32>,
    /// The most that a proposal earns whose task is in its buffer already or came up earlier in the same step; 1
    /// lets duplicates earn as much as new tasks, as in the paper.
    pub duplicate_reward: f32,
    /// Which valid proposals enter the buffers.
    pub admission: Admission,
    /// When the solver's tasks are chosen.
    pub solver_batch: SolverBatch,
    /// How the solver's tasks are chosen.
    pub mix: Mix,
    /// Whether the solver trains on the samples of the solve-rate estimates: several answers to each new task, as
    /// optimizers need that compare the answers to one prompt. Saves most of the sampling but differs from the
    /// published method; needs `solver_batch = "same_step"`. Further tasks are drawn uniformly, whatever `mix` says.
    pub reuse_estimates: bool,
    /// Whether reused tasks count towards `batch_size`, so that only the missing ones are drawn and answered afresh.
    /// Otherwise `batch_size` tasks are answered besides.
    pub reuse_fills_batch: bool,
    /// Whether the rewards of a step are dealt out anew, at random among the answers to one task and among the proposals
    /// of one kind. Nothing can be learned then: it is the control of an experiment.
    pub shuffle_rewards: bool,
    /// Whether proposals are trained. Without it they still fill the buffers.
    pub train_proposer: bool,
    /// During the first so many steps nothing is proposed and only the solver trains, on the seed tasks.
    pub solver_only_steps: u64,
    /// Task kinds that are proposed and solved; empty means all kinds of all domains.
    pub kinds: Vec<String>,
    /// How a proposal's references are drawn.
    pub references: ReferenceSampling,
    /// Most tasks per (domain, task kind).
    pub buffer_capacity: usize,
    /// What happens to a full buffer.
    pub buffer_policy: BufferPolicy,
    /// Whether a task that is in its buffer already, or came up before in the same step, is left out, and
    /// equal proposals of one step share one solve-rate estimate.
    pub dedupe: bool,
    /// Longest prompt in tokens. Proposal prompts above it are drawn again with fewer references.
    pub max_prompt_tokens: usize,
    /// Tasks per kind that are proposed with the untrained policy before the first step; 0 starts from the
    /// domain's own seed tasks alone.
    pub seed_tasks: usize,
    /// Seeding gives up after so many rounds of `batch_size` proposals per kind, and starts with what it has.
    pub max_seed_rounds: u64,
    /// Whether what is finished of a wave is checked while the rest is being sampled.
    pub overlap: Overlap,
    /// When alarms are raised and updates left out.
    pub health: HealthConfig,
}

impl SelfPlayConfig {
    /// The published system (arXiv 2505.03335 and its code): the solver trains on the previous step's
    /// proposals, buffers keep their oldest tasks and duplicates, 256 seed tasks come first, and every update is applied.
    pub fn paper() -> Self {
        Self {
            solver_batch: SolverBatch::PreviousStep,
            buffer_policy: BufferPolicy::KeepOldest,
            duplicate_reward: 1.0,
            dedupe: false,
            seed_tasks: 256,
            max_seed_rounds: 1_000,
            health: HealthConfig { guard_z: 0.0, ..HealthConfig::default() },
            ..Self::robust()
        }
    }

    /// Our fixes: the solver trains on this step's proposals, buffers forget their oldest tasks and hold each
    /// task once. Training starts from the domains' own seed tasks: a small model that rarely proposes a valid
    /// task would spend hours on seeds that the same hours of training would bring anyway.
    pub fn robust() -> Self {
        Self {
            seed: 0,
            batch_size: 64,
            batch_sizes: BTreeMap::new(),
            answers_per_task: 1,
            learnability_samples: 8,
            temperature: 1.0,
            top_p: 1.0,
            learnability: Learnability::OneMinus,
            zero_learnability_reward: -0.5,
            unsolved_reward: BTreeMap::new(),
            duplicate_reward: -0.5,
            admission: Admission::All,
            solver_batch: SolverBatch::SameStep,
            mix: Mix::MaxNew,
            reuse_estimates: false,
            reuse_fills_batch: true,
            shuffle_rewards: false,
            train_proposer: true,
            solver_only_steps: 0,
            kinds: Vec::new(),
            references: ReferenceSampling::Uniform,
            buffer_capacity: 16_384,
            buffer_policy: BufferPolicy::Ring,
            dedupe: true,
            max_prompt_tokens: 6_144,
            seed_tasks: 0,
            max_seed_rounds: 100,
            overlap: Overlap::Auto,
            health: HealthConfig::default(),
        }
    }

    /// Proposals of a kind per step, and tasks that the solver gets for them.
    pub fn batch_size_of(&self, domain: &str, kind: &str) -> usize {
        let own = self.batch_sizes.get(&format!("{domain}/{kind}"));
        *own.or_else(|| self.batch_sizes.get(domain)).unwrap_or(&self.batch_size)
    }

    /// The largest batch size that a kind of a domain can have.
    pub fn largest_batch_of(&self, domain: &str) -> usize {
        let is_of = |key: &str| key.split('/').next() == Some(domain);
        let named = self.batch_sizes.iter().filter(|(key, _)| is_of(key)).map(|(_, size)| *size);
        let default = (!self.batch_sizes.contains_key(domain)).then_some(self.batch_size);
        named.chain(default).max().unwrap_or(self.batch_size)
    }

    /// The most samples that one wave of a step is asked for, with this many tasks of all kinds.
    pub fn most_samples(&self, n_tasks: usize) -> usize {
        let per_task = self.learnability_samples.max(self.answers_per_task) as usize;
        n_tasks.saturating_mul(per_task)
    }

    /// The most sequences of one update, with this many tasks of all kinds.
    pub fn most_sequences(&self, n_tasks: usize) -> usize {
        let reused = if self.reuse_estimates { self.learnability_samples as usize } else { 0 };
        let per_task = usize::from(self.train_proposer) + reused + self.answers_per_task as usize;
        n_tasks.saturating_mul(per_task)
    }

    /// Refuses settings that make no run.
    ///
    /// # Errors
    /// [`SelfPlayError::Config`] naming the key and the way out.
    pub fn validate(&self) -> Result<()> {
        let refuse = |message: String, hint: &str| Err(SelfPlayError::config(message, hint));
        if self.learnability_samples < 2 {
            return refuse(
                format!(
                    "learnability_samples is {}, it must be at least 2",
                    self.learnability_samples
                ),
                "one sample is solved always or never, so no proposal would ever count as learnable",
            );
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return refuse(
                format!("temperature is {}, it must be more than 0", self.temperature),
                "greedy samples are all equal, so no proposal would ever count as learnable; use 1.0",
            );
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse(
                format!("top_p is {}, it must be in 0..=1 and not 0", self.top_p),
                "use 1.0",
            );
        }
        if !self.zero_learnability_reward.is_finite() {
            return refuse("zero_learnability_reward is not finite".into(), "use -0.5 or 0.0");
        }
        if let Some((kind, _)) = self.unsolved_reward.iter().find(|(_, reward)| !reward.is_finite())
        {
            return refuse(format!("unsolved_reward.{kind} is not finite"), "use -0.5 or 0.5");
        }
        if !self.duplicate_reward.is_finite() {
            return refuse("duplicate_reward is not finite".into(), "use -0.5 or 1.0");
        }
        self.health.validate()?;
        for (key, value) in [
            ("batch_size", self.batch_size),
            ("answers_per_task", self.answers_per_task as usize),
            ("buffer_capacity", self.buffer_capacity),
            ("max_prompt_tokens", self.max_prompt_tokens),
        ] {
            if value == 0 {
                return refuse(
                    format!("{key} is 0, it must be at least 1"),
                    "leave it out to use the profile's value",
                );
            }
        }
        if self.reuse_estimates && self.solver_batch == SolverBatch::PreviousStep {
            return refuse(
                "reuse_estimates needs this step's proposals".into(),
                "set solver_batch = \"same_step\", or reuse_estimates = false",
            );
        }
        Ok(())
    }
}

impl Default for SelfPlayConfig {
    fn default() -> Self {
        Self::robust()
    }
}

/// How a solve rate `r` becomes a learnability in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Learnability {
    /// `1 - r`, but 0 for tasks that are never solved (arXiv 2505.03335, equation 4).
    OneMinus,
    /// `1 - r` throughout: rewards tasks that are never solved most.
    Inverse,
    /// `1 - 2 |r - 0.5|`: peaks where every other sample solves the task (R-Zero, arXiv 2508.05004).
    Uncertainty,
}

/// Which valid proposals enter the buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// All of them.
    All,
    /// Those that are not always solved.
    NotAlwaysSolved,
    /// Those that are sometimes solved and sometimes not.
    Informative,
}

/// When the solver's tasks are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SolverBatch {
    /// After this step's proposals: they are the new tasks.
    SameStep,
    /// Before this step's proposals: those of the previous step are the new tasks.
    PreviousStep,
}

/// How the solver's tasks are chosen. A buffer with too few tasks is drawn from repeatedly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mix {
    /// As many new tasks as there are; the rest uniformly from the whole buffer.
    MaxNew,
    /// Up to half of the batch new tasks; the rest uniformly from the whole buffer.
    HalfNew,
    /// Uniformly from the whole buffer.
    UniformTotal,
}

/// How a proposal's references are drawn, always without replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceSampling {
    /// Every task alike.
    Uniform,
    /// A task admitted at step `s` counts `s + 1` times. Reported to risk collapse (arXiv 2505.03335).
    Recent,
}

/// What happens to a full buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BufferPolicy {
    /// The oldest task leaves.
    Ring,
    /// New tasks are turned away, which freezes the curriculum.
    KeepOldest,
}

/// Whether what is finished of a wave is validated or graded while the rest is being sampled. It changes how long a step
/// takes and no result, as long as no program comes to its limit of time because of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Unless the policy computes on the processor, which checks would take from it.
    Auto,
    /// Always.
    Always,
    /// Never: each wave is checked when it has ended, in one call per domain.
    Never,
}

impl Overlap {
    /// Whether it is done for a policy on this device, in the words of [`PolicyInfo`](azr_plugin::PolicyInfo).
    pub(crate) fn applies(self, device: &str) -> bool {
        match self {
            Self::Auto => !device.starts_with("cpu"),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(config: SelfPlayConfig) -> String {
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn both_profiles_make_a_run() {
        SelfPlayConfig::paper().validate().unwrap();
        assert_eq!(
            SelfPlayConfig::paper().health.guard_z,
            0.0,
            "the published system has no guard"
        );
        assert_eq!(SelfPlayConfig::default(), SelfPlayConfig::robust());
        SelfPlayConfig::robust().validate().unwrap();
    }

    #[test]
    fn a_step_asks_for_no_more_than_it_says() {
        let config = SelfPlayConfig {
            learnability_samples: 4,
            answers_per_task: 3,
            ..SelfPlayConfig::default()
        };
        assert_eq!((config.most_samples(10), config.most_sequences(10)), (40, 40));
        let more = SelfPlayConfig { reuse_estimates: true, answers_per_task: 6, ..config };
        assert_eq!((more.most_samples(10), more.most_sequences(10)), (60, 110));
    }

    #[test]
    fn a_kinds_own_batch_size_counts_before_its_domains() {
        let sizes =
            [("math", 8), ("math/induction", 2), ("math/abduction", 0), ("code/induction", 9)];
        let config = SelfPlayConfig {
            batch_size: 4,
            batch_sizes: sizes.map(|(name, size)| (name.to_owned(), size)).into(),
            ..SelfPlayConfig::default()
        };
        let of = |domain, kind| config.batch_size_of(domain, kind);
        assert_eq!((of("math", "deduction"), of("math", "induction")), (8, 2));
        assert_eq!((of("math", "abduction"), of("code", "deduction")), (0, 4));
        let largest = ["math", "code", "sql"].map(|domain| config.largest_batch_of(domain));
        assert_eq!(largest, [8, 9, 4]);
    }

    #[test]
    fn estimates_need_several_different_samples() {
        let one = refusal(SelfPlayConfig { learnability_samples: 1, ..SelfPlayConfig::default() });
        assert!(one.contains("learnability_samples") && one.contains("always or never"), "{one}");
        let greedy = refusal(SelfPlayConfig { temperature: 0.0, ..SelfPlayConfig::default() });
        assert!(greedy.contains("temperature") && greedy.contains("equal"), "{greedy}");
        refusal(SelfPlayConfig { temperature: f32::NAN, ..SelfPlayConfig::default() });
    }

    #[test]
    fn other_impossible_settings_are_named() {
        for (config, key) in [
            (SelfPlayConfig { top_p: 0.0, ..SelfPlayConfig::default() }, "top_p"),
            (SelfPlayConfig { batch_size: 0, ..SelfPlayConfig::default() }, "batch_size"),
            (
                SelfPlayConfig { answers_per_task: 0, ..SelfPlayConfig::default() },
                "answers_per_task",
            ),
            (SelfPlayConfig { buffer_capacity: 0, ..SelfPlayConfig::default() }, "buffer_capacity"),
            (
                SelfPlayConfig { zero_learnability_reward: f32::NAN, ..SelfPlayConfig::default() },
                "zero_learnability",
            ),
            (
                SelfPlayConfig {
                    unsolved_reward: BTreeMap::from([("abduction".to_owned(), f32::INFINITY)]),
                    ..SelfPlayConfig::default()
                },
                "unsolved_reward.abduction",
            ),
            (
                SelfPlayConfig { duplicate_reward: f32::NAN, ..SelfPlayConfig::default() },
                "duplicate_reward",
            ),
            (
                SelfPlayConfig {
                    health: HealthConfig { unlearnable_steps: 0, ..HealthConfig::default() },
                    ..SelfPlayConfig::default()
                },
                "health.unlearnable_steps",
            ),
            (
                SelfPlayConfig { reuse_estimates: true, ..SelfPlayConfig::paper() },
                "reuse_estimates",
            ),
        ] {
            let message = refusal(config);
            assert!(message.contains(key), "{message}");
        }
    }

    #[test]
    fn checks_leave_the_processor_to_a_policy_on_it() {
        let applies = |overlap: Overlap| {
            ["cpu (avx2, 2 threads)", "cuda:0 (H200)"].map(|device| overlap.applies(device))
        };
        assert_eq!(applies(Overlap::Auto), [false, true]);
        assert_eq!(applies(Overlap::Always), [true, true]);
        assert_eq!(applies(Overlap::Never), [false, false]);
        assert_eq!(SelfPlayConfig::paper().overlap, Overlap::Auto);
    }

    #[test]
    fn settings_read_and_write() {
        let config: SelfPlayConfig =
            serde_json::from_str(r#"{"mix": "half_new", "kinds": ["abduction"]}"#).unwrap();
        assert_eq!((config.mix, config.batch_size), (Mix::HalfNew, 64));
        assert_eq!(config.health, HealthConfig::default());
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<SelfPlayConfig>(&text).unwrap(), config);
        assert!(serde_json::from_str::<SelfPlayConfig>(r#"{"batchsize": 3}"#).is_err());
    }
}
