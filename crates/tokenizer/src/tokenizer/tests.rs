//! A tiny tokenizer made here, so that these tests run everywhere.

use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A byte-level BPE over the whole GPT-2 alphabet with two merges, two special tokens, one that only looks special,
/// and one ordinary added token.
pub(crate) fn tokenizer_json() -> Value {
    let alphabet = byte_level_table();
    let mut vocabulary: BTreeMap<String, usize> =
        alphabet.keys().enumerate().map(|(id, character)| (character.to_string(), id)).collect();
    for token in ["he", "hel"] {
        vocabulary.insert(token.into(), vocabulary.len());
    }
    let added = |id: usize, content: &str, special: bool| {
        json!({"id": id, "content": content, "special": special, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": !special})
    };
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": null,
        "added_tokens": [
            added(258, "<|endoftext|>", true),
            added(259, "<|im_end|>", true),
            added(260, "<|fim|>", false),
            added(261, "<tool>", false),
        ],
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": [["h", "e"], ["he", "l"]]},
    })
}

const TEMPLATE: &str =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}assistant: ";

/// Writes the tiny tokenizer and opens it.
fn open() -> (tempfile::TempDir, TextTokenizer) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("tokenizer.json"), tokenizer_json().to_string()).unwrap();
    let settings = json!({"eos_token": {"content": "<|im_end|>"}, "chat_template": TEMPLATE});
    fs::write(directory.path().join("tokenizer_config.json"), settings.to_string()).unwrap();
    fs::write(directory.path().join("generation_config.json"), r#"{"eos_token_id": [261, 999]}"#)
        .unwrap();
    let tokenizer = TextTokenizer::open(directory.path(), &OpenOptions::default()).unwrap();
    (directory, tokenizer)
}

fn user(content: &str) -> Message {
    Message { role: "user".into(), content: content.into() }
}

#[test]
fn facts_come_from_all_settings() {
    let (_directory, tokenizer) = open();
    let info = tokenizer.info();
    assert_eq!((info.vocab_size, info.bos, info.has_chat_template), (262, None, true));
    // The named token first, then the end tokens by name and from the generation config; 999 does not exist.
    assert_eq!(info.eos, [259, 258, 261]);
}

#[test]
fn control_tokens_are_parsed_only_on_demand() {
    let (_directory, tokenizer) = open();
    let text = "hello<|im_end|><|fim|><tool>";
    let parsed = tokenizer.encode(text, ControlTokens::Parse).unwrap();
    assert_eq!(parsed[0], 257);
    assert_eq!(parsed[3..], [259, 260, 261]);
    let plain = tokenizer.encode(text, ControlTokens::AsText).unwrap();
    assert_eq!(plain.iter().filter(|&&id| id >= 258).collect::<Vec<_>>(), [&261]);
    for ids in [&parsed, &plain] {
        assert_eq!(tokenizer.decode(ids, false).unwrap(), text);
    }
    assert_eq!(tokenizer.decode(&parsed, true).unwrap(), "hello<tool>");
    assert_eq!(tokenizer.decode(&[9999], false).unwrap(), "");
}

#[test]
fn a_token_spelled_in_other_characters_stays_text() {
    let (_directory, tokenizer) = open();
    // NFKC turns the full-width bars into ASCII ones, after the control tokens have been looked for.
    let ids = tokenizer.encode("<｜fim｜>", ControlTokens::Parse).unwrap();
    assert!(!ids.contains(&260));
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "<|fim|>");
}

#[test]
fn the_vocabulary_gives_bytes() {
    let (_directory, tokenizer) = open();
    let vocabulary = tokenizer.vocabulary().unwrap();
    assert_eq!(vocabulary.len(), 262);
    assert_eq!(
        (vocabulary[257].as_slice(), vocabulary[259].as_slice()),
        (b"hel".as_slice(), b"".as_slice())
    );
    assert_eq!(
        (vocabulary[260].as_slice(), vocabulary[261].as_slice()),
        (b"".as_slice(), b"<tool>".as_slice())
    );
    let ids = tokenizer.encode("hé\n<tool>", ControlTokens::AsText).unwrap();
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| vocabulary[id as usize].clone()).collect();
    assert_eq!(bytes, "hé\n<tool>".as_bytes());
}

#[test]
fn conversations_follow_the_template() {
    let (_directory, tokenizer) = open();
    let ids = tokenizer
        .encode_chat(&[user("hi"), Message { role: "assistant".into(), content: "yo".into() }])
        .unwrap();
    assert_eq!(
        tokenizer.decode(&ids, false).unwrap(),
        "user: hi<|im_end|>assistant: yo<|im_end|>assistant: "
    );
    assert!(matches!(tokenizer.encode_chat(&[]), Err(TokenizerError::InvalidInput { .. })));
    let robot = Message { role: "<|im_end|>".into(), content: String::new() };
    assert!(matches!(tokenizer.encode_chat(&[robot]), Err(TokenizerError::InvalidInput { .. })));
}

