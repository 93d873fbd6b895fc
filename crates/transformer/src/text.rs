//! The text of a response while it grows: bytes of tokens, stop strings, UTF-8.

/// The bytes of a response so far and where a stop string cut them.
///
/// Matching is over bytes, so a stop string may span tokens and begin or end inside one, and each byte is looked
/// at once. The first byte that completes a stop string ends the text; of several that end there, the longest is
/// cut off. The text is thus a function of the bytes, however they were split into tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResponseText {
    bytes: Vec<u8>,
}

impl ResponseText {
    /// Appends the bytes of one token. True once a stop string is complete; the text ends before it.
    pub(crate) fn push(&mut self, token: &[u8], stops: &[String]) -> bool {
        for &byte in token {
            self.bytes.push(byte);
            let matched = stops
                .iter()
                .filter(|stop| self.bytes.ends_with(stop.as_bytes()))
                .map(String::len)
                .max();
            if let Some(len) = matched {
                self.bytes.truncate(self.bytes.len() - len);
                return true;
            }
        }
        false
    }

    /// The text; bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn into_string(self) -> String {
        match String::from_utf8(self.bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(tokens: &[&[u8]], stops: &[&str]) -> (String, Option<usize>) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut text = ResponseText::default();
        let stopped_at = tokens.iter().position(|token| text.push(token, &stops));
        (text.into_string(), stopped_at)
    }

    #[test]
    fn a_stop_string_may_span_tokens_and_begin_inside_one() {
        assert_eq!(run(&[b"x</ans", b"wer> more"], &["</answer>"]), ("x".into(), Some(1)));
        assert_eq!(run(&[b"a\n", b"\nb"], &["\n\n"]), ("a".into(), Some(1)));
        assert_eq!(run(&[b"</ans", b"were>"], &["</answer>"]), ("</answere>".into(), None));
        assert_eq!(run(&[b"aab"], &["ab", "b"]), ("a".into(), Some(0)));
        assert_eq!(run(&[b"abcd"], &["abcd", "bc"]), ("a".into(), Some(0)));
    }

    #[test]
    fn characters_may_span_tokens_and_incomplete_ones_are_replaced() {
        assert_eq!(run(&[b"\xf0\x9f", b"\x99\x82!"], &[]).0, "🙂!");
        assert_eq!(run(&[b"a\xf0\x9f"], &[]).0, "a\u{fffd}");
        assert_eq!(run(&[b"\xe6\x97", b"\xa5", b"stop"], &["stop"]).0, "日");
    }

    proptest! {
        #[test]
        fn the_text_does_not_depend_on_the_tokens(
            bytes in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(0xe6), Just(0x97)], 0..40),
            cuts in proptest::collection::vec(0_usize..40, 0..6),
            stops in proptest::collection::vec("[ab]{1,3}", 0..3),
        ) {
            let mut whole = ResponseText::default();
            let stopped = whole.push(&bytes, &stops);
            let mut split = ResponseText::default();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let split_stopped = cuts.windows(2).any(|cut| split.push(&bytes[cut[0]..cut[1]], &stops));
            prop_assert_eq!(stopped, split_stopped);
            prop_assert_eq!(&whole, &split);
            let contains = stops.iter().any(|stop| bytes.windows(stop.len()).any(|part| part == stop.as_bytes()));
            prop_assert_eq!(stopped, contains);
            prop_assert!(bytes.starts_with(&whole.bytes));
        }
    }
}
