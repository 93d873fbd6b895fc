//! `azr model`, and finding the model of a run.

use std::path::{Path, PathBuf};

use anyhow::Result;
use azr_weights::models::{self, MODELS, PullProgress};
use azr_weights::{Inspection, inspect};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::args::{Format, Model};
use crate::{nano, print};

pub(crate) fn run(command: &Model, format: Format) -> Result<()> {
    match command {
        Model::Pull { model } => {
            let path = pull(model)?;
            match format {
                Format::Text => print::data(path.display()),
                Format::Json => print::json(&json!({"model": model, "path": path}))?,
            }
            Ok(())
        }
        Model::Inspect { model } => show(&inspect(&local(model, true)?)?, format),
        Model::Merge { model, adapters, out } => {
            let base = local(model, true)?;
            azr_weights::merge_adapters(&base, adapters, out)?;
            if !out.join("tokenizer.json").is_file() {
                print::note("the merged model has no tokenizer: put a tokenizer.json beside it");
            }
            match format {
                Format::Text => print::data(out.display()),
                Format::Json => print::json(&json!({"model": model, "path": out}))?,
            }
            Ok(())
        }
        Model::List => list(format),
    }
}

/// The path of a run's model. One that has a name and is not here is fetched, and that is said, unless `offline`.
pub(crate) fn local(model: &str, offline: bool) -> Result<PathBuf> {
    if let Some(folder) = nano::unpacked(model)? {
        return Ok(folder);
    }
    let is_fetchable = model.starts_with("hf:") || MODELS.iter().any(|named| named.name == model);
    match models::resolve(model) {
        Err(_) if is_fetchable && !offline && !Path::new(model).exists() => pull(model),
        found => Ok(found?),
    }
}

/// Fetches a model; one that is here already is only checked.
fn pull(model: &str) -> Result<PathBuf> {
    let size = MODELS.iter().find(|named| named.name == model).map_or(String::new(), |named| {
        format!(" ({:.0} MB, licence {})", named.n_bytes as f64 / 1e6, named.license)
    });
    if models::resolve(model).is_err() {
        let folder = models::models_dir()?;
        print::note(format!("fetching {model}{size} into {}", folder.display()));
    }
    let bar = ProgressBar::no_length();
    let style = "{msg:40!} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
    bar.set_style(ProgressStyle::with_template(style)?.progress_chars("=> "));
    let path = models::pull(model, &mut |progress: PullProgress| {
        bar.set_message(print::escaped(&progress.what));
        if let Some(total) = progress.total_bytes {
            bar.set_length(total);
        }
        bar.set_position(progress.done_bytes);
    })?;
    bar.finish_and_clear();
    print::note(format!("{model} is complete and checked: {}", path.display()));
    Ok(path)
}

fn show(inspection: &Inspection, format: Format) -> Result<()> {
    if format == Format::Json {
        return print::json(inspection);
    }
    let c = &inspection.config;
    let tied = if c.tie_word_embeddings { "tied" } else { "separate output matrix" };
    let types: Vec<String> =
        inspection.tensor_types.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let rows = [
        ("path", inspection.path.display().to_string()),
        ("format", format!("{}, {:.1} MB", inspection.format, inspection.n_bytes as f64 / 1e6)),
        ("family", format!("{:?}", c.family).to_lowercase()),
        ("parameters", format!("{:.1} M", inspection.n_parameters as f64 / 1e6)),
        (
            "layers",
            format!(
                "{} of width {}, feed-forward {}",
                c.n_layers, c.hidden_size, c.intermediate_size
            ),
        ),
        ("heads", format!("{} query, {} key-value, width {}", c.n_heads, c.n_kv_heads, c.head_dim)),
        ("vocabulary", format!("{}, {tied}", c.vocab_size)),
        ("context", format!("{} tokens, RoPE base {}", c.context_length, c.rope_theta)),
        ("tensors", types.join(", ")),
        ("tokenizer", inspection.tokenizer.clone().unwrap_or_else(|| "none".to_owned())),
        ("chat template", if inspection.has_chat_template { "yes" } else { "no" }.to_owned()),
    ];
    for (name, value) in rows {
        print::data(print::escaped(&format!("{name:<14} {value}")));
    }
    Ok(())
}

fn list(format: Format) -> Result<()> {
    let here = |name: &str| models::resolve(name).ok();
    let license = "MIT/Apache";
    let description = "made by `cargo xtask pretrain-nano`, part of this binary";
    if format == Format::Json {
        let nano = json!({
            "name": azr_run::NANO, "description": description, "license": "MIT OR Apache-2.0",
            "n_bytes": nano::n_bytes(),
        });
        // It has no path before it is used.
        let nano = [json!({"model": nano, "path": null})];
        let named = MODELS.iter().map(|m| json!({"model": m, "path": here(m.name)}));
        return print::json(&nano.into_iter().chain(named).collect::<Vec<_>>());
    }
    print::data(format!(
        "{:<20} {:>6.0} MB  {:<5} {license:<11} {description}",
        azr_run::NANO,
        nano::n_bytes() as f64 / 1e6,
        "here",
    ));
    for m in MODELS {
        let mark = if here(m.name).is_some() { "here" } else { "-" };
        print::data(format!(
            "{:<20} {:>6.0} MB  {:<5} {:<11} {}",
            m.name,
            m.n_bytes as f64 / 1e6,
            mark,
            m.license,
            m.description
        ));
    }
    Ok(())
}
