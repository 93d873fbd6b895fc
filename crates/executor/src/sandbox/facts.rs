//! What protects the machine from a running worker, read from the kernel and not from our intentions.

use std::fs;

use azr_plugin::Protection;

use super::NOBODY;

const ADDR_NO_RANDOMIZE: u64 = libc::ADDR_NO_RANDOMIZE as u64;

/// New namespaces by the kernel's name, ours, and what they do.
const SPACES: [(&str, &str, &str); 5] = [
    (
        "pid",
        "pid-namespace",
        "no other process can be seen or signaled, and none outlives the worker",
    ),
    ("net", "network-namespace", "no network interface is reachable"),
    ("ipc", "ipc-namespace", "no shared memory is reachable"),
    ("mnt", "mount-namespace", "no change of mounts reaches the machine"),
    ("uts", "host-name-namespace", "no change of the host name reaches the machine"),
];

/// The protections of the worker process `id`. That Landlock is in force was tried before it executed, since the
/// kernel does not tell: opening `/` went well before and was refused after.
pub(super) fn protections(id: u32, is_landlocked: bool) -> Vec<Protection> {
    let facts = Facts::read(id);
    let mut protections = vec![
        protection(
            "separate-process",
            facts.is_readable(),
            "programs run in processes that were executed with an empty environment and hold no gold value",
            "the process cannot be looked at",
        ),
        protection(
            "no-new-privileges",
            facts.field("NoNewPrivs") == "1",
            "set-user-id executables give no rights",
            "the kernel refused it",
        ),
        protection(
            "seccomp-worker",
            facts.field("Seccomp") == "2",
            "sockets, tracing, mounting, namespaces, kernel settings and anonymous files are refused",
            "the kernel has no system-call filters",
        ),
        protection(
            "landlock",
            is_landlocked,
            "no file but the interpreter's own can be opened",
            "the kernel has no Landlock (Linux 5.13) or it is switched off; opening files is refused by seccomp only",
        ),
    ];
    protections.extend(SPACES.map(|(kind, name, effect)| {
        protection(
            name,
            facts.is_own_space(kind),
            effect,
            "the machine refused a namespace (in a container: allow user namespaces)",
        )
    }));
    let user = facts.field("Uid");
    let is_nobody = user == NOBODY.to_string();
    let own = if is_nobody { "" } else { ", the trainer's own" };
    protections.push(protection(
        "user",
        is_nobody || (user != "0" && user != UNKNOWN),
        &format!("programs run as user {user}{own}"),
        &format!("programs run as user {user}: the machine refused to change it"),
    ));
    protections.push(protection(
        "resource-limits",
        facts.is_limited_to_nothing("Max core file size")
            && facts.is_limited_to_nothing("Max file size"),
        "no file can grow, no core dump is written",
        "the machine refused limits",
    ));
    protections
}

/// Whether code and data of the process lie at addresses that are the same in every process.
pub(super) fn has_fixed_addresses(id: u32) -> bool {
    let personality = fs::read_to_string(format!("/proc/{id}/personality")).unwrap_or_default();
    u64::from_str_radix(personality.trim(), 16).is_ok_and(|bits| bits & ADDR_NO_RANDOMIZE != 0)
}

/// Address space of the process, if it lives.
pub(super) fn address_space_bytes(id: u32) -> Option<u64> {
    let kibibytes: u64 = Facts::read(id).field("VmSize").parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}

fn protection(name: &str, in_force: bool, effect: &str, otherwise: &str) -> Protection {
    let detail = if in_force { effect } else { otherwise };
    Protection { name: name.to_owned(), in_force, detail: detail.to_owned() }
}

const UNKNOWN: &str = "unknown";

/// What the kernel tells about a process.
struct Facts {
    id: u32,
    status: String,
    limits: String,
}

impl Facts {
    fn read(id: u32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{id}/{name}"));
        Self {
            id,
            status: read("status").unwrap_or_default(),
            limits: read("limits").unwrap_or_default(),
        }
    }

    fn is_readable(&self) -> bool {
        !self.status.is_empty()
    }

    /// The first word of a line of the status.
    fn field(&self, name: &str) -> &str {
        let line = self.status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|values| values.split_whitespace().next()).unwrap_or(UNKNOWN)
    }

    /// Whether both the current and the highest limit are 0.
    fn is_limited_to_nothing(&self, name: &str) -> bool {
        let line = self.limits.lines().find_map(|line| line.strip_prefix(name));
        line.is_some_and(|values| values.split_whitespace().take(2).eq(["0", "0"]))
    }

    fn is_own_space(&self, kind: &str) -> bool {
        let space = |id: &str| fs::read_link(format!("/proc/{id}/ns/{kind}")).ok();
        let (ours, theirs) = (space("self"), space(&self.id.to_string()));
        ours.is_some() && theirs.is_some() && ours != theirs
    }
}
