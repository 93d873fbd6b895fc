//! The executor `my-plugin`: another executor that is not asked the same twice.
//!
//! An executor that runs programs itself keeps them in processes that hold nothing of the trainer's, under limits;
//! `protections` says what keeps them there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azr_plugin::schemars::JsonSchema;
use azr_plugin::serde::Deserialize;
use azr_plugin::serde_json::{Value, json};
use azr_plugin::{
    CallContext, Engine, ErrorCode, Executor, Job, JobReport, Outcome, PluginError, Protection,
    Result, Services,
};

azr_plugin::export! { entry: my_plugin, executors: [Remembering] }

/// Options, as in `--set executor.options.through=cpython`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "azr_plugin::schemars")]
pub struct Options {
    /// Name of the executor that does the work.
    pub through: String,
    /// Its options.
    pub options: BTreeMap<String, Value>,
    /// Most jobs that are remembered.
    #[schemars(range(min = 1))]
    pub capacity: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { through: "auto".into(), options: BTreeMap::new(), capacity: 1024 }
    }
}

/// Passes on what it does not know yet.
pub struct Remembering {
    inner: Arc<dyn Executor>,
    capacity: usize,
    known: Mutex<BTreeMap<String, JobReport>>,
}

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembering").field("n_known", &self.known().len()).finish()
    }
}

impl Engine for Remembering {
    const NAME: &'static str = "my-plugin";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "another executor that is not asked the same twice";
    type Options = Options;

    fn create(options: Options, services: Services) -> Result<Self> {
        let host = services.executors.ok_or_else(|| {
            PluginError::new(ErrorCode::Unavailable, "the host lends no executors")
        })?;
        let inner = host.executor(&options.through, &json!(options.options))?;
        Ok(Self { inner, capacity: options.capacity, known: Mutex::default() })
    }
}

impl Executor for Remembering {
    fn run(&self, jobs: &[Job], context: &dyn CallContext) -> Result<Vec<JobReport>> {
        // What comes of a job depends on the job alone, so its text is the key.
        let keys: Vec<String> = jobs.iter().map(|job| format!("{job:?}")).collect();
        let mut reports: Vec<Option<JobReport>> = {
            let known = self.known();
            keys.iter().map(|key| known.get(key).cloned()).collect()
        };
        let new: Vec<usize> = (0..jobs.len()).filter(|&at| reports[at].is_none()).collect();
        let asked: Vec<Job> = new.iter().map(|&at| jobs[at].clone()).collect();
        let answers = self.inner.run(&asked, context)?;
        let mut known = self.known();
        for (at, report) in new.into_iter().zip(answers) {
            if report.outcomes.iter().all(is_lasting) {
                if known.len() >= self.capacity {
                    known.clear();
                }
                known.insert(keys[at].clone(), report.clone());
            }
            reports[at] = Some(report);
        }
        Ok(reports.into_iter().flatten().collect())
    }

    fn protections(&self) -> Vec<Protection> {
        self.inner.protections()
    }
}

impl Remembering {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, JobReport>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether another run would come to the same; a busy machine can make a program slow.
fn is_lasting(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Limit(_) | Outcome::Crashed(_))
}
