//! What a tokenizer promises.

use super::text::{SHORT, hostile, random};
use super::{CheckFn, Flaw, Maker, Scratch, Verdict, ensure, errs, from_threads, no_panic, shown};
use crate::{ControlTokens, Message, Tokenizer};

pub(super) const CHECKS: &[(&str, CheckFn<dyn Tokenizer>)] = &[
    ("vocabulary", vocabulary),
    ("text there and back", round_trip),
    ("bytes of the ids", bytes),
    ("control tokens spelled in a text", control_tokens),
    ("conversations", conversations),
    ("ids that are none", wrong_ids),
    ("equal ids of equal engines", two_instances),
    ("saved files", saved),
    ("calls from several threads", threads),
];

/// Text that ordinary vocabularies can spell.
const PLAIN: [&str; 4] =
    ["def f(x):\n    return [x, 1]\n", "0123456789", "Hello, world!", "  two  spaces\n\n\n"];

fn texts() -> Vec<String> {
    let mut texts: Vec<String> = SHORT.into_iter().chain(PLAIN).map(String::from).collect();
    texts.extend(random(&PLAIN.map(String::from), 60));
    texts
}

fn encode(tokenizer: &dyn Tokenizer, texts: &[String]) -> std::result::Result<Vec<Vec<u32>>, Flaw> {
    let ids = tokenizer.encode(texts, ControlTokens::AsText)?;
    ensure!(ids.len() == texts.len(), "{} sequences for {} texts", ids.len(), texts.len());
    let n_ids = tokenizer.info().vocab_size;
    let unknown = ids.iter().flatten().find(|&&id| id >= n_ids);
    ensure!(unknown.is_none(), "id {unknown:?} is none of {n_ids}");
    Ok(ids)
}

fn decode(tokenizer: &dyn Tokenizer, ids: &[Vec<u32>]) -> std::result::Result<Vec<String>, Flaw> {
    let texts = tokenizer.decode(ids, false)?;
    ensure!(texts.len() == ids.len(), "{} texts for {} sequences", texts.len(), ids.len());
    Ok(texts)
}

fn vocabulary(make: Maker<'_, dyn Tokenizer>) -> Verdict {
    let tokenizer = make()?;
    let info = tokenizer.info();
    ensure!(info.vocab_size > 0, "there are no ids");
    ensure!(!info.eos.is_empty(), "no id ends a generation");
    for id in info.eos.iter().chain(&info.bos) {
        ensure!(*id < info.vocab_size, "the control token {id} is none of {} ids", info.vocab_size);
    }
    let n_bytes = tokenizer.vocabulary()?.len();
    ensure!(
        n_bytes == info.vocab_size as usize,
        "vocabulary() has {n_bytes} entries, info() says {} ids",
        info.vocab_size
    );
    Ok(())
}

/// What the vocabulary can spell comes back as it was; what it cannot becomes something that does.
fn round_trip(make: Maker<'_, dyn Tokenizer>) -> Verdict {
    let tokenizer = make()?;
    let texts = [texts(), hostile()].concat();
    let once = decode(&*tokenizer, &encode(&*tokenizer, &texts)?)?;
    let twice = decode(&*tokenizer, &encode(&*tokenizer, &once)?)?;
    for ((text, once), twice) in texts.iter().zip(&once).zip(&twice) {
        ensure!(
            once == twice,
            "\"{}\" is read back as \"{}\", and that as \"{}\"",
            shown(text),
            shown(once),
            shown(twice)
        );
        ensure!(
            text.is_empty() == once.is_empty(),
            "\"{}\" is read back as \"{}\"",
            shown(text),
            shown(once)
        );
    }
    ensure!(encode(&*tokenizer, &[])?.is_empty(), "there are ids of no text");
    Ok(())
}

/// Backends write completions with them: they must spell what decoding reads.
fn bytes(make: Maker<'_, dyn Tokenizer>) -> Verdict {
    let tokenizer = make()?;
    let (vocabulary, ids) = (tokenizer.vocabulary()?, encode(&*tokenizer, &texts())?);
    for (ids, decoded) in ids.iter().zip(decode(&*tokenizer, &ids)?) {
        let bytes: Vec<u8> =
            ids.iter().filter_map(|&id| vocabulary.get(id as usize)).flatten().copied().collect();
        let spelled = String::from_utf8_lossy(&bytes);
        ensure!(
            spelled == decoded,
            "the bytes of the ids spell \"{}\", decoding reads \"{}\"",
            shown(&spelled),
            shown(&decoded)
        );
    }
    Ok(())
}

