//! The benchmarks that a run is evaluated on while it learns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use azr_eval::suites::Opened;
use azr_eval::{EvalError, Evaluation, PolicyAsker, Protocol, Record, Summary};
use azr_host::Host;
use azr_plugin::{Executor, Policy, Tokenizer};
use azr_run::{RunConfig, RunDir};

use crate::console::Console;
use crate::engines;
use crate::eval::{style, suites};

/// The benchmarks of a run: each item gets one greedy answer, always the same items.
pub(crate) struct Benchmarks {
    suites: Vec<Opened>,
    protocol: Protocol,
    tokenizer: Arc<dyn Tokenizer>,
    /// That of each suite.
    executors: Vec<Arc<dyn Executor>>,
}

/// What the benchmarks came to after a step.
#[derive(Default)]
pub(crate) struct Scores {
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) timings: BTreeMap<String, f64>,
    answers: Vec<(String, Vec<Record>)>,
}

impl Benchmarks {
    /// Opens the benchmarks that `config` names, and notes the content of each in `sums`.
    pub(crate) fn open(
        host: &Host,
        config: &RunConfig,
        tokenizer: Arc<dyn Tokenizer>,
        executor: Arc<dyn Executor>,
        sums: &mut BTreeMap<String, String>,
    ) -> Result<Self> {
        let suites = suites::open(&config.eval.suites, config.eval.data.as_deref(), |name| {
            engines::domain(host, config, name, &executor)
        })?;
        for Opened { suite, source, .. } in &suites {
            sums.insert(format!("suite `{}`", suite.name()), source.sha256.clone());
        }
        let executors = suites::executors(&suites, &executor, || {
            engines::open_executor(host, &config.executor)
        })?;
        let style = style(None, tokenizer.info().has_chat_template);
        let protocol = Protocol { style, limit: config.eval.limit, ..Protocol::default() };
        Ok(Self { suites, protocol, tokenizer, executors })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.suites.is_empty()
    }

    /// Takes all of them.
    pub(crate) fn take(&self, policy: &mut dyn Policy, console: &Console) -> Result<Scores> {
        let (start, mut scores) = (Instant::now(), Scores::default());
        for (Opened { suite, .. }, executor) in self.suites.iter().zip(&self.executors) {
            let evaluation = Evaluation::new(&**suite, &self.protocol);
            let mut asker = PolicyAsker { policy: &mut *policy, tokenizer: &*self.tokenizer };
            console.started(suite.name(), "tokens", evaluation.most_tokens());
            let mut keep = |_: &[Record]| Ok(());
            let records = evaluation.run(Vec::new(), &mut asker, &**executor, &mut keep, console);
            console.finished();
            let records = records.with_context(|| format!("suite {}", suite.name()))?;
            let summary = Summary::new(suite.name(), &records, &self.protocol);
            scores.metrics.extend(summary.iter().flat_map(Summary::metrics));
            scores.answers.push((suite.name().to_owned(), records));
        }
        if !self.is_empty() {
            scores.timings.insert("time/benchmark_s".into(), start.elapsed().as_secs_f64());
        }
        Ok(scores)
    }
}

impl Scores {
    /// Writes the answers down.
    pub(crate) fn record(&self, run: &RunDir, step: u64) -> Result<()> {
        for (suite, answers) in &self.answers {
            run.record_answers(step, suite, answers)?;
        }
        Ok(())
    }
}

/// Whether the user ended it.
pub(crate) fn is_cancelled(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref().is_some_and(EvalError::is_cancelled)
            || matches!(cause.downcast_ref(), Some(azr_selfplay::SelfPlayError::Cancelled))
    })
}
