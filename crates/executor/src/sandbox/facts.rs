//! What protects the machine from a running worker, read from the kernel and not from our intentions.

use std::fs;

use azr_plugin::Protection;

use super::NOBODY;

/// The protections of the worker process `pid`.
pub fn protections(pid: u32) -> Vec<Protection> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|values| values.split_whitespace().next()).unwrap_or("unknown").to_owned()
    };
    let space = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let is_own_space = |kind: &str| {
        let (ours, theirs) = (space("self", kind), space(&pid.to_string(), kind));
        ours.is_some() && theirs.is_some() && ours != theirs
    };
    let user = field("Uid");
    let is_nobody = user == NOBODY.to_string();
    vec![
        protection(
            "separate-process",
            !status.is_empty(),
            "programs run in processes that were executed with an empty environment and hold no gold value",
        ),
        protection(
            "no-new-privileges",
            field("NoNewPrivs") == "1",
            "set-user-id executables give no rights",
        ),
        protection(
            "seccomp-worker",
            field("Seccomp") == "2",
            "sockets, tracing, mounting, namespaces, kernel settings and anonymous files are refused",
        ),
        protection(
            "network-namespace",
            is_own_space("net"),
            if is_own_space("net") {
                "no network interface is reachable"
            } else {
                "the kernel refused a namespace"
            },
        ),
        protection(
            "ipc-namespace",
            is_own_space("ipc"),
            if is_own_space("ipc") {
                "no shared memory is reachable"
            } else {
                "the kernel refused a namespace"
            },
        ),
        protection(
            "user",
            is_nobody || user != "0",
            &format!(
                "programs run as user {user}{}",
                if is_nobody { "" } else { ", the trainer's own" }
            ),
        ),
        protection(
            "landlock",
            false,
            "not used in this version: opening files is refused by seccomp instead",
        ),
        protection(
            "pid-namespace",
            false,
            "not used in this version: signals are refused by seccomp instead",
        ),
    ]
}

fn protection(name: &str, in_force: bool, detail: &str) -> Protection {
    Protection { name: name.to_owned(), in_force, detail: detail.to_owned() }
}
