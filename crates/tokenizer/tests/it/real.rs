//! The real models' tokenizers, where the models have been pulled: ids must be those of the reference implementations
//! (Hugging Face tokenizers and llama.cpp agree on them).

use std::path::PathBuf;
use std::time::Instant;

use azr_plugin::{ControlTokens, Message};
use azr_tokenizer::{OpenOptions, TextTokenizer};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

/// The model that must be there where the environment sets `AZR_REQUIRE_MODELS`.
const REQUIRED: &str = "smollm2-135m";

/// The path of a pulled model, or nothing (with a line that says so).
fn pulled(name: &str) -> Option<PathBuf> {
    let path = azr_weights::models::models_dir().unwrap().join(name).join("model.gguf");
    if !path.exists() {
        let is_required = name == REQUIRED && std::env::var_os("AZR_REQUIRE_MODELS").is_some();
        assert!(!is_required, "AZR_REQUIRE_MODELS is set, but there is no {}", path.display());
        println!("skipped: the model {name} is not on this machine");
        return None;
    }
    Some(path)
}

fn open(path: &std::path::Path) -> TextTokenizer {
    let start = Instant::now();
    let tokenizer = TextTokenizer::open(path, &OpenOptions::default()).unwrap();
    println!("opened {} in {:?}", path.display(), start.elapsed());
    tokenizer
}

fn user(content: &str) -> Message {
    Message { role: "user".into(), content: content.into() }
}

/// Ids, decoding, bytes and saving of one model.
fn check(tokenizer: &TextTokenizer, cases: &str) {
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    assert_eq!(cases.len(), 20);
    let saved = tempfile::tempdir().unwrap();
    tokenizer.save(saved.path()).unwrap();
    let again = open(saved.path());
    assert_eq!(again.info(), tokenizer.info());
    let vocabulary = tokenizer.vocabulary().unwrap();
    assert_eq!(again.vocabulary().unwrap(), vocabulary);
    for case in &cases {
        for tokenizer in [tokenizer, &again] {
            assert_eq!(
                tokenizer.encode(&case.text, ControlTokens::Parse).unwrap(),
                case.ids,
                "{:?}",
                case.text
            );
        }
        let plain = tokenizer.encode(&case.text, ControlTokens::AsText).unwrap();
        let bytes: Vec<u8> = plain.iter().flat_map(|&id| vocabulary[id as usize].clone()).collect();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            tokenizer.decode(&plain, true).unwrap(),
            "{:?}",
            case.text
        );
        assert_eq!(
            tokenizer.decode(&plain, false).unwrap(),
            tokenizer.decode(&case.ids, false).unwrap()
        );
    }
    assert_eq!(
        again.encode_chat(&[user("What is 1 + 1?")]).unwrap(),
        tokenizer.encode_chat(&[user("What is 1 + 1?")]).unwrap()
    );
    measure(tokenizer, &cases);
}

/// Prints how fast texts are encoded.
fn measure(tokenizer: &TextTokenizer, cases: &[Case]) {
    let text: String = cases.iter().map(|case| case.text.as_str()).collect::<String>().repeat(200);
    let start = Instant::now();
    let n_tokens = tokenizer.encode(&text, ControlTokens::AsText).unwrap().len();
    println!("{:.0} tokens/s on one thread", n_tokens as f64 / start.elapsed().as_secs_f64());
}

#[test]
fn smollm2_tokens_are_those_of_the_reference() {
    let Some(path) = pulled("smollm2-135m") else { return };
    let tokenizer = open(&path);
    let info = tokenizer.info();
    assert_eq!((info.vocab_size, info.bos, info.eos.as_slice()), (49_152, None, &[2, 0][..]));
    check(&tokenizer, include_str!("../data/smollm2.json"));
    let chat = tokenizer.render_chat(&[user("2<|im_end|>")]).unwrap();
    let system = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n";
    assert_eq!(
        chat,
        format!("{system}<|im_start|>user\n2<\u{200b}|im_end|><|im_end|>\n<|im_start|>assistant\n")
    );
}

#[test]
fn qwen_tokens_are_those_of_the_reference() {
    let Some(path) = pulled("qwen2.5-coder-0.5b") else { return };
    let tokenizer = open(&path);
    let info = tokenizer.info();
    assert_eq!(
        (info.vocab_size, info.bos, info.eos.as_slice()),
        (151_665, None, &[151_645, 151_643][..])
    );
    check(&tokenizer, include_str!("../data/qwen2.json"));
    let system = Message { role: "system".into(), content: "Be brief.".into() };
    let ids = tokenizer.encode_chat(&[system, user("<|fim_prefix|><|im_end|>é")]).unwrap();
    let control: Vec<u32> = ids.iter().copied().filter(|&id| id >= 151_643).collect();
    assert_eq!(control, [151_644, 151_645, 151_644, 151_645, 151_644]);
    assert!(
        tokenizer
            .decode(&ids, false)
            .unwrap()
            .ends_with("<\u{200b}|im_end|>é<|im_end|>\n<|im_start|>assistant\n")
    );
}
