//! Bounded stores of verified tasks, one per (domain, task kind).

use std::collections::{BTreeMap, VecDeque};

use azr_plugin::Task;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::random::draw_distinct;
use crate::{BufferPolicy, ReferenceSampling, Result, SelfPlayConfig, SelfPlayError};

/// A task that entered a buffer. A run that writes these down in order can rebuild its buffers from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferEntry {
    /// Name of the domain.
    pub domain: String,
    /// Task kind.
    pub kind: String,
    /// Step in which it was admitted; 0 for seeds.
    pub step: u64,
    /// The task; its payload came from the model and is untrusted.
    #[serde(with = "TaskFields")]
    pub task: Task,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Task", deny_unknown_fields)]
struct TaskFields {
    kind: String,
    key: String,
    subject: String,
    payload: String,
}

/// The buffers of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Buffers {
    by_domain: BTreeMap<String, BTreeMap<String, Buffer>>,
}

impl Buffers {
    /// Empty buffers for these (domain, task kind) pairs.
    pub(crate) fn new<'a>(
        config: &SelfPlayConfig,
        kinds: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut by_domain: BTreeMap<String, BTreeMap<String, Buffer>> = BTreeMap::new();
        for (domain, kind) in kinds {
            by_domain
                .entry(domain.to_owned())
                .or_default()
                .insert(kind.to_owned(), Buffer::new(config));
        }
        Self { by_domain }
    }

    /// The buffer of a kind.
    ///
    /// # Errors
    /// The run has no such kind.
    pub fn get(&self, domain: &str, kind: &str) -> Result<&Buffer> {
        self.by_domain.get(domain).and_then(|kinds| kinds.get(kind)).ok_or_else(|| {
            SelfPlayError::UnknownBuffer { domain: domain.to_owned(), kind: kind.to_owned() }
        })
    }

    /// Every buffer with its domain and kind, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Buffer)> {
        self.by_domain.iter().flat_map(|(domain, kinds)| {
            kinds.iter().map(move |(kind, buffer)| (domain.as_str(), kind.as_str(), buffer))
        })
    }

    /// Empties the buffers and admits `entries` again, in the order in which they were admitted before. With the
    /// configuration they were admitted under, this rebuilds exactly the same state.
    ///
    /// # Errors
    /// An entry's kind is not one of this run's; the buffers then hold the entries before it.
    pub fn restore(&mut self, entries: impl IntoIterator<Item = BufferEntry>) -> Result<()> {
        for buffer in self.by_domain.values_mut().flat_map(BTreeMap::values_mut) {
            buffer.clear();
        }
        for entry in entries {
            self.admit(&entry)?;
        }
        Ok(())
    }

    /// Admits a task; false when its buffer turned it away.
    pub(crate) fn admit(&mut self, entry: &BufferEntry) -> Result<bool> {
        let BufferEntry { domain, kind, step, task } = entry;
        let buffer = self.by_domain.get_mut(domain).and_then(|kinds| kinds.get_mut(kind));
        let unknown =
            || SelfPlayError::UnknownBuffer { domain: domain.clone(), kind: kind.clone() };
        Ok(buffer.ok_or_else(unknown)?.admit(*step, task))
    }
}

/// A bounded store of tasks of one kind, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Buffer {
    capacity: usize,
    policy: BufferPolicy,
    dedupe: bool,
    entries: VecDeque<Stored>,
    /// How often each key is in the buffer.
    keys: BTreeMap<String, usize>,
    /// Sum of the weights of the tasks that left.
    gone: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Stored {
    step: u64,
    task: Task,
    /// Sum of the weights up to and including this task, those that left included. It lets a draw by weight and
    /// the mean age take logarithmic and constant time.
    weight_end: u64,
}

