//! Which queries and keys a block of an attention kernel works on. See `kernels/attention.cuh` and
//! `kernels/attention_backward.cuh` for what the fields mean to kernels.

use std::collections::BTreeSet;
use std::sync::Arc;

use azr_transformer::{AttentionSequence, KeySpan};
use bytemuck::NoUninit;

use super::MMA_ROWS;
use super::decode::DecodePlan;

/// Consecutive queries of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, NoUninit)]
#[repr(C)]
pub(crate) struct QueryTile {
    pub(crate) query_start: u32,
    pub(crate) n_queries: u32,
    pub(crate) prefix_start: u32,
    pub(crate) prefix_len: u32,
    pub(crate) own_start: u32,
    /// Own keys that the first query sees.
    pub(crate) n_own_seen: u32,
}

/// Consecutive rows of keys that the same sequences see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, NoUninit)]
#[repr(C)]
pub(crate) struct KeyTile {
    pub(crate) key_start: u32,
    pub(crate) n_keys: u32,
    pub(crate) viewers_start: u32,
    pub(crate) n_viewers: u32,
}

/// A sequence that sees a tile of keys: its query `i` sees key `k` if `i >= k + offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, NoUninit)]
#[repr(C)]
pub(crate) struct Viewer {
    pub(crate) query_start: u32,
    pub(crate) n_queries: u32,
    pub(crate) offset: i32,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPlan {
    pub(crate) tiles: Vec<KeyTile>,
    pub(crate) viewers: Vec<Viewer>,
}

/// The plans of the last call: all layers of a model ask for the same ones.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    sequences: Vec<AttentionSequence>,
    queries: Option<(usize, Arc<Vec<QueryTile>>)>,
    keys: Option<(usize, Arc<KeyPlan>)>,
    decode: Option<(usize, Arc<DecodePlan>)>,
}

impl Plans {
    /// Tiles of at most `most` queries.
    pub(crate) fn queries(
        &mut self,
        sequences: &[AttentionSequence],
        most: usize,
    ) -> Arc<Vec<QueryTile>> {
        self.expect(sequences);
        let cached = self.queries.take().filter(|(n, _)| *n == most);
        let (_, plan) = cached.unwrap_or_else(|| (most, Arc::new(query_tiles(sequences, most))));
        self.queries = Some((most, plan.clone()));
        plan
    }

    /// Tiles of at most `most` keys.
    pub(crate) fn keys(&mut self, sequences: &[AttentionSequence], most: usize) -> Arc<KeyPlan> {
        self.expect(sequences);
        let cached = self.keys.take().filter(|(n, _)| *n == most);
        let (_, plan) = cached.unwrap_or_else(|| (most, Arc::new(key_plan(sequences, most))));
        self.keys = Some((most, plan.clone()));
        plan
    }

    /// Runs of keys for the queries of `group` heads.
    pub(crate) fn decode(
        &mut self,
        sequences: &[AttentionSequence],
        group: usize,
    ) -> Arc<DecodePlan> {
        self.expect(sequences);
        let cached = self.decode.take().filter(|(n, _)| *n == group);
        let (_, plan) = cached
            .unwrap_or_else(|| (group, Arc::new(DecodePlan::new(sequences, group, MMA_ROWS))));
        self.decode = Some((group, plan.clone()));
        plan
    }

    /// Forgets the plans of other sequences.
    fn expect(&mut self, sequences: &[AttentionSequence]) {
        if self.sequences != sequences {
            *self = Self { sequences: sequences.to_vec(), ..Self::default() };
        }
    }
}

fn query_tiles(sequences: &[AttentionSequence], most: usize) -> Vec<QueryTile> {
    let tiles = sequences.iter().flat_map(|sequence| {
        let AttentionSequence { query_start, n_queries, prefix, own } = *sequence;
        (0..n_queries).step_by(most).map(move |first| QueryTile {
            query_start: (query_start + first) as u32,
            n_queries: most.min(n_queries - first) as u32,
            prefix_start: prefix.start as u32,
            prefix_len: prefix.len as u32,
            own_start: own.start as u32,
            n_own_seen: (own.len - n_queries + first + 1) as u32,
        })
    });
    // Long work first, so that no block is left alone at the end; which block has which tile changes no result.
    let mut tiles: Vec<QueryTile> = tiles.collect();
    tiles.sort_by_key(|tile| std::cmp::Reverse(tile.prefix_len + tile.n_own_seen));
    tiles
}

