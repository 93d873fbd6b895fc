//! What is measured on a machine with a GPU and no Rust: conformance, operations against their floors, decoding,
//! updates and self-play. `benches/gpu/run.sh` runs all of it beside `peers.py`, which does the same work with PyTorch.
//!
//! Results are JSON objects, one a line, on stdout and with `--results` in a file; their table comes last, on stderr.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its user"
)]

mod conformance;
mod decode;
mod gpu;
mod kernels;
mod models;
mod random;
mod report;
mod table;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use azr_cuda::Cuda;
use azr_transformer::{ActivationPrecision, CopyFormat, StatePrecision};
use clap::{Args, Parser, Subcommand, ValueEnum};

use decode::Batch;
use gpu::{Gpu, Scale};
use kernels::Kernels;
use report::{Limits, Line, Report};
use train::Update;

/// Benches on a GPU.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// File that results are appended to.
    #[arg(long, global = true)]
    results: Option<PathBuf>,
    /// Seconds after which nothing more is begun.
    #[arg(long, global = true)]
    budget: Option<f64>,
    /// Number of the GPU.
    #[arg(long, global = true, default_value_t = 0)]
    device: usize,
    /// How activations are kept.
    #[arg(long, global = true, value_enum, default_value_t = Precision::Bf16)]
    precision: Precision,
    /// Sizes for an emulated GPU; no figure means anything.
    #[arg(long, global = true)]
    tiny: bool,
}

