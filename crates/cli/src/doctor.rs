//! `azr doctor`: this machine, and what protects it from the programs a model writes.

use std::path::PathBuf;

use anyhow::Result;
use azr_backend_cuda::{About, OpenError};
use azr_run::{Profile, RunConfig};
use serde_json::{Value, json};

use crate::args::Format;
use crate::{engines, print};

pub(crate) fn run(files: &[PathBuf], format: Format, strict_sandbox: bool) -> Result<()> {
    let host = engines::host(files)?;
    let mut choice = RunConfig::of_profile(Profile::Robust).executor;
    if strict_sandbox {
        choice.options.insert("sandbox".to_owned(), "strict".into());
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let models = azr_weights::models::models_dir()?;
    let gpu = azr_backend_cuda::about(0);
    if format == Format::Text {
        // First, because the executor may be what is wrong here.
        print::data(format!(
            "azr {} on {threads} cores, models in {}",
            env!("CARGO_PKG_VERSION"),
            models.display()
        ));
        print::data(print::escaped(&gpu_line(&gpu)));
    }
    let protections = engines::executor(&host, &choice)?.protections();
    if format == Format::Json {
        let protections: Vec<_> = protections
            .iter()
            .map(|p| json!({"name": p.name, "in_force": p.in_force, "detail": p.detail}))
            .collect();
        return print::json(&json!({
            "version": env!("CARGO_PKG_VERSION"), "cores": threads, "models_dir": models,
            "gpu": gpu_json(&gpu), "protections": protections,
        }));
    }
    print::data("\nprograms that a model writes run under:");
    for p in protections {
        let mark = if p.in_force { "yes" } else { "NO " };
        print::data(print::escaped(&format!("  {mark} {:<27} {}", p.name, p.detail)));
    }
    Ok(())
}

/// The first GPU, or why there is none to use.
fn gpu_line(gpu: &Result<About, OpenError>) -> String {
    match gpu {
        Ok(gpu) => format!(
            "GPU: {}, sm_{}{}, {} of {} MiB free, driver for CUDA {}.{}",
            gpu.name,
            gpu.capability.0,
            gpu.capability.1,
            gpu.free_bytes >> 20,
            gpu.total_bytes >> 20,
            gpu.driver.0,
            gpu.driver.1
        ),
        Err(error) => format!("GPU: none for the backend `cuda`: {error} ({})", error.hint()),
    }
}

fn gpu_json(gpu: &Result<About, OpenError>) -> Value {
    match gpu {
        Ok(gpu) => json!({
            "name": gpu.name,
            "capability": [gpu.capability.0, gpu.capability.1],
            "total_bytes": gpu.total_bytes,
            "free_bytes": gpu.free_bytes,
            "driver": [gpu.driver.0, gpu.driver.1],
        }),
        Err(error) => json!({"error": error.to_string(), "hint": error.hint()}),
    }
}
