//! Ctrl-C: the first asks to end in good order, the second stops at once.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::print;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Installs the handler for SIGINT, SIGTERM and SIGHUP; the first is answered with what happens now.
pub(crate) fn install(what: &'static str) -> Result<()> {
    ctrlc::set_handler(move || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            print::note("\nstopped at once; `--resume` goes on from what was saved last");
            std::process::exit(1);
        }
        print::note(format!("\n{what}; Ctrl-C again stops at once"));
    })
    .context("cannot install the Ctrl-C handler")
}

/// Whether the user asked to stop.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
