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
    /// Where its sums go if it has a part of the viewers of its keys, or [`NO_SLOT`].
    pub(crate) slot: u32,
}

/// The slot of a tile that has all viewers of its keys.
const NO_SLOT: u32 = u32::MAX;
/// Most queries that the viewers of one tile have together, but for a single viewer that has more: a prompt of many samples
/// would keep one block busy long after all others.
const PART_QUERIES: usize = 2048;

/// Consecutive rows of keys whose sums are in several slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, NoUninit)]
#[repr(C)]
pub(crate) struct KeyParts {
    pub(crate) key_start: u32,
    pub(crate) n_keys: u32,
    pub(crate) slots_start: u32,
    pub(crate) n_slots: u32,
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
    pub(crate) parts: Vec<KeyParts>,
    pub(crate) n_slots: usize,
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
        let (_, plan) =
            cached.unwrap_or_else(|| (most, Arc::new(KeyPlan::new(sequences, most, PART_QUERIES))));
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
        let (_, plan) = cached.unwrap_or_else(|| {
            (group, Arc::new(DecodePlan::new(sequences, group, MMA_ROWS).padded()))
        });
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

impl KeyPlan {
    /// Cuts the rows of keys where a span begins or ends, so that all keys of a segment are seen by the same sequences,
    /// segments into tiles of at most `most` keys, and the viewers of a tile into parts of at most `part_queries` queries.
    fn new(sequences: &[AttentionSequence], most: usize, part_queries: usize) -> Self {
        let sequences: Vec<_> =
            sequences.iter().filter(|sequence| sequence.n_queries > 0).collect();
        let mut cuts = BTreeSet::new();
        for sequence in &sequences {
            for span in [sequence.prefix, sequence.own].into_iter().filter(|span| span.len > 0) {
                cuts.extend([span.start, span.start + span.len]);
            }
        }
        let cuts: Vec<usize> = cuts.into_iter().collect();
        let mut plan = Self::default();
        for (&first, &last) in cuts.iter().zip(cuts.iter().skip(1)) {
            for key_start in (first..last).step_by(most) {
                let n_keys = most.min(last - key_start);
                let viewers =
                    sequences.iter().flat_map(|sequence| viewers(sequence, key_start, most));
                plan.push_tile(key_start, n_keys, viewers.collect(), part_queries);
            }
        }
        // Long work first, as of tiles of queries.
        let queries = |tile: &KeyTile| -> u32 {
            let viewers = &plan.viewers[tile.viewers_start as usize..][..tile.n_viewers as usize];
            viewers.iter().map(|viewer| viewer.n_queries).sum()
        };
        plan.tiles.sort_by_cached_key(|tile| std::cmp::Reverse(queries(tile) * tile.n_keys));
        plan
    }

    fn push_tile(
        &mut self,
        key_start: usize,
        n_keys: usize,
        viewers: Vec<Viewer>,
        part_queries: usize,
    ) {
        let first_tile = self.tiles.len();
        let mut n_queries = 0;
        for viewer in viewers {
            n_queries += viewer.n_queries as usize;
            if self.tiles.len() == first_tile || n_queries > part_queries {
                n_queries = viewer.n_queries as usize;
                self.tiles.push(KeyTile {
                    key_start: key_start as u32,
                    n_keys: n_keys as u32,
                    viewers_start: self.viewers.len() as u32,
                    n_viewers: 0,
                    slot: NO_SLOT,
                });
            }
            self.viewers.push(viewer);
            if let Some(tile) = self.tiles.last_mut() {
                tile.n_viewers += 1;
            }
        }
        let parts = &mut self.tiles[first_tile..];
        if parts.len() < 2 {
            return;
        }
        self.parts.push(KeyParts {
            key_start: key_start as u32,
            n_keys: n_keys as u32,
            slots_start: self.n_slots as u32,
            n_slots: parts.len() as u32,
        });
        for part in parts {
            part.slot = self.n_slots as u32;
            self.n_slots += 1;
        }
    }
}

/// How a sequence sees the tile of at most `most` keys from `key_start` on: as its prefix, its own keys, both or not at all.
fn viewers(
    sequence: &AttentionSequence,
    key_start: usize,
    most: usize,
) -> impl Iterator<Item = Viewer> + use<> {
    let AttentionSequence { query_start, n_queries, prefix, own } = *sequence;
    // No span begins or ends within a tile.
    let holds = |span: KeySpan| (span.start..span.start + span.len).contains(&key_start);
    let viewer = move |offset| Viewer {
        query_start: query_start as u32,
        n_queries: n_queries as u32,
        offset,
    };
    // Key numbers of a tile are below `most`, so that every query sees all of a prefix.
    let as_prefix = holds(prefix).then(|| viewer(-(most as i32)));
    // Own key j is seen by the queries from j - (own.len - n_queries) on.
    let as_own = holds(own).then(|| {
        let index = (key_start - own.start) as i64 - (own.len - n_queries) as i64;
        viewer(index as i32)
    });
    [as_prefix, as_own].into_iter().flatten()
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
        fn key_tiles_are_seen_by_those_who_see_them(
            sequences in sequences(),
            most in 1_usize..7,
            part_queries in 1_usize..12,
        ) {
            let plan = KeyPlan::new(&sequences, most, part_queries);
            let mut found = Vec::new();
            let mut slots = BTreeSet::new();
            for tile in &plan.tiles {
                prop_assert!((1..=most as u32).contains(&tile.n_keys));
                prop_assert!(tile.slot == NO_SLOT || slots.insert(tile.slot), "a slot has two tiles");
                if let Some(parts) = plan.parts.iter().find(|parts| {
                    (parts.slots_start..parts.slots_start + parts.n_slots).contains(&tile.slot)
                }) {
                    prop_assert_eq!((parts.key_start, parts.n_keys), (tile.key_start, tile.n_keys));
                } else {
                    prop_assert_eq!(tile.slot, NO_SLOT);
                }
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
            prop_assert_eq!(slots, (0..plan.n_slots as u32).collect());
        }
    }
}
