//! The manifest that `export!` embeds in a plugin's file, so that a host can refuse it before any of its code runs.
//!
//! It is one ELF section, [`SECTION`]: eight bytes of [`MAGIC`], the length of what follows as a little-endian
//! `u32`, and that many bytes of JSON.

use azr_abi::{ABI_MAJOR, ABI_MINOR};
use serde::Deserialize;

use crate::EngineKind;

/// Name of the section.
pub const SECTION: &str = ".azr.plugin";
/// First bytes of the section.
pub const MAGIC: [u8; 8] = *b"AZRPLUG\x01";
/// Longest manifest that a host reads, in bytes.
pub const MAX_BYTES: usize = 64 << 10;

const HEADER_BYTES: usize = MAGIC.len() + 4;

/// What a plugin says about itself before it is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub manifest: u32,
    /// The plugin's package name.
    pub id: String,
    /// The plugin's semantic version.
    pub version: String,
    /// Major version of the ABI it was built against.
    pub abi_major: u32,
    /// Minor version of the ABI it was built against.
    pub abi_minor: u32,
    /// Symbol of the plugin's `LibHeader`.
    pub entry: String,
    /// `unwind`, or `abort` when a panic of the plugin would end the process.
    pub panic: String,
    /// The engines it brings.
    pub engines: Vec<ManifestEngine>,
}

/// One engine of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ManifestEngine {
    /// The kind's name, see [`EngineKind::as_str`].
    pub kind: String,
    /// The engine's name.
    pub name: String,
}

/// Why a section holds no usable manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The section does not start with [`MAGIC`] or is cut short.
    #[error("its manifest is damaged")]
    Damaged,
    /// Several plugins were linked into one file.
    #[error("it holds several plugin manifests")]
    Several,
    /// The section is longer than [`MAX_BYTES`].
    #[error("its manifest is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// The text is not the JSON object it should be.
    #[error("its manifest does not parse: {0}")]
    Syntax(String),
}

impl Manifest {
    /// Reads the content of the section.
    ///
    /// # Errors
    /// When the section is not one sound manifest.
    pub fn from_section(section: &[u8]) -> Result<Self, ManifestError> {
        Self::from_json(json_of(section)?)
    }

    /// Reads the manifest's text.
    ///
    /// # Errors
    /// When the text is not a manifest.
    pub fn from_json(text: &str) -> Result<Self, ManifestError> {
        serde_json::from_str(text).map_err(|error| ManifestError::Syntax(error.to_string()))
    }
}

/// The JSON text of a section.
///
/// # Errors
/// When the section is not exactly one manifest in UTF-8.
pub fn json_of(section: &[u8]) -> Result<&str, ManifestError> {
    if section.len() > MAX_BYTES {
        return Err(ManifestError::TooLong);
    }
    let rest = section.strip_prefix(&MAGIC).ok_or(ManifestError::Damaged)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(ManifestError::Damaged)?;
    let length =
        usize::try_from(u32::from_le_bytes(*length)).map_err(|_| ManifestError::Damaged)?;
    let (json, behind) = rest.split_at_checked(length).ok_or(ManifestError::Damaged)?;
    if behind.starts_with(&MAGIC) {
        return Err(ManifestError::Several);
    }
    if !behind.iter().all(|&byte| byte == 0) {
        return Err(ManifestError::Damaged);
    }
    std::str::from_utf8(json).map_err(|_| ManifestError::Damaged)
}

/// What `export!` knows when it compiles a plugin.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// `CARGO_PKG_NAME` of the plugin.
    pub id: &'static str,
    /// `CARGO_PKG_VERSION` of the plugin.
    pub version: &'static str,
    /// Name of the entry symbol.
    pub entry: &'static str,
    /// Whether panics unwind.
    pub unwinds: bool,
    /// Kind and name of each engine.
    pub engines: &'static [(EngineKind, &'static str)],
}

impl Facts {
    /// Size of the section in bytes.
    pub const fn section_bytes(&self) -> usize {
        HEADER_BYTES + self.write(&mut [], 0)
    }

