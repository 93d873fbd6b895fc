//! What every device must do, on this one.

use anyhow::{Result, bail};
use azr_transformer::ActivationPrecision;
use azr_transformer::conformance::{CheckResult, Rows, run_all};

use crate::gpu::Gpu;
use crate::report::{Line, Report};

/// Most failures that stand in a result; all of them are printed.
const MAX_SHOWN: usize = 10;

/// Runs every check; one result for all of them.
pub(crate) fn run<D: Gpu>(report: &mut Report, device: &D) -> Result<()> {
    let case = match device.activation_precision() {
        ActivationPrecision::F32 => "float32 activations",
        ActivationPrecision::Bf16 => "bfloat16 activations",
    };
    report.measure(Line::ours("conformance", "", case), |line| {
        let results = run_all(device, Rows::Together);
        Ok(Line { text: Some(summary(&results)?), ..line })
    })
}

/// How many checks passed, or which did not.
fn summary(results: &[CheckResult]) -> Result<String> {
    let failures: Vec<String> = results
        .iter()
        .filter_map(|check| Some(format!("{}: {}", check.name, check.failure.as_ref()?)))
        .collect();
    if failures.is_empty() {
        return Ok(format!("all {} checks pass", results.len()));
    }
    failures.iter().for_each(|failure| eprintln!("failure: {failure}"));
    let shown = failures.iter().take(MAX_SHOWN).cloned().collect::<Vec<_>>().join("; ");
    bail!("{} of {} checks fail: {shown}", failures.len(), results.len())
}

#[cfg(test)]
mod tests {
    use azr_transformer::reference::Reference;

    use super::*;

    #[test]
    fn the_reference_conforms_and_failures_are_named() {
        let mut report = Report::new(None, None).unwrap();
        run(&mut report, &Reference).unwrap();
        assert!(!report.has_problems(), "{:?}", report.lines());
        let check = |failure: Option<&str>| CheckResult {
            name: "rope".to_owned(),
            failure: failure.map(str::to_owned),
        };
        let error = summary(&[check(None), check(Some("[3] is 1"))]).unwrap_err().to_string();
        assert_eq!(error, "1 of 2 checks fail: rope: [3] is 1");
    }
}
