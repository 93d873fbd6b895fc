//! What azr expects of every domain.

use std::sync::Arc;

use azr_plugin::{Engine, NoOptions, Services, conformance};
use my_plugin::Sums;

#[test]
fn it_passes_the_conformance_kit() {
    let make = || Ok(Arc::new(Sums::create(NoOptions {}, Services::default())?) as _);
    conformance::domain(make).assert_passed();
}
