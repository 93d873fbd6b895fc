//! System-call filters. Refused calls fail with `EPERM`, so that a program sees an ordinary error.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Calls that no worker needs after its start: networking, other processes' memory, the kernel's own
/// settings, ways around file permissions, anonymous files.
const WORKER_REFUSED: [i64; 50] = [
    libc::SYS_accept4,
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bind,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_connect,
    libc::SYS_delete_module,
    libc::SYS_execveat,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_listen,
    libc::SYS_memfd_create,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_mq_open,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_shmget,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Calls that a running program needs: memory, its own end, writing to what is already open.
const PROGRAM_ALLOWED: [i64; 12] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_write,
];

/// The deny list of a worker process.
///
/// # Errors
/// When the processor is none that the filter compiler knows.
pub fn worker() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = WORKER_REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    compile(rules, SeccompAction::Allow, refuse())
}

/// The allow list of a program: memory, its own end, writing to what is already open, and the calls in `also`. No
/// files, processes, signals or sockets, no new executable memory, no number of its own process, which tells how
/// many were before it. A program can wait for a lock, with or without a limit: only its own wall time ends that. To
/// be installed after the last privileged step, with [`seccompiler::apply_filter`] or from [`bytes`].
///
/// # Errors
/// When the processor is none that the filter compiler knows.
pub fn allow_list(also: &[i64]) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        PROGRAM_ALLOWED.iter().chain(also).map(|call| (*call, Vec::new())).collect();
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
        let not_executable = SeccompCondition::new(
            2,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(executable),
            0,
        )?;
        rules.insert(call, vec![SeccompRule::new(vec![not_executable])?]);
    }
    compile(rules, refuse(), SeccompAction::Allow)
}

/// A filter as an array of the kernel's `struct sock_filter`.
pub fn bytes(filter: &BpfProgram) -> Vec<u8> {
    filter
        .iter()
        .flat_map(|instruction| {
            let [code_low, code_high] = instruction.code.to_ne_bytes();
            let [k0, k1, k2, k3] = instruction.k.to_ne_bytes();
            [code_low, code_high, instruction.jt, instruction.jf, k0, k1, k2, k3]
        })
        .collect()
}

fn refuse() -> SeccompAction {
    SeccompAction::Errno(libc::EPERM.unsigned_abs())
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, otherwise, matched, architecture)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_compile_within_the_kernels_limit() {
        assert!((100..4_096).contains(&worker().unwrap().len()));
        let program = allow_list(&[]).unwrap();
        assert!((20..4_096).contains(&program.len()));
        assert_eq!(bytes(&program).len(), program.len() * 8);
        assert!(allow_list(&[libc::SYS_read]).unwrap().len() > program.len());
    }
}
