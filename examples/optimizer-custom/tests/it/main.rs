//! The optimizer as a run sees it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use azr_optimizer_custom::{Member, Options, Shrunken, advantages};
use azr_plugin::{
    Engine, ErrorCode, RlOptimizer, Role, RolloutSummary, Services, conformance, serde_json,
};
use proptest::prelude::*;

fn engine(options: Options) -> Shrunken {
    Shrunken::create(options, Services::default()).unwrap()
}

fn rollout(role: Role, prompt_index: u32, reward: f32, n_tokens: u32) -> RolloutSummary {
    let (domain, kind) = ("sql".into(), "deduction".into());
    RolloutSummary { domain, kind, role, prompt_index, reward, n_tokens }
}

#[test]
fn it_passes_the_conformance_kit() {
    conformance::optimizer(|| Ok(Arc::new(engine(Options::default())) as _)).assert_passed();
}

#[test]
fn a_plan_follows_the_rollouts() {
    let rollouts = [
        rollout(Role::Solve, 0, 1.0, 2),
        rollout(Role::Propose, 5, 0.5, 1),
        rollout(Role::Solve, 0, 0.0, 3),
        rollout(Role::Propose, 6, -0.5, 4),
    ];
    let plan = engine(Options { prior: 0.0, ..Options::default() }).plan(0, &rollouts).unwrap();
    let expected = [vec![1.0; 2], vec![1.0; 1], vec![-1.0; 3], vec![-1.0; 4]];
    assert_eq!(plan.advantages, expected);
    assert!((plan.weights.concat().iter().sum::<f32>() - 1.0).abs() < 1e-6);
    let groups: Vec<_> =
        plan.groups.iter().map(|g| (g.group.as_str(), g.mean, g.std, g.n_rollouts)).collect();
    assert_eq!(
        groups,
        [("sql/deduction/propose", 0.0, 0.5, 2), ("sql/deduction/solve", 0.5, 0.5, 2)]
    );
}

#[test]
fn options_come_by_name_and_bad_rewards_are_the_callers_fault() {
    let options: Options = serde_json::from_str(r#"{"prior": 0.5}"#).unwrap();
    assert_eq!((options.prior, options.temperature), (0.5, 1.0));
    assert!(serde_json::from_str::<Options>(r#"{"priors": 0.5}"#).is_err());
    let error = engine(options).plan(0, &[rollout(Role::Solve, 0, f32::NAN, 1)]).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidInput);
    assert!(error.message.contains("rollout 0"), "{error}");
}

proptest! {
    #[test]
    fn only_differences_count(
        rewards in prop::collection::vec((0..3_usize, 0..3_u32, -2_i8..=2), 0..20),
        prior in 0.0..10.0,
        shift in -3_i8..=3,
    ) {
        let members = |shift: i8| -> Vec<Member> {
            let member = |&(group, prompt, reward): &(usize, u32, i8)| {
                Member { group, prompt: Some(prompt), reward: f64::from(reward) + f64::from(shift) }
            };
            rewards.iter().map(member).collect()
        };
        let (plain, shifted) = (advantages(&members(0), prior), advantages(&members(shift), prior));
        for (one, other) in plain.iter().zip(&shifted) {
            prop_assert!(one.is_finite() && (one - other).abs() < 1e-9, "{} became {}", one, other);
        }
        // In a group that always got the same there is nothing to learn.
        for (at, member) in members(0).iter().enumerate() {
            if members(0).iter().all(|m| m.group != member.group || m.reward == member.reward) {
                prop_assert!(plain[at].abs() < 1e-9);
            }
        }
    }
}
