//! Writing float32 safetensors tensor by tensor: only one tensor is in memory at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{TensorSpec, WeightsError, atomic};

/// Longest header that readers accept.
const MAX_HEADER_BYTES: usize = 100_000_000;

/// Writes a safetensors file of float32 tensors, exact to the bit.
///
/// `specs` says what the file will hold; `tensors` yields each of them once, in any order, as name, shape and
/// row-major values. `metadata` goes into the header. The file appears under `path` when it is complete; on an error
/// (also one that `tensors` yields) nothing is left behind.
pub fn write_safetensors<E>(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    specs: &[TensorSpec],
    tensors: &mut dyn Iterator<Item = Result<(String, Vec<usize>, Vec<f32>), E>>,
) -> Result<(), WeightsError>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let refuse =
        |reason: String| WeightsError::Source { path: path.to_path_buf(), source: reason.into() };
    let layout = Layout::new(metadata, specs).map_err(refuse)?;
    atomic::write_file_with(path, |file| {
        let io = |result: io::Result<()>| result.map_err(WeightsError::io("write", path));
        io(file.write_all(&layout.header))?;
        let mut missing: BTreeSet<&str> = layout.places.keys().copied().collect();
        let mut position = layout.header.len() as u64;
        for tensor in tensors {
            let (name, shape, values) = tensor.map_err(|error| WeightsError::Source {
                path: path.to_path_buf(),
                source: error.into(),
            })?;
            let Some((offset, spec)) = layout.places.get(name.as_str()) else {
                return Err(refuse(format!("tensor `{name}` was not announced")));
            };
            if !missing.remove(name.as_str()) {
                return Err(refuse(format!("tensor `{name}` came twice")));
            }
            if shape != spec.shape || Some(values.len()) != spec.n_elements() {
                return Err(refuse(format!(
                    "tensor `{name}` came with shape {shape:?} and {} values, announced was {:?}",
                    values.len(),
                    spec.shape
                )));
            }
            // Tensors that come in order are written without seeking, which would flush the buffer.
            if position != *offset {
                io(file.seek(SeekFrom::Start(*offset)).map(drop))?;
            }
            io(write_f32(file, &values))?;
            position = offset + 4 * values.len() as u64;
        }
        match missing.first() {
            Some(name) => Err(refuse(format!("tensor `{name}` did not come"))),
            None => Ok(()),
        }
    })
}

/// The header's bytes and where each tensor goes.
struct Layout<'a> {
    header: Vec<u8>,
    places: BTreeMap<&'a str, (u64, &'a TensorSpec)>,
}

impl<'a> Layout<'a> {
    fn new(metadata: &BTreeMap<String, String>, specs: &'a [TensorSpec]) -> Result<Self, String> {
        let mut entries = Map::new();
        if !metadata.is_empty() {
            entries.insert("__metadata__".into(), json!(metadata));
        }
        let mut places = BTreeMap::new();
        let mut end = 0_u64;
        for spec in specs {
            let n_bytes = spec.n_elements().and_then(|n| u64::try_from(n).ok()?.checked_mul(4));
            let start = end;
            end = n_bytes
                .and_then(|n| start.checked_add(n))
                .ok_or_else(|| format!("tensor `{}` is absurdly large", spec.name))?;
            let entry = json!({"dtype": "F32", "shape": spec.shape, "data_offsets": [start, end]});
            if spec.name == "__metadata__" || entries.insert(spec.name.clone(), entry).is_some() {
                return Err(format!("tensor `{}` is announced twice", spec.name));
            }
            places.insert(spec.name.as_str(), (start, spec));
        }
        let mut text = Value::Object(entries).to_string().into_bytes();
        // The data starts at a multiple of 8, filled up with spaces as the format asks.
        text.resize(text.len().next_multiple_of(8), b' ');
        if text.len() > MAX_HEADER_BYTES {
            return Err(format!(
                "{} tensors make the header longer than {MAX_HEADER_BYTES} bytes",
                specs.len()
            ));
        }
        let mut header = (text.len() as u64).to_le_bytes().to_vec();
        header.append(&mut text);
        for (offset, _) in places.values_mut() {
            *offset += header.len() as u64;
        }
        Ok(Self { header, places })
    }
}

fn write_f32(file: &mut impl Write, values: &[f32]) -> io::Result<()> {
    let mut buffer = [0_u8; 1 << 16];
    for values in values.chunks(buffer.len() / 4) {
        for (bytes, value) in buffer.as_chunks_mut().0.iter_mut().zip(values) {
            *bytes = value.to_le_bytes();
        }
        file.write_all(&buffer[..4 * values.len()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SafetensorsFile;

    type Item = Result<(String, Vec<usize>, Vec<f32>), String>;

    fn item(name: &str, shape: &[usize], values: &[f32]) -> Item {
        Ok((name.into(), shape.to_vec(), values.to_vec()))
    }

    #[test]
    fn wrong_tensors_are_refused_and_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.safetensors");
        let specs = [TensorSpec::new("a", [2]), TensorSpec::new("b", [1, 1])];
        let (a, b) = (item("a", &[2], &[1.0, 2.0]), item("b", &[1, 1], &[3.0]));
        let cases: [(Vec<Item>, &str); 5] = [
            (vec![a.clone()], "`b` did not come"),
            (vec![a.clone(), a.clone()], "`a` came twice"),
            (vec![a.clone(), item("c", &[1], &[0.0])], "`c` was not announced"),
            (vec![item("a", &[1, 2], &[1.0, 2.0])], "shape [1, 2]"),
            (vec![a.clone(), Err("the disk caught fire".into())], "the disk caught fire"),
        ];
        for (items, expected) in cases {
            let error = write_safetensors(&path, &BTreeMap::new(), &specs, &mut items.into_iter())
                .unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
        write_safetensors(&path, &BTreeMap::new(), &specs, &mut [b, a].into_iter()).unwrap();
        assert_eq!(SafetensorsFile::open(&path).unwrap().read_f32("a").unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn announced_sizes_may_not_overflow() {
        let specs = [TensorSpec::new("a", [usize::MAX, 2])];
        let error = write_safetensors::<String>(
            Path::new("unused"),
            &BTreeMap::new(),
            &specs,
            &mut std::iter::empty(),
        );
        assert!(error.unwrap_err().to_string().contains("absurdly large"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bits_survive_in_any_order(
            tensors in proptest::collection::btree_map("[a-zé\"\\\\ ]{1,6}", proptest::collection::vec(any::<u32>(), 0..9), 0..5),
            note in ".{0,9}",
            backwards: bool,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("state.safetensors");
            let specs: Vec<_> = tensors.iter().map(|(name, bits)| TensorSpec::new(name, [bits.len()])).collect();
            let mut items: Vec<Item> = tensors
                .iter()
                .map(|(name, bits)| Ok((name.clone(), vec![bits.len()], bits.iter().map(|&b| f32::from_bits(b)).collect())))
                .collect();
            if backwards {
                items.reverse();
            }
            let metadata = BTreeMap::from([("note".to_string(), note)]);
            write_safetensors(&path, &metadata, &specs, &mut items.into_iter()).unwrap();
            let file = SafetensorsFile::open(&path).unwrap();
            prop_assert_eq!(file.metadata(), metadata);
            for (name, bits) in &tensors {
                let found: Vec<_> = file.read_f32(name).unwrap().iter().map(|value| value.to_bits()).collect();
                prop_assert_eq!(&found, bits);
            }
        }
    }
}
