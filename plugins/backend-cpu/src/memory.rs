//! How much memory this process can still use.

/// Bytes that can be used without swapping or being ended by the system, where the system tells:
/// the machine's available memory or what is left of the control group's limit, whichever is less.
pub fn free_bytes() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    match (machine, cgroup_free()) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (machine, group) => machine.or(group),
    }
}

/// `MemAvailable` of `/proc/meminfo` in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What is left below the limit of the nearest control group (version 2) that has one.
fn cgroup_free() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = std::path::Path::new("/sys/fs/cgroup");
    let number = |directory: &std::path::Path, file: &str| -> Option<u64> {
        std::fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok()
    };
    let group = root.join(path);
    let groups = group.ancestors().take_while(|directory| directory.starts_with(root));
    // A group without a limit says `max`, which is no number. File cache counts as used but is given back.
    groups
        .filter_map(|directory| {
            let used = number(directory, "memory.current")?;
            let cache = std::fs::read_to_string(directory.join("memory.stat"))
                .ok()
                .and_then(|stat| inactive_file(&stat))
                .unwrap_or(0);
            Some(number(directory, "memory.max")?.saturating_sub(used.saturating_sub(cache)))
        })
        .min()
}

/// `inactive_file` of a control group's `memory.stat`, in bytes.
fn inactive_file(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("inactive_file "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_understood() {
        let meminfo = "MemTotal:       24576000 kB\nMemAvailable:   1048576 kB\nBuffers: 1 kB\n";
        assert_eq!(available(meminfo), Some(1 << 30));
        assert_eq!(available("MemAvailable: many kB\n"), None);
        assert_eq!(available(""), None);
        assert_eq!(inactive_file("anon 5\ninactive_file 77\nactive_file 9\n"), Some(77));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_memory() {
        assert!(free_bytes().is_some_and(|bytes| bytes > 1 << 20 && bytes < 1 << 50));
    }
}
