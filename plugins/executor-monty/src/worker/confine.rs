//! What a worker does to itself before it reads a program.

#![expect(unsafe_code, reason = "signals and timers are set by system calls")]

use azr_executor::sandbox::{become_nobody, filter};

/// How often a busy worker looks whether its host is still there.
const WATCH_INTERVAL_S: libc::time_t = 1;

/// Calls of a worker beside those of a program: to take requests and to look after its host.
const ALSO_ALLOWED: [i64; 4] =
    [libc::SYS_getrandom, libc::SYS_poll, libc::SYS_read, libc::SYS_rt_sigprocmask];

/// Gives up all rights. True when the system-call filter is in force.
pub(super) fn confine() -> bool {
    watch_host();
    refuse_dumps();
    // A refusal shows in the protections, which are read from the kernel.
    let _ = become_nobody();
    let Ok(filter) = filter::allow_list(&ALSO_ALLOWED) else { return false };
    seccompiler::apply_filter(&filter).is_ok() && !can_open()
}

fn can_open() -> bool {
    std::fs::File::open("/dev/null").is_ok()
}

/// A crash writes nothing anywhere: a program that takes core dumps is started whatever their size limit is.
fn refuse_dumps() {
    // SAFETY: a system call on this process alone; all arguments are numbers.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}

/// A worker that waits sees its input end when the host dies; one that computes is woken by a timer to look.
fn watch_host() {
    let every = libc::timeval { tv_sec: WATCH_INTERVAL_S, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: valid pointers to locals; the handler makes system calls only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = look as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
}

extern "C" fn look(_signal: libc::c_int) {
    let mut input = libc::pollfd { fd: 0, events: 0, revents: 0 };
    // SAFETY: a valid pointer to one entry; both calls may be made in a signal handler. `errno` is put back.
    unsafe {
        let errno = *libc::__errno_location();
        if libc::poll(&raw mut input, 1, 0) == 1 && input.revents & libc::POLLHUP != 0 {
            libc::_exit(0);
        }
        *libc::__errno_location() = errno;
    }
}
