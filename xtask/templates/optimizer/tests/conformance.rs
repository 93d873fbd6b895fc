//! What azr expects of every optimizer.

use std::sync::Arc;

use azr_plugin::{Engine, Services, conformance};
use my_plugin::{Baseline, Options};

#[test]
fn it_passes_the_conformance_kit() {
    let make = || Ok(Arc::new(Baseline::create(Options::default(), Services::default())?) as _);
    conformance::optimizer(make).assert_passed();
}
