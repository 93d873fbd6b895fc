//! The conformance kit, with every style of prompt and programs that really run.

use std::sync::Arc;

use azr_domain_code::{CodeOptions, PromptStyle};
use azr_plugin::conformance;

use crate::setup::domain;

#[test]
fn it_conforms_in_every_style() {
    for (prompt_style, scratchpad) in [
        (PromptStyle::Completion, false),
        (PromptStyle::Completion, true),
        (PromptStyle::Chat, false),
    ] {
        let options = CodeOptions { prompt_style, scratchpad, ..CodeOptions::default() };
        if domain(options.clone()).is_none() {
            return;
        }
        let report = conformance::domain(move || Ok(Arc::new(domain(options.clone()).unwrap())));
        report.assert_passed();
        let passed = |check: &conformance::Check| check.outcome == conformance::Outcome::Passed;
        assert!(report.checks.iter().all(passed), "nothing is skipped\n{report}");
    }
}
