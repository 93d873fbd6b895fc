//! What every domain promises.

use std::sync::Arc;

use azr_domain_math::{MathOptions, PromptStyle};
use azr_plugin::{Domain, conformance};

use crate::setup::domain;

#[test]
fn the_domain_keeps_what_every_domain_promises_in_both_styles() {
    for prompt_style in [PromptStyle::Completion, PromptStyle::Chat] {
        let options = MathOptions { prompt_style, ..MathOptions::default() };
        let make = move || Ok(Arc::new(domain(options.clone())) as Arc<dyn Domain>);
        conformance::domain(make).assert_passed();
    }
}

#[test]
fn right_answers_to_tasks_of_every_kind_are_known() {
    let domain = domain(MathOptions::default());
    let tasks: Vec<_> =
        domain.kinds().iter().flat_map(|kind| domain.seed_tasks(&kind.name).unwrap()).collect();
    let known = domain.known_answers(&tasks).unwrap();
    assert!(
        known.iter().all(|known| known.right.len() == 1 && known.wrong.len() >= 3),
        "{known:?}"
    );
}