#[derive(Subcommand)]
enum Command {
    /// What every device must do, with both kinds of activations.
    Conformance,
    /// Operations of the device against their floors.
    Kernels {
        /// Models whose shapes are taken.
        #[arg(long = "model", num_args = 1.., default_values_t = ["qwen2.5-0.5b".to_owned()])]
        models: Vec<String>,
        /// The part of a name that operations must have.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Tokens per second of decoding.
    Decode {
        #[arg(long, default_value = "qwen2.5-0.5b")]
        model: String,
        /// Numbers of samples.
        #[arg(long = "batch", num_args = 1.., default_values_t = [1, 32, 256])]
        batches: Vec<usize>,
        #[command(flatten)]
        lengths: Lengths,
        /// Copies of the weights to generate with.
        #[arg(long, value_enum)]
        copies: Option<Copies>,
        /// Samples of a prompt.
        #[arg(long, default_value_t = 1)]
        group: usize,
    },
    /// Tokens per second of updates of all parameters by AdamW.
    Train {
        #[arg(long, default_value = "qwen2.5-0.5b")]
        model: String,
        #[command(flatten)]
        updates: Updates,
    },
    /// Steps of self-play, generation and update, with bfloat16 state and checkpointing: what a model of 7B needs on
    /// one GPU.
    Selfplay7b {
        #[arg(long, default_value = "qwen2.5-7b")]
        model: String,
        #[arg(long, default_value_t = 2)]
        steps: usize,
        /// Samples in all.
        #[arg(long, default_value_t = 64)]
        samples: usize,
        /// Samples of a prompt.
        #[arg(long, default_value_t = 8)]
        group: usize,
        #[command(flatten)]
        lengths: Lengths,
        /// Most rows that are computed together in an update.
        #[arg(long, default_value_t = 8192)]
        micro_batch_rows: usize,
    },
    /// The table of a file of results, ours and theirs.
    Table {
        /// The file.
        path: PathBuf,
    },
}

impl Command {
    /// The part of results that it makes, and of which model.
    fn names(&self) -> (&'static str, String) {
        match self {
            Self::Conformance => ("conformance", String::new()),
            Self::Kernels { .. } => ("kernels", String::new()),
            Self::Decode { model, .. } => ("decode", model.clone()),
            Self::Train { model, .. } => ("train", model.clone()),
            Self::Selfplay7b { model, .. } => ("selfplay", model.clone()),
            Self::Table { .. } => ("table", String::new()),
        }
    }
}

#[derive(Args)]
struct Lengths {
    /// Tokens of a prompt.
    #[arg(long, default_value_t = 512)]
    prompt: usize,
    /// Tokens of a response.
    #[arg(long, default_value_t = 128)]
    new: usize,
}

#[derive(Args)]
struct Updates {
    /// Sequences of an update.
    #[arg(long, default_value_t = 16)]
    sequences: usize,
    /// Tokens of a sequence.
    #[arg(long, default_value_t = 1024)]
    tokens: usize,
    /// Most rows that are computed together.
    #[arg(long, default_value_t = 8192)]
    micro_batch_rows: usize,
    /// Updates that are measured.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Keep the inputs of layers alone.
    #[arg(long)]
    checkpointing: bool,
    /// How the optimizer's state is kept.
    #[arg(long, value_enum, default_value_t = State::F32)]
    state: State,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Precision {
    F32,
    Bf16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Copies {
    Bf16,
    Int8,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    F32,
    Bf16,
    Int8,
}

impl From<Precision> for ActivationPrecision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

impl From<Copies> for CopyFormat {
    fn from(copies: Copies) -> Self {
        match copies {
            Copies::Bf16 => Self::Bf16,
            Copies::Int8 => Self::Int8,
        }
    }
}

impl From<State> for StatePrecision {
    fn from(state: State) -> Self {
        match state {
            State::F32 => Self::F32,
            State::Bf16 => Self::Bf16,
            State::Int8 => Self::Int8,
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything was measured, or the table is whole.
fn run(arguments: Arguments) -> Result<bool> {
    if let Command::Table { path } = &arguments.command {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let (lines, problems) = report::read_lines(&text);
        print!("{}", table::markdown(&lines));
        problems.iter().for_each(|problem| eprintln!("{}: {problem}", path.display()));
        return Ok(problems.is_empty());
    }
    let budget = arguments.budget.map(Duration::try_from_secs_f64).transpose();
    let mut report = Report::new(arguments.results.as_deref(), budget.context("--budget")?)?;
    let (part, model) = arguments.command.names();
    if let Err(error) = measure(arguments, &mut report) {
        let problem = Some(format!("{error:#}"));
        report.add(Line { problem, ..Line::ours(part, &model, "") })?;
    }
    eprint!("{}", table::markdown(report.lines()));
    Ok(!report.has_problems())
}

fn measure(arguments: Arguments, report: &mut Report) -> Result<()> {
    let scale = if arguments.tiny { Scale::TINY } else { Scale::FULL };
    let open = |precision: Precision| -> Result<Arc<Cuda>> {
        let cuda = Cuda::open(arguments.device, precision.into());
        Ok(Arc::new(cuda.map_err(|error| {
            let hint = error.hint();
            anyhow::Error::new(error).context(format!("no GPU to measure ({hint})"))
        })?))
    };
    // Everything but conformance is measured against limits of the same process.
    let measured = |report: &mut Report| -> Result<(Arc<Cuda>, Limits)> {
        let device = open(arguments.precision)?;
        let limits = Limits::measure(&*device, scale)?;
        device.forget_peak()?;
        report.add(limits_line(&*device, limits))?;
        Ok((device, limits))
    };
    match arguments.command {
        Command::Conformance => {
            for precision in [Precision::F32, Precision::Bf16] {
                conformance::run(report, &*open(precision)?)?;
            }
        }
        Command::Kernels { models, only } => {
            let (device, limits) = measured(report)?;
            let (device, filter) = (&*device, &*only);
            let mut kernels = Kernels { device, limits, scale, report, filter };
            kernels.optimizer()?;
            for name in &models {
                kernels.run(name, &models::model(name)?)?;
            }
        }
        Command::Decode { model: name, batches, lengths, copies, group } => {
            let config = models::model(&name)?;
            let (device, limits) = measured(report)?;
            let mut model = random::model(&device, &config)?;
            let batch = |n_samples| Batch {
                n_samples,
                n_sharing: group.max(1),
                n_prompt: lengths.prompt,
                n_new: lengths.new,
            };
            let batches: Vec<Batch> = batches.into_iter().map(batch).collect();
            let copies = copies.map(CopyFormat::from);
            decode::run(report, limits, &name, &mut model, &batches, copies)?;
        }
        Command::Train { model: name, updates } => {
            let config = models::model(&name)?;
            let (device, limits) = measured(report)?;
            let mut model = random::model(&device, &config)?;
            let update = Update {
                n_sequences: updates.sequences,
                n_tokens: updates.tokens,
                micro_batch_rows: updates.micro_batch_rows,
                n_repeats: updates.repeats,
                gradient_checkpointing: updates.checkpointing,
                optimizer_state: updates.state.into(),
            };
            train::train(report, limits, &name, &mut model, update)?;
        }
        Command::Selfplay7b { model: name, steps, samples, group, lengths, micro_batch_rows } => {
            let config = models::model(&name)?;
            let (device, limits) = measured(report)?;
            let mut model = random::model(&device, &config)?;
            let batch = Batch {
                n_samples: samples,
                n_sharing: group.max(1),
                n_prompt: lengths.prompt,
                n_new: lengths.new,
            };
            let update = Update {
                n_sequences: samples,
                n_tokens: lengths.prompt + lengths.new,
                micro_batch_rows,
                n_repeats: 1,
                gradient_checkpointing: true,
                optimizer_state: StatePrecision::Bf16,
            };
            train::selfplay(report, limits, &name, &mut model, batch, update, steps)?;
        }
        Command::Table { .. } => {}
    }
    Ok(())
}

fn limits_line<D: Gpu>(device: &D, limits: Limits) -> Line {
    Line {
        copy_bytes_per_s: Some(limits.copy_bytes_per_s),
        gemm_flops_per_s: Some(limits.gemm_flops_per_s),
        text: Some(device.describe()),
        ..Line::ours("limits", "", "")
    }
}
