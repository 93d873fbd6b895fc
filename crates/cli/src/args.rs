//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::eval::args::Eval;

/// Absolute Zero self-play: a language model that teaches itself.
#[derive(Debug, Parser)]
#[command(
    name = "azr",
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 interrupted, what was done is saved."
)]
pub(crate) struct Cli {
    /// Print data as text or as JSON (progress and messages always go to stderr)
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub(crate) format: Format,
    /// Load this plugin file beside the built-in engines; may be repeated
    #[arg(long = "plugin", value_name = "FILE", global = true)]
    pub(crate) plugins: Vec<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How data is printed on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a model by self-play
    Train(Box<Train>),
    /// Show what memory a run would need, and what to change where it does not fit
    #[command(after_help = "Takes the arguments of `azr train` and starts nothing.")]
    Plan(Box<Plan>),
    /// Evaluate a model on benchmarks, or compare two evaluations
    Eval(Box<Eval>),
    /// Pull, inspect and merge models
    #[command(subcommand)]
    Model(Model),
    /// Show the engines there are
    #[command(subcommand)]
    Plugins(Plugins),
    /// Show this machine, and what protects it from the programs a model writes
    Doctor {
        /// Fail unless every protection is in force
        #[arg(long)]
        strict_sandbox: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) train: Train,
    /// Plan for a GPU with this much free memory instead of the one in this machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) gpu_memory_gib: Option<u64>,
}

/// Without arguments: the built-in nano model on this machine's CPU, minutes on two cores, no network. Another named
/// model that is not here yet is fetched first (once, and it says so), unless `--offline`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  azr train --model qwen2.5-coder-0.5b --steps 20
  azr train --resume runs/first --steps 40
  azr train --set selfplay.batch_size=8 --set optimizer.options.learning_rate=2e-6

Ctrl-C finishes the step, saves a checkpoint and exits with code 3; a second Ctrl-C stops at once.")]
pub(crate) struct Train {
    /// A named model (`azr model list`), a GGUF file or a Hugging Face directory
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// Self-play steps of the whole run
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// Folder of the new run [default: runs/<model>-<n>]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Go on with the run in this folder from its newest checkpoint
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "profile", "config", "seed", "domain", "executor", "optimizer", "tokenizer"])]
    pub(crate) resume: Option<PathBuf>,
    /// Defaults to start from: `nano` (for the built-in model), `robust` (our fixes, small) or `paper` (the published system)
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// TOML file laid over the profile
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Override one key, for example `selfplay.temperature=0.9`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Seed of everything random; the same seed gives the same run, bit for bit
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Task domains by engine name
    #[arg(long, value_name = "NAME[,NAME…]", value_delimiter = ',')]
    pub(crate) domain: Vec<String>,
    /// Model backend by engine name; a run may go on with another one
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<String>,
    /// Executor by engine name
    #[arg(long, value_name = "NAME")]
    pub(crate) executor: Option<String>,
    /// Refuse to run programs unless every protection is in force (`azr doctor` shows them)
    #[arg(long, conflicts_with = "resume")]
    pub(crate) strict_sandbox: bool,
    /// RL optimizer by engine name
    #[arg(long, value_name = "NAME")]
    pub(crate) optimizer: Option<String>,
    /// Tokenizer by engine name
    #[arg(long, value_name = "NAME")]
    pub(crate) tokenizer: Option<String>,
    /// Save a checkpoint every N steps
    #[arg(long, value_name = "N")]
    pub(crate) save_every: Option<u64>,
    /// Never fetch a model
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Model {
    /// Fetch a model: a name from `azr model list`, or `hf:ORG/REPO`
    Pull {
        /// What to fetch
        #[arg(value_name = "NAME|hf:ORG/REPO")]
        model: String,
    },
    /// Show a model's format, shape, tensor types and tokenizer
    Inspect {
        /// A named model, a GGUF file or a Hugging Face directory
        #[arg(value_name = "NAME|PATH")]
        model: String,
    },
    /// Write a model with LoRA adapters merged into it as an ordinary Hugging Face directory, in float32
    Merge {
        /// The model that the adapters belong to: a name, a GGUF file or a Hugging Face directory
        #[arg(value_name = "NAME|PATH")]
        model: String,
        /// Folder with adapter_config.json and adapter_model.safetensors, for example a checkpoint
        #[arg(value_name = "DIR")]
        adapters: PathBuf,
        /// Folder to write
        #[arg(value_name = "OUT")]
        out: PathBuf,
    },
    /// Show the named models and which of them are here
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Plugins {
    /// Show kind, name, version and origin of every engine
    List,
    /// Put engines through the conformance kit: what every engine of a kind promises
    Check(Check),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  azr plugins check target/release/libdemo.so
  azr plugins check --engine domain/code --options '{\"prompt_style\": \"chat\"}'
  azr plugins check --builtin

Domains run their programs through the default executor, backends open the built-in model, tokenizers read it.
The exit code is 1 when a check fails.")]
pub(crate) struct Check {
    /// Check the engines of this plugin file
    #[arg(value_name = "FILE", required_unless_present_any = ["engines", "builtin"], conflicts_with = "builtin")]
    pub(crate) file: Option<PathBuf>,
    /// Check this engine alone; may be repeated
    #[arg(long = "engine", value_name = "KIND/NAME")]
    pub(crate) engines: Vec<String>,
    /// Check the built-in engines
    #[arg(long)]
    pub(crate) builtin: bool,
    /// Options of the checked engines, a JSON object
    #[arg(long, value_name = "JSON")]
    pub(crate) options: Option<String>,
    /// Longest time of one check in seconds
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}
