//! `azr-nano`: the commands behind `cargo xtask pretrain-nano`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use azr_executor_monty::worker;
use azr_nano::{
    Experiment, Recipe, learning, measure, pretrain, show, write_cruxeval, write_heldout,
};
use clap::{Parser, Subcommand};

/// Counts what is allocated, so that a worker of the embedded interpreter can be held to its memory limit.
#[global_allocator]
static ALLOCATOR: worker::Allocator = worker::Allocator;

#[derive(Parser)]
#[command(about = "Makes the nano model and its held-out sets from nothing but a seed.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the model: documents, tokenizer, next-token training
    Pretrain {
        /// Seed of documents and first weights
        #[arg(long, default_value_t = Recipe::default().seed)]
        seed: u64,
        /// Functions that are made; fewer make a weaker model sooner
        #[arg(long, default_value_t = Recipe::default().n_plans)]
        functions: u64,
        /// Functions after which the state is saved, so that an interrupted command goes on from there
        #[arg(long, default_value_t = Recipe::default().save_every)]
        save_every: u64,
        /// Peak of the learning rate
        #[arg(long, default_value_t = Recipe::default().learning_rate)]
        learning_rate: f64,
        /// Tasks whose programs must not be shown
        #[arg(long, default_value = "tests/data/heldout/heldout.jsonl")]
        heldout: PathBuf,
        /// Folder of the model
        #[arg(long, default_value = "models/azr-nano")]
        out: PathBuf,
    },
    /// Show documents; the sign ⏎ stands between their parts
    Show {
        /// Seed of documents
        #[arg(long, default_value_t = Recipe::default().seed)]
        seed: u64,
        /// Functions that are made
        #[arg(short, default_value_t = 20)]
        n: u64,
    },
    /// Write the held-out tasks
    Heldout {
        /// File to write
        #[arg(long, default_value = "tests/data/heldout/heldout.jsonl")]
        out: PathBuf,
    },
    /// Write tasks of CRUXEval functions
    Cruxeval {
        /// CRUXEval as JSON lines
        items: PathBuf,
        /// File to write
        #[arg(long, default_value = "tests/data/heldout/cruxeval.jsonl")]
        out: PathBuf,
    },
    /// Run the default and its controls with several seeds; write a table and a plot
    Learning {
        /// Seeds 1 to this
        #[arg(long, default_value_t = 3)]
        seeds: u64,
        /// Runs at once; with more than one, each computes with one thread
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// The `azr` binary
        #[arg(long)]
        azr: PathBuf,
        /// `section.key=value` for every run, as for `azr train`
        #[arg(long = "set")]
        overrides: Vec<String>,
        /// Where the runs lie; finished ones are not repeated
        #[arg(long, default_value = "runs/learning")]
        runs: PathBuf,
        /// Folder of `learning.md` and its plot
        #[arg(long, default_value = "docs")]
        docs: PathBuf,
    },
    /// Solve rates and valid proposals of a model
    Measure {
        /// Folder of the model
        #[arg(long, default_value = "models/azr-nano")]
        model: PathBuf,
        /// Tasks
        #[arg(long, default_value = "tests/data/heldout/heldout.jsonl")]
        heldout: PathBuf,
        /// Tasks of each kind
        #[arg(short, default_value_t = 300)]
        n: usize,
    },
}

fn main() -> ExitCode {
    if let Some(code) = worker::run_if_asked() {
        return code;
    }
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Pretrain { seed, functions, save_every, learning_rate, heldout, out } => {
            let recipe =
                Recipe { seed, n_plans: functions, save_every, learning_rate, ..Recipe::default() };
            pretrain(&recipe, &heldout, &out)
        }
        Command::Show { seed, n } => {
            for text in show(seed, n)? {
                println!("{text}{}", "-".repeat(60));
            }
            Ok(())
        }
        Command::Heldout { out } => write_heldout(&out),
        Command::Cruxeval { items, out } => write_cruxeval(&items, &out),
        Command::Learning { seeds, jobs, azr, overrides, runs, docs } => {
            learning(&Experiment { azr, n_seeds: seeds, n_jobs: jobs, overrides, runs, docs })
        }
        Command::Measure { model, heldout, n } => {
            println!("{:#?}", measure(&model, &heldout, n)?);
            Ok(())
        }
    }
}
