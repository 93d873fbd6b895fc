//! `azr eval`: a model, a run's checkpoint or a server against benchmarks.

pub(crate) mod args;
mod request;
mod show;
pub(crate) mod suites;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use args::{Eval, EvalCommand, Evaluate, Style};
use azr_eval::suites::Opened;
use azr_eval::{
    Asker, EvalDir, EvalError, Evaluation, ModelSetup, PolicyAsker, PromptStyle, Protocol,
    ServerAsker, ServerOptions, Setup, SuiteSetup, Summary,
};
use azr_host::Host;
use azr_plugin::{Executor, Policy, Tokenizer};
use azr_weights::models::content_sha256;
use request::Request;

use crate::args::Format;
use crate::console::{self, Console};
use crate::{Ending, engines, interrupt, models, print, train};

pub(crate) fn run(arguments: &Eval, plugins: &[PathBuf], format: Format) -> Result<Ending> {
    match &arguments.command {
        Some(EvalCommand::Compare { first, second }) => {
            show::comparison(first, second, format).map(|()| Ending::Done)
        }
        None => evaluate(&arguments.evaluate, plugins, format),
    }
}

fn evaluate(arguments: &Evaluate, plugins: &[PathBuf], format: Format) -> Result<Ending> {
    let resumed = arguments.resume.as_deref().map(EvalDir::resume).transpose()?;
    let request = match &resumed {
        Some(dir) => Request::saved(dir.setup())?,
        None => Request::new(arguments, plugins)?,
    };
    let host = engines::host(&request.config.plugins)?;
    let executor = engines::guarded_executor(&host, &request.config.executor)?;
    // Broken data are told before a model is opened.
    let suites = suites::open(&request.suites, request.data.as_deref(), |name| {
        engines::domain(&host, &request.config, name, &executor)
    })?;
    let executors = suites::executors(&suites, &executor, || {
        engines::open_executor(&host, &request.config.executor)
    })?;
    let mut model = Model::open(&host, &request, arguments)?;
    let protocol = match &resumed {
        Some(dir) => dir.setup().protocol.clone(),
        None => protocol(arguments, style(arguments.style, model.has_chat_template())),
    };
    protocol.validate()?;
    let suite_setup =
        |opened: &Opened| SuiteSetup::new(&*opened.suite, opened.source.clone(), &protocol);
    let setup = Setup {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        model: model.setup.clone(),
        suites: suites.iter().map(suite_setup).collect(),
        protocol,
        caller: serde_json::to_value(&request)?,
    };
    let dir = match resumed {
        Some(dir) => {
            dir.check(&setup)?;
            dir
        }
        None => {
            let free = || train::free_folder(Path::new("evals"), &request.name);
            EvalDir::create(&arguments.out.clone().unwrap_or_else(free), setup)?
        }
    };
    interrupt::install("stopping; what was graded is kept")?;
    print::note(format!("results in {}", dir.path().display()));
    let mut summaries = Vec::new();
    for (Opened { suite, .. }, executor) in suites.iter().zip(&executors) {
        let evaluation = Evaluation::new(&**suite, &dir.setup().protocol);
        match take(&dir, suite.name(), &evaluation, &mut *model.asker(), &**executor) {
            Ok(Some(summary)) => summaries.push(summary),
            Ok(None) => {}
            Err(error) if error.is_cancelled() => {
                print::note(format!(
                    "interrupted; go on with `azr eval --resume {}`",
                    dir.path().display()
                ));
                return Ok(Ending::Interrupted);
            }
            Err(error) => {
                return Err(error).with_context(|| format!("suite {}", suite.name()));
            }
        }
    }
    dir.write_summary(&summaries)?;
    show::summaries(&dir, &summaries, format)?;
    Ok(Ending::Done)
}

