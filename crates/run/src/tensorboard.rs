//! TensorBoard event files.
//!
//! A record is the length as little-endian u64, its masked CRC-32C, the bytes, their masked CRC-32C; the bytes are a
//! protobuf `Event` (`tensorflow/core/util/event.proto`): wall time (field 1, double), step (2, int64), then either
//! the file version (3) or a summary (5) of scalar values. The one crate for it is unmaintained and has an advisory.

use std::io::{self, Write};

use crate::MetricsLine;

/// Writes the event records of metrics lines.
#[derive(Debug)]
pub struct EventWriter<W> {
    out: W,
}

impl<W: Write> EventWriter<W> {
    /// Starts a file: writes the version record.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Self { out };
        let mut event = Vec::new();
        field_double(&mut event, 1, 0.0);
        field_bytes(&mut event, 3, b"brain.Event:2");
        writer.record(&event)?;
        Ok(writer)
    }

    /// Goes on with a file that has its version record.
    pub fn append_to(out: W) -> Self {
        Self { out }
    }

    /// Writes one event with every metric of `line`.
    pub fn write(&mut self, line: &MetricsLine) -> io::Result<()> {
        let mut summary = Vec::new();
        for (tag, &value) in &line.metrics {
            let mut scalar = Vec::new();
            field_bytes(&mut scalar, 1, tag.as_bytes());
            field_float(&mut scalar, 2, value as f32);
            field_bytes(&mut summary, 1, &scalar);
        }
        let mut event = Vec::new();
        field_double(&mut event, 1, line.wall_time);
        field_varint(&mut event, 2, line.step);
        field_bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    fn record(&mut self, event: &[u8]) -> io::Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let mut bytes = Vec::with_capacity(event.len() + 16);
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&masked_crc32c(&length).to_le_bytes());
        bytes.extend_from_slice(event);
        bytes.extend_from_slice(&masked_crc32c(event).to_le_bytes());
        self.out.write_all(&bytes)
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field_varint(out: &mut Vec<u8>, number: u64, value: u64) {
    varint(out, number << 3);
    varint(out, value);
}

fn field_double(out: &mut Vec<u8>, number: u64, value: f64) {
    varint(out, number << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn field_bytes(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn field_float(out: &mut Vec<u8>, number: u64, value: f32) {
    varint(out, number << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

/// CRC-32C (Castagnoli), masked as the record format demands so that a checksum of checksums stays useful.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn crc32c(bytes: &[u8]) -> u32 {
    const REFLECTED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| {
            (c >> 1) ^ (REFLECTED_POLYNOMIAL & (c & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn crc_has_the_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_are_framed_and_hold_the_scalars() {
        let mut bytes = Vec::new();
        let mut writer = EventWriter::new(&mut bytes).unwrap();
        let metrics =
            BTreeMap::from([("update/loss".to_owned(), 0.25), ("update/lr".to_owned(), 1e-6)]);
        writer.write(&MetricsLine { step: 300, wall_time: 12.0, metrics }).unwrap();

        let mut rest = bytes.as_slice();
        let mut events = Vec::new();
        while !rest.is_empty() {
            let (length, tail) = rest.split_at(8);
            let n = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            assert_eq!(&tail[..4], masked_crc32c(length).to_le_bytes());
            let event = &tail[4..4 + n];
            assert_eq!(&tail[4 + n..8 + n], masked_crc32c(event).to_le_bytes());
            events.push(event.to_vec());
            rest = &tail[8 + n..];
        }
        assert_eq!(events.len(), 2);
        assert!(events[0].ends_with(b"brain.Event:2"));
        // Step 300 as a varint field, then the summary with both tags and the value 0.25 as a float field.
        assert!(events[1].windows(3).any(|w| w == [0x10, 0xac, 0x02]));
        let mut scalar = b"\x0a\x0bupdate/loss\x15".to_vec();
        scalar.extend_from_slice(&0.25f32.to_le_bytes());
        assert!(events[1].windows(scalar.len()).any(|w| w == scalar));
    }
}
