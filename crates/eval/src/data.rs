//! Reading the files of benchmarks.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

use crate::{EvalError, Result};

/// The longest line that is read, in bytes: the largest item of HumanEval+ has a few MiB.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// What a line of a file holds, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The line, counted from 1.
    pub line: usize,
    /// What it holds.
    pub value: T,
}

/// Reads a JSON object from each line of the file at `path`, which is compressed if its name ends with `.gz`. Empty
/// lines are passed over; unknown fields are the format's own affair.
///
/// # Errors
/// The file cannot be read, or a line is no object with the fields of `T`: the error names file and line.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<Located<T>>> {
    let parsed = |Located { line, value: text }: Located<Vec<u8>>| {
        let value =
            serde_json::from_slice(text.trim_ascii_end()).map_err(|error| EvalError::Line {
                path: path.into(),
                line,
                reason: error.to_string().replace(" at line 1 column ", " at column "),
            })?;
        Ok(Located { line, value })
    };
    read_texts(path)?.into_iter().map(parsed).collect()
}

/// Reads the lines of the file at `path` as [`read_lines`] does, whatever they hold.
pub(crate) fn read_texts(path: &Path) -> Result<Vec<Located<Vec<u8>>>> {
    let file = File::open(path).map_err(EvalError::io("open", path))?;
    let bytes: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let (mut bytes, mut texts) = (BufReader::new(bytes), Vec::new());
    for line in 1.. {
        let mut text = Vec::new();
        let mut limited = bytes.by_ref().take(MAX_LINE_BYTES);
        let n = limited.read_until(b'\n', &mut text).map_err(EvalError::io("read", path))?;
        if n == 0 {
            break;
        }
        if n as u64 == MAX_LINE_BYTES {
            let reason = format!("it is longer than {} MiB", MAX_LINE_BYTES >> 20);
            return Err(EvalError::Line { path: path.into(), line, reason });
        }
        if !text.iter().all(u8::is_ascii_whitespace) {
            texts.push(Located { line, value: text });
        }
    }
    Ok(texts)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Item {
        id: u32,
    }

    const TEXT: &str = "{\"id\": 1, \"more\": true}\n\n{\"id\": 2}";

    fn folder_with(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn plain_and_compressed_files_read_alike() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(TEXT.as_bytes()).unwrap();
        let items = [
            Located { line: 1, value: Item { id: 1 } },
            Located { line: 3, value: Item { id: 2 } },
        ];
        for (name, bytes) in [("a.jsonl", TEXT.into()), ("a.jsonl.gz", encoder.finish().unwrap())]
            as [(_, Vec<u8>); 2]
        {
            let (_folder, path) = folder_with(name, &bytes);
            assert_eq!(read_lines::<Item>(&path).unwrap(), items, "{name}");
        }
    }

    #[test]
    fn a_broken_line_and_a_missing_field_are_named_with_file_and_line() {
        for (text, reason) in [
            ("{\"id\": 1}\n{\"id\":", "EOF while parsing a value at column"),
            ("{\"id\": 1}\n{\"name\": 3}\n", "missing field `id`"),
        ] {
            let (_folder, path) = folder_with("broken.jsonl", text.as_bytes());
            let error = read_lines::<Item>(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("broken.jsonl` line 2: {reason}")), "{error}");
        }
        let (_folder, path) = folder_with("cut.jsonl.gz", &[0x1f, 0x8b, 8]);
        let error = read_lines::<Item>(&path).unwrap_err().to_string();
        assert!(error.contains("cannot read") && error.contains("cut.jsonl.gz"), "{error}");
    }
}
