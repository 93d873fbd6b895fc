//! What an image of a kernel is made of. The build script of `azr-cuda` has this file too: what it embeds is what
//! `cargo xtask kernels build` made from the same sources.

use std::path::Path;
use std::{fs, io};

/// What an image has machine code for, as nvcc names it. Code with an `a` runs on that architecture alone, all other on
/// later ones with the same major number as well.
pub(crate) const ARCHITECTURES: [&str; 4] = ["80", "90a", "100a", "120"];

/// How nvcc compiles. Compressed images are a sixth in size, and the driver unpacks them.
pub(crate) const FLAGS: [&str; 6] =
    ["-std=c++17", "-O3", "-Werror", "all-warnings", "-fatbin", "--compress-mode=size"];

/// The extension of images, and that of what is known of an image, which begins with [`Sources::fingerprint`].
pub(crate) const IMAGE: &str = "fatbin";
pub(crate) const REPORT: &str = "report";

/// The sources of all kernels.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Names without their extension, and texts, in alphabetical order.
    pub(crate) kernels: Vec<(String, String)>,
    /// Names with their extension, and texts, in alphabetical order.
    pub(crate) headers: Vec<(String, String)>,
}

impl Sources {
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let mut sources = Self { kernels: Vec::new(), headers: Vec::new() };
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(kernel) = name.strip_suffix(".cu") {
                sources.kernels.push((kernel.to_owned(), fs::read_to_string(&path)?));
            } else if name.ends_with(".cuh") {
                sources.headers.push((name, fs::read_to_string(&path)?));
            }
        }
        sources.kernels.sort();
        sources.headers.sort();
        Ok(sources)
    }

    /// The first line of the report on an image that is made of `text` and of these headers (FNV-1a).
    pub(crate) fn fingerprint(&self, text: &str) -> String {
        let headers = self.headers.iter().flat_map(|(name, text)| [name.as_str(), text]);
        let parts = ARCHITECTURES.into_iter().chain(FLAGS).chain([text]).chain(headers);
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        // A byte that no text has keeps apart what two parts have between them.
        for byte in parts.flat_map(|part| part.bytes().chain([0xff])) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        format!("sources {hash:016x}")
    }
}
