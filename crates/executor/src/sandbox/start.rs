//! Starts a worker: `clone` into new namespaces, confinement, `execve`.
//!
//! The child borrows the trainer's memory until it executes (`CLONE_VM | CLONE_VFORK`, as `posix_spawn` does it), so
//! that a start costs the same however much memory the trainer has and leaves no copy of it. That is why the
//! child may only make system calls: everything that needs an allocation was prepared before. Raw `clone` has the
//! flags of all namespaces, and unlike `clone3` it is not refused altogether in containers.

#![expect(unsafe_code, reason = "a child is confined between clone and exec, by system calls")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Process, WorkerSpec, files, filter};

const ALL_SPACES: c_int = libc::CLONE_NEWPID | OTHER_SPACES;
const OTHER_SPACES: c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// Sets of new namespaces in the order in which they are tried. An ordinary user needs a new user namespace first.
const STEPS: [c_int; 7] = [
    ALL_SPACES,
    libc::CLONE_NEWUSER | ALL_SPACES,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER | libc::CLONE_NEWPID,
    OTHER_SPACES,
    libc::CLONE_NEWUSER | OTHER_SPACES,
    0,
];

/// The same for root, who can become nobody later where there is no new user namespace.
const ROOT_STEPS: [c_int; 7] = [
    ALL_SPACES,
    libc::CLONE_NEWPID,
    OTHER_SPACES,
    libc::CLONE_NEWUSER | ALL_SPACES,
    libc::CLONE_NEWUSER | libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER | OTHER_SPACES,
    0,
];

/// The first step that this machine did not refuse for good.
static STEP: AtomicUsize = AtomicUsize::new(0);

/// Stack of the child, in units of 16 bytes, which it is aligned to.
const STACK_UNITS: usize = 4_096;

/// Descriptors from here on are not the child's.
const FIRST_FOREIGN: RawFd = 3;

const PERSONALITY_FIXED_ADDRESSES: libc::c_ulong = libc::ADDR_NO_RANDOMIZE as libc::c_ulong;

/// An ordinary process. The trainer may itself have been started with fixed addresses.
const PERSONALITY_ORDINARY: libc::c_ulong = 0;

/// Everything the child uses, and what it says back through the memory that it borrows.
struct Child<'a> {
    program: &'a CStr,
    arguments: &'a [*const c_char],
    environment: &'a [*const c_char],
    input: RawFd,
    output: RawFd,
    null: RawFd,
    ruleset: Option<RawFd>,
    filter: libc::sock_fprog,
    fixed_addresses: bool,
    /// What to write into the maps of a new user namespace.
    user_maps: Option<[(&'a CStr, &'a [u8]); 3]>,
    /// Why the program could not be executed.
    error: AtomicI32,
    /// Whether opening `/` was refused once Landlock was in force.
    is_landlocked: AtomicBool,
}

