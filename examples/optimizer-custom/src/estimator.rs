//! The advantage estimator: plain mathematics over rewards.

use std::collections::BTreeMap;

/// A rollout as the estimator sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// Number of the group it is compared with where its prompt does not suffice.
    pub group: usize,
    /// The prompt it answers; none when the group is all it is compared with.
    pub prompt: Option<u32>,
    /// Its reward; finite.
    pub reward: f64,
}

/// Count and sum of rewards.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    n: f64,
    sum: f64,
}

impl Total {
    fn add(&mut self, reward: f64) {
        self.n += 1.0;
        self.sum += reward;
    }

    /// What is left without one member.
    fn without(self, reward: f64) -> Self {
        Self { n: self.n - 1.0, sum: self.sum - reward }
    }
}

/// The advantage of each member, in order: `r_i - (n p + k g) / (n + k)` with `k = prior`, 0 or more.
pub fn advantages(members: &[Member], prior: f64) -> Vec<f64> {
    let mut groups: BTreeMap<usize, Total> = BTreeMap::new();
    let mut prompts: BTreeMap<(usize, u32), Total> = BTreeMap::new();
    for member in members {
        groups.entry(member.group).or_default().add(member.reward);
        if let Some(prompt) = member.prompt {
            prompts.entry((member.group, prompt)).or_default().add(member.reward);
        }
    }
    let advantage = |member: &Member| {
        let Member { group, prompt, reward } = *member;
        let others = groups[&group].without(reward);
        if others.n == 0.0 {
            return 0.0;
        }
        let of_prompt =
            prompt.map_or(Total::default(), |prompt| prompts[&(group, prompt)].without(reward));
        // Without another answer to the prompt the group's mean is all there is, whatever it is worth.
        let worth = if of_prompt.n == 0.0 { 1.0 } else { prior };
        let baseline = (of_prompt.sum + worth * others.sum / others.n) / (of_prompt.n + worth);
        reward - baseline
    };
    members.iter().map(advantage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(rewards: &[(u32, f64)]) -> Vec<Member> {
        let member = |&(prompt, reward)| Member { group: 0, prompt: Some(prompt), reward };
        rewards.iter().map(member).collect()
    }

    #[test]
    fn the_formula_by_hand() {
        let two_prompts = members(&[(0, 1.0), (0, 0.0), (0, 0.5), (1, 1.0), (1, 0.0)]);
        // The first: n = 2, p = 0.25; the group's others have the mean 1.5 / 4 = 0.375.
        let expected = 1.0 - (2.0 * 0.25 + 2.0 * 0.375) / 4.0;
        assert_eq!(advantages(&two_prompts, 2.0)[0], expected);
        // The fourth: n = 1, p = 0; the group's others have the mean 0.375.
        assert_eq!(advantages(&two_prompts, 2.0)[3], 1.0 - 0.75 / 3.0);
    }

    #[test]
    fn without_a_prior_it_is_rloo_and_with_a_large_one_the_group_decides() {
        let two_prompts = members(&[(0, 1.0), (0, 0.0), (1, 1.0), (1, 1.0)]);
        assert_eq!(advantages(&two_prompts, 0.0), [1.0, -1.0, 0.0, 0.0]);
        let third = 1.0 / 3.0;
        for (value, expected) in
            advantages(&two_prompts, 1e12).iter().zip([third, -1.0, third, third])
        {
            assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
        }
    }

    #[test]
    fn what_has_nothing_to_compare_with_learns_nothing() {
        assert_eq!(advantages(&members(&[(0, 3.0)]), 2.0), [0.0]);
        // Single answers, and proposals, are compared with their group.
        for prompt in [None, Some(7)] {
            let mut pair = members(&[(1, 1.0), (2, 0.0)]);
            pair[0].prompt = prompt;
            assert_eq!(advantages(&pair, 0.0), [1.0, -1.0]);
        }
        let apart = [Member { group: 1, prompt: None, reward: 5.0 }, members(&[(0, 1.0)])[0]];
        assert_eq!(advantages(&apart, 1.0), [0.0, 0.0], "groups do not mix");
    }
}
