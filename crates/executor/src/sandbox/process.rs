//! A started worker process, held by a descriptor that no other process can take the place of.

#![expect(
    unsafe_code,
    reason = "clocks of processes and changes of the user have no safe interface"
)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use azr_plugin::Protection;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_send_signal, waitid,
};

use super::{NOBODY, facts};

/// A running process. Dropping it kills it with all that it started and waits for its end.
#[derive(Debug)]
pub struct Process {
    id: u32,
    handle: OwnedFd,
    input: OwnedFd,
    output: OwnedFd,
    is_landlocked: bool,
}

impl Process {
    pub(super) fn new(
        id: u32,
        handle: OwnedFd,
        input: OwnedFd,
        output: OwnedFd,
        is_landlocked: bool,
    ) -> Self {
        Self { id, handle, input, output, is_landlocked }
    }

    /// The process id; also the id of its process group.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The writing end of its standard input.
    pub fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// The reading end of its standard output.
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Processor time that it used so far, by the kernel's account. Processes that it started are not counted.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        let id = self.id.try_into().map_err(io::Error::other)?;
        let mut clock = 0;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: Both calls write to the local variable that they are given and to nothing else.
        let is_read = unsafe {
            libc::clock_getcpuclockid(id, &raw mut clock) == 0
                && libc::clock_gettime(clock, &raw mut time) == 0
        };
        if !is_read {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the worker process ended"));
        }
        let nanoseconds = u32::try_from(time.tv_nsec).map_err(io::Error::other)?;
        Ok(Duration::new(u64::try_from(time.tv_sec).map_err(io::Error::other)?, nanoseconds))
    }

    /// Address space that it has now, in bytes; `None` once it has ended.
    pub fn address_space_bytes(&self) -> Option<u64> {
        facts::address_space_bytes(self.id)
    }

    /// Whether its code and data lie where they lie in every process of the executable; see
    /// [`WorkerSpec::fixed_addresses`](super::WorkerSpec::fixed_addresses).
    pub fn has_fixed_addresses(&self) -> bool {
        facts::has_fixed_addresses(self.id)
    }

    /// What protects the machine from this process now, read from the kernel.
    pub fn protections(&self) -> Vec<Protection> {
        facts::protections(self.id, self.is_landlocked)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        // Without a process-id namespace, what the worker started is found by its group only. The number cannot have
        // gone to another process: the worker is taken away below.
        if let Some(group) = i32::try_from(self.id).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let end = || waitid(WaitId::PidFd(self.handle.as_fd()), WaitIdOptions::EXITED);
        while matches!(end(), Err(rustix::io::Errno::INTR)) {}
    }
}

/// Gives up root, for good: user and group become [`NOBODY`] and all other groups are left. Does nothing for other
/// users. To be called in a worker, once it has opened all that it needs.
///
/// # Errors
/// When the machine refuses; the protection `user` is not in force then.
pub fn become_nobody() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let checked = |result| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // Each is worth it without the others: who may change the user need not have the right to leave groups.
    // SAFETY: The calls take numbers; the C library applies them to every thread.
    let (groups, group, user) = unsafe {
        (
            checked(libc::setgroups(0, std::ptr::null())),
            checked(libc::setresgid(NOBODY, NOBODY, NOBODY)),
            checked(libc::setresuid(NOBODY, NOBODY, NOBODY)),
        )
    };
    user.and(group).and(groups)
}
