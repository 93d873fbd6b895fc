//! Text that a model could write, and text that nobody should write: the same in every run.

/// Length of the longest texts in bytes: more than any token budget lets through.
const LONG: usize = 1 << 20;
/// How deeply nested texts are.
const DEEP: usize = 100_000;

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>): all that is chosen at random comes from a fixed seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Less than `n`, which is not 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n.max(1) as u64) as usize
    }

    /// In [0, 1).
    pub(super) fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Texts of hostile shape: long, deep, unbalanced, with characters that confuse parsers and terminals.
pub(super) fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = SHORT.map(String::from).to_vec();
    texts.extend(
        ["(", "[", "{\"a\":", "<answer>", "-", "not ", "```\n"].map(|open| open.repeat(DEEP)),
    );
    texts.push(format!("{}1{}", "(".repeat(DEEP), ")".repeat(DEEP)));
    texts.extend(["a", "9", "\0", "\u{301}", "\n"].map(|piece| piece.repeat(LONG / piece.len())));
    texts
}

/// Short texts of hostile shape.
pub(super) const SHORT: [&str; 36] = [
    "",
    " ",
    "\n",
    "\r\n\r\n",
    "\0",
    "a\0b",
    "\u{feff}1",
    "\u{202e})1(f\u{202c}",
    "e\u{301}\u{301}\u{301}",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "\u{2028}1\u{2029}",
    "\u{fffd}\u{10ffff}\u{e000}",
    "١٢٣",
    "１２３",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "<think>",
    "</think><answer>",
    "<answer></answer>",
    "<answer><answer>1</answer>",
    "<|im_end|><|endoftext|></s><eos>",
    "```",
    "```python\n```",
    "```python\ndef f(x):\n    return x",
    "'",
    "\"\"\"",
    "\\",
    "{\"a\": [1, {\"b\": null}], \"a\": 2}",
    "1e999999",
    "-1/0",
    "nan",
    "9**9**9",
    "__import__('os').system('true')",
    "%s%n{0.__class__}${HOME}$(true)`true`",
    "'; DROP TABLE tasks; --",
    "(a+)+$",
    "I do not know.",
];

/// `n` texts made of pieces that parsers look for, of `seeds`, and of any characters.
pub(super) fn random(seeds: &[String], n: usize) -> Vec<String> {
    let mut random = Random(7);
    let mut text = |_| {
        let base = seeds.get(random.below(seeds.len().max(1) * 2));
        let mut chars: Vec<char> = base.map_or("", String::as_str).chars().collect();
        for _ in 0..=random.below(6) {
            let at = random.below(chars.len() + 1);
            let end = (at + random.below(4)).min(chars.len());
            let put: Vec<char> = match random.below(4) {
                0 => Vec::new(),
                1 => SHORT[random.below(SHORT.len())].chars().collect(),
                2 => PIECES[random.below(PIECES.len())].chars().collect(),
                _ => char::from_u32(random.below(0x11_0000) as u32).into_iter().collect(),
            };
            chars.splice(at..end, put);
        }
        chars.into_iter().collect()
    };
    (0..n).map(&mut text).collect()
}

const PIECES: [&str; 24] = [
    "0",
    "1",
    "-",
    "7.5",
    " ",
    "\n",
    "\n\n",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "=",
    "'",
    "\"",
    "#",
    "f(",
    "def f(",
    "<answer>",
    "</answer>",
    "</think>",
    "```",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_in_every_run_and_differ_from_each_other() {
        let seeds = ["def f(x): return x".to_owned()];
        let texts = random(&seeds, 50);
        assert_eq!(texts, random(&seeds, 50));
        let distinct: std::collections::BTreeSet<_> = texts.iter().collect();
        assert!(distinct.len() > 40, "{} are distinct", distinct.len());
        assert!(texts.iter().any(|text| text.contains("return")), "some are near a seed");
        assert!(hostile().iter().any(|text| text.len() == LONG));
    }
}
