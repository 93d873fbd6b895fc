//! A tiny random-weight model on disk, and the `azr` binary run on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Characters the tiny model speaks, beside its end-of-text token. So few that random text is often a value, now and
/// then the right one: rewards differ and the update has something to do.
const ALPHABET: &str = "0123456789'\n)(,]";
const HIDDEN: usize = 32;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const FFN: usize = 48;

/// Writes a Hugging Face directory of a Llama with random weights and a tokenizer that knows few characters.
pub(crate) fn tiny_model(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let vocab = vocabulary();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": vocab.len(),
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 4096,
        "hidden_act": "silu", "tie_word_embeddings": true, "attention_bias": false,
        "bos_token_id": 0, "eos_token_id": 0,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let ids: BTreeMap<&str, usize> =
        vocab.iter().enumerate().map(|(id, token)| (token.as_str(), id)).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [{"id": 0, "content": "<eos>", "special": true, "single_word": false, "lstrip": false,
                          "rstrip": false, "normalized": false}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "model": {"type": "BPE", "vocab": ids, "merges": [], "unk_token": "?", "dropout": null, "fuse_unk": false,
                  "continuing_subword_prefix": null, "end_of_word_suffix": null, "byte_fallback": false},
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), json!({"eos_token": "<eos>"}).to_string())
        .unwrap();
    write_safetensors(&folder.join("model.safetensors"), &tensors(vocab.len()));
}

/// `<eos>`, the stand-in for unknown characters, and the alphabet as byte-level BPE spells it.
fn vocabulary() -> Vec<String> {
    let spelled = ALPHABET.chars().map(|c| if c == '\n' { "Ċ".to_owned() } else { c.to_string() });
    ["<eos>".to_owned(), "?".to_owned()].into_iter().chain(spelled).collect()
}

/// The bytes of each token id of the tiny model.
pub(crate) fn tiny_vocabulary() -> Vec<Vec<u8>> {
    let texts = ["<eos>".to_owned(), "?".to_owned()].into_iter();
    texts.chain(ALPHABET.chars().map(String::from)).map(String::into_bytes).collect()
}

fn tensors(vocab: usize) -> Vec<(String, Vec<usize>)> {
    let kv = KV_HEADS * HIDDEN / HEADS;
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![vocab, HIDDEN])];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("input_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![kv, HIDDEN]),
            ("self_attn.v_proj", vec![kv, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("mlp.gate_proj", vec![FFN, HIDDEN]),
            ("mlp.up_proj", vec![FFN, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, FFN]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    shapes.push(("model.norm.weight".to_owned(), vec![HIDDEN]));
    shapes
}

/// The format is simple enough to write by hand: header length, JSON header, data.
fn write_safetensors(path: &Path, shapes: &[(String, Vec<usize>)]) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape) in shapes {
        let start = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let uniform = (random >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
            let value = if shape.len() == 1 { 1.0 } else { 0.4 * uniform };
            data.extend_from_slice(&value.to_le_bytes());
        }
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&data);
    std::fs::write(path, bytes).unwrap();
}

/// A folder with a tiny model in it; gone when dropped.
pub(crate) struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        tiny_model(&folder.path().join("model"));
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `azr` with `arguments`, in this folder, with its model directory here too.
    pub(crate) fn azr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_azr"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("AZR_MODELS", self.path("models"));
        command
    }

    /// `azr train` on the tiny model into `run`, with settings that take a second or two.
    pub(crate) fn train(&self, run: &str, arguments: &[&str]) -> Command {
        let mut command = self.azr(&["train", "--model", "model", "--run-dir", run]);
        command.args(arguments).args(SMALL);
        command
    }

    /// Metrics of each step of `run`, without those that depend on time and memory.
    pub(crate) fn metrics(&self, run: &str) -> Vec<BTreeMap<String, Value>> {
        let text = std::fs::read_to_string(self.path(run).join("metrics.jsonl")).unwrap();
        let lines =
            text.lines().map(|line| serde_json::from_str::<BTreeMap<String, Value>>(line).unwrap());
        let steady = |name: &str| {
            name != "wall_time"
                && !["time/", "throughput/", "memory/"]
                    .iter()
                    .any(|prefix| name.starts_with(prefix))
        };
        lines.map(|line| line.into_iter().filter(|(name, _)| steady(name)).collect()).collect()
    }
}

/// Overrides that make a step of the tiny model small.
const SMALL: &[&str] = &[
    "--set=selfplay.batch_size=3",
    "--set=selfplay.learnability_samples=2",
    "--set=optimizer.options.learning_rate=0.01",
    "--set=executor.options.workers=1",
];

/// Runs `command` and returns its output; panics with everything it printed when its exit code is not `code`.
#[track_caller]
pub(crate) fn expect_code(command: &mut Command, code: i32) -> Output {
    let output = command.output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{command:?}\n{}\n{}",
        stdout(&output),
        stderr(&output)
    );
    output
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
