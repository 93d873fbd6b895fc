//! What a started process sees and can do, asked from shells and from the kernel.

#![expect(unsafe_code, reason = "a personality has no safe interface")]

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;

fn spec(program: &str, arguments: &[&str]) -> WorkerSpec {
    let readable = ["/bin", "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/proc/self/exe"];
    WorkerSpec {
        program: program.into(),
        arguments: arguments.iter().map(Into::into).collect(),
        environment: vec![("ONLY".to_owned(), "this".to_owned())],
        readable: readable.map(Into::into).to_vec(),
        fixed_addresses: false,
    }
}

fn shell(script: &str) -> Process {
    spawn(&spec("/bin/sh", &["-c", script])).unwrap()
}

/// Everything that a process says.
fn said(process: &Process) -> String {
    let mut text = String::new();
    File::from(process.output().try_clone_to_owned().unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn is_in_force(process: &Process, name: &str) -> bool {
    process.protections().iter().any(|entry| entry.name == name && entry.in_force)
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_cannot_be_executed_is_told() {
    for (program, kind) in [
        ("/nonexistent/program", io::ErrorKind::NotFound),
        ("/etc/passwd", io::ErrorKind::PermissionDenied),
    ] {
        assert_eq!(spawn(&spec(program, &[])).unwrap_err().kind(), kind, "{program}");
    }
    let mut nul = spec("/bin/true", &[]);
    nul.arguments.push("a\0b".into());
    assert_eq!(spawn(&nul).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn protections_do_what_they_say() {
    let mark = format!("/tmp/azr_sandbox_test_{}", std::process::id());
    let process = shell(&format!(
        "/usr/bin/env; echo id $$; head -c 1 /etc/passwd >/dev/null && echo opened; read line; echo $line; \
         echo x >{mark} && echo written",
    ));
    // While it waits for its line, it can be looked at.
    let (has_landlock, has_space) =
        (is_in_force(&process, "landlock"), is_in_force(&process, "pid-namespace"));
    assert!(is_in_force(&process, "separate-process") && is_in_force(&process, "resource-limits"));
    assert!(is_in_force(&process, "seccomp-worker") && is_in_force(&process, "no-new-privileges"));
    rustix::io::write(process.input(), b"heard\n").unwrap();
    let said = said(&process);
    let _ = std::fs::remove_file(&mark);
    let environment: Vec<&str> = said.lines().filter(|line| line.contains('=')).collect();
    assert!(environment.contains(&"ONLY=this"), "{said}");
    assert!(
        environment.iter().all(|line| ["ONLY", "PWD", "_", "OLDPWD", "SHLVL"]
            .contains(&line.split('=').next().unwrap())),
        "{said}"
    );
    assert_eq!(said.lines().any(|line| line == "id 1"), has_space, "{said}");
    assert_eq!(said.contains("opened"), !has_landlock, "{said}");
    assert!(said.contains("heard") && !said.contains("written"), "{said}");
}

#[test]
fn nothing_of_the_trainers_is_inherited() {
    // A descriptor that would survive an execution.
    let flags = rustix::fs::OFlags::RDONLY;
    let open = rustix::fs::open("/etc/passwd", flags, rustix::fs::Mode::empty()).unwrap();
    let high = rustix::io::fcntl_getfd(&open).unwrap();
    assert!(high.is_empty() && open.as_raw_fd() > 2);
    let process = spawn(&spec("/bin/cat", &[])).unwrap();
    let folder = format!("/proc/{}", process.id());
    let mut open: Vec<_> = std::fs::read_dir(format!("{folder}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    assert_eq!(std::fs::read_link(format!("{folder}/cwd")).unwrap(), Path::new("/"));
    let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
    for name in ["SigBlk", "SigIgn"] {
        let mask = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        assert!(mask.unwrap().trim().chars().all(|digit| digit == '0'), "{name}: {mask:?}");
    }
}

#[test]
fn the_own_executable_can_be_run_again() {
    let process = spawn(&spec("/proc/self/exe", &["--list"])).unwrap();
    assert!(said(&process).contains("the_own_executable_can_be_run_again"));
}

#[test]
fn processor_time_is_seen_from_outside() {
    let busy = shell("while :; do :; done");
    let idle = spawn(&spec("/bin/cat", &[])).unwrap();
    eventually("it is seen", || busy.cpu_time().unwrap() > Duration::from_millis(100));
    assert!(idle.cpu_time().unwrap() < Duration::from_millis(50));
    assert!(idle.address_space_bytes().unwrap() > 1 << 20);
}

#[test]
fn addresses_are_fixed_where_that_is_asked_for() {
    let stack = |fixed_addresses| {
        let process = spawn(&WorkerSpec { fixed_addresses, ..spec("/bin/cat", &[]) }).unwrap();
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", process.id())).unwrap();
        let stack = maps.lines().find(|line| line.ends_with("[stack]")).unwrap().to_owned();
        (stack.split('-').next().unwrap().to_owned(), process.has_fixed_addresses())
    };
    let (first, is_fixed) = stack(true);
    if is_fixed {
        assert_eq!(stack(true).0, first);
    } else {
        println!("the machine refuses fixed addresses");
    }
    assert!(!stack(false).1);
    let different: std::collections::BTreeSet<_> = (0..4).map(|_| stack(false).0).collect();
    let randomizes = std::fs::read_to_string("/proc/sys/kernel/randomize_va_space").unwrap();
    assert!(different.len() > 1 || randomizes.trim() == "0");
    // Also where the trainer itself has fixed addresses. The personality is each thread's own.
    let inherited = std::thread::spawn(move || {
        // SAFETY: The call takes a number and changes nothing but later executions by this thread.
        let before = unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) };
        (before != -1).then(|| stack(false).1)
    });
    assert_ne!(inherited.join().unwrap(), Some(true));
}

#[test]
fn dropping_ends_everything_and_waits() {
    // A time that no sleeper of another run has.
    let mark = format!("61.0{}", std::process::id());
    let end = format!("{mark}\0").into_bytes();
    let n_sleepers = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let sleeps = |line: &Vec<u8>| line.starts_with(b"sleep") && line.ends_with(&end);
        lines.filter(sleeps).count()
    };
    let process = shell(&format!("sleep {mark} & sleep {mark}"));
    eventually("two sleepers", || n_sleepers() == 2);
    drop(process);
    // A group ends one after the other, a namespace before its first process does.
    eventually("no sleeper", || n_sleepers() == 0);
    // One that left the group for a session of its own.
    let process = shell(&format!("setsid sleep {mark} & sleep {mark}"));
    if is_in_force(&process, "pid-namespace") {
        eventually("two sleepers", || n_sleepers() == 2);
        drop(process);
        assert_eq!(n_sleepers(), 0);
    } else {
        println!("skipped: no namespace to end");
    }
    // One that ended by itself is taken away, too.
    let ended = shell("exit 3");
    let id = ended.id();
    assert_eq!(said(&ended), "");
    drop(ended);
    assert!(!Path::new(&format!("/proc/{id}")).exists());
}
