//! The nano model's shape, its first weights, and its last ones in half precision.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use azr_weights::{Family, ModelConfig, ModelFile, write_hf_directory};
use half::f16;
use safetensors::tensor::{Dtype, TensorView};

use crate::draw::Draws;
use crate::pretrain::Recipe;

/// Makes the draws of weights differ from those of documents.
const WEIGHTS: u64 = 0x5745_4947_4854;
/// Of the embedding, which is the output matrix as well: small, so that the first predictions are near uniform.
const EMBEDDING_DEVIATION: f64 = 0.05;
/// Width of one attention head.
const HEAD_DIM: usize = 32;
/// Longest sequence in tokens.
pub(crate) const CONTEXT: usize = 1_024;

/// The shape that `recipe` asks for: a Llama with tied embeddings.
pub(crate) fn config(recipe: &Recipe, vocab_size: usize) -> ModelConfig {
    let hidden = recipe.hidden_size;
    ModelConfig {
        family: Family::Llama,
        hidden_size: hidden,
        intermediate_size: hidden * 8 / 3,
        n_layers: recipe.n_layers,
        n_heads: hidden / HEAD_DIM,
        n_kv_heads: hidden / HEAD_DIM,
        head_dim: HEAD_DIM,
        vocab_size,
        context_length: CONTEXT,
        rope_theta: 10_000.0,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        qkv_bias: false,
    }
}

/// Matrices from a normal distribution whose variance is one over their inputs, so that even a narrow model has attention
/// scores of order one from the start and copying is learned early; those that write into the residual stream are smaller
/// by the root of twice the layers (GPT-2). Gains of 1.
pub(crate) fn write_first_weights(config: &ModelConfig, seed: u64, folder: &Path) -> Result<()> {
    let depth = (2.0 * config.n_layers as f64).sqrt();
    let mut tensors = (0_u64..).zip(config.tensors()).map(|(number, spec)| {
        let n: usize = spec.shape.iter().product();
        let mut draws = Draws::of(seed ^ WEIGHTS, number);
        let n_inputs = spec.shape.last().copied().unwrap_or(1) as f64;
        let deviation = match spec.name.as_str() {
            name if name.contains("embed") => EMBEDDING_DEVIATION,
            name if name.contains("o_proj") || name.contains("down_proj") => {
                1.0 / n_inputs.sqrt() / depth
            }
            _ => 1.0 / n_inputs.sqrt(),
        };
        let values = match spec.shape.len() {
            1 => vec![1.0; n],
            _ => (0..n).map(|_| (draws.normal() * deviation) as f32).collect(),
        };
        anyhow::Ok((spec.name, spec.shape, values))
    });
    Ok(write_hf_directory(folder, config, &mut tensors)?)
}

/// Writes the float32 weights of the model in `from` in half precision.
pub(crate) fn write_half(from: &Path, file: &Path) -> Result<()> {
    let model = ModelFile::open(from)?;
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for spec in model.config().tensors() {
        let values = model.read_f32(&spec.name)?;
        let bytes = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        tensors.insert(spec.name, (spec.shape, bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, (shape, bytes))| {
            Ok((name, TensorView::new(Dtype::F16, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = Some([("format".to_owned(), "pt".to_owned())].into());
    Ok(safetensors::serialize_to_file(views, metadata, file)?)
}
