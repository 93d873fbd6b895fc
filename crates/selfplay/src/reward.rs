//! Rewards of both roles (arXiv 2505.03335, equations 4 to 6, as its code computes them).

use crate::{Learnability, SelfPlayConfig};

/// Reward of a response without the demanded form, and of an invalid proposal.
const MALFORMED: f32 = -1.0;

/// Reward of a well-formed answer that is wrong.
const WRONG: f32 = -0.5;

/// Reward of a proposal of a task of `kind`.
///
/// `solve_rate` is that of the task it made (0 to 1), absent if it made none: -1 if it made none or is malformed;
/// `unsolved_reward` if the task is never solved and its kind has one; the learnability of the task if that is more
/// than 0, else `zero_learnability_reward`.
pub fn proposer_reward(
    kind: &str,
    well_formed: bool,
    solve_rate: Option<f64>,
    config: &SelfPlayConfig,
) -> f32 {
    let Some(rate) = solve_rate.filter(|_| well_formed) else { return MALFORMED };
    match config.unsolved_reward.get(kind).filter(|_| rate == 0.0) {
        Some(reward) => *reward,
        None => match learnability(rate, config.learnability) {
            learnability if learnability > 0.0 => learnability as f32,
            _ => config.zero_learnability_reward,
        },
    }
}

/// Reward of an answer: -1 if malformed, its score (0 to 1) if that is more than 0, else -0.5.
pub fn solver_reward(well_formed: bool, score: f32) -> f32 {
    match (well_formed, score > 0.0) {
        (false, _) => MALFORMED,
        (true, true) => score,
        (true, false) => WRONG,
    }
}

/// Learnability in 0..=1 of a task with this solve rate.
pub(crate) fn learnability(solve_rate: f64, function: Learnability) -> f64 {
    match function {
        Learnability::OneMinus if solve_rate == 0.0 => 0.0,
        Learnability::OneMinus | Learnability::Inverse => 1.0 - solve_rate,
        Learnability::Uncertainty => 1.0 - 2.0 * (solve_rate - 0.5).abs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewards_of_eight(config: &SelfPlayConfig) -> Vec<f32> {
        let reward = |k| proposer_reward("deduction", true, Some(f64::from(k) / 8.0), config);
        (0..=8).map(reward).collect()
    }

    #[test]
    fn published_proposer_table() {
        let mut config = SelfPlayConfig::paper();
        let middle = [0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125];
        assert_eq!(rewards_of_eight(&config), [&[-0.5], &middle[..], &[-0.5]].concat());
        config.zero_learnability_reward = 0.0;
        assert_eq!(rewards_of_eight(&config), [&[0.0], &middle[..], &[0.0]].concat());
        for k in 0..=8 {
            let rate = Some(f64::from(k) / 8.0);
            assert_eq!(proposer_reward("deduction", false, rate, &config), -1.0);
        }
        assert_eq!(proposer_reward("deduction", true, None, &config), -1.0);
    }

    #[test]
    fn a_kind_may_have_a_reward_of_its_own_for_what_is_never_solved() {
        let unsolved_reward = [("deduction".to_owned(), 0.25)].into();
        let config = SelfPlayConfig { unsolved_reward, ..SelfPlayConfig::default() };
        assert_eq!(
            rewards_of_eight(&config),
            [0.25, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, -0.5]
        );
        assert_eq!(proposer_reward("induction", true, Some(0.0), &config), -0.5);
        assert_eq!(proposer_reward("deduction", false, Some(0.0), &config), -1.0);
    }

    #[test]
    fn other_learnability_functions() {
        let inverse =
            SelfPlayConfig { learnability: Learnability::Inverse, ..SelfPlayConfig::default() };
        assert_eq!(
            rewards_of_eight(&inverse),
            [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, -0.5]
        );
        let uncertainty =
            SelfPlayConfig { learnability: Learnability::Uncertainty, ..SelfPlayConfig::default() };
        assert_eq!(
            rewards_of_eight(&uncertainty),
            [-0.5, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, -0.5]
        );
    }

    #[test]
    fn published_solver_table() {
        assert_eq!(solver_reward(true, 1.0), 1.0);
        assert_eq!(solver_reward(true, 0.0), -0.5);
        assert_eq!(solver_reward(false, 1.0), -1.0);
        assert_eq!(solver_reward(false, 0.0), -1.0);
        assert_eq!(solver_reward(true, 0.8), 0.8);
    }
}
