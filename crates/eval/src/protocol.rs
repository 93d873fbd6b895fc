//! How a benchmark is taken: which items, how many samples, how they are drawn.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{EvalError, PromptStyle, Result, Suite};

/// How a benchmark is taken. Together with model and data it determines every result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// How the model is spoken to.
    pub style: PromptStyle,
    /// Samples of each item.
    pub samples: usize,
    /// Softmax temperature; 0 takes the likeliest token always.
    pub temperature: f32,
    /// Nucleus mass in (0, 1].
    pub top_p: f32,
    /// Longest response in tokens; the suite's own limit where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The `k` of the pass@k that are reported.
    pub pass_at: Vec<usize>,
    /// At most so many items of a suite, drawn by `seed` whatever their order; 0 means all. Those of a smaller limit
    /// are among those of a larger one.
    pub limit: usize,
    /// Seed of the samples and of the choice of items.
    pub seed: u64,
}

impl Default for Protocol {
    /// One greedy answer to every item.
    fn default() -> Self {
        Self {
            style: PromptStyle::Completion,
            samples: 1,
            temperature: 0.0,
            top_p: 1.0,
            max_tokens: None,
            pass_at: vec![1],
            limit: 0,
            seed: 0,
        }
    }
}

impl Protocol {
    /// Refuses values that make no evaluation.
    ///
    /// # Errors
    /// [`EvalError::Usage`] with the value and what it may be.
    pub fn validate(&self) -> Result<()> {
        let refuse = |message: String, hint: &str| Err(EvalError::usage(message, hint));
        if self.samples == 0 {
            return refuse("there are 0 samples of each item".into(), "choose at least 1");
        }
        if !self.temperature.is_finite() || self.temperature < 0.0 {
            return refuse(
                format!("the temperature is {}", self.temperature),
                "choose 0 (greedy) or more",
            );
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse(format!("top-p is {}", self.top_p), "choose more than 0 and at most 1");
        }
        if self.temperature == 0.0 && self.samples > 1 {
            return refuse(
                format!("{} greedy samples of an item are all the same", self.samples),
                "choose a temperature above 0, or 1 sample",
            );
        }
        if self.pass_at.is_empty() {
            return refuse("no pass@k is asked for".into(), "choose at least one k, for example 1");
        }
        if let Some(k) = self.pass_at.iter().find(|k| !(1..=self.samples).contains(k)) {
            return refuse(
                format!("pass@{k} cannot be told from {} samples of each item", self.samples),
                "choose 1 to as many as there are samples",
            );
        }
        if self.max_tokens == Some(0) {
            return refuse("responses have 0 tokens".into(), "choose at least 1");
        }
        Ok(())
    }

    /// The items of `suite` that are asked, in the data's order.
    pub(crate) fn items(&self, suite: &dyn Suite) -> Vec<usize> {
        let ids = suite.ids();
        let mut items: Vec<usize> = (0..ids.len()).collect();
        if self.limit > 0 && self.limit < items.len() {
            items.sort_by_cached_key(|&item| self.draw(&["item", suite.name(), &ids[item]], 0));
            items.truncate(self.limit);
            items.sort_unstable();
        }
        items
    }

    /// The seed of a sample: of 32 bits, which every server takes.
    pub(crate) fn sample_seed(&self, suite: &str, id: &str, sample: usize) -> u64 {
        self.draw(&["sample", suite, id], sample as u64) >> 32
    }

    /// 64 bits that belong to this place alone; texts carry their lengths, so that no two places read the same.
    fn draw(&self, place: &[&str], number: u64) -> u64 {
        let mut hash = Sha256::new();
        for number in [self.seed, number] {
            hash.update(number.to_le_bytes());
        }
        for text in place {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = hash.finalize().into();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sums;

    #[test]
    fn a_limit_draws_items_and_a_smaller_one_draws_among_them() {
        let suite = Sums(50);
        let drawn = |limit, seed| Protocol { limit, seed, ..Protocol::default() }.items(&suite);
        let (few, more) = (drawn(5, 0), drawn(12, 0));
        assert_eq!((few.len(), more.len()), (5, 12));
        assert!(more.is_sorted() && few.iter().all(|item| more.contains(item)), "{few:?} {more:?}");
        assert_ne!(few, [0, 1, 2, 3, 4], "not the first ones");
        assert_ne!(few, drawn(5, 1));
        assert_eq!((drawn(0, 0).len(), drawn(99, 0).len()), (50, 50));
    }

    #[test]
    fn every_sample_has_a_seed_of_its_own() {
        let protocol = Protocol::default();
        let seeds = [("a", "b", 0), ("a", "b", 1), ("a", "c", 0), ("ab", "", 0), ("b", "b", 0)]
            .map(|(suite, id, sample)| protocol.sample_seed(suite, id, sample));
        let distinct = std::collections::BTreeSet::from(seeds);
        assert!(distinct.len() == seeds.len() && seeds.iter().all(|&seed| seed < 1 << 32));
        // Resumed evaluations of later versions depend on this value.
        assert_eq!(seeds[0], 1_306_980_613);
    }

    #[test]
    fn what_makes_no_evaluation_is_refused_with_the_way_out() {
        let one = Protocol::default;
        for (protocol, word) in [
            (Protocol { samples: 0, ..one() }, "0 samples"),
            (Protocol { temperature: -1.0, ..one() }, "temperature"),
            (Protocol { temperature: f32::NAN, ..one() }, "temperature"),
            (Protocol { top_p: 0.0, ..one() }, "top-p"),
            (Protocol { samples: 4, ..one() }, "4 greedy samples"),
            (Protocol { pass_at: vec![], ..one() }, "pass@k"),
            (Protocol { pass_at: vec![1, 2], ..one() }, "pass@2"),
            (Protocol { max_tokens: Some(0), ..one() }, "0 tokens"),
        ] {
            let error = protocol.validate().unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("hint: "), "{error}");
        }
        one().validate().unwrap();
    }
}
