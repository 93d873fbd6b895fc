//! Control tokens spelled out in untrusted text: what they are, and how they are made harmless.

use std::borrow::Cow;

/// ZERO WIDTH SPACE. It is put behind the first character of a spelled-out control token.
const BREAK: char = '\u{200b}';
/// Overlapping spellings need a second pass; a vocabulary with tokens that are made to grow back gets no third chance.
const MAX_PASSES: usize = 8;

/// Whether an added token with this text steers the model even when its file does not call it special: the rule by
/// which GGUF converters, too, recognise control tokens (`<|…|>`, and the full-width bars of DeepSeek).
pub(crate) fn looks_like_control(text: &str) -> bool {
    (text.starts_with("<|") && text.ends_with("|>")
        || text.starts_with("<｜") && text.ends_with("｜>"))
        && text.chars().count() > 3
}

/// `text` with every spelled-out token of `tokens` broken up, or nothing where that is impossible
/// (tokens that contain the break themselves).
pub(crate) fn break_up<'t>(text: &'t str, tokens: &[String]) -> Option<Cow<'t, str>> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_PASSES {
        let mut found = false;
        for token in tokens.iter().filter(|token| !token.is_empty()) {
            if text.contains(token.as_str()) {
                found = true;
                text = Cow::Owned(text.replace(token.as_str(), &broken(token)));
            }
        }
        if !found {
            return Some(text);
        }
    }
    None
}

/// A token of one character cannot be broken up; it is replaced.
fn broken(token: &str) -> String {
    let mut characters = token.chars();
    match (characters.next(), characters.as_str()) {
        (Some(first), rest) if !rest.is_empty() => format!("{first}{BREAK}{rest}"),
        _ => BREAK.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(tokens: &[&str]) -> Vec<String> {
        tokens.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn harmless_text_is_untouched() {
        let text = break_up("a <|b|> c", &tokens(&["<|im_end|>", ""])).unwrap();
        assert!(matches!(text, Cow::Borrowed("a <|b|> c")));
    }

    #[test]
    fn each_spelling_is_broken_behind_its_first_character() {
        let control = tokens(&["<|im_end|>", "§", "aa"]);
        assert_eq!(
            break_up("x<|im_end|>y<|im_<|im_end|>end|>", &control).unwrap(),
            "x<\u{200b}|im_end|>y<|im_<\u{200b}|im_end|>end|>"
        );
        assert_eq!(break_up("1§2", &control).unwrap(), "1\u{200b}2");
        assert_eq!(break_up("aaaa", &control).unwrap(), "a\u{200b}a\u{200b}a\u{200b}a");
    }

    #[test]
    fn tokens_that_grow_back_are_refused() {
        assert_eq!(break_up("ab", &tokens(&["ab", "\u{200b}"])), None);
    }

    #[test]
    fn control_tokens_are_recognised_by_their_bars() {
        for text in ["<|im_end|>", "<|fim_prefix|>", "<｜User｜>"] {
            assert!(looks_like_control(text), "{text}");
        }
        for text in ["<tool_call>", "<|>", "|>", "<|x", ""] {
            assert!(!looks_like_control(text), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_spelling_survives(text in "[<|>imendx_é]{0,40}", tokens in proptest::collection::vec("[<|>imendé_]{1,6}", 0..4)) {
            if let Some(broken) = break_up(&text, &tokens) {
                prop_assert!(tokens.iter().all(|token| !broken.contains(token.as_str())));
                prop_assert!(broken.replace(BREAK, "") == text || tokens.iter().any(|token| token.chars().count() == 1));
            }
        }
    }
}
