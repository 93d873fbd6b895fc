//! The key-value cache of a wave: one pair of buffers per layer, whose rows are handed out in runs.

use std::collections::BTreeMap;

use azr_weights::ModelConfig;

use crate::device::{ActivationPrecision, Device, DeviceResult};
use crate::model::Model;

/// Keys and values of every layer, in rows.
pub(crate) struct KvCache<D: Device> {
    layers: Vec<(D::Buffer, D::Buffer)>,
}

impl<D: Device> KvCache<D> {
    pub(crate) fn new(model: &Model<D>, n_rows: usize) -> DeviceResult<Self> {
        let len = n_rows * model.config.n_kv_heads * model.config.head_dim;
        let layer = |_| Ok((model.device.activations(len)?, model.device.activations(len)?));
        Ok(Self { layers: (0..model.config.n_layers).map(layer).collect::<DeviceResult<_>>()? })
    }

    /// Copies the rows from `from` on to those from `to` on.
    pub(crate) fn copy_rows(
        &mut self,
        model: &Model<D>,
        from: usize,
        to: usize,
        n_rows: usize,
    ) -> DeviceResult<()> {
        let width = model.config.n_kv_heads * model.config.head_dim;
        for buffer in self.layers.iter_mut().flat_map(|(k, v)| [k, v]) {
            model.device.copy_within(buffer, from * width, to * width, n_rows * width)?;
        }
        Ok(())
    }

    /// Keys and values of one layer.
    pub(crate) fn layer_mut(&mut self, index: usize) -> (&mut D::Buffer, &mut D::Buffer) {
        let (k, v) = &mut self.layers[index];
        (k, v)
    }
}

/// Bytes that one row takes in all layers.
pub(crate) fn cache_bytes_per_row(config: &ModelConfig, precision: ActivationPrecision) -> u64 {
    (config.n_layers * 2 * config.n_kv_heads * config.head_dim * precision.bytes()) as u64
}

/// Hands out runs of consecutive rows, first fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowAllocator {
    /// Length of each free run by its start; never two that touch.
    free: BTreeMap<usize, usize>,
}

impl RowAllocator {
    pub(crate) fn new(n_rows: usize) -> Self {
        let mut allocator = Self { free: BTreeMap::new() };
        allocator.release(0, n_rows);
        allocator
    }

    /// The start of `len` rows that are now the caller's, if that many are free in one run.
    pub(crate) fn allocate(&mut self, len: usize) -> Option<usize> {
        if len == 0 {
            return Some(0);
        }
        let (start, run) =
            self.free.iter().map(|(&start, &run)| (start, run)).find(|&(_, run)| run >= len)?;
        self.free.remove(&start);
        if run > len {
            self.free.insert(start + len, run - len);
        }
        Some(start)
    }

    /// Takes back rows that [`Self::allocate`] handed out.
    pub(crate) fn release(&mut self, mut start: usize, mut len: usize) {
        if len == 0 {
            return;
        }
        if let Some(next) = self.free.remove(&(start + len)) {
            len += next;
        }
        if let Some((&before, &run)) = self.free.range(..start).next_back()
            && before + run == start
        {
            start = before;
            len += run;
        }
        self.free.insert(start, len);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_never_overlap_and_all_come_back(steps in proptest::collection::vec((0_usize..9, any::<bool>()), 0..60)) {
            let mut allocator = RowAllocator::new(30);
            let mut held: Vec<(usize, usize)> = Vec::new();
            for (len, give_back) in steps {
                if give_back && !held.is_empty() {
                    let (start, len) = held.remove(len % held.len());
                    allocator.release(start, len);
                } else if let Some(start) = allocator.allocate(len) {
                    prop_assert!(start + len <= 30);
                    prop_assert!(held.iter().all(|&(s, l)| len == 0 || l == 0 || start + len <= s || s + l <= start));
                    held.push((start, len));
                } else {
                    // Refused: no run of that length is free between the held ones.
                    let mut taken = [false; 30];
                    held.iter().for_each(|&(s, l)| taken[s..s + l].fill(true));
                    prop_assert!(!taken.windows(len).any(|run| run.iter().all(|&t| !t)));
                }
            }
            for (start, len) in held {
                allocator.release(start, len);
            }
            prop_assert_eq!(allocator, RowAllocator::new(30));
        }
    }
}
