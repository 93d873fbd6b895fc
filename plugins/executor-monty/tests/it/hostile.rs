//! Hostile programs, beside honest ones.

use azr_executor_suite::hostile::{self, Gate, Settings};

use crate::*;

fn check(policy: Policy, gate: Gate, purpose: Purpose) {
    let _turn = turn();
    let executor = executor(policy, 2);
    let settings = Settings { purpose, ..Settings::new(gate) };
    let failures = hostile::check(&executor, &hostile::all(), &settings);
    let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn the_sandbox_contains_hostile_programs() {
    check(Policy::Open, Gate::Open, Purpose::Check);
}

#[test]
fn the_gate_refuses_what_reaches_for_the_system() {
    check(Policy::Strict, Gate::Strict, Purpose::Gold);
}
