//! What azr expects of every tokenizer.

use std::sync::Arc;

use azr_plugin::{Engine, Services, conformance};
use my_plugin::{Bytes, Options};

#[test]
fn it_passes_the_conformance_kit() {
    let make = || Ok(Arc::new(Bytes::create(Options::default(), Services::default())?) as _);
    conformance::tokenizer(make).assert_passed();
}
