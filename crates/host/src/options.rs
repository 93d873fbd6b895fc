//! Checks options against an engine's JSON schema, before any of the engine's code sees them.

use azr_plugin::EngineInfo;
use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::HostError;

/// Longest description of a problem, in characters.
const MAX_PROBLEM_CHARS: usize = 300;

/// Fails on the first option that does not match.
pub(crate) fn check(engine: &EngineInfo, options: &Value) -> Result<(), HostError> {
    let validator =
        jsonschema::validator_for(&engine.options_schema).map_err(|error| HostError::Schema {
            kind: engine.kind,
            name: engine.name.clone(),
            reason: clip(&error.to_string()),
        })?;
    match validator.iter_errors(options).next() {
        None => Ok(()),
        Some(error) => Err(describe(engine, &error)),
    }
}

/// `; did you mean …?` when one of `names` is close to `name`, else nothing.
pub(crate) fn suggest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|&(distance, candidate)| {
            distance <= 1 + name.chars().count().min(candidate.chars().count()) / 4
        })
        .min()
        .map(|(_, candidate)| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}

fn describe(engine: &EngineInfo, error: &ValidationError<'_>) -> HostError {
    let at = error.instance_path().to_string();
    let (pointer, problem, suggestion) = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } if !unexpected.is_empty() => {
            let known = property_names(&engine.options_schema, &at);
            let suggestion = match suggest(&unexpected[0], known.iter().copied()) {
                none if none.is_empty() && known.is_empty() => "\nhint: it has no options".into(),
                none if none.is_empty() => {
                    format!("\nhint: the options are `{}`", known.join("`, `"))
                }
                some => some,
            };
            (format!("{at}/{}", escape(&unexpected[0])), "no such option".into(), suggestion)
        }
        _ => (at, clip(&error.to_string()), String::new()),
    };
    let pointer = if pointer.is_empty() { "/".into() } else { clip(&pointer) };
    HostError::Options {
        kind: engine.kind,
        name: engine.name.clone(),
        pointer,
        problem,
        suggestion,
    }
}

/// The options at the top of the schema; nested objects are described by definitions that are not looked up.
fn property_names<'a>(schema: &'a Value, at: &str) -> Vec<&'a str> {
    let properties =
        if at.is_empty() { schema.get("properties").and_then(Value::as_object) } else { None };
    properties.map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// A key as one part of a JSON pointer (RFC 6901).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn clip(text: &str) -> String {
    text.chars().take(MAX_PROBLEM_CHARS).collect()
}
