//! Writes the corpus as JSON lines of `snippet`, `input` and `output`, the format in which seed tasks are published.
//!
//! `cargo run --release -p azr-executor-suite --example triplets -- 500 1 > triplets.jsonl` writes 500 programs of
//! seed 1. `output` stays empty: whoever runs the programs fills it.

use std::io::{self, BufWriter, Write};

use azr_executor_suite::corpus::triplets;

fn main() -> io::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut number = |default: u64| {
        numbers.next().unwrap_or(Ok(default)).map_err(|error| io::Error::other(error.to_string()))
    };
    let (n, seed) = (number(500)?, number(1)?);
    let mut out = BufWriter::new(io::stdout().lock());
    for triplet in triplets(seed, usize::try_from(n).unwrap_or(usize::MAX)) {
        let line =
            serde_json::json!({ "snippet": triplet.program, "input": triplet.call, "output": "" });
        writeln!(out, "{line}")?;
    }
    out.flush()
}
