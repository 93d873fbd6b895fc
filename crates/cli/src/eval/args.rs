//! The command line of `azr eval`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Suites:
  heldout, cruxeval        the built-in held-out tasks, asked and graded by their domain
  cruxeval-o, cruxeval-i   from --data, else the built-in 100 tasks of each
  humaneval+, mbpp+, livecodebench-execution
                           from --data; programs run in the sandbox, which lets them import what they like
  gsm8k, math500, amc23, aime24, aime25, minerva, olympiadbench
                           from --data

Examples:
  azr eval --model azr-nano --suite heldout,cruxeval-o
  azr eval --model PATH --suite gsm8k,math500 --data DIR --style chat
  azr eval --model PATH --suite math500 --data DIR --samples 16 --temperature 0.6 --pass-at 1,8
  azr eval --run runs/nano-1 --suite heldout
  azr eval --against http://localhost:8000/v1 --server-model NAME --suite gsm8k --data DIR
  azr eval compare evals/first-1 evals/second-1

Ctrl-C stops with exit code 3; `--resume DIR` goes on and ends with the same results. docs/evaluation.md says what the
numbers mean."
)]
pub(crate) struct Eval {
    #[command(subcommand)]
    pub(crate) command: Option<EvalCommand>,
    #[command(flatten)]
    pub(crate) evaluate: Evaluate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Compare two evaluations on the items that both have, with a paired test
    Compare {
        /// Folder of the first
        #[arg(value_name = "A")]
        first: PathBuf,
        /// Folder of the second
        #[arg(value_name = "B")]
        second: PathBuf,
    },
}

/// How the model is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// A text to go on with, after worked examples: for base models.
    Completion,
    /// A conversation with an instruction, by the model's chat template.
    Chat,
    /// Chat where the model has a template (a server: always), else completion.
    Auto,
}

/// What `--resume` takes from the folder.
const NEW: [&str; 19] = [
    "model",
    "run",
    "against",
    "server_model",
    "suite",
    "data",
    "samples",
    "temperature",
    "top_p",
    "pass_at",
    "max_tokens",
    "limit",
    "seed",
    "style",
    "out",
    "backend",
    "executor",
    "overrides",
    "strict_sandbox",
];

#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// A named model (`azr model list`), a GGUF file or a Hugging Face directory
    #[arg(long, value_name = "NAME|PATH", conflicts_with_all = ["run", "against"])]
    pub(crate) model: Option<String>,
    /// Evaluate this run's newest checkpoint, with the options of its engines
    #[arg(long, value_name = "DIR", conflicts_with = "against")]
    pub(crate) run: Option<PathBuf>,
    /// Evaluate an OpenAI-compatible server instead, for example http://localhost:8000/v1
    #[arg(long, value_name = "URL")]
    pub(crate) against: Option<String>,
    /// The model's name on the server
    #[arg(long, value_name = "NAME", requires = "against")]
    pub(crate) server_model: Option<String>,
    /// Environment variable that holds the server's key; the key is written nowhere
    #[arg(long, value_name = "VAR")]
    pub(crate) api_key_env: Option<String>,
    /// Requests to the server at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
    /// Suites by name
    #[arg(long, value_name = "NAME[,NAME…]", value_delimiter = ',')]
    pub(crate) suite: Vec<String>,
    /// Folder with the suites' data
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Samples of each item [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<usize>,
    /// Softmax temperature; 0 is greedy [default: 0 for one sample, else 0.6]
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f32>,
    /// Nucleus mass [default: 1]
    #[arg(long, value_name = "P")]
    pub(crate) top_p: Option<f32>,
    /// Report pass@k for these k [default: 1]
    #[arg(long, value_name = "K[,K…]", value_delimiter = ',')]
    pub(crate) pass_at: Vec<usize>,
    /// Longest response in tokens [default: the suite's]
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u32>,
    /// At most so many items of each suite, drawn by the seed
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Seed of samples and of drawn items [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How the model is spoken to [default: auto]
    #[arg(long, value_enum)]
    pub(crate) style: Option<Style>,
    /// Folder of the results [default: evals/<model>-<n>]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the evaluation in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = NEW)]
    pub(crate) resume: Option<PathBuf>,
    /// Model backend by engine name
    #[arg(long, value_name = "NAME", conflicts_with = "against")]
    pub(crate) backend: Option<String>,
    /// Executor by engine name
    #[arg(long, value_name = "NAME")]
    pub(crate) executor: Option<String>,
    /// Refuse to run programs unless every protection is in force (`azr doctor` shows them)
    #[arg(long)]
    pub(crate) strict_sandbox: bool,
    /// Override an option of an engine as in `azr train`, for example `domains.code.prompt_style=chat`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "run")]
    pub(crate) overrides: Vec<String>,
    /// Never fetch a model
    #[arg(long)]
    pub(crate) offline: bool,
}
