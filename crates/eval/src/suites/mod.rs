//! The benchmarks by name, and where their data are looked for.

pub mod code;
mod math;
mod tasks;

use std::path::{Path, PathBuf};

use azr_weights::models::content_sha256;
use serde::{Deserialize, Serialize};

pub use math::MathSuite;
pub use tasks::TaskSuite;

use crate::{EvalError, Result, Suite};

/// Where the items of a suite came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name of the file, or of a built-in set.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// How the suite differs from the benchmark that it is named after, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A suite and where its items came from.
pub struct Opened {
    /// The suite.
    pub suite: Box<dyn Suite>,
    /// Where its items came from.
    pub source: Source,
    /// Whether it runs programs that import what they like, so that its executor should allow it: the sandbox is in
    /// force all the same.
    pub runs_programs: bool,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.suite.name();
        f.debug_struct("Opened").field("suite", &name).field("source", &self.source).finish()
    }
}

/// A benchmark that is read from a file.
struct Benchmark {
    name: &'static str,
    /// Names of its file, any of them; each may also end with `.gz`.
    files: &'static [&'static str],
    /// Whether programs run that import what they like.
    runs_programs: bool,
    open: fn(&'static str, &Path) -> Result<Box<dyn Suite>>,
}

const BENCHMARKS: [Benchmark; 12] = [
    of_code("humaneval+", &["HumanEvalPlus.jsonl"], |_, path| boxed(code::humaneval::open(path))),
    of_code("mbpp+", &["MbppPlus.jsonl"], |_, path| boxed(code::mbpp::open(path))),
    of_code("cruxeval-o", &["cruxeval.jsonl"], |_, path| boxed(code::cruxeval::open_output(path))),
    of_code("cruxeval-i", &["cruxeval.jsonl"], |_, path| boxed(code::cruxeval::open_input(path))),
    of_code("livecodebench-execution", &["livecodebench_execution.jsonl"], |_, path| {
        boxed(code::livecodebench::open(path))
    }),
    of_math("gsm8k", &["gsm8k_test.jsonl", "gsm8k.jsonl"]),
    of_math("math500", &["math500.jsonl"]),
    of_math("amc23", &["amc23.jsonl"]),
    of_math("aime24", &["aime24.jsonl"]),
    of_math("aime25", &["aime25.jsonl"]),
    of_math("minerva", &["minerva_math.jsonl", "minerva.jsonl"]),
    of_math("olympiadbench", &["olympiadbench.jsonl"]),
];

const fn of_code(
    name: &'static str,
    files: &'static [&'static str],
    open: fn(&'static str, &Path) -> Result<Box<dyn Suite>>,
) -> Benchmark {
    Benchmark { name, files, runs_programs: true, open }
}

const fn of_math(name: &'static str, files: &'static [&'static str]) -> Benchmark {
    Benchmark {
        name,
        files,
        runs_programs: false,
        open: |name, path| boxed(MathSuite::open(name, path)),
    }
}

fn boxed(suite: Result<impl Suite + 'static>) -> Result<Box<dyn Suite>> {
    Ok(Box::new(suite?))
}

/// Names of the benchmarks that are read from files.
pub fn names() -> impl Iterator<Item = &'static str> {
    BENCHMARKS.iter().map(|benchmark| benchmark.name)
}

/// Whether the folder `data` has the file of the benchmark `name`.
pub fn is_here(name: &str, data: &Path) -> bool {
    BENCHMARKS.iter().any(|benchmark| benchmark.name == name && benchmark.find(data).is_some())
}

/// Opens the benchmark `name` from its file in the folder `data`. `built_in` are names of other suites that the caller
/// knows, for what an error says.
///
/// # Errors
/// There is no such benchmark, its file is not there, or a line of it is broken.
pub fn open(name: &str, data: Option<&Path>, built_in: &[&'static str]) -> Result<Opened> {
    let Some(benchmark) = BENCHMARKS.iter().find(|benchmark| benchmark.name == name) else {
        let others = names().filter(|name| !built_in.contains(name));
        let known: Vec<&str> = built_in.iter().copied().chain(others).collect();
        let nearest = known.iter().map(|other| (strsim::jaro_winkler(name, other), *other));
        let nearest = nearest.filter(|(likeness, _)| *likeness > 0.75);
        let meant = nearest
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(String::new(), |(_, near)| format!("; did you mean `{near}`?"));
        let message = format!("there is no suite `{name}`{meant}");
        return Err(EvalError::usage(message, format!("known are {}", known.join(", "))));
    };
    let files = benchmark.files.join("` or `");
    let Some(folder) = data else {
        return Err(EvalError::usage(
            format!("suite `{name}` is read from a file"),
            format!("name the folder with `{files}` in it (or with .gz) by `--data DIR`"),
        ));
    };
    let Some(path) = benchmark.find(folder) else {
        return Err(EvalError::usage(
            format!("the data of suite `{name}` are not in `{}`", folder.display()),
            format!("put `{files}` there, or the same with .gz; docs/evaluation.md has the format"),
        ));
    };
    let file = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
    let source = Source { file, sha256: content_sha256(&path)?, variant: None };
    let suite = (benchmark.open)(benchmark.name, &path)?;
    Ok(Opened { suite, source, runs_programs: benchmark.runs_programs })
}

impl Benchmark {
    /// Its file in `folder`, also as `<name>/test.jsonl`, where the evaluation of Qwen2.5-Math keeps it.
    fn find(&self, folder: &Path) -> Option<PathBuf> {
        let nested = format!("{}/test.jsonl", self.name);
        let files = self.files.iter().copied().chain([nested.as_str()]);
        let paths = files.flat_map(|file| [folder.join(file), folder.join(format!("{file}.gz"))]);
        paths.into_iter().find(|path| path.is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT_IN: &[&str] = &["heldout"];

    #[test]
    fn an_unknown_suite_is_told_what_there_is_and_what_is_near() {
        let error = |name| open(name, None, BUILT_IN).unwrap_err().to_string();
        let text = error("gsm8");
        assert!(text.contains("did you mean `gsm8k`?") && text.contains("heldout, "), "{text}");
        assert!(error("held-out").contains("did you mean `heldout`?"));
        assert!(!error("zzz").contains("did you mean"), "{}", error("zzz"));
    }

    #[test]
    fn a_missing_file_is_named_with_where_it_is_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let text = open("gsm8k", None, BUILT_IN).unwrap_err().to_string();
        assert!(text.contains("--data") && text.contains("gsm8k_test.jsonl"), "{text}");
        let text = open("aime24", Some(folder.path()), BUILT_IN).unwrap_err().to_string();
        assert!(text.contains("aime24.jsonl") && text.contains(".gz"), "{text}");
        assert!(!is_here("aime24", folder.path()));
        let nested = folder.path().join("aime24");
        std::fs::create_dir(&nested).unwrap();
        std::fs::write(nested.join("test.jsonl"), "{\"problem\": \"1+1\", \"answer\": 2}\n")
            .unwrap();
        let opened = open("aime24", Some(folder.path()), BUILT_IN).unwrap();
        assert!(is_here("aime24", folder.path()));
        assert_eq!(
            (opened.suite.name(), opened.source.file.as_str()),
            ("aime24", "aime24/test.jsonl")
        );
        assert_eq!(opened.source.sha256.len(), 64);
    }
}
