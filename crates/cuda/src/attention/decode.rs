//! Attention of single queries, for generation: keys in runs that many blocks share out.
//!
//! The samples of a prompt see its keys all together, so that these are read once for all of them (Hydragen, arXiv
//! 2402.05099). Runs are cut every [`RUN_KEYS`] keys from where they start, whatever else is in the batch, so that no
//! result depends on that. What changes from token to token is in arrays, whose lengths are rounded up: the launches stay
//! the same for many tokens, and with them the graph that they make.

use std::collections::BTreeMap;

use azr_transformer::{AttentionSequence, AttentionShape, DeviceResult, KeySpan};
use bytemuck::{NoUninit, Zeroable};

use super::{Family, MAX_HEAD_DIM, MMA_ROWS, Operands};
use crate::arguments::Arguments;
use crate::blas::Numbers;
use crate::engine::{Engine, Grid};
use crate::kernels::Name;
use crate::transfer::BLOCK;

/// Keys of a run. Fewer would keep more of a GPU busy with few sequences, and write more of what is to be merged: for 7
/// heads of a group 5 % of what is read.
const RUN_KEYS: usize = 256;
/// Rows of an item of the kernel with one warp.
const FEW_ROWS: usize = 16;
const FILE: &str = "decode_attention";

/// `DecodeItem` of `kernels/decode_attention.cu`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, NoUninit, Zeroable)]
#[repr(C)]
pub(crate) struct Item {
    first_target: u32,
    n_queries: u32,
    key_start: u32,
    n_keys: u32,
}

/// `DecodeTarget` there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, NoUninit, Zeroable)]
#[repr(C)]
pub(crate) struct Target {
    query: u32,
    slot: u32,
}

/// `DecodeQuery` there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, NoUninit, Zeroable)]
#[repr(C)]
pub(crate) struct Query {
    query: u32,
    first_slot: u32,
    n_slots: u32,
}

/// What blocks do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DecodePlan {
    /// Items of at most [`FEW_ROWS`] rows, and of more.
    items: [Vec<Item>; 2],
    targets: Vec<Target>,
    queries: Vec<Query>,
    n_slots: usize,
    /// Items of few and of many rows, and queries, once zeros are behind them.
    counts: [u32; 3],
}

/// A length that stays the same for a while: at most an eighth more than `len`.
fn padded(len: usize) -> usize {
    len.next_multiple_of((len.next_power_of_two() / 16).max(16))
}

/// Puts zeros behind values; returns how many values there are.
fn pad<T: Zeroable + Copy>(values: &mut Vec<T>) -> u32 {
    let len = values.len();
    values.resize(padded(len), T::zeroed());
    len as u32
}

impl DecodePlan {
    /// The plan for sequences of at most one query each, an item having at most `most_rows` rows of `group` for a query.
    pub(crate) fn new(sequences: &[AttentionSequence], group: usize, most_rows: usize) -> Self {
        let mut plan = Self::default();
        let n_runs = |span: KeySpan| span.len.div_ceil(RUN_KEYS);
        // Sequences by the prefix that they see, with the slots of each.
        let mut prefixes: BTreeMap<(usize, usize), Vec<Target>> = BTreeMap::new();
        for sequence in sequences.iter().filter(|sequence| sequence.n_queries > 0) {
            let AttentionSequence { query_start, prefix, own, .. } = *sequence;
            let first = Target { query: query_start as u32, slot: plan.n_slots as u32 };
            prefixes.entry((prefix.start, prefix.len)).or_default().push(first);
            let n_slots = n_runs(prefix) + n_runs(own);
            plan.queries.push(Query {
                query: first.query,
                first_slot: first.slot,
                n_slots: n_slots as u32,
            });
            plan.n_slots += n_slots;
            let own_slot = first.slot + n_runs(prefix) as u32;
            plan.push_runs(own, &[Target { slot: own_slot, ..first }], group);
        }
        let most_queries = (most_rows / group).max(1);
        for ((start, len), targets) in prefixes {
            for targets in targets.chunks(most_queries) {
                plan.push_runs(KeySpan { start, len }, targets, group);
            }
        }
        plan
    }

    /// With arrays of lengths that stay the same for a while.
    pub(crate) fn padded(mut self) -> Self {
        let [few, many] = &mut self.items;
        self.counts = [pad(few), pad(many), pad(&mut self.queries)];
        pad(&mut self.targets);
        self.n_slots = padded(self.n_slots);
        self
    }

    /// Items for the runs of a span that all of `targets` see; their slots are those of the first run.
    fn push_runs(&mut self, span: KeySpan, targets: &[Target], group: usize) {
        for (index, first) in (0..span.len).step_by(RUN_KEYS).enumerate() {
            let item = Item {
                first_target: self.targets.len() as u32,
                n_queries: targets.len() as u32,
                key_start: (span.start + first) as u32,
                n_keys: RUN_KEYS.min(span.len - first) as u32,
            };
            let has_more = targets.len() * group > FEW_ROWS;
            self.items[usize::from(has_more)].push(item);
            let of_run = |target: &Target| Target { slot: target.slot + index as u32, ..*target };
            self.targets.extend(targets.iter().map(of_run));
        }
    }
}

