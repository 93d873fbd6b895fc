//! The device contract, with activations in both precisions.

use azr_transformer::ActivationPrecision;
use azr_transformer::conformance::{Rows, run_all};

use crate::gpu;

fn conforms(precision: ActivationPrecision) {
    let results = run_all(&gpu::open(precision), Rows::Together);
    assert!(results.len() > 100, "{} checks", results.len());
    let failures: Vec<_> = results.iter().filter(|result| result.failure.is_some()).collect();
    assert!(failures.is_empty(), "{} of {}: {failures:#?}", failures.len(), results.len());
}

#[test]
fn float32_activations_conform() {
    conforms(ActivationPrecision::F32);
}

#[test]
fn bfloat16_activations_conform() {
    conforms(ActivationPrecision::Bf16);
}
