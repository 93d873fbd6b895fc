//! The device contract, on every instruction set of the machine and with several numbers of threads.

use azr_cpu::{Cpu, InstructionSet};
use azr_transformer::conformance::{Rows, run_all};

fn conforms(cpu: &Cpu) {
    let results = run_all(cpu, Rows::Independent);
    assert!(results.len() > 100, "{} checks", results.len());
    let failures: Vec<_> = results.iter().filter(|result| result.failure.is_some()).collect();
    assert!(failures.is_empty(), "{} of {}: {failures:#?}", failures.len(), results.len());
}

#[test]
fn every_instruction_set_conforms() {
    for set in InstructionSet::available() {
        conforms(&Cpu::with_instruction_set(Some(2), set).unwrap());
    }
}

#[test]
fn one_thread_and_three_threads_conform() {
    for threads in [1, 3] {
        conforms(&Cpu::new(Some(threads)).unwrap());
    }
}
