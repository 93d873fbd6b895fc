//! What azr expects of every backend.

use std::sync::Arc;

use azr_plugin::{Engine, ModelSpec, NoOptions, Services, conformance};
use my_plugin::Bigrams;

#[test]
fn it_passes_the_conformance_kit() {
    // Sixteen letters and an end; of the model's folder nothing is read.
    let mut vocabulary: Vec<Vec<u8>> = (b'a'..=b'p').map(|letter| vec![letter]).collect();
    vocabulary.push(Vec::new());
    let model = ModelSpec {
        path: env!("CARGO_MANIFEST_DIR").into(),
        vocabulary,
        eos: vec![16],
        learns: true,
    };
    let make = || Ok(Arc::new(Bigrams::create(NoOptions {}, Services::default())?) as _);
    conformance::backend(make, &model).assert_passed();
}
