//! Honest programs in the style of what models propose, and a comparison of two executors on them.
//!
//! Each family is a template in `corpus/`; a seed decides about names, constants, operators and variants
//! of statements. The mix follows what was measured on published seed programs: one in seven imports
//! something, one in thirty defines a class, and a few percent raise, return no plain value or depend on
//! the order of a set of strings.

use std::collections::BTreeSet;

use azr_executor::parse_arguments;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

mod compare;
mod template;

pub use compare::{Difference, Report, compare};
use template::Family;

/// Templates of one topic and how many of a thousand programs come from them.
const TOPICS: [(&str, u64); 12] = [
    (include_str!("../corpus/lists.py"), 235),
    (include_str!("../corpus/strings.py"), 165),
    (include_str!("../corpus/numbers.py"), 175),
    (include_str!("../corpus/dicts.py"), 85),
    (include_str!("../corpus/matrices.py"), 45),
    (include_str!("../corpus/functions.py"), 55),
    (include_str!("../corpus/imports.py"), 150),
    (include_str!("../corpus/classes.py"), 22),
    (include_str!("../corpus/generators.py"), 6),
    (include_str!("../corpus/failing.py"), 30),
    (include_str!("../corpus/nonvalues.py"), 18),
    (include_str!("../corpus/seeded.py"), 14),
];

/// A program with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triplet {
    /// Python source text that defines `f`.
    pub program: String,
    /// Canonical text of the arguments.
    pub call: String,
    /// Name of the template that it came from.
    pub family: &'static str,
}

/// `n` different programs, the same for the same seed. There are enough variants for tens of thousands;
/// where they run out, fewer come.
pub fn triplets(seed: u64, n: usize) -> Vec<Triplet> {
    let topics: Vec<(Vec<Family>, u64)> =
        TOPICS.iter().map(|(text, share)| (Family::read_all(text), *share)).collect();
    let mut random = Draws(ChaCha8Rng::seed_from_u64(seed));
    let mut seen = BTreeSet::new();
    let mut triplets = Vec::with_capacity(n);
    for _ in 0..n.saturating_mul(20) {
        if triplets.len() == n {
            break;
        }
        let Some(triplet) = draw(&topics, &mut random) else { continue };
        if seen.insert(triplet.program.clone()) {
            triplets.push(triplet);
        }
    }
    triplets
}

fn draw(topics: &[(Vec<Family>, u64)], random: &mut Draws) -> Option<Triplet> {
    let mut place = random.below(topics.iter().map(|(_, share)| share).sum());
    let (families, _) = topics.iter().find(|(_, share)| {
        let is_here = place < *share;
        place = place.saturating_sub(*share);
        is_here
    })?;
    let family = random.choose(families)?;
    if family.is_rare && random.below(4) != 0 {
        return None;
    }
    let (program, call) = family.expand(random);
    let call = parse_arguments(&call).ok()?.to_canonical();
    Some(Triplet { program, call, family: family.name })
}

/// Numbers that are drawn in a fixed order.
struct Draws(ChaCha8Rng);

impl Draws {
    /// A number below `bound`; the bias of the remainder does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(items.len() as u64);
        items.get(usize::try_from(index).unwrap_or(0))
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = high.saturating_sub(low).saturating_add(1);
        low + self.below(width.cast_unsigned()).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azr_executor::{ImportPolicy, Program};

    fn families() -> Vec<Family> {
        TOPICS.iter().flat_map(|(text, _)| Family::read_all(text)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_programs() {
        let first = triplets(7, 600);
        assert_eq!(first.len(), 600);
        assert_eq!(first, triplets(7, 600));
        assert_eq!(first[..100], triplets(7, 100));
        assert_ne!(first[..100], triplets(8, 100));
        let different: BTreeSet<&str> =
            first.iter().map(|triplet| triplet.program.as_str()).collect();
        assert_eq!(different.len(), 600);
    }

    #[test]
    fn every_expansion_passes_the_gate() {
        let names: BTreeSet<&str> = families().iter().map(|family| family.name).collect();
        assert!(names.len() >= 100 && names.len() == families().len(), "{}", names.len());
        let mut random = Draws(ChaCha8Rng::seed_from_u64(1));
        for family in families() {
            let mut programs = BTreeSet::new();
            for _ in 0..40 {
                let (program, call) = family.expand(&mut random);
                assert!(
                    !program.contains(['«', '»']) && !call.contains(['«', '»']),
                    "{program}{call}"
                );
                let parsed = Program::parse(&program, &ImportPolicy::default());
                assert!(parsed.is_ok_and(|parsed| parsed.entry_renamed.is_none()), "{program}");
                assert!(parse_arguments(&call).is_ok(), "{}: {call}", family.name);
                programs.insert(program);
            }
            assert!(programs.len() >= 8, "{} has {} variants", family.name, programs.len());
        }
    }

    #[test]
    fn the_mix_is_that_of_proposals() {
        let triplets = triplets(3, 2_000);
        let share = |holds: &dyn Fn(&str) -> bool| {
            let n = triplets.iter().filter(|triplet| holds(&triplet.program)).count();
            n as f64 / triplets.len() as f64
        };
        let imports = share(&|program| {
            program.lines().any(|line| line.starts_with("import") || line.starts_with("from"))
        });
        let classes = share(&|program| program.contains("class "));
        let whiles = share(&|program| program.contains("while "));
        assert!((0.12..0.19).contains(&imports), "{imports}");
        assert!((0.02..0.06).contains(&classes), "{classes}");
        assert!((0.05..0.20).contains(&whiles), "{whiles}");
    }
}
