//! An evaluation on disk: what it was made of, a line for each response, what it came to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use azr_weights::write_file;
use serde::{Deserialize, Serialize};

use crate::{EvalError, Evaluation, Protocol, Record, Result, Source, Suite, Summary, read_lines};

const SETUP: &str = "config.json";
const SUMMARY: &str = "summary.json";

/// Everything that an evaluation's results depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Version of `azr`.
    pub version: String,
    /// Who was asked.
    pub model: ModelSetup,
    /// How.
    pub protocol: Protocol,
    /// What.
    pub suites: Vec<SuiteSetup>,
    /// What the caller needs to make the same engines again; an evaluation goes on only with the same.
    pub caller: serde_json::Value,
}

/// Who was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelSetup {
    /// A model in the same process.
    Local {
        /// As the user named it.
        name: String,
        /// Of its files.
        sha256: String,
    },
    /// A server.
    Server {
        /// Its address.
        url: String,
        /// The model's name there.
        model: String,
    },
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteSetup {
    /// Name of the suite.
    pub name: String,
    /// Where its items came from.
    pub data: Source,
    /// Items of the data.
    pub n_items: usize,
    /// Items that were asked: all of them, or those that the protocol's seed draws.
    pub n_asked: usize,
    /// Name of the prompts.
    pub template: String,
    /// [`Evaluation::prompts_sha256`].
    pub prompts_sha256: String,
}

impl SuiteSetup {
    /// Of `suite`, read from `data`, under `protocol`.
    pub fn new(suite: &dyn Suite, data: Source, protocol: &Protocol) -> Self {
        let evaluation = Evaluation::new(suite, protocol);
        Self {
            name: suite.name().to_owned(),
            data,
            n_items: suite.ids().len(),
            n_asked: evaluation.n_items(),
            template: suite.template(protocol.style),
            prompts_sha256: evaluation.prompts_sha256(),
        }
    }
}

/// A folder with an evaluation.
#[derive(Debug)]
pub struct EvalDir {
    path: PathBuf,
    setup: Setup,
    /// Held by whoever adds to it.
    _lock: Option<File>,
}

impl EvalDir {
    /// Makes the folder of a new evaluation.
    ///
    /// # Errors
    /// It holds one already, or cannot be written.
    pub fn create(path: &Path, setup: Setup) -> Result<Self> {
        if path.join(SETUP).exists() {
            return Err(EvalError::Exists { path: path.to_owned() });
        }
        fs::create_dir_all(path).map_err(EvalError::io("create", path))?;
        let lock = lock(path)?;
        write_json(&path.join(SETUP), &setup)?;
        Ok(Self { path: path.to_owned(), setup, _lock: Some(lock) })
    }

    /// Opens an evaluation to read it.
    ///
    /// # Errors
    /// The folder holds none, or its setup is broken.
    pub fn open(path: &Path) -> Result<Self> {
        let setup = read_json(path, SETUP)?;
        Ok(Self { path: path.to_owned(), setup, _lock: None })
    }

    /// Opens an evaluation to go on with it. Nobody else can meanwhile.
    ///
    /// # Errors
    /// As [`EvalDir::open`], or somebody else goes on with it.
    pub fn resume(path: &Path) -> Result<Self> {
        let opened = Self::open(path)?;
        Ok(Self { _lock: Some(lock(path)?), ..opened })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it was made of.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Refuses to go on with anything else than it was started with.
    ///
    /// # Errors
    /// [`EvalError::Changed`] names the first difference.
    pub fn check(&self, now: &Setup) -> Result<()> {
        let was = &self.setup;
        let mut what = None;
        for (suite, other) in was.suites.iter().zip(&now.suites) {
            if suite.data != other.data {
                what = what.or(Some(format!("data of suite {}", suite.name)));
            } else if suite != other {
                what = what.or(Some(format!("prompts of suite {}", suite.name)));
            }
        }
        let is_other = |name: &str, is_other: bool| is_other.then(|| name.to_owned());
        let what = is_other("model", was.model != now.model)
            .or(is_other("version of azr", was.version != now.version))
            .or(what)
            .or(is_other("configuration", was != now));
        what.map_or(Ok(()), |what| Err(EvalError::Changed { path: self.path.clone(), what }))
    }

    /// The records of a suite so far, at the beginning of `evaluation`. A last line that was torn is cut off for good.
    ///
    /// # Errors
    /// A line that is none of this evaluation's records, by file and number.
    pub fn resume_records(&self, suite: &str, evaluation: &Evaluation<'_>) -> Result<Vec<Record>> {
        let path = self.log(suite);
        cut_torn_line(&path)?;
        let records = self.records(suite)?;
        let wrong = |(number, reason)| EvalError::Line { path, line: number + 1, reason };
        evaluation.check(&records).map_err(wrong)?;
        Ok(records)
    }

    /// The records of a suite.
    ///
    /// # Errors
    /// A broken line, by file and number.
    pub fn records(&self, suite: &str) -> Result<Vec<Record>> {
        let path = self.log(suite);
        if !path.exists() {
            return Ok(Vec::new());
        }
        Ok(read_lines(&path)?.into_iter().map(|located| located.value).collect())
    }

    /// Appends records of a suite in one write and flushes them to disk.
    ///
    /// # Errors
    /// They cannot be written; what was there before is kept.
    pub fn append(&self, suite: &str, records: &[Record]) -> Result<()> {
        let path = self.log(suite);
        let mut bytes = Vec::new();
        for record in records {
            serde_json::to_writer(&mut bytes, record)
                .map_err(|error| EvalError::io("write", &path)(error.into()))?;
            bytes.push(b'\n');
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.map_err(EvalError::io("open", &path))?;
        file.write_all(&bytes).map_err(EvalError::io("write", &path))?;
        file.sync_data().map_err(EvalError::io("write", &path))
    }

    /// Writes what the suites came to.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_summary(&self, summaries: &[Summary]) -> Result<()> {
        write_json(&self.path.join(SUMMARY), &summaries)
    }

    fn log(&self, suite: &str) -> PathBuf {
        self.path.join(format!("{suite}.jsonl"))
    }
}

fn read_json<T: serde::de::DeserializeOwned>(folder: &Path, file: &'static str) -> Result<T> {
    let path = folder.join(file);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EvalError::NotAnEvaluation { path: folder.to_owned(), file });
        }
        Err(error) => return Err(EvalError::io("read", &path)(error)),
    };
    let wrong = |error: serde_json::Error| EvalError::Line {
        line: error.line(),
        reason: error.to_string(),
        path,
    };
    serde_json::from_slice(&text).map_err(wrong)
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| EvalError::io("write", path)(error.into()))?;
    text.push(b'\n');
    Ok(write_file(path, &text)?)
}