    /// The section; `N` is [`section_bytes`](Self::section_bytes).
    ///
    /// # Panics
    /// In constant evaluation, when an engine's name is not made of lower-case letters, digits, `-` and `+`.
    pub const fn section<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        let at = put(&mut bytes, 0, &MAGIC);
        let end = self.write(&mut bytes, HEADER_BYTES);
        // The length is far below 4 GiB: a host reads no more than `MAX_BYTES`.
        put(&mut bytes, at, &((end - HEADER_BYTES) as u32).to_le_bytes());
        assert!(N <= MAX_BYTES, "the plugin has too many engines for its manifest");
        bytes
    }

    const fn write(&self, out: &mut [u8], start: usize) -> usize {
        let pieces: [&str; 13] = [
            "{\"manifest\":1,\"id\":\"",
            self.id,
            "\",\"version\":\"",
            self.version,
            "\",\"abi_major\":",
            ABI_MAJOR,
            ",\"abi_minor\":",
            ABI_MINOR,
            ",\"entry\":\"",
            self.entry,
            "\",\"panic\":\"",
            if self.unwinds { "unwind" } else { "abort" },
            "\",\"engines\":[",
        ];
        let mut at = start;
        let mut index = 0;
        while index < pieces.len() {
            at = put(out, at, pieces[index].as_bytes());
            index += 1;
        }
        index = 0;
        while index < self.engines.len() {
            let (kind, name) = self.engines[index];
            assert!(
                is_engine_name(name),
                "an engine's name is made of lower-case letters, digits, `-` and `+`"
            );
            at = put(out, at, if index == 0 { b"{\"kind\":\"" } else { b",{\"kind\":\"" });
            at = put(out, at, kind.as_str().as_bytes());
            at = put(out, at, b"\",\"name\":\"");
            at = put(out, at, name.as_bytes());
            at = put(out, at, b"\"}");
            index += 1;
        }
        put(out, at, b"]}")
    }
}

/// Copies `bytes` to `out[at..]` as far as `out` reaches and returns the place behind them.
const fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let mut index = 0;
    while index < bytes.len() {
        if at + index < out.len() {
            out[at + index] = bytes[index];
        }
        index += 1;
    }
    at + bytes.len()
}

/// Whether `name` can name an engine: one or more lower-case letters, digits, `-` and `+`.
pub const fn is_engine_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if !matches!(bytes[index], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'+') {
            return false;
        }
        index += 1;
    }
    !bytes.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FACTS: Facts = Facts {
        id: "azr-sample",
        version: "1.2.3",
        entry: "azr_sample",
        unwinds: true,
        engines: &[(EngineKind::Domain, "maze"), (EngineKind::Optimizer, "ppo-2")],
    };
    const BYTES: usize = FACTS.section_bytes();
    static SECTION_BYTES: [u8; BYTES] = FACTS.section();

    #[test]
    fn a_section_reads_back() {
        let manifest = Manifest::from_section(&SECTION_BYTES).unwrap();
        assert_eq!((manifest.id.as_str(), manifest.version.as_str()), ("azr-sample", "1.2.3"));
        assert_eq!((manifest.abi_major, manifest.abi_minor), (1, 1));
        assert_eq!((manifest.entry.as_str(), manifest.panic.as_str()), ("azr_sample", "unwind"));
        let engines: Vec<_> =
            manifest.engines.iter().map(|e| (e.kind.as_str(), e.name.as_str())).collect();
        assert_eq!(engines, [("domain", "maze"), ("optimizer", "ppo-2")]);
    }

    #[test]
    fn two_manifests_in_one_section_are_told_apart_from_damage() {
        let twice = [SECTION_BYTES, SECTION_BYTES].concat();
        assert_eq!(Manifest::from_section(&twice), Err(ManifestError::Several));
        let mut tail = SECTION_BYTES.to_vec();
        tail.push(7);
        assert_eq!(Manifest::from_section(&tail), Err(ManifestError::Damaged));
    }

    #[test]
    fn engine_names_are_plain() {
        assert!(is_engine_name("cpu-2") && is_engine_name("trr++"));
        for bad in ["", "Cpu", "c_pu", "c\"", "ü"] {
            assert!(!is_engine_name(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..BYTES, flip in 0..BYTES) {
            let _ = Manifest::from_section(&bytes);
            prop_assert!(Manifest::from_section(&SECTION_BYTES[..cut]).is_err());
            let mut flipped = SECTION_BYTES;
            flipped[flip] ^= 0x80;
            prop_assert!(Manifest::from_section(&flipped).is_err());
        }
    }
}