pub(super) fn start(spec: &WorkerSpec) -> io::Result<Process> {
    let mut filter = filter::worker().map_err(io::Error::other)?;
    let ruleset = files::ruleset(&spec.readable);
    let (input, to_child) = pipe_with(PipeFlags::CLOEXEC)?;
    let (from_child, output) = pipe_with(PipeFlags::CLOEXEC)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    // Where the trainer has closed its own standard descriptors, these would be in each other's way.
    let [input, output, null] = [high(input)?, high(output)?, high(null)?];
    let program = CString::new(spec.program.as_os_str().as_bytes())?;
    let arguments = std::iter::once(Ok(program.clone()))
        .chain(spec.arguments.iter().map(|argument| CString::new(argument.clone().into_vec())))
        .collect::<Result<Vec<_>, _>>()?;
    let environment = spec
        .environment
        .iter()
        .map(|(name, value)| CString::new(format!("{name}={value}")))
        .collect::<Result<Vec<_>, _>>()?;
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let user_map = format!("{user} {user} 1", user = user.as_raw());
    let group_map = format!("{group} {group} 1", group = group.as_raw());
    let length = u16::try_from(filter.len()).map_err(io::Error::other)?;
    let mut child = Child {
        program: &program,
        arguments: &pointers(&arguments),
        environment: &pointers(&environment),
        input: input.as_raw_fd(),
        output: output.as_raw_fd(),
        null: null.as_raw_fd(),
        ruleset: ruleset.as_ref().map(AsRawFd::as_raw_fd),
        filter: libc::sock_fprog { len: length, filter: filter.as_mut_ptr().cast() },
        fixed_addresses: spec.fixed_addresses,
        user_maps: None,
        error: AtomicI32::new(0),
        is_landlocked: AtomicBool::new(false),
    };
    let steps = if user.is_root() { ROOT_STEPS } else { STEPS };
    let mut step = STEP.load(Ordering::Relaxed);
    let mut is_lasting = true;
    loop {
        let spaces = steps.get(step).copied().unwrap_or(0);
        child.user_maps = (spaces & libc::CLONE_NEWUSER != 0).then_some([
            (c"/proc/self/setgroups", b"deny"),
            (c"/proc/self/uid_map", user_map.as_bytes()),
            (c"/proc/self/gid_map", group_map.as_bytes()),
        ]);
        match clone(&child, spaces) {
            Ok((id, handle)) => {
                let is_landlocked = child.is_landlocked.load(Ordering::Relaxed);
                let process = Process::new(id, handle, to_child, from_child, is_landlocked);
                return match child.error.load(Ordering::Relaxed) {
                    0 => Ok(process),
                    // Dropping the process takes the dead child away.
                    error => Err(io::Error::from_raw_os_error(error)),
                };
            }
            Err(error) if spaces != 0 && is_refusal(&error) => {
                step += 1;
                is_lasting &= !is_passing(&error);
                if is_lasting {
                    STEP.fetch_max(step, Ordering::Relaxed);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether namespaces are at fault, by permission, by configuration or by their configured number.
fn is_refusal(error: &io::Error) -> bool {
    let refusals =
        [libc::EPERM, libc::EACCES, libc::EINVAL, libc::ENOSPC, libc::ENOSYS, libc::EUSERS];
    error.raw_os_error().is_some_and(|code| refusals.contains(&code))
}

/// Whether the same may be granted to a later process: the number of namespaces is limited for all users together.
fn is_passing(error: &io::Error) -> bool {
    [libc::ENOSPC, libc::EUSERS].map(Some).contains(&error.raw_os_error())
}

fn high(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    if descriptor.as_raw_fd() >= FIRST_FOREIGN {
        return Ok(descriptor);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&descriptor, FIRST_FOREIGN)?)
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// Runs [`run`] in a new process and returns once that executed or ended.
fn clone(child: &Child<'_>, spaces: c_int) -> io::Result<(u32, OwnedFd)> {
    let mut stack = vec![0_u128; STACK_UNITS];
    let mut handle: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD | spaces;
    // SAFETY: The stack ends where it is said to end and outlives the child's use of it, since the calling thread is
    // suspended until the child has executed or ended; the same holds for `child` and `handle`. All signals are
    // blocked meanwhile, so that no handler of the trainer's runs in the child while memory is shared.
    let id = unsafe {
        let mut every: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut every);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const every, &raw mut before);
        let id = libc::clone(
            run,
            stack.as_mut_ptr_range().end.cast(),
            flags,
            ptr::from_ref(child).cast_mut().cast(),
            &raw mut handle,
        );
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        u32::try_from(id).map_err(|_| error)?
    };
    // SAFETY: The kernel made this descriptor for the new process, and nobody else knows it.
    Ok((id, unsafe { OwnedFd::from_raw_fd(handle) }))
}

extern "C" fn run(argument: *mut c_void) -> c_int {
    // SAFETY: `clone` passes a valid child, and from here on only system calls are made, with pointers into it or to
    // constants; nothing allocates, locks or unwinds.
    unsafe {
        let child = &*argument.cast::<Child<'_>>();
        if let Some(maps) = &child.user_maps {
            for (path, text) in maps {
                let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                libc::write(file, text.as_ptr().cast(), text.len());
                libc::close(file);
            }
        }
        libc::setsid();
        let is_wired = libc::dup2(child.input, 0) == 0
            && libc::dup2(child.output, 1) == 1
            && libc::dup2(child.null, 2) == 2
            && libc::chdir(c"/".as_ptr()) == 0;
        if is_wired {
            confine(child);
            restore_signals();
            libc::execve(
                child.program.as_ptr(),
                child.arguments.as_ptr(),
                child.environment.as_ptr(),
            );
        }
        child.error.store(*libc::__errno_location(), Ordering::Relaxed);
        libc::_exit(127)
    }
}

/// Each step is as good as the machine allows. What came of it is read from the kernel afterwards.
///
/// # Safety
/// For the child of [`clone`] only.
unsafe fn confine(child: &Child<'_>) {
    // SAFETY: As the caller's.
    unsafe {
        for (resource, limit) in [
            (libc::RLIMIT_CORE, 0),
            (libc::RLIMIT_FSIZE, 0),
            (libc::RLIMIT_MEMLOCK, 0),
            (libc::RLIMIT_MSGQUEUE, 0),
            (libc::RLIMIT_NOFILE, 64),
        ] {
            let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
            libc::setrlimit(resource, &raw const limit);
        }
        libc::personality(if child.fixed_addresses {
            PERSONALITY_FIXED_ADDRESSES
        } else {
            PERSONALITY_ORDINARY
        });
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if let Some(ruleset) = child.ruleset {
            let was_open = can_open_root();
            libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0);
            child.is_landlocked.store(was_open && !can_open_root(), Ordering::Relaxed);
        }
        if libc::syscall(libc::SYS_close_range, FIRST_FOREIGN, c_int::MAX, 0) != 0 {
            for descriptor in FIRST_FOREIGN..4_096 {
                libc::close(descriptor);
            }
        }
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const child.filter);
    }
}

/// # Safety
/// For the child of [`clone`] only.
unsafe fn can_open_root() -> bool {
    // SAFETY: As the caller's.
    unsafe {
        let file = libc::open(c"/".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
        file >= 0 && libc::close(file) == 0
    }
}

/// The program starts with every signal allowed and none handled or ignored.
///
/// # Safety
/// For the child of [`clone`] only.
unsafe fn restore_signals() {
    // SAFETY: As the caller's.
    unsafe {
        // Not by the C library, which keeps two for itself. All zeros is the default action without flags.
        let default = [0_u64; 4];
        for signal in 1..=libc::SIGRTMAX() {
            let old = ptr::null_mut::<c_void>();
            let (action, mask_bytes) = (default.as_ptr(), size_of::<u64>());
            libc::syscall(libc::SYS_rt_sigaction, signal, action, old, mask_bytes);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}