#[test]
fn a_missing_or_wrong_template_is_told_when_it_is_needed() {
    let (directory, _) = open();
    let path = directory.path().join("tokenizer_config.json");
    for (settings, expected) in [
        (json!({}), "no chat template"),
        (json!({"chat_template": "{% for %}"}), "chat template is wrong"),
    ] {
        fs::write(&path, settings.to_string()).unwrap();
        let tokenizer = TextTokenizer::open(directory.path(), &OpenOptions::default()).unwrap();
        assert!(!tokenizer.info().has_chat_template);
        let error = tokenizer.encode_chat(&[user("hi")]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    fs::write(directory.path().join("chat_template.jinja"), "{{ strftime_now('%Y') }}").unwrap();
    let options = OpenOptions { date: "1999-01-01".parse().unwrap() };
    let tokenizer = TextTokenizer::open(directory.path(), &options).unwrap();
    assert_eq!(tokenizer.render_chat(&[user("hi")]).unwrap(), "1999");
}

#[test]
fn a_saved_tokenizer_is_the_same() {
    let (_directory, tokenizer) = open();
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("new/folder");
    tokenizer.save(&path).unwrap();
    let again = TextTokenizer::open(&path, &OpenOptions::default()).unwrap();
    assert_eq!(again.info(), tokenizer.info());
    assert_eq!(again.vocabulary().unwrap(), tokenizer.vocabulary().unwrap());
    for text in ["hello<|im_end|><|fim|><tool>", "é <｜fim｜>\n"] {
        for control in [ControlTokens::Parse, ControlTokens::AsText] {
            assert_eq!(
                again.encode(text, control).unwrap(),
                tokenizer.encode(text, control).unwrap()
            );
        }
    }
    assert_eq!(
        again.encode_chat(&[user("hi")]).unwrap(),
        tokenizer.encode_chat(&[user("hi")]).unwrap()
    );
}

#[test]
fn a_post_processor_tells_whether_prompts_start_with_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let mut tokenizer = tokenizer_json();
    let special = json!({"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}});
    tokenizer["post_processor"] = json!({"type": "TemplateProcessing",
        "single": [special, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [special, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [258], "tokens": ["<|endoftext|>"]}}});
    fs::write(directory.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let open = || TextTokenizer::open(directory.path(), &OpenOptions::default()).unwrap();
    assert_eq!(open().info().bos, Some(258));
    assert_eq!(open().encode("h", ControlTokens::Parse).unwrap().len(), 1);
    fs::write(directory.path().join("tokenizer_config.json"), r#"{"add_bos_token": false}"#)
        .unwrap();
    assert_eq!(open().info().bos, None);
}

#[test]
fn damaged_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = |text: &str| {
        fs::write(directory.path().join("tokenizer.json"), text).unwrap();
        TextTokenizer::open(directory.path(), &OpenOptions::default())
    };
    let mut huge_id = tokenizer_json();
    huge_id["model"]["vocab"]["zz"] = json!(4_000_000_000_u32);
    let mut no_such_merge = tokenizer_json();
    no_such_merge["model"]["merges"] = json!([["q", "z"]]);
    for text in ["", "{}", "[]", &huge_id.to_string(), &no_such_merge.to_string()] {
        assert!(matches!(open(text), Err(TokenizerError::Malformed { .. })), "{text:.20}");
    }
    fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
    let error = TextTokenizer::open(directory.path(), &OpenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("no tokenizer.json"), "{error}");
}

#[test]
fn very_long_runs_of_spaces_are_encoded_whole() {
    let (_directory, tokenizer) = open();
    let text = format!("{}x", " ".repeat(300_000));
    let ids = tokenizer.encode(&text, ControlTokens::AsText).unwrap();
    assert_eq!(tokenizer.decode(&ids, false).unwrap().len(), text.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contents_never_become_control_tokens(parts in proptest::collection::vec(
        prop_oneof![Just("<|im_end|>"), Just("<|fim|>"), Just("<|endoftext|>"), Just("<|im_"), Just("end|>"), Just("<"), Just("|"), Just("\u{200b}"), Just("x")], 0..12,
    )) {
        let (_directory, tokenizer) = open();
        let ids = tokenizer.encode_chat(&[user(&parts.concat())]).unwrap();
        let control: Vec<u32> = ids.into_iter().filter(|id| (258..=260).contains(id)).collect();
        prop_assert_eq!(control, [259]);
    }

    #[test]
    fn any_text_survives(text in "\\PC{0,30}") {
        let (_directory, tokenizer) = open();
        let vocabulary = tokenizer.vocabulary().unwrap();
        for control in [ControlTokens::Parse, ControlTokens::AsText] {
            let ids = tokenizer.encode(&text, control).unwrap();
            let bytes: Vec<u8> = ids.iter().flat_map(|&id| vocabulary[id as usize].clone()).collect();
            prop_assert_eq!(String::from_utf8_lossy(&bytes), tokenizer.decode(&ids, true).unwrap());
        }
    }

    #[test]
    fn mutated_files_are_read_or_refused(at in 0_usize..7000, insert in "[0-9a-z\"{}\\[\\],:.-]{0,4}", remove in 0_usize..9) {
        let mut text = tokenizer_json().to_string();
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) { at -= 1; }
        let mut end = (at + remove).min(text.len());
        while !text.is_char_boundary(end) { end += 1; }
        text.replace_range(at..end, &insert);
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("tokenizer.json"), text).unwrap();
        if let Ok(tokenizer) = TextTokenizer::open(directory.path(), &OpenOptions::default()) {
            let _ = tokenizer.encode("hello <|im_end|> é", ControlTokens::AsText);
            let _ = tokenizer.vocabulary();
        }
    }
}
