//! Which tasks of a buffer the solver gets.

use rand_chacha::ChaCha8Rng;

use crate::random::{below, draw_distinct};
use crate::{Buffer, Mix};

/// Positions of `n` tasks in `buffer`, where those admitted since step `since` are the new ones; none if it is empty.
///
/// New tasks are drawn without replacement, the rest without replacement from the whole buffer (so it may
/// repeat new ones). When the buffer has too few tasks for that, the batch is filled up with replacement.
pub(crate) fn pick(
    buffer: &Buffer,
    mix: Mix,
    n: usize,
    since: u64,
    generator: &mut ChaCha8Rng,
) -> Vec<usize> {
    let unit = |position| (position, position + 1);
    let first_new = buffer.first_since(since);
    let n_new = match mix {
        Mix::MaxNew => n,
        Mix::HalfNew => n / 2,
        Mix::UniformTotal => 0,
    };
    let new = draw_distinct(generator, (buffer.len() - first_new) as u64, n_new, unit);
    let mut picks: Vec<usize> =
        new.into_iter().map(|position| first_new + position as usize).collect();
    let rest = draw_distinct(generator, buffer.len() as u64, n - picks.len(), unit);
    picks.extend(rest.into_iter().map(|position| position as usize));
    while picks.len() < n && !buffer.is_empty() {
        picks.push(below(generator, buffer.len() as u64) as usize);
    }
    picks
}

#[cfg(test)]
mod tests {
    use azr_plugin::Task;

    use super::*;
    use crate::random::Place;
    use crate::{BufferEntry, Buffers, SelfPlayConfig};

    /// A buffer with `n_old` tasks of step 0 and `n_new` tasks of step 1.
    fn pick_from(n_old: usize, n_new: usize, mix: Mix) -> Vec<usize> {
        let entry = |step, key: usize| BufferEntry {
            domain: "code".into(),
            kind: "deduction".into(),
            step,
            task: Task {
                kind: "deduction".into(),
                key: key.to_string(),
                subject: String::new(),
                payload: String::new(),
            },
        };
        let mut buffers =
            Buffers::new(&SelfPlayConfig::robust(), [("code", "deduction")].into_iter());
        let entries = (0..n_old + n_new).map(|key| entry(u64::from(key >= n_old), key));
        buffers.restore(entries).unwrap();
        let place =
            Place { seed: 0, step: 1, purpose: "mix", domain: "", kind: "", index: 0, sample: 0 };
        pick(buffers.get("code", "deduction").unwrap(), mix, 64, 1, &mut place.generator())
    }

    fn n_distinct(mut picks: Vec<usize>) -> usize {
        picks.sort_unstable();
        picks.dedup();
        picks.len()
    }

    #[test]
    fn published_vectors() {
        let picks = pick_from(256, 40, Mix::MaxNew);
        assert_eq!(picks.len(), 64);
        assert!(picks[..40].iter().all(|&position| position >= 256));
        assert_eq!((n_distinct(picks[..40].to_vec()), n_distinct(picks[40..].to_vec())), (40, 24));
        let picks = pick_from(256, 100, Mix::MaxNew);
        assert!(
            picks.len() == 64 && n_distinct(picks.clone()) == 64 && picks.iter().all(|&p| p >= 256)
        );
    }

    #[test]
    fn the_other_mixes() {
        let picks = pick_from(1_000, 100, Mix::HalfNew);
        assert!(picks.len() == 64 && picks[..32].iter().all(|&p| p >= 1_000));
        assert!(picks[32..].iter().any(|&p| p < 1_000));
        assert_eq!(n_distinct(pick_from(256, 0, Mix::UniformTotal)), 64);
    }

    #[test]
    fn small_buffers_are_drawn_from_repeatedly() {
        let picks = pick_from(3, 2, Mix::MaxNew);
        assert_eq!((picks.len(), n_distinct(picks)), (64, 5));
        assert!(pick_from(0, 0, Mix::MaxNew).is_empty());
    }
}
