//! Gradients of what is trained: every parameter, or the adapters alone.

use std::collections::BTreeMap;

use azr_weights::Projection;

use crate::device::{Device, DeviceResult, Tensor, TensorMut};
use crate::lora::Pair;
use crate::parameters::{LayerParameters, Parameters};

/// Gradients, in the order of what is trained.
pub(crate) enum Gradients<D: Device> {
    /// Of every parameter.
    All(Parameters<D>),
    /// Of the adapters of each layer; the model's own parameters have none.
    Adapters(Vec<BTreeMap<Projection, Pair<D>>>),
}

/// The gradients of one layer.
pub(crate) enum LayerGradients<'a, D: Device> {
    All(&'a mut LayerParameters<D>),
    Adapters(&'a mut BTreeMap<Projection, Pair<D>>),
}

impl<D: Device> Gradients<D> {
    /// The gradient of each trained tensor.
    pub(crate) fn tensors(&self) -> Vec<Tensor<'_, D>> {
        match self {
            Self::All(parameters) => parameters.tensors(),
            Self::Adapters(layers) => {
                layers.iter().flat_map(BTreeMap::values).flat_map(Pair::tensors).collect()
            }
        }
    }

    fn tensors_mut(&mut self) -> Vec<TensorMut<'_, D>> {
        match self {
            Self::All(parameters) => parameters.tensors_mut(),
            Self::Adapters(layers) => layers
                .iter_mut()
                .flat_map(BTreeMap::values_mut)
                .flat_map(Pair::tensors_mut)
                .collect(),
        }
    }

    /// Sets every value to 0.
    pub(crate) fn clear(&mut self, device: &D) -> DeviceResult<()> {
        for tensor in self.tensors_mut() {
            match tensor {
                TensorMut::Vector(vector) => device.clear(vector)?,
                TensorMut::Matrix(matrix) => device.matrix_clear(matrix)?,
            }
        }
        Ok(())
    }

    /// The gradient of the matrix that maps the final state to logits, if it is trained.
    pub(crate) fn head_mut(&mut self) -> Option<&mut D::Matrix> {
        match self {
            Self::All(parameters) => Some(parameters.head_mut()),
            Self::Adapters(_) => None,
        }
    }

    /// The gradient of the embedding, if it is trained.
    pub(crate) fn embedding_mut(&mut self) -> Option<&mut D::Matrix> {
        match self {
            Self::All(parameters) => Some(&mut parameters.embedding),
            Self::Adapters(_) => None,
        }
    }

    /// The gradient of the final norm's gain, or `unused` if it is not trained.
    pub(crate) fn final_norm_or<'a>(&'a mut self, unused: &'a mut D::Buffer) -> &'a mut D::Buffer {
        match self {
            Self::All(parameters) => &mut parameters.final_norm,
            Self::Adapters(_) => unused,
        }
    }

    /// The gradients of one layer.
    pub(crate) fn layer_mut(&mut self, index: usize) -> LayerGradients<'_, D> {
        match self {
            Self::All(parameters) => LayerGradients::All(&mut parameters.layers[index]),
            Self::Adapters(layers) => LayerGradients::Adapters(&mut layers[index]),
        }
    }
}

impl<D: Device> LayerGradients<'_, D> {
    /// The gradient of the gain before attention, or `unused` if it is not trained.
    pub(crate) fn attention_norm_or<'a>(
        &'a mut self,
        unused: &'a mut D::Buffer,
    ) -> &'a mut D::Buffer {
        match self {
            Self::All(layer) => &mut layer.attention_norm,
            Self::Adapters(_) => unused,
        }
    }

    /// The gradient of the gain before the MLP, or `unused` if it is not trained.
    pub(crate) fn mlp_norm_or<'a>(&'a mut self, unused: &'a mut D::Buffer) -> &'a mut D::Buffer {
        match self {
            Self::All(layer) => &mut layer.mlp_norm,
            Self::Adapters(_) => unused,
        }
    }
}
