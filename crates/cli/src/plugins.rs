//! `azr plugins`.

use std::path::PathBuf;

use anyhow::Result;
use azr_host::Origin;
use serde_json::json;

use crate::args::{Format, Plugins};
use crate::{check, engines, print};

/// Returns whether all is well: `check` may end with engines that fail.
pub(crate) fn run(command: &Plugins, files: &[PathBuf], format: Format) -> Result<bool> {
    match command {
        Plugins::List => list(files, format).map(|()| true),
        Plugins::Check(command) => check::run(command, files, format),
    }
}

fn list(files: &[PathBuf], format: Format) -> Result<()> {
    let engines = engines::host(files)?.list();
    let origin = |origin: &Origin| match origin {
        Origin::BuiltIn => "built in".to_owned(),
        Origin::File(path) => path.display().to_string(),
    };
    match format {
        Format::Json => print::json(
            &engines
                .iter()
                .map(|e| {
                    json!({"kind": e.kind.as_str(), "name": e.name, "version": e.version,
                           "origin": origin(&e.origin), "replaces_builtin": e.replaces_builtin,
                           "summary": e.summary})
                })
                .collect::<Vec<_>>(),
        ),
        Format::Text => {
            for e in engines {
                let note = if e.replaces_builtin { " (replaces the built-in one)" } else { "" };
                let row = format!(
                    "{:<10} {:<12} {:<8} {:<10}  {}{note}",
                    e.kind.as_str(),
                    e.name,
                    e.version,
                    origin(&e.origin),
                    e.summary
                );
                print::data(print::escaped(row.trim_end()));
            }
            Ok(())
        }
    }
}