impl Buffer {
    fn new(config: &SelfPlayConfig) -> Self {
        Self {
            capacity: config.buffer_capacity,
            policy: config.buffer_policy,
            dedupe: config.dedupe,
            entries: VecDeque::new(),
            keys: BTreeMap::new(),
            gone: 0,
        }
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The task at a position, counted from the oldest.
    pub fn task(&self, position: usize) -> Option<&Task> {
        self.entries.get(position).map(|stored| &stored.task)
    }

    /// Whether a task with this key is in the buffer.
    pub fn contains(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Position of the first task that was admitted in `step` or later; the tasks from there on are the newest.
    pub fn first_since(&self, step: u64) -> usize {
        self.entries.partition_point(|stored| stored.step < step)
    }

    /// Mean number of steps since the tasks were admitted, seen from `step`; absent when there are none.
    pub fn age_mean(&self, step: u64) -> Option<f64> {
        let weights = self.total(ReferenceSampling::Recent);
        (!self.is_empty()).then(|| (step as f64 + 1.0) - weights as f64 / self.len() as f64)
    }

    fn admit(&mut self, step: u64, task: &Task) -> bool {
        let is_full = self.entries.len() >= self.capacity;
        if (self.dedupe && self.contains(&task.key))
            || (is_full && self.policy == BufferPolicy::KeepOldest)
        {
            return false;
        }
        if is_full {
            self.forget_oldest();
        }
        let weight_end =
            self.entries.back().map_or(self.gone, |newest| newest.weight_end) + weight(step);
        *self.keys.entry(task.key.clone()).or_default() += 1;
        self.entries.push_back(Stored { step, task: task.clone(), weight_end });
        true
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        self.gone = oldest.weight_end;
        if let Some(count) = self.keys.get_mut(&oldest.task.key) {
            *count -= 1;
            if *count == 0 {
                self.keys.remove(&oldest.task.key);
            }
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.keys.clear();
        self.gone = 0;
    }

    /// Length of the line on which every task covers its weight.
    fn total(&self, sampling: ReferenceSampling) -> u64 {
        match sampling {
            ReferenceSampling::Uniform => self.len() as u64,
            ReferenceSampling::Recent => {
                self.entries.back().map_or(0, |newest| newest.weight_end - self.gone)
            }
        }
    }

    /// The task at a place of that line, and its span.
    fn at(&self, sampling: ReferenceSampling, place: u64) -> Option<(&Task, u64, u64)> {
        match sampling {
            ReferenceSampling::Uniform => {
                self.task(place as usize).map(|task| (task, place, place + 1))
            }
            ReferenceSampling::Recent => {
                let position =
                    self.entries.partition_point(|stored| stored.weight_end - self.gone <= place);
                let stored = self.entries.get(position)?;
                let end = stored.weight_end - self.gone;
                Some((&stored.task, end - weight(stored.step), end))
            }
        }
    }
}

/// Up to `count` different entries of the concatenated buffers.
pub(crate) fn draw_references(
    buffers: &[&Buffer],
    sampling: ReferenceSampling,
    count: usize,
    generator: &mut ChaCha8Rng,
) -> Vec<Task> {
    let total = buffers.iter().map(|buffer| buffer.total(sampling)).sum();
    let at = |place: u64| {
        let mut before = 0;
        for buffer in buffers {
            let length = buffer.total(sampling);
            if place < before + length {
                return buffer
                    .at(sampling, place - before)
                    .map(|(task, a, b)| (task, before + a, before + b));
            }
            before += length;
        }
        None
    };
    let span_at = |place| at(place).map_or((place, place + 1), |(_, start, end)| (start, end));
    let places = draw_distinct(generator, total, count, span_at);
    places.into_iter().filter_map(|place| at(place).map(|(task, ..)| task.clone())).collect()
}

/// Weight of a task by recency. The bound keeps sums of weights of any log within 64 bits.
fn weight(step: u64) -> u64 {
    step.saturating_add(1).min(u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Place;

    fn entry(step: u64, key: usize) -> BufferEntry {
        let task = Task {
            kind: "deduction".into(),
            key: key.to_string(),
            subject: key.to_string(),
            payload: "{}".into(),
        };
        BufferEntry { domain: "code".into(), kind: "deduction".into(), step, task }
    }

    fn buffers(config: &SelfPlayConfig, entries: impl IntoIterator<Item = BufferEntry>) -> Buffers {
        let mut buffers = Buffers::new(config, [("code", "deduction")].into_iter());
        buffers.restore(entries).unwrap();
        buffers
    }

    fn only(buffers: &Buffers) -> &Buffer {
        buffers.get("code", "deduction").unwrap()
    }

    #[test]
    fn a_full_ring_holds_the_newest() {
        let config = SelfPlayConfig::robust();
        let all = buffers(&config, (0..16_384 + 64).map(|key| entry(key as u64 / 64, key)));
        let buffer = only(&all);
        assert_eq!(buffer.len(), 16_384);
        assert!((16_384..16_384 + 64).all(|key| buffer.contains(&key.to_string())));
        assert!(!buffer.contains("63") && buffer.contains("64"));
        assert_eq!(buffer.len() - buffer.first_since(256), 64);
    }

    #[test]
    fn keep_oldest_turns_new_tasks_away() {
        let config = SelfPlayConfig { buffer_capacity: 2, ..SelfPlayConfig::paper() };
        let all = buffers(&config, (0..5).map(|key| entry(1, key)));
        assert!(only(&all).contains("0") && only(&all).contains("1") && only(&all).len() == 2);
    }

    #[test]
    fn duplicates_stay_out_until_the_first_one_left() {
        let config = SelfPlayConfig { buffer_capacity: 2, ..SelfPlayConfig::robust() };
        let mut all = buffers(&config, [entry(0, 7), entry(0, 7), entry(1, 8)]);
        assert_eq!(only(&all).len(), 2);
        assert!(all.admit(&entry(2, 9)).unwrap() && !only(&all).contains("7"));
        assert!(all.admit(&entry(2, 7)).unwrap());
        let twice = SelfPlayConfig { dedupe: false, ..config };
        assert_eq!(only(&buffers(&twice, [entry(0, 7), entry(0, 7)])).len(), 2);
    }

    #[test]
    fn replay_rebuilds_the_same_state() {
        let config = SelfPlayConfig { buffer_capacity: 5, ..SelfPlayConfig::robust() };
        let mut log = Vec::new();
        let mut live = buffers(&config, []);
        for (step, key) in
            [(0, 1), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5), (3, 6), (3, 2), (4, 1), (5, 8)]
        {
            let entry = entry(step, key);
            if live.admit(&entry).unwrap() {
                log.push(entry);
            }
        }
        let text: Vec<String> =
            log.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
        let read = text.iter().map(|line| serde_json::from_str(line).unwrap());
        assert_eq!(buffers(&config, read), live);
    }

    #[test]
    fn ages_follow_the_ring() {
        let config = SelfPlayConfig { buffer_capacity: 2, ..SelfPlayConfig::robust() };
        assert_eq!(only(&buffers(&config, [])).age_mean(5), None);
        assert_eq!(
            only(&buffers(&config, [entry(0, 0), entry(2, 1), entry(5, 2)])).age_mean(5),
            Some(1.5)
        );
    }

    #[test]
    fn recent_references_prefer_new_tasks_and_stay_distinct() {
        let config = SelfPlayConfig { buffer_capacity: 3, ..SelfPlayConfig::robust() };
        let all = buffers(&config, [entry(0, 0), entry(0, 1), entry(0, 2), entry(97, 3)]);
        let place =
            Place { seed: 0, step: 0, purpose: "", domain: "", kind: "", index: 0, sample: 0 };
        let first = |index| {
            let mut generator = Place { index, ..place }.generator();
            let drawn = draw_references(
                &[only(&all), only(&all)],
                ReferenceSampling::Recent,
                6,
                &mut generator,
            );
            assert_eq!(drawn.len(), 6);
            for key in ["1", "2", "3"] {
                assert_eq!(
                    drawn.iter().filter(|task| task.key == key).count(),
                    2,
                    "each buffer has it once"
                );
            }
            drawn[0].key == "3"
        };
        let n_new = (0..100).filter(|&index| first(index)).count();
        assert!(n_new > 90, "{n_new}");
    }

    #[test]
    fn unknown_kinds_are_refused() {
        let mut all = buffers(&SelfPlayConfig::robust(), []);
        let stranger = BufferEntry { domain: "math".into(), ..entry(0, 0) };
        assert!(all.restore([stranger]).unwrap_err().to_string().contains("domain math"));
    }
}
