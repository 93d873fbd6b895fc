//! What an RL optimizer promises.

use super::text::Random;
use super::{CheckFn, Flaw, Maker, Verdict, ensure, from_threads};
use crate::{RlOptimizer, Role, RolloutSummary, StepPlan};

pub(super) const CHECKS: &[(&str, CheckFn<dyn RlOptimizer>)] = &[
    ("one number for each token", shapes),
    ("finite plans", finite),
    ("equal rewards", equal_rewards),
    ("an empty step", empty_step),
    ("equal plans of equal engines", two_instances),
    ("stated needs", needs),
    ("calls from several threads", threads),
];

/// Steps at which plans are made.
const STEPS: [u64; 4] = [0, 1, 1_000, u64::MAX];

/// Groups of answers and single proposals with rewards by `reward`, a number in [0, 1) each.
fn rollouts(n: usize, reward: impl Fn(f32) -> f32) -> Vec<RolloutSummary> {
    let mut random = Random(11);
    let rollout = |index: usize| RolloutSummary {
        domain: ["code", "math"][index % 2].into(),
        kind: ["deduction", "abduction", "induction"][index % 3].into(),
        role: if index.is_multiple_of(5) { Role::Propose } else { Role::Solve },
        prompt_index: (index / 4) as u32,
        reward: reward(random.uniform()),
        n_tokens: 1 + random.below(40) as u32,
    };
    (0..n).map(rollout).collect()
}

/// Waves of several sizes, with rewards as they come and as they should not come.
fn waves() -> Vec<Vec<RolloutSummary>> {
    let mut waves: Vec<Vec<RolloutSummary>> =
        [1, 2, 7, 64].map(|n| rollouts(n, |uniform| if uniform < 0.5 { 0.0 } else { 1.0 })).into();
    waves.push(rollouts(64, |uniform| 2.0 * uniform - 1.0));
    waves.push(rollouts(64, |uniform| 1e3 * (uniform - 0.5)));
    waves.push(rollouts(64, |uniform| 1e-12 * uniform));
    waves
}

fn planned(
    optimizer: &dyn RlOptimizer,
    step: u64,
    rollouts: &[RolloutSummary],
) -> std::result::Result<StepPlan, Flaw> {
    let plan = optimizer.plan(step, rollouts)?;
    for (what, rows) in [("advantages", &plan.advantages), ("weights", &plan.weights)] {
        ensure!(
            rows.len() == rollouts.len(),
            "{} rows of {what} for {} rollouts",
            rows.len(),
            rollouts.len()
        );
        for (row, rollout) in rows.iter().zip(rollouts) {
            ensure!(
                row.len() == rollout.n_tokens as usize,
                "{} {what} for a rollout of {} tokens",
                row.len(),
                rollout.n_tokens
            );
            ensure!(
                row.iter().all(|value| value.is_finite()),
                "{what} of step {step} are not finite"
            );
        }
    }
    Ok(plan)
}

fn shapes(make: Maker<'_, dyn RlOptimizer>) -> Verdict {
    let optimizer = make()?;
    for wave in waves() {
        planned(&*optimizer, 0, &wave)?;
    }
    Ok(())
}

fn finite(make: Maker<'_, dyn RlOptimizer>) -> Verdict {
    let optimizer = make()?;
    for (wave, step) in waves().iter().zip(STEPS.into_iter().cycle()) {
        let StepPlan { loss, optimizer: spec, groups, .. } = planned(&*optimizer, step, wave)?;
        let dual_clip = loss.dual_clip.unwrap_or(2.0);
        let numbers = [
            ("temperature", loss.temperature, loss.temperature > 0.0),
            ("clip_low", loss.clip_low, loss.clip_low >= 0.0),
            ("clip_high", loss.clip_high, loss.clip_high >= 0.0),
            ("dual_clip", dual_clip, dual_clip > 1.0),
            ("entropy_coef", loss.entropy_coef, true),
            ("kl_coef", loss.kl_coef, loss.kl_coef >= 0.0),
            ("learning_rate", spec.learning_rate, spec.learning_rate >= 0.0),
            ("beta1", spec.beta1, (0.0..1.0).contains(&spec.beta1)),
            ("beta2", spec.beta2, (0.0..1.0).contains(&spec.beta2)),
            ("epsilon", spec.epsilon, spec.epsilon > 0.0),
            ("weight_decay", spec.weight_decay, spec.weight_decay >= 0.0),
            ("max_grad_norm", spec.max_grad_norm, spec.max_grad_norm >= 0.0),
        ];
        for (name, value, is_sound) in numbers {
            ensure!(value.is_finite() && is_sound, "{name} of step {step} is {value}");
        }
        for group in groups {
            ensure!(
                group.mean.is_finite() && group.std.is_finite() && group.std >= 0.0,
                "the baseline of {} is {} with deviation {}",
                group.group,
                group.mean,
                group.std
            );
        }
    }
    Ok(())
}

/// Where no answer is better than another, most estimators divide by nothing.
fn equal_rewards(make: Maker<'_, dyn RlOptimizer>) -> Verdict {
    let optimizer = make()?;
    for reward in [0.0, 1.0, -0.5, 0.1] {
        for n in [1, 2, 3, 16] {
            planned(&*optimizer, 0, &rollouts(n, |_| reward))?;
        }
    }
    Ok(())
}

fn empty_step(make: Maker<'_, dyn RlOptimizer>) -> Verdict {
    let optimizer = make()?;
    for step in STEPS {
        planned(&*optimizer, step, &[])?;
    }
    Ok(())
}

fn two_instances(make: Maker<'_, dyn RlOptimizer>) -> Verdict {
    let (one, other) = (make()?, make()?);
    for wave in waves() {
        for step in STEPS {
            let plan = planned(&*one, step, &wave)?;
            // Asked in another order, a plan that depends on earlier calls would differ.
            planned(&*other, step / 2, &wave[..1])?;
            for optimizer in [&other, &one] {
                let again = planned(&**optimizer, step, &wave)?;
                ensure!(again == plan, "equal rollouts of step {step} get different plans");
            }
        }
    }
    Ok(())
}

fn needs(make: Maker<'_, dyn RlOptimizer>) -> Verdict {
    let optimizer = make()?;
    let needs = optimizer.needs();
    ensure!(make()?.needs() == needs, "two equal engines need different things");
    for step in STEPS {
        let kl_coef = planned(&*optimizer, step, &waves()[3])?.loss.kl_coef;
        ensure!(
            needs.reference || kl_coef == 0.0,
            "step {step} has a kl_coef of {kl_coef}, but it says that it needs no reference model"
        );
    }
    Ok(())
}

fn threads(make: Maker<'_, dyn RlOptimizer>) -> Verdict {
    let (optimizer, wave) = (make()?, rollouts(64, |uniform| uniform));
    from_threads(|| optimizer.plan(3, &wave))
}
