//! The loop with small deterministic engines.

#![expect(
    clippy::unwrap_used,
    reason = "helpers and doubles are test code outside of test functions"
)]

mod edges;
mod health;
mod heldout;
mod overlap;
mod steps;
mod toy;

use azr_selfplay::{Mix, SelfPlay, SelfPlayConfig, Silent, StepOutput};

/// A small run's settings.
fn small() -> SelfPlayConfig {
    SelfPlayConfig { seed: 7, batch_size: 6, learnability_samples: 4, ..SelfPlayConfig::robust() }
}

/// The published system, small.
fn small_paper() -> SelfPlayConfig {
    SelfPlayConfig {
        seed: 7,
        batch_size: 6,
        learnability_samples: 4,
        seed_tasks: 9,
        ..SelfPlayConfig::paper()
    }
}

/// Settings that differ from each other in what the loop does.
fn all_settings() -> Vec<SelfPlayConfig> {
    vec![
        small(),
        small_paper(),
        SelfPlayConfig { reuse_estimates: true, ..small() },
        SelfPlayConfig {
            reuse_estimates: true,
            reuse_fills_batch: false,
            answers_per_task: 2,
            ..small()
        },
        SelfPlayConfig { shuffle_rewards: true, ..small() },
        SelfPlayConfig { mix: Mix::HalfNew, train_proposer: false, buffer_capacity: 8, ..small() },
        SelfPlayConfig { solver_only_steps: 2, kinds: vec!["induction".into()], ..small_paper() },
    ]
}

fn run(selfplay: &mut SelfPlay, steps: impl IntoIterator<Item = u64>) -> Vec<StepOutput> {
    steps.into_iter().map(|step| selfplay.step(step, &Silent).unwrap()).collect()
}

/// Everything of a step but its timings.
fn lasting(outputs: Vec<StepOutput>) -> Vec<StepOutput> {
    outputs.into_iter().map(|output| StepOutput { timings: Default::default(), ..output }).collect()
}
