//! Packing sequences into rows: which tokens are computed together, and which rows see which.

use std::collections::BTreeMap;

use crate::device::{AttentionSequence, KeySpan};

/// The rows of one forward pass.
///
/// In training and scoring, the rows that predict response tokens come first and shared prompts last, so that the
/// last layer and the head, which only the former need, work on a leading part of every buffer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PackedRows {
    /// Token of each row.
    pub(crate) tokens: Vec<u32>,
    /// Position of each row in its sequence.
    pub(crate) positions: Vec<u32>,
    /// Who sees whom.
    pub(crate) sequences: Vec<AttentionSequence>,
    /// Number of leading rows whose final state is wanted.
    pub(crate) n_final_rows: usize,
    /// Number of leading sequences that hold those rows.
    pub(crate) n_final_sequences: usize,
}

impl PackedRows {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Appends the rows of one sequence.
    pub(crate) fn push(
        &mut self,
        tokens: &[u32],
        first_position: usize,
        prefix: KeySpan,
        own: KeySpan,
    ) {
        self.sequences.push(AttentionSequence {
            query_start: self.tokens.len(),
            n_queries: tokens.len(),
            prefix,
            own,
        });
        self.tokens.extend_from_slice(tokens);
        self.positions.extend((first_position..first_position + tokens.len()).map(|p| p as u32));
    }

    /// Declares every row final.
    pub(crate) fn all_final(mut self) -> Self {
        self.n_final_rows = self.tokens.len();
        self.n_final_sequences = self.sequences.len();
        self
    }
}

/// A prompt, not empty, and the response whose tokens are to be predicted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromptAndResponse<'a> {
    pub(crate) prompt: &'a [u32],
    pub(crate) response: &'a [u32],
}

/// Sequences that are computed together. Row `i` of the final rows predicts `targets[i]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct MicroBatch {
    pub(crate) rows: PackedRows,
    /// The response tokens, sequence after sequence.
    pub(crate) targets: Vec<u32>,
    /// Index of each sequence among the packed ones, in the order of `targets`.
    pub(crate) members: Vec<usize>,
}