/// Takes the folder's lock for the life of the returned file; the kernel releases it even when the process is killed.
fn lock(path: &Path) -> Result<File> {
    let file = path.join("lock");
    let lock = File::create(&file).map_err(EvalError::io("create", &file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(EvalError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(EvalError::io("lock", &file)(error)),
    }
}

/// Drops what a kill in the middle of an append left behind the last line's end.
fn cut_torn_line(path: &Path) -> Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(EvalError::io("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(EvalError::io("read", path))?;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    if whole < bytes.len() {
        file.set_len(whole as u64).map_err(EvalError::io("cut", path))?;
        file.sync_all().map_err(EvalError::io("write", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::records;
    use crate::testing::Sums;

    fn setup() -> Setup {
        let protocol = Protocol { samples: 2, temperature: 1.0, ..Protocol::default() };
        let data = Source { file: "sums.jsonl".into(), sha256: "s".into(), variant: None };
        Setup {
            version: "1".into(),
            model: ModelSetup::Local { name: "parrot".into(), sha256: "p".into() },
            suites: vec![SuiteSetup::new(&Sums(3), data, &protocol)],
            protocol,
            caller: serde_json::json!({"threads": 2}),
        }
    }

    #[test]
    fn an_evaluation_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evals/one");
        let evals = EvalDir::create(&path, setup()).unwrap();
        let all = records(&[&[true, false], &[false, true]]);
        evals.append("sums", &all[..3]).unwrap();
        evals.append("sums", &all[3..]).unwrap();
        assert!(matches!(EvalDir::create(&path, setup()), Err(EvalError::Exists { .. })));
        assert!(matches!(EvalDir::resume(&path), Err(EvalError::Locked { .. })));
        drop(evals);
        let again = EvalDir::resume(&path).unwrap();
        assert_eq!((again.setup(), again.records("sums").unwrap()), (&setup(), all));
        assert!(again.records("products").unwrap().is_empty());
        let error = EvalDir::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no `config.json`"), "{error}");
        std::fs::write(path.join(SETUP), "{\n\"version\": 3}").unwrap();
        let error = EvalDir::open(&path).unwrap_err().to_string();
        assert!(error.contains("config.json` line 2"), "{error}");
    }

    #[test]
    fn a_torn_last_line_is_cut_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let evals = EvalDir::create(folder.path(), setup()).unwrap();
        let protocol = evals.setup().protocol.clone();
        let evaluation = Evaluation::new(&Sums(3), &protocol);
        let mut all = records(&[&[true, false], &[false, true]]);
        for record in &mut all {
            let item: usize = record.id.parse().unwrap();
            record.id = format!("{item}+{item}");
            record.seed = protocol.sample_seed("sums", &record.id, record.sample);
        }
        evals.append("sums", &all).unwrap();
        let path = folder.path().join("sums.jsonl");
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 7]).unwrap();
        assert_eq!(evals.resume_records("sums", &evaluation).unwrap(), all[..3]);
        evals.append("sums", &all[3..]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), text);

        let broken = String::from_utf8(text).unwrap().replacen("\"sample\":1", "\"sample\":x", 1);
        std::fs::write(&path, broken).unwrap();
        let error = evals.resume_records("sums", &evaluation).unwrap_err().to_string();
        assert!(error.contains("sums.jsonl` line 2"), "{error}");
        std::fs::remove_file(&path).unwrap();
        evals.append("sums", &all[1..]).unwrap();
        let error = evals.resume_records("sums", &evaluation).unwrap_err().to_string();
        assert!(error.contains("sums.jsonl` line 1: it is"), "{error}");
    }

    #[test]
    fn what_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let evals = EvalDir::create(folder.path(), setup()).unwrap();
        evals.check(&setup()).unwrap();
        type Change = fn(&mut Setup);
        let changes: [(Change, &str); 5] = [
            (|setup| setup.version.push('2'), "version of azr"),
            (
                |setup| {
                    setup.model =
                        ModelSetup::Local { name: "parrot".into(), sha256: "other".into() }
                },
                "another model",
            ),
            (|setup| setup.suites[0].data.sha256.push('x'), "data of suite sums"),
            (|setup| setup.suites[0].prompts_sha256.push('x'), "prompts of suite sums"),
            (|setup| setup.caller = serde_json::Value::Null, "configuration"),
        ];
        for (change, word) in changes {
            let mut other = setup();
            change(&mut other);
            let error = evals.check(&other).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
