//! Hand-made and hostile headers.

use proptest::prelude::*;

use super::*;

/// Writes GGUF bytes field by field, so that tests can get any field wrong.
struct Writer(Vec<u8>);

impl Writer {
    fn new(version: u32, n_tensors: u64, n_metadata: u64) -> Self {
        let mut writer = Self(b"GGUF".to_vec());
        writer.u32(version).u64(n_tensors).u64(n_metadata);
        writer
    }

    fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.u64(text.len() as u64);
        self.0.extend(text.as_bytes());
        self
    }

    fn tensor(&mut self, name: &str, dims: &[u64], kind: u32, offset: u64) -> &mut Self {
        self.string(name).u32(dims.len() as u32);
        for &size in dims {
            self.u64(size);
        }
        self.u32(kind).u64(offset)
    }

    fn data(&mut self, n: usize) -> &mut Self {
        let start = self.0.len().next_multiple_of(32);
        self.0.resize(start + n, 1);
        self
    }

    fn parse(&self) -> Result<Header, Flaw> {
        Header::parse(&self.0)
    }
}

/// One of each metadata type and two tensors.
fn valid() -> Writer {
    let mut w = Writer::new(3, 2, 8);
    w.string("a.text").u32(8).string("é");
    w.string("a.int").u32(5).u32(u32::MAX);
    w.string("a.big").u32(10).u64(u64::MAX);
    w.string("a.float").u32(6).u32(1.5_f32.to_bits());
    w.string("a.bool").u32(7).byte(1);
    w.string("a.texts").u32(9).u32(8).u64(2).string("x").string("");
    w.string("a.ints").u32(9).u32(4).u64(2).u32(7).u32(8);
    w.string("a.floats").u32(9).u32(12).u64(1).u64(0.25_f64.to_bits());
    w.tensor("m", &[4, 2], 0, 0).tensor("q", &[32, 1], 8, 32);
    w.data(32 + 34);
    w
}

#[test]
fn a_valid_header_is_read() {
    let header = valid().parse().unwrap();
    assert_eq!(header.version, 3);
    let get = |key: &str| &header.metadata[key];
    assert_eq!(get("a.text").as_str(), Some("é"));
    assert_eq!(get("a.int"), &MetadataValue::Int(-1));
    assert_eq!((get("a.int").as_u64(), get("a.big").as_u64()), (None, Some(u64::MAX)));
    assert_eq!(get("a.float").as_f64(), Some(1.5));
    assert_eq!(get("a.bool").as_bool(), Some(true));
    assert_eq!(get("a.texts").as_strings(), Some(&["x".to_string(), String::new()][..]));
    assert_eq!(get("a.ints").as_ints(), Some(&[7, 8][..]));
    assert_eq!(get("a.floats").as_floats(), Some(&[0.25][..]));
    let (m, q) = (&header.tensors["m"], &header.tensors["q"]);
    assert_eq!((m.shape.as_slice(), m.kind, m.end - m.start), (&[2, 4][..], TensorType::F32, 32));
    assert_eq!((q.shape.as_slice(), q.kind, q.end - q.start), (&[1, 32][..], TensorType::Q8_0, 34));
    assert_eq!((m.start % 32, q.start - m.start), (0, 32));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = valid().0;
    for n in 0..bytes.len() {
        assert!(Header::parse(&bytes[..n]).is_err(), "cut at {n}");
    }
}

#[test]
fn each_attack_is_refused_for_its_own_reason() {
    let tensors = |tensors: &[(&str, &[u64], u32, u64)], n_data: usize| {
        let mut w = Writer::new(2, tensors.len() as u64, 0);
        for (name, dims, kind, offset) in tensors {
            w.tensor(name, dims, *kind, *offset);
        }
        w.data(n_data).parse().unwrap_err()
    };
    let metadata = |n: u64, write: fn(&mut Writer) -> &mut Writer| {
        let mut w = Writer::new(3, 0, n);
        write(&mut w);
        w.data(64).parse().unwrap_err()
    };
    let cases = [
        (Header::parse(b"GGML\x03\0\0\0").unwrap_err(), "does not start with"),
        (Writer::new(1, 0, 0).parse().unwrap_err(), "version 1"),
        (Writer::new(3_u32.swap_bytes(), 0, 0).parse().unwrap_err(), "big-endian"),
        (Writer::new(3, u64::MAX, 0).parse().unwrap_err(), "at most 65536"),
        (Writer::new(3, 0, 1 << 16).parse().unwrap_err(), "cannot fit"),
        (tensors(&[("a", &[8], 0, 0)], 31), "beyond the end"),
        (tensors(&[("a", &[8], 0, u64::MAX - 31)], 64), "beyond the end"),
        (tensors(&[("a", &[8], 0, 8)], 64), "aligned"),
        (tensors(&[("a", &[16], 0, 0), ("b", &[8], 0, 32)], 64), "overlap"),
        (tensors(&[("a", &[8], 0, 0), ("a", &[8], 0, 32)], 64), "twice"),
        (tensors(&[("a", &[u64::MAX, 2], 0, 0)], 64), "absurdly large"),
        (tensors(&[("a", &[1 << 32, 1 << 32], 0, 0)], 64), "absurdly large"),
        (tensors(&[("a", &[0], 0, 0)], 64), "empty"),
        (tensors(&[("a", &[], 0, 0)], 64), "dimensions"),
        (tensors(&[("a", &[1; 5], 0, 0)], 64), "dimensions"),
        (tensors(&[("a", &[16, 2], 8, 0)], 64), "whole blocks"),
        (tensors(&[("a", &[32], 19, 0)], 64), "tensor type 19"),
        (tensors(&[("", &[8], 0, 0)], 64), "name"),
        (metadata(1, |w| w.string("k").u32(8).u64(u64::MAX)), "cut short"),
        (metadata(1, |w| w.string("k").u32(9).u32(8).u64(1 << 24)), "cannot fit"),
        (metadata(1, |w| w.string("k").u32(9).u32(0).u64(1 << 25)), "at most"),
        (metadata(1, |w| w.string("k").u32(9).u32(9).u64(1)), "arrays of arrays"),
        (metadata(1, |w| w.string("k").u32(13)), "no metadata type"),
        (metadata(1, |w| w.string("k").u32(7).byte(2)), "truth value"),
        (metadata(1, |w| w.string("k").u32(8).u64(1).byte(0xff)), "UTF-8"),
        (metadata(2, |w| w.string("k").u32(4).u32(0).string("k").u32(4).u32(0)), "twice"),
        (metadata(1, |w| w.string("general.alignment").u32(4).u32(0)), "power of two"),
        (metadata(1, |w| w.string("general.alignment").u32(4).u32(1 << 30)), "power of two"),
    ];
    for (flaw, expected) in cases {
        let (Flaw::Malformed(text) | Flaw::Unsupported(text)) = &flaw;
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = Header::parse(&tail);
        let _ = Header::parse(&[b"GGUF\x03\0\0\0".as_slice(), &tail].concat());
    }

    #[test]
    fn mutations_of_a_valid_file_stay_inside_it(changes in proptest::collection::vec((0_usize..600, any::<u8>()), 1..6)) {
        let mut bytes = valid().0;
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Ok(header) = Header::parse(&bytes) {
            for tensor in header.tensors.values() {
                let values = tensor.kind.to_f32(&bytes[tensor.start..tensor.end]);
                prop_assert_eq!(values.len(), tensor.shape.iter().product::<usize>());
            }
        }
    }
}
