//! Adapters merged into their model.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use super::{AdapterFile, AdapterSpec, BaseDigest};
use crate::{ModelFile, WeightsError, write_hf_directory};

/// What a model directory has beside its weights and a merged model needs as well.
const COMPANIONS: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "chat_template.jinja",
];

/// Writes the model at `base` with the adapters in `adapters` merged into it as an ordinary Hugging Face directory in
/// float32. The files of the tokenizer beside it are those of the base, or, where that is a GGUF file, those beside the
/// adapters, if any. Products are summed in float64.
///
/// # Errors
/// Files that are absent or damaged, adapters of another model, an `out` that holds something, the file system.
pub fn merge_adapters(base: &Path, adapters: &Path, out: &Path) -> Result<(), WeightsError> {
    // Above all `out` must not be the base: its files would be read and replaced at once.
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        let reason = "the folder is not empty; name one that does not exist yet";
        let error = io::Error::new(io::ErrorKind::AlreadyExists, reason);
        return Err(WeightsError::io("write the merged model to", out)(error));
    }
    let model = ModelFile::open(base)?;
    let config = model.config();
    let file = AdapterFile::open(adapters, config)?;
    let specs = file.config().adapters(config);
    if file.base_digest().is_some() {
        let mut digest = BaseDigest::default();
        for spec in &specs {
            digest.add(&model.read_f32(&spec.weight)?);
        }
        file.check_base(&digest.finish())?;
    }
    let specs: BTreeMap<String, AdapterSpec> =
        specs.into_iter().map(|spec| (spec.weight.clone(), spec)).collect();
    let mut tensors = config.tensors().into_iter().map(|spec| -> Result<_, WeightsError> {
        let mut values = model.read_f32(&spec.name)?;
        if let Some(adapter) = specs.get(&spec.name) {
            let (a, b) = (file.read_f32(&adapter.a.name)?, file.read_f32(&adapter.b.name)?);
            add_product(&mut values, &a, &b, file.config().rank, file.config().scale());
        }
        Ok((spec.name, spec.shape, values))
    });
    write_hf_directory(out, config, &mut tensors)?;
    let companions = if base.is_dir() { base } else { adapters };
    for name in COMPANIONS {
        let from = companions.join(name);
        if from.is_file() {
            fs::copy(&from, out.join(name)).map_err(WeightsError::io("copy", &from))?;
        }
    }
    Ok(())
}

/// `values += scale * B A`.
fn add_product(values: &mut [f32], a: &[f32], b: &[f32], rank: usize, scale: f32) {
    let n_in = a.len() / rank;
    let mut sums = vec![0.0_f64; n_in];
    for (row, b) in values.chunks_exact_mut(n_in).zip(b.chunks_exact(rank)) {
        sums.fill(0.0);
        for (&b, a) in b.iter().zip(a.chunks_exact(n_in)) {
            for (sum, &a) in sums.iter_mut().zip(a) {
                *sum += f64::from(b) * f64::from(a);
            }
        }
        for (value, sum) in row.iter_mut().zip(&sums) {
            *value = (f64::from(*value) + f64::from(scale) * sum) as f32;
        }
    }
}
