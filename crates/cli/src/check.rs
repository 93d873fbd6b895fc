//! `azr plugins check`: engines under the conformance kit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use azr_host::{CheckSettings, Host, HostError, Origin};
use azr_plugin::conformance::{self, Check as Checked, Outcome, Report};
use azr_plugin::{EngineKind, ErrorCode, ModelSpec, PluginError};
use azr_run::{NANO, Profile, RunConfig};
use serde_json::{Value, json};

use crate::args::{Check, Format};
use crate::{engines, models, print};

/// The checks of one plugin file or one engine.
struct Section {
    /// `plugin FILE`, or kind and name of the engine.
    subject: String,
    report: Report,
}

/// Prints a table for each engine. Returns whether no check failed.
pub(crate) fn run(command: &Check, files: &[PathBuf], format: Format) -> Result<bool> {
    let limit = Duration::from_secs(command.timeout);
    let mut sections = Vec::new();
    let mut host = engines::host(files)?;
    if let Some(file) = &command.file {
        let (section, loaded) = load(host, file, limit)?;
        sections.push(section);
        let Some(loaded) = loaded else { return show(&sections, format) };
        host = loaded;
    }
    let chosen = chosen(command, &host)?;
    let host = Arc::new(host);
    for (kind, name) in chosen {
        let settings = settings(command, &host, kind, &name)?;
        let report = host.check(kind, &name, &settings)?;
        sections.push(Section { subject: format!("{kind} {name}"), report });
    }
    show(&sections, format)
}

/// Loads the file as one check: what is wrong with a plugin is what was asked for, and no error of this command.
fn load(mut host: Host, file: &Path, limit: Duration) -> Result<(Section, Option<Host>)> {
    let path = file.to_owned();
    let (check, loaded) = conformance::check("manifest, layout and loading", limit, move || {
        // What cannot even be read is wrong usage.
        match host.load_file(&path) {
            Err(error @ (HostError::Read { .. } | HostError::NotAFile { .. })) => Ok(Err(error)),
            Err(error) => Err(error.to_string()),
            Ok(()) => Ok(Ok(host)),
        }
    });
    let subject = format!("plugin {}", file.display());
    let section = Section { subject, report: Report { checks: vec![check] } };
    Ok((section, loaded.transpose()?))
}

/// The engines to be checked, in the order of kinds and names.
fn chosen(command: &Check, host: &Host) -> Result<Vec<(EngineKind, String)>> {
    let is_wanted = |origin: &Origin| match (&command.file, origin) {
        (Some(file), Origin::File(path)) => path == file,
        (None, Origin::BuiltIn) => command.builtin,
        _ => false,
    };
    if command.engines.is_empty() {
        let wanted = host.list().into_iter().filter(|engine| is_wanted(&engine.origin));
        return Ok(wanted.map(|engine| (engine.kind, engine.name)).collect());
    }
    let parse = |text: &String| {
        let (kind, name) = text.split_once('/').unwrap_or_default();
        let kind = EngineKind::ALL.into_iter().find(|known| known.as_str() == kind);
        let kind = kind.ok_or_else(|| {
            let kinds = EngineKind::ALL.map(EngineKind::as_str).join(", ");
            usage(format!("`{text}` names no engine"))
                .with_hint(format!("write KIND/NAME, for example domain/code; kinds are {kinds}"))
        })?;
        host.info(kind, name)?;
        Ok((kind, name.to_owned()))
    };
    command.engines.iter().map(parse).collect()
}

/// What an engine is checked with.
fn settings(command: &Check, host: &Host, kind: EngineKind, name: &str) -> Result<CheckSettings> {
    let mut options = match &command.options {
        None => json!({}),
        Some(text) => serde_json::from_str(text)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| anyhow!(usage(format!("--options is no JSON object: {text}"))))?,
    };
    let (mut executor, mut model) = (None, None);
    match kind {
        EngineKind::Domain => {
            let choice = RunConfig::of_profile(Profile::Robust).executor;
            executor = Some(engines::executor(host, &choice)?);
        }
        EngineKind::Backend => model = Some(nano(host)?),
        EngineKind::Tokenizer => {
            let path = models::local(NANO, true)?;
            let reads_models =
                host.info(kind, name)?.options_schema["properties"]["model"].is_object();
            if let Some(options) = options.as_object_mut().filter(|_| reads_models) {
                options.entry("model").or_insert_with(|| json!(path));
            }
        }
        EngineKind::Executor | EngineKind::Optimizer => {}
    }
    Ok(CheckSettings { options, executor, model, limit: Duration::from_secs(command.timeout) })
}

/// The built-in model, as a run opens it.
fn nano(host: &Host) -> Result<ModelSpec> {
    let path = models::local(NANO, true)?;
    let choice = RunConfig::of_profile(Profile::Nano).tokenizer;
    let tokenizer = host.create_tokenizer(&choice.name, json!({"model": path}))?;
    let (vocabulary, eos) = (tokenizer.vocabulary()?, tokenizer.info().eos);
    Ok(ModelSpec { path, vocabulary, eos, learns: true })
}

fn usage(message: String) -> PluginError {
    PluginError::new(ErrorCode::InvalidConfig, message)
}

fn show(sections: &[Section], format: Format) -> Result<bool> {
    let is_well = sections.iter().all(|section| section.report.passed());
    match format {
        Format::Json => print::json(&json!({
            "passed": is_well,
            "subjects": sections.iter().map(as_json).collect::<Vec<_>>(),
        }))?,
        Format::Text => {
            for Section { subject, report } in sections {
                print::data(print::escaped(&format!("{subject}\n{report}\n")));
            }
            let checks = || sections.iter().flat_map(|section| &section.report.checks);
            let count = |wanted: fn(&Outcome) -> bool| {
                checks().filter(|check| wanted(&check.outcome)).count()
            };
            print::data(format!(
                "{} passed, {} failed, {} skipped",
                count(|outcome| *outcome == Outcome::Passed),
                count(|outcome| matches!(outcome, Outcome::Failed(_))),
                count(|outcome| matches!(outcome, Outcome::Skipped(_))),
            ));
        }
    }
    Ok(is_well)
}

fn as_json(section: &Section) -> Value {
    let check = |Checked { name, outcome }: &Checked| {
        let (outcome, why) = match outcome {
            Outcome::Passed => ("passed", None),
            Outcome::Failed(why) => ("failed", Some(why)),
            Outcome::Skipped(why) => ("skipped", Some(why)),
        };
        json!({"name": name, "outcome": outcome, "why": why})
    };
    json!({
        "subject": section.subject,
        "passed": section.report.passed(),
        "checks": section.report.checks.iter().map(check).collect::<Vec<_>>(),
    })
}
