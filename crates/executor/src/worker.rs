//! A worker process and the frames that are exchanged with it over pipes.
//!
//! A frame is its length (4 bytes, little endian) and that many bytes. A worker that breaks this rule, is late
//! or ends is killed with everything that it started; whoever owns it starts another.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use azr_plugin::Protection;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::sandbox::{Process, WorkerSpec, spawn};

/// How often a waiting call looks whether it has been cancelled.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// Why an exchange failed. The worker must be dropped after any of these.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("cannot start the worker process: {0}")]
    Start(#[source] io::Error),
    /// It ended or closed its pipes.
    #[error("the worker process ended")]
    Ended,
    /// It did not answer in time.
    #[error("the worker process did not answer in time")]
    Late,
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// It sent a frame that is too long.
    #[error("the worker process sent a frame of {0} bytes")]
    Protocol(usize),
    /// Another failure of the pipes.
    #[error("cannot talk to the worker process: {0}")]
    Pipe(#[source] io::Error),
}

/// A running worker process. Dropping it kills it with all that it started and waits for its end.
#[derive(Debug)]
pub struct Worker {
    process: Process,
    /// Bytes that were read and belong to no complete frame yet.
    received: Vec<u8>,
    longest_frame: usize,
}

impl Worker {
    /// Starts a worker whose frames have at most `longest_frame` bytes.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(spec: &WorkerSpec, longest_frame: usize) -> Result<Self, WorkerError> {
        let process = spawn(spec).map_err(WorkerError::Start)?;
        for pipe in [process.input(), process.output()] {
            rustix::io::ioctl_fionbio(pipe, true)
                .map_err(|error| WorkerError::Start(error.into()))?;
        }
        Ok(Self { process, received: Vec::new(), longest_frame })
    }

    /// The process id; also the id of its process group.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Processor time that the worker used so far, by the kernel's account; see [`Process::cpu_time`].
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        self.process.cpu_time()
    }

    /// What protects the machine from the worker now, read from the kernel.
    pub fn protections(&self) -> Vec<Protection> {
        self.process.protections()
    }

    /// The process itself.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// When the worker does not take it before the deadline, or for any other [`WorkerError`].
    pub fn send(
        &mut self,
        body: &[u8],
        deadline: Instant,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<(), WorkerError> {
        let length = u32::try_from(body.len()).map_err(|_| WorkerError::Protocol(body.len()))?;
        let frame = [&length.to_le_bytes(), body].concat();
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(self.process.input(), rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::AGAIN | Errno::INTR) => {
                    wait(self.process.input(), PollFlags::OUT, deadline, is_cancelled)?
                }
                Err(Errno::PIPE) => return Err(WorkerError::Ended),
                Err(error) => return Err(WorkerError::Pipe(error.into())),
            }
        }
        Ok(())
    }

    /// Receives one frame.
    ///
    /// # Errors
    /// When no frame is complete before the deadline, or for any other [`WorkerError`].
    pub fn receive(
        &mut self,
        deadline: Instant,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<u8>, WorkerError> {
        let mut chunk = [0; 1 << 16];
        loop {
            if let Some(frame) = self.complete_frame()? {
                return Ok(frame);
            }
            match rustix::io::read(self.process.output(), &mut chunk) {
                Ok(0) => return Err(WorkerError::Ended),
                Ok(length) => {
                    self.received.extend_from_slice(chunk.get(..length).unwrap_or_default())
                }
                Err(Errno::AGAIN | Errno::INTR) => {
                    wait(self.process.output(), PollFlags::IN, deadline, is_cancelled)?
                }
                Err(error) => return Err(WorkerError::Pipe(error.into())),
            }
        }
    }

    fn complete_frame(&mut self) -> Result<Option<Vec<u8>>, WorkerError> {
        let Some((prefix, rest)) = self.received.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > self.longest_frame {
            return Err(WorkerError::Protocol(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let frame = frame.to_vec();
        self.received.drain(..4 + length);
        Ok(Some(frame))
    }
}

fn wait(
    pipe: BorrowedFd<'_>,
    events: PollFlags,
    deadline: Instant,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(), WorkerError> {
    loop {
        if is_cancelled() {
            return Err(WorkerError::Cancelled);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(WorkerError::Late);
        }
        let timeout = Timespec::try_from(left.min(CANCEL_INTERVAL)).ok();
        match poll(&mut [PollFd::from_borrowed_fd(pipe, events)], timeout.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(WorkerError::Pipe(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Worker {
        let spec = WorkerSpec {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
            readable: ["/bin", "/usr", "/lib", "/lib64", "/etc/ld.so.cache"]
                .map(Into::into)
                .to_vec(),
            fixed_addresses: false,
        };
        Worker::start(&spec, 1 << 20).unwrap()
    }

    fn soon(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    #[test]
    fn frames_come_back_whole() {
        let mut worker = shell("exec cat");
        let long = vec![7; 300_000];
        // `cat` echoes while it is fed: a second thread is not needed below the pipe's capacity.
        for body in [b"".as_slice(), b"abc", &long[..30_000]] {
            worker.send(body, soon(60_000), &|| false).unwrap();
            assert_eq!(worker.receive(soon(60_000), &|| false).unwrap(), body);
        }
        assert!(matches!(
            worker.send(&vec![0; 1 << 21], soon(200), &|| false),
            Err(WorkerError::Late)
        ));
    }

    #[test]
    fn failures_are_told_apart() {
        let receive = |script: &str, milliseconds: u64, cancelled: bool| {
            shell(script).receive(soon(milliseconds), &|| cancelled).unwrap_err()
        };
        assert!(matches!(receive("exec sleep 60", 300, false), WorkerError::Late));
        assert!(matches!(receive("exec sleep 60", 60_000, true), WorkerError::Cancelled));
        let garbage = receive("printf 'garbage that is no frame'", 60_000, false);
        assert!(matches!(garbage, WorkerError::Protocol(_)));
        assert!(matches!(receive("exit 3", 60_000, false), WorkerError::Ended));
    }

    #[test]
    fn dropping_kills_the_group() {
        let worker = shell("sleep 60 & wait");
        let group = worker.id();
        assert!(is_alive(group));
        drop(worker);
        // The kernel ends the members of a group one after the other.
        let deadline = soon(60_000);
        while is_alive(group) {
            assert!(Instant::now() < deadline, "a member of the group survived");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether any process of the group is left (zombies that nobody reaped yet do not count).
    fn is_alive(group: u32) -> bool {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let fields: Vec<&str> =
                stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            fields.get(2).is_some_and(|value| *value == group.to_string())
                && fields.first() != Some(&"Z")
        })
    }
}