/// Asks what is left of a suite.
fn take(
    dir: &EvalDir,
    suite: &str,
    evaluation: &Evaluation<'_>,
    asker: &mut dyn Asker,
    executor: &dyn Executor,
) -> Result<Option<Summary>, EvalError> {
    let done = dir.resume_records(suite, evaluation)?;
    let console = Console::that_cancels();
    console.started(suite, "tokens", evaluation.most_tokens());
    let mut keep = |records: &[azr_eval::Record]| dir.append(suite, records);
    let records = evaluation.run(done, asker, executor, &mut keep, &console);
    console.finished();
    Ok(Summary::new(suite, &records?, &dir.setup().protocol))
}

/// What is evaluated.
struct Model {
    setup: ModelSetup,
    kind: Kind,
}

enum Kind {
    Local(Box<dyn Policy>, Arc<dyn Tokenizer>),
    Server(ServerAsker),
}

impl Model {
    fn open(host: &Host, request: &Request, arguments: &Evaluate) -> Result<Self> {
        let Some(server) = &request.server else { return Self::local(host, request, arguments) };
        let mut options = ServerOptions::new(&server.url);
        options.concurrency = arguments.concurrency.into();
        options.key = arguments.api_key_env.as_deref().map(request::key).transpose()?;
        options.model.clone_from(&server.model);
        let setup = ModelSetup::Server { url: server.url.clone(), model: server.model.clone() };
        Ok(Self { setup, kind: Kind::Server(ServerAsker::new(options)) })
    }

    fn local(host: &Host, request: &Request, arguments: &Evaluate) -> Result<Self> {
        let path = models::local(&request.config.model, arguments.offline)?;
        print::note(format!("opening {}", path.display()));
        let mut sha256 = content_sha256(&path)?;
        let mut opener = engines::Opener::new(host, &request.config, &path)?;
        let mut policy = opener.open(request.adapters.is_some())?;
        if let Some(adapters) = &request.adapters {
            policy.load(adapters)?;
            sha256 = format!("{sha256}+{}", content_sha256(adapters)?);
        }
        print::note(print::escaped(&console::about(&policy.info())));
        let setup = ModelSetup::Local { name: request.name.clone(), sha256 };
        Ok(Self { setup, kind: Kind::Local(policy, opener.tokenizer) })
    }

    fn has_chat_template(&self) -> bool {
        match &self.kind {
            Kind::Local(_, tokenizer) => tokenizer.info().has_chat_template,
            Kind::Server(_) => true,
        }
    }

    fn asker(&mut self) -> Box<dyn Asker + '_> {
        match &mut self.kind {
            Kind::Local(policy, tokenizer) => {
                Box::new(PolicyAsker { policy: policy.as_mut(), tokenizer: &**tokenizer })
            }
            Kind::Server(asker) => Box::new(asker),
        }
    }
}

/// The style that is asked for; by itself a conversation where the model can have one.
pub(crate) fn style(asked: Option<Style>, has_chat_template: bool) -> PromptStyle {
    match asked.unwrap_or(Style::Auto) {
        Style::Completion => PromptStyle::Completion,
        Style::Chat => PromptStyle::Chat,
        Style::Auto if has_chat_template => PromptStyle::Chat,
        Style::Auto => PromptStyle::Completion,
    }
}

fn protocol(arguments: &Evaluate, style: PromptStyle) -> Protocol {
    let samples = arguments.samples.unwrap_or(1);
    let temperature = if samples == 1 { 0.0 } else { 0.6 };
    let pass_at = match arguments.pass_at.is_empty() {
        true => vec![1],
        false => arguments.pass_at.clone(),
    };
    Protocol {
        style,
        samples,
        temperature: arguments.temperature.unwrap_or(temperature),
        top_p: arguments.top_p.unwrap_or(1.0),
        max_tokens: arguments.max_tokens,
        pass_at,
        limit: arguments.limit.unwrap_or(0),
        seed: arguments.seed.unwrap_or(0),
    }
}