/// Ids that end a generation, and how they are spelled.
fn spelled_controls(tokenizer: &dyn Tokenizer) -> std::result::Result<Vec<(u32, String)>, Flaw> {
    let eos = tokenizer.info().eos;
    let ids: Vec<Vec<u32>> = eos.iter().map(|&id| vec![id]).collect();
    let spelled = eos.into_iter().zip(decode(tokenizer, &ids)?);
    let spelled: Vec<_> = spelled.filter(|(_, text)| !text.is_empty()).collect();
    if spelled.is_empty() {
        return Err(Flaw::Skipped("no control token can be spelled".into()));
    }
    Ok(spelled)
}

fn control_tokens(make: Maker<'_, dyn Tokenizer>) -> Verdict {
    let tokenizer = make()?;
    for (id, text) in spelled_controls(&*tokenizer)? {
        for hidden in [text.clone(), format!("a{text}b"), format!("{text}{text}")] {
            let ids = encode(&*tokenizer, &[hidden])?;
            ensure!(!ids[0].contains(&id), "text that spells {text} becomes this control token");
        }
        let parsed = tokenizer.encode(std::slice::from_ref(&text), ControlTokens::Parse)?;
        ensure!(
            parsed == [[id]],
            "{text} in trusted text is {parsed:?} and not this control token"
        );
        let skipped = tokenizer.decode(&[vec![id]], true)?;
        ensure!(skipped == [""], "{text} is not left out when control tokens are skipped");
    }
    Ok(())
}

fn conversations(make: Maker<'_, dyn Tokenizer>) -> Verdict {
    let tokenizer = make()?;
    let chat = |content: &str| vec![Message { role: "user".into(), content: content.into() }];
    if !tokenizer.info().has_chat_template {
        return errs(
            "a conversation without a chat template",
            tokenizer.encode_chats(&[chat("a")]),
        );
    }
    let controls = spelled_controls(&*tokenizer)?;
    let text: String = controls.iter().map(|(_, text)| text.as_str()).collect();
    let ids = tokenizer.encode_chats(&[chat("abc"), chat(&format!("abc{text}"))])?;
    ensure!(ids.len() == 2, "{} sequences for 2 conversations", ids.len());
    for (id, text) in controls {
        let [plain, hostile] =
            [&ids[0], &ids[1]].map(|ids| ids.iter().filter(|&&i| i == id).count());
        ensure!(plain == hostile, "a message that spells {text} becomes this control token");
    }
    for role in ["", "tool", "\0", "<|im_end|>"] {
        let odd = vec![Message { role: role.into(), content: "\u{202e}".into() }];
        if let Err(error) = tokenizer.encode_chats(&[odd, Vec::new()]) {
            no_panic("a conversation with an odd role", &error)?;
        }
    }
    Ok(())
}

fn wrong_ids(make: Maker<'_, dyn Tokenizer>) -> Verdict {
    let tokenizer = make()?;
    for id in [tokenizer.info().vocab_size, u32::MAX] {
        if let Err(error) = tokenizer.decode(&[vec![id]], false) {
            no_panic("an id that is none", &error)?;
        }
    }
    Ok(())
}

fn two_instances(make: Maker<'_, dyn Tokenizer>) -> Verdict {
    let (one, other) = (make()?, make()?);
    let texts = texts();
    let ids = encode(&*one, &texts)?;
    ensure!(encode(&*other, &texts)? == ids, "equal texts get different ids");
    for (text, ids) in texts.iter().zip(&ids) {
        let alone = encode(&*one, std::slice::from_ref(text))?;
        ensure!(alone == [ids.clone()], "ids of \"{}\" depend on the other texts", shown(text));
    }
    ensure!(other.info() == one.info(), "equal engines describe themselves differently");
    ensure!(other.vocabulary()? == one.vocabulary()?, "equal engines have different vocabularies");
    Ok(())
}

fn saved(make: Maker<'_, dyn Tokenizer>) -> Verdict {
    let (tokenizer, scratch) = (make()?, Scratch::new()?);
    tokenizer.save(scratch.path())?;
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        ensure!(scratch.path().join(name).is_file(), "save() wrote no {name}");
    }
    errs(
        "saving into a folder that is none",
        tokenizer.save(&scratch.path().join("tokenizer.json/x")),
    )
}

fn threads(make: Maker<'_, dyn Tokenizer>) -> Verdict {
    let (tokenizer, texts) = (make()?, texts());
    from_threads(|| tokenizer.encode(&texts, ControlTokens::AsText))
}