impl Engine {
    /// Attention of sequences of at most one query each.
    pub(super) fn decode_attention(
        &mut self,
        shape: AttentionShape,
        sequences: &[AttentionSequence],
        operands: Operands,
    ) -> DeviceResult<()> {
        let AttentionShape { n_heads, n_kv_heads, head_dim } = shape;
        let Operands { numbers, q, k, v, out, lse } = operands;
        debug_assert!(head_dim <= MAX_HEAD_DIM);
        let group = n_heads / n_kv_heads;
        let plan = self.plans.decode(sequences, group);
        let counts = self.stage_once("counts of items", &plan.counts)?;
        let items = [
            self.stage_once("items of few rows", &plan.items[0])?,
            self.stage_once("items of many rows", &plan.items[1])?,
        ];
        let targets = self.stage_once("targets of items", &plan.targets)?;
        let queries = self.stage_once("queries of decoding", &plan.queries)?;
        let n_slot_heads = plan.n_slots * n_heads;
        let partial_out = self.scratch("parts of attention", 4 * n_slot_heads * head_dim)?;
        let partial_lse = self.scratch("sums of parts", 4 * n_slot_heads)?;

        let family = Family::of(numbers, shape);
        for (index, items) in items.into_iter().enumerate() {
            if plan.counts[index] == 0 {
                continue;
            }
            let n_blocks = plan.items[index].len() * n_kv_heads;
            let count = counts + 4 * index as u64;
            let arguments = Arguments::new().pointers([count, items, targets, q, k, v]);
            let arguments = arguments.pointers([partial_out, partial_lse]);
            let (kernel, grid) = match family {
                Family::Float => {
                    let name =
                        format!("{FILE}_{}_{}", numbers.name(), super::rounded_dim(head_dim));
                    let n_parts = if index == 0 { FEW_ROWS } else { MMA_ROWS.max(group) };
                    let grid = family.grid(n_blocks, shape);
                    let blocks = [grid.blocks[0], n_parts.div_ceil(family.rows()), 1];
                    (name, Grid { blocks, ..grid })
                }
                Family::TensorCores => {
                    let (rows, threads) = [(16, 32), (64, 128)][index];
                    let blocks = [n_blocks, 1, 1];
                    let name = format!("{FILE}_mma{rows}_{head_dim}");
                    (name, Grid { blocks, threads, shared_bytes: 0 })
                }
            };
            let shared_bytes = match family {
                Family::Float => family.forward_shared_bytes(shape),
                Family::TensorCores => (256 * head_dim) as u32,
            };
            let arguments = family.arguments(arguments, shape);
            let name = Name { file: FILE, kernel: &kernel };
            self.launch(name, Grid { shared_bytes, ..grid }, arguments)?;
        }
        let arguments = Arguments::new()
            .pointers([counts + 8, queries, partial_out, partial_lse, out, lse])
            .int(n_heads)
            .int(head_dim);
        let kernel = match numbers {
            Numbers::F32 => "decode_combine_f32",
            Numbers::Bf16 => "decode_combine_bf16",
        };
        // A warp for each head of each query.
        let grid = Grid::items(plan.queries.len() * n_heads * 32, BLOCK);
        self.launch(Name { file: FILE, kernel }, grid, arguments)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sequence(query: usize, prefix: (usize, usize), own: (usize, usize)) -> AttentionSequence {
        let span = |(start, len)| KeySpan { start, len };
        AttentionSequence { query_start: query, n_queries: 1, prefix: span(prefix), own: span(own) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn slots_of_a_query_are_its_keys_in_order(
            spans in prop::collection::vec((0_usize..3, 1_usize..700), 0..9),
            group in 1_usize..9,
            most_rows in prop_oneof![Just(16_usize), Just(64)],
        ) {
            let prefixes = [(0, 0), (1000, 300), (2000, 900)];
            let sequences: Vec<_> = spans
                .iter()
                .enumerate()
                .map(|(index, &(prefix, own))| sequence(index, prefixes[prefix], (5000 + 700 * index, own)))
                .collect();
            let plan = DecodePlan::new(&sequences, group, most_rows);
            // The run of keys in each slot.
            let mut runs = vec![None; plan.n_slots];
            for (index, items) in plan.items.iter().enumerate() {
                for item in items {
                    let n_rows = item.n_queries as usize * group;
                    prop_assert!(n_rows <= most_rows.max(group));
                    prop_assert_eq!(index == 1, n_rows > FEW_ROWS);
                    for target in &plan.targets[item.first_target as usize..][..item.n_queries as usize] {
                        let run = (target.query, item.key_start as usize, item.n_keys as usize);
                        prop_assert_eq!(runs[target.slot as usize].replace(run), None);
                    }
                }
            }
            prop_assert_eq!(plan.queries.len(), sequences.len());
            for (query, sequence) in plan.queries.iter().zip(&sequences) {
                let mut keys = Vec::new();
                for run in &runs[query.first_slot as usize..][..query.n_slots as usize] {
                    let (row, start, len) = run.unwrap();
                    prop_assert_eq!(row, query.query);
                    prop_assert!(len <= RUN_KEYS);
                    keys.extend(start..start + len);
                }
                let span = |span: KeySpan| span.start..span.start + span.len;
                let wanted: Vec<usize> = span(sequence.prefix).chain(span(sequence.own)).collect();
                prop_assert_eq!(keys, wanted);
            }
        }

        #[test]
        fn padding_is_an_eighth_at_most(len in 0_usize..100_000) {
            prop_assert!(padded(len) >= len && padded(len) <= len + len / 8 + 16);
        }
    }

    #[test]
    fn samples_of_a_prompt_share_its_keys() {
        let sequences = [
            sequence(0, (0, 300), (400, 5)),
            sequence(1, (0, 300), (500, 1)),
            sequence(2, (0, 0), (600, 7)),
        ];
        let plan = DecodePlan::new(&sequences, 3, 64);
        let [few, many] = &plan.items;
        assert!(many.is_empty());
        let shared: Vec<u32> =
            few.iter().filter(|item| item.key_start < 400).map(|item| item.n_queries).collect();
        assert_eq!(shared, [2, 2], "two runs of the prefix, each for both samples");
        assert_eq!(plan.n_slots, 3 + 3 + 1);
    }
}
