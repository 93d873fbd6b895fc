//! Frames over standard input and output, without a lock or a copy that the standard library's streams would add.

use std::io::{self, stdin, stdout};

use crate::protocol::LONGEST_FRAME;

/// How much is read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// The worker's two pipes.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    received: Vec<u8>,
}

impl Pipes {
    /// Sends one frame. Nothing is allocated once the first byte is out, so that a frame is whole even where
    /// memory ends.
    pub(super) fn send(&mut self, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let frame = [&length.to_le_bytes(), body].concat();
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(stdout(), rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next frame; none once the host has closed the pipe.
    pub(super) fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some((prefix, rest)) = self.received.split_first_chunk::<4>() {
                let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
                if length > LONGEST_FRAME {
                    return Err(io::Error::other("the frame is too long"));
                }
                if let Some(body) = rest.get(..length) {
                    let body = body.to_vec();
                    self.received.drain(..4 + length);
                    return Ok(Some(body));
                }
            }
            let before = self.received.len();
            self.received.resize(before + CHUNK_BYTES, 0);
            let room = self.received.get_mut(before..).unwrap_or_default();
            let read = rustix::io::read(stdin(), room);
            self.received.truncate(before + read.unwrap_or(0));
            match read {
                Ok(0) => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