/// Cuts the rows of keys where a span begins or ends, so that all keys of a segment are seen by the same sequences, and
/// segments into tiles.
fn key_plan(sequences: &[AttentionSequence], most: usize) -> KeyPlan {
    let end = |span: KeySpan| span.start + span.len;
    let mut cuts = BTreeSet::new();
    for sequence in sequences.iter().filter(|sequence| sequence.n_queries > 0) {
        for span in [sequence.prefix, sequence.own].into_iter().filter(|span| span.len > 0) {
            cuts.extend([span.start, end(span)]);
        }
    }
    let cuts: Vec<usize> = cuts.into_iter().collect();
    let mut plan = KeyPlan::default();
    for (&first, &last) in cuts.iter().zip(cuts.iter().skip(1)) {
        let holds = |span: KeySpan| span.start <= first && last <= end(span) && span.len > 0;
        for key_start in (first..last).step_by(most) {
            let viewers_start = plan.viewers.len();
            for sequence in sequences.iter().filter(|sequence| sequence.n_queries > 0) {
                let AttentionSequence { query_start, n_queries, prefix, own } = *sequence;
                let viewer = |offset| Viewer {
                    query_start: query_start as u32,
                    n_queries: n_queries as u32,
                    offset,
                };
                if holds(prefix) {
                    // Key numbers of a tile are below `most`, so that every query sees all.
                    plan.viewers.push(viewer(-(most as i32)));
                }
                if holds(own) {
                    // Own key j is seen by the queries from j - (own.len - n_queries) on.
                    let index = (key_start - own.start) as i64 - (own.len - n_queries) as i64;
                    plan.viewers.push(viewer(index as i32));
                }
            }
            let n_viewers = plan.viewers.len() - viewers_start;
            if n_viewers > 0 {
                plan.tiles.push(KeyTile {
                    key_start: key_start as u32,
                    n_keys: most.min(last - key_start) as u32,
                    viewers_start: viewers_start as u32,
                    n_viewers: n_viewers as u32,
                });
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sequences whose queries follow each other and whose keys are anywhere.
    fn sequences() -> impl Strategy<Value = Vec<AttentionSequence>> {
        let one = (0_usize..6, 0_usize..5, 0_usize..20, 0_usize..9, 0_usize..20);
        prop::collection::vec(one, 0..6).prop_map(|all| {
            let mut query_start = 0;
            all.into_iter()
                .map(|(n_queries, more, prefix, prefix_len, own)| {
                    let sequence = AttentionSequence {
                        query_start,
                        n_queries,
                        prefix: KeySpan { start: prefix, len: prefix_len },
                        own: KeySpan { start: own, len: n_queries + more },
                    };
                    query_start += n_queries;
                    sequence
                })
                .collect()
        })
    }

    /// Pairs of a query row and a key row it sees, as often as it does.
    fn seen(sequences: &[AttentionSequence]) -> Vec<(usize, usize)> {
        let mut seen = Vec::new();
        for sequence in sequences {
            let AttentionSequence { query_start, n_queries, prefix, own } = *sequence;
            for query in 0..n_queries {
                let n_own = own.len - n_queries + query + 1;
                seen.extend((0..prefix.len).map(|key| (query_start + query, prefix.start + key)));
                seen.extend((0..n_own).map(|key| (query_start + query, own.start + key)));
            }
        }
        seen.sort_unstable();
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn query_tiles_see_what_sequences_see(sequences in sequences(), most in 1_usize..7) {
            let mut found = Vec::new();
            for tile in query_tiles(&sequences, most) {
                prop_assert!((1..=most as u32).contains(&tile.n_queries));
                for query in 0..tile.n_queries {
                    let row = (tile.query_start + query) as usize;
                    let prefix = tile.prefix_start..tile.prefix_start + tile.prefix_len;
                    let own = tile.own_start..tile.own_start + tile.n_own_seen + query;
                    found.extend(prefix.chain(own).map(|key| (row, key as usize)));
                }
            }
            found.sort_unstable();
            prop_assert_eq!(found, seen(&sequences));
        }

        #[test]
        fn key_tiles_are_seen_by_those_who_see_them(sequences in sequences(), most in 1_usize..7) {
            let plan = key_plan(&sequences, most);
            let mut found = Vec::new();
            for tile in &plan.tiles {
                prop_assert!((1..=most as u32).contains(&tile.n_keys));
                let viewers = tile.viewers_start as usize..;
                for viewer in &plan.viewers[viewers][..tile.n_viewers as usize] {
                    for query in 0..viewer.n_queries as i32 {
                        for key in (0..tile.n_keys as i32).filter(|key| query >= key + viewer.offset) {
                            let row = viewer.query_start as usize + query as usize;
                            found.push((row, tile.key_start as usize + key as usize));
                        }
                    }
                }
            }
            found.sort_unstable();
            prop_assert_eq!(found, seen(&sequences));
        }
    }
}
