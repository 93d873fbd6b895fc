//! A model's weights, and the copies of them in fewer bytes that it may generate with.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use azr_weights::{ModelConfig, Projection};

use crate::device::{CopyFormat, Device, DeviceResult};
use crate::error::{Result, TransformerError};
use crate::memory::{MemoryUse, copy_bytes};
use crate::model::Model;
use crate::parameters::Parameters;

/// Copies of the matrices that generation multiplies with. The lookup of embeddings stays in float32.
pub(crate) struct WeightCopies<D: Device> {
    layers: Vec<BTreeMap<Projection, D::WeightCopy>>,
    head: D::WeightCopy,
}

impl<D: Device> WeightCopies<D> {
    fn zeros(device: &D, config: &ModelConfig, format: CopyFormat) -> DeviceResult<Self> {
        let copy = |projection: Projection| {
            let [n_out, n_in] = projection.shape(config);
            Ok((projection, device.copy_zeros(n_out, n_in, format)?))
        };
        let layer = |_| Projection::ALL.into_iter().map(copy).collect();
        Ok(Self {
            layers: (0..config.n_layers).map(layer).collect::<DeviceResult<_>>()?,
            head: device.copy_zeros(config.vocab_size, config.hidden_size, format)?,
        })
    }

    fn copy_from(&mut self, device: &D, parameters: &Parameters<D>) -> DeviceResult<()> {
        for (copies, layer) in self.layers.iter_mut().zip(&parameters.layers) {
            for (&projection, copy) in copies {
                device.copy_write(copy, &layer.linear(projection).weight)?;
            }
        }
        device.copy_write(&mut self.head, parameters.head())
    }

    /// The copy of one of a layer's matrices.
    pub(crate) fn linear(&self, layer: usize, projection: Projection) -> &D::WeightCopy {
        &self.layers[layer][&projection]
    }

    /// The copy of the matrix that maps the final state to logits.
    pub(crate) fn head(&self) -> &D::WeightCopy {
        &self.head
    }
}

/// The parameters of a model. Whoever may change them, by borrowing them mutably, ends the validity of the copies, so
/// that none is ever used that is not of the current parameters.
pub(crate) struct Weights<D: Device> {
    parameters: Parameters<D>,
    copies: Option<WeightCopies<D>>,
    copies_are_current: bool,
}

impl<D: Device> Weights<D> {
    pub(crate) fn new(parameters: Parameters<D>) -> Self {
        Self { parameters, copies: None, copies_are_current: false }
    }

    /// Copies of the current parameters, if they were made.
    pub(crate) fn copies(&self) -> Option<&WeightCopies<D>> {
        self.copies.as_ref().filter(|_| self.copies_are_current)
    }

    /// Frees the copies.
    pub(crate) fn forget_copies(&mut self) {
        (self.copies, self.copies_are_current) = (None, false);
    }
}

impl<D: Device> Deref for Weights<D> {
    type Target = Parameters<D>;

    fn deref(&self) -> &Parameters<D> {
        &self.parameters
    }
}

impl<D: Device> DerefMut for Weights<D> {
    fn deref_mut(&mut self) -> &mut Parameters<D> {
        self.copies_are_current = false;
        &mut self.parameters
    }
}

impl<D: Device> Model<D> {
    /// Makes the copies that generation uses, if it uses any and they are not those of the current parameters. Memory of
    /// older ones is used again.
    pub(crate) fn refresh_copies(&mut self) -> Result<()> {
        let Some(format) = self.options.rollout_weights else {
            return Ok(());
        };
        if self.weights.copies().is_some() {
            return Ok(());
        }
        if self.weights.copies.is_none() {
            self.check_memory(MemoryUse::RolloutWeights, copy_bytes(&self.config, format))?;
            let copies = WeightCopies::zeros(&*self.device, &self.config, format)
                .map_err(|error| TransformerError::from(error).of(MemoryUse::RolloutWeights))?;
            self.weights.copies = Some(copies);
        }
        let Weights { parameters, copies, copies_are_current } = &mut self.weights;
        if let Some(copies) = copies {
            copies.copy_from(&self.device, parameters)?;
            *copies_are_current = true;
        }
        Ok(())
    }
}
