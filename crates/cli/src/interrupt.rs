//! Ctrl-C: the first finishes the step, the second stops at once.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::print;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Installs the handler for SIGINT, SIGTERM and SIGHUP.
pub(crate) fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            print::note("\nstopped at once; `--resume` goes on from the newest checkpoint");
            std::process::exit(1);
        }
        print::note("\nfinishing this step, then saving; Ctrl-C again stops at once");
    })
    .context("cannot install the Ctrl-C handler")
}

/// Whether the user asked to stop after this step.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