/// Packs `sequences` into micro-batches of at most `max_rows` rows (a longer sequence gets one of its own).
///
/// A sequence takes one row per response token: its last prompt token and its response but the last. The rest of
/// the prompt is computed once for all sequences of a micro-batch that share it. Sequences with equal prompts stay
/// together unless they need more than `max_rows`. Sequences without a response take no rows.
pub(crate) fn pack(sequences: &[PromptAndResponse<'_>], max_rows: usize) -> Vec<MicroBatch> {
    let mut batches = Vec::new();
    let mut open = OpenBatch::default();
    for group in group_by_prompt(sequences) {
        let prefix = prefix_len(sequences[group[0]].prompt);
        let whole =
            prefix + group.iter().map(|&member| sequences[member].response.len()).sum::<usize>();
        if open.n_rows + whole > max_rows && whole <= max_rows {
            batches.extend(open.take().close(sequences));
        }
        open.groups.push(Vec::new());
        open.n_rows += prefix;
        for member in group {
            let needed = sequences[member].response.len();
            if open.n_rows + needed > max_rows && open.holds_anything() {
                batches.extend(open.take().close(sequences));
                open.groups.push(Vec::new());
                open.n_rows = prefix;
            }
            open.n_rows += needed;
            if let Some(last) = open.groups.last_mut() {
                last.push(member);
            }
        }
    }
    batches.extend(open.close(sequences));
    batches
}

/// Indices of the sequences that have a response, equal prompts together, in the order of first appearance.
fn group_by_prompt(sequences: &[PromptAndResponse<'_>]) -> Vec<Vec<usize>> {
    let mut index_of_prompt = BTreeMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (member, sequence) in sequences.iter().enumerate() {
        if sequence.response.is_empty() {
            continue;
        }
        let group = *index_of_prompt.entry(sequence.prompt).or_insert(groups.len());
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(member);
    }
    groups
}

/// Prompt tokens that do not predict a response token.
fn prefix_len(prompt: &[u32]) -> usize {
    prompt.len().saturating_sub(1)
}

#[derive(Default)]
struct OpenBatch {
    groups: Vec<Vec<usize>>,
    n_rows: usize,
}

impl OpenBatch {
    fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    fn holds_anything(&self) -> bool {
        self.groups.iter().any(|group| !group.is_empty())
    }

    fn close(mut self, sequences: &[PromptAndResponse<'_>]) -> Option<MicroBatch> {
        self.groups.retain(|group| !group.is_empty());
        if self.groups.is_empty() {
            return None;
        }
        let mut batch = MicroBatch::default();
        let n_final_rows = self
            .groups
            .iter()
            .flatten()
            .map(|&member| sequences[member].response.len())
            .sum::<usize>();
        let mut prefix_start = n_final_rows;
        for group in &self.groups {
            let prefix =
                KeySpan { start: prefix_start, len: prefix_len(sequences[group[0]].prompt) };
            prefix_start += prefix.len;
            for &member in group {
                let PromptAndResponse { prompt, response } = sequences[member];
                let inputs: Vec<u32> = prompt[prefix.len..]
                    .iter()
                    .chain(response)
                    .copied()
                    .take(response.len())
                    .collect();
                let own = KeySpan { start: batch.rows.len(), len: inputs.len() };
                batch.rows.push(&inputs, prefix.len, prefix, own);
                batch.targets.extend_from_slice(response);
                batch.members.push(member);
            }
        }
        batch.rows = batch.rows.all_final();
        for group in &self.groups {
            let prompt = sequences[group[0]].prompt;
            let own = KeySpan { start: batch.rows.len(), len: prefix_len(prompt) };
            if own.len > 0 {
                batch.rows.push(&prompt[..own.len], 0, KeySpan::default(), own);
            }
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn borrow(sequences: &[(Vec<u32>, Vec<u32>)]) -> Vec<PromptAndResponse<'_>> {
        sequences.iter().map(|(prompt, response)| PromptAndResponse { prompt, response }).collect()
    }

    #[test]
    fn a_group_shares_its_prompt() {
        let sequences = [
            (vec![1, 2, 3], vec![7, 8]),
            (vec![4], vec![9]),
            (vec![1, 2, 3], vec![5]),
            (vec![6, 6], vec![]),
        ];
        let batches = pack(&borrow(&sequences), 100);
        assert_eq!(batches.len(), 1);
        let batch = &batches[0];
        assert_eq!(batch.members, [0, 2, 1]);
        assert_eq!(batch.targets, [7, 8, 5, 9]);
        assert_eq!(batch.rows.tokens, [3, 7, 3, 4, 1, 2]);
        assert_eq!(batch.rows.positions, [2, 3, 2, 0, 0, 1]);
        assert_eq!((batch.rows.n_final_rows, batch.rows.n_final_sequences), (4, 3));
        let prefix = KeySpan { start: 4, len: 2 };
        assert_eq!(
            batch.rows.sequences[1],
            AttentionSequence {
                query_start: 2,
                n_queries: 1,
                prefix,
                own: KeySpan { start: 2, len: 1 }
            }
        );
        assert_eq!(batch.rows.sequences[2].prefix.len, 0);
        assert_eq!(
            batch.rows.sequences[3],
            AttentionSequence {
                query_start: 4,
                n_queries: 2,
                prefix: KeySpan::default(),
                own: prefix
            }
        );
    }

    proptest! {
        #[test]
        fn every_token_is_predicted_once_within_the_limit(
            sequences in proptest::collection::vec(
                (proptest::collection::vec(0_u32..2, 1..4), proptest::collection::vec(0_u32..9, 0..6)), 0..12),
            max_rows in 1_usize..20,
        ) {
            let sequences = borrow(&sequences);
            let batches = pack(&sequences, max_rows);
            let mut seen = vec![0; sequences.len()];
            for batch in &batches {
                prop_assert!(!batch.members.is_empty());
                prop_assert!(batch.rows.len() <= max_rows || batch.members.len() == 1);
                prop_assert_eq!(batch.targets.len(), batch.rows.n_final_rows);
                let mut targets = batch.targets.iter();
                for (&member, rows) in batch.members.iter().zip(&batch.rows.sequences) {
                    seen[member] += 1;
                    let sequence = sequences[member];
                    prop_assert_eq!(rows.n_queries, sequence.response.len());
                    for token in sequence.response {
                        prop_assert_eq!(targets.next(), Some(token));
                    }
                    // What the sequence's rows see, in order, is the sequence but its last token.
                    let visible: Vec<u32> = [rows.prefix, rows.own]
                        .iter()
                        .flat_map(|span| &batch.rows.tokens[span.start..span.start + span.len])
                        .copied()
                        .collect();
                    let mut whole = [sequence.prompt, sequence.response].concat();
                    whole.pop();
                    prop_assert_eq!(visible, whole);
                }
            }
            for (sequence, times) in sequences.iter().zip(seen) {
                prop_assert_eq!(times, usize::from(!sequence.response.is_empty()));
            }
        }
    }
}
