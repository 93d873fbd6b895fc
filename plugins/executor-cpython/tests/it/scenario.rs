//! What must hold for different users and on machines with less protection, each in a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use azr_executor::sandbox::{Demand, SECCOMP_PROGRAM};
use azr_executor_suite::hostile::{self, Gate, Settings};
use azr_plugin::ErrorCode;
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::*;

/// Tells [`scenario`] what to do.
const VARIABLE: &str = "AZR_TEST_SCENARIO";

const ORDINARY_USER: u32 = 1_000;

/// Every hostile program.
const ALL: &[&str] = &[];

/// Hostile programs for which it matters who runs them.
const REACHING_OUT: &[&str] = &[
    "01_file_write",
    "03_socket",
    "04_fork_bomb",
    "05_kill_host",
    "17_proc_self_mem",
    "50_disk_fill",
    "101_kill_everyone",
    "103_raise_limits",
    "109_exec_shell",
];

/// Words that must be among the protections where all hold.
const NAMESPACES: [&str; 5] = [
    "pid-namespace",
    "network-namespace",
    "ipc-namespace",
    "mount-namespace",
    "host-name-namespace",
];

#[test]
fn everything_holds_for_the_user_who_runs_the_tests() {
    let _turn = turn();
    run_in_own_process("strict", None);
}

#[test]
fn everything_holds_for_an_ordinary_user() {
    let _turn = turn();
    if is_root() {
        run_in_own_process("strict", Some(ORDINARY_USER));
    } else {
        println!("skipped: only root can become another user");
    }
}

#[test]
fn without_namespaces_and_landlock_programs_are_still_contained() {
    let _turn = turn();
    run_in_own_process("degraded", None);
}

#[test]
fn an_ordinary_user_without_namespaces_and_landlock_is_safe_too() {
    let _turn = turn();
    if is_root() {
        run_in_own_process("degraded", Some(ORDINARY_USER));
    } else {
        println!("skipped: only root can become another user");
    }
}

#[test]
fn without_system_call_filters_nothing_runs_unless_that_is_asked_for() {
    let _turn = turn();
    run_in_own_process("no-filters", None);
}

#[test]
fn what_is_demanded_holds_for_zygotes_that_start_later_too() {
    let _turn = turn();
    run_in_own_process("late-no-namespaces", None);
    run_in_own_process("late-no-filters", None);
}

#[test]
fn no_process_outlives_a_killed_trainer() {
    let _turn = turn();
    for name in ["busy", "busy-degraded"] {
        for signal in [libc::SIGKILL, libc::SIGINT] {
            let mut trainer = own_process(name, None).stdout(Stdio::piped()).spawn().unwrap();
            let lines = BufReader::new(trainer.stdout.take().unwrap()).lines();
            let listed = lines.map_while(Result::ok).find_map(|line| {
                Some(
                    line.split_once("processes:")?
                        .1
                        .split_whitespace()
                        .map(str::to_owned)
                        .collect(),
                )
            });
            let listed: Vec<String> = listed.unwrap();
            assert_eq!(listed.len(), 6, "two workers, each a pair of zygotes with one program");
            let id = trainer.id().to_string();
            let kill = Command::new("kill").args([format!("-{signal}"), id]).status().unwrap();
            assert!(kill.success() && !trainer.wait().unwrap().success());
            let deadline = Instant::now() + Duration::from_secs(10);
            while let Some(id) = listed.iter().find(|id| is_living(id)) {
                assert!(Instant::now() < deadline, "{name}: process {id} outlived its trainer");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[test]
#[ignore = "other tests run it in a process of its own"]
fn scenario() {
    match std::env::var(VARIABLE).as_deref() {
        Ok("strict") => strict(),
        Ok("degraded") => degraded(),
        Ok("no-filters") => without_filters(),
        Ok("late-no-namespaces") => refused_later(Demand::Strict, refuse_namespaces_and_landlock),
        Ok("late-no-filters") => refused_later(Demand::Default, refuse_filters),
        Ok("busy") => busy(),
        Ok("busy-degraded") => {
            refuse_namespaces_and_landlock();
            busy();
        }
        other => panic!("no scenario {other:?}"),
    }
}

/// All protections are in force and every hostile program is contained.
fn strict() {
    let executor = started(Demand::Strict, Policy::Open).unwrap();
    let protections = executor.protections();
    for name in NAMESPACES.iter().chain(&["landlock", "user", "seccomp-worker", SECCOMP_PROGRAM]) {
        assert!(protections.iter().any(|entry| entry.name == *name && entry.in_force), "{name}");
    }
    assert_contained(Policy::Open, Demand::Strict, Gate::Open, ALL);
    // The gate is the same for every user.
    let among = if is_root() { ALL } else { REACHING_OUT };
    assert_contained(Policy::Strict, Demand::Strict, Gate::Strict, among);
}

/// The same programs are contained by what is left, and it is told what is missing.
fn degraded() {
    refuse_namespaces_and_landlock();
    let error = started(Demand::Strict, Policy::Open).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.hint.is_some());
    let executor = started(Demand::Default, Policy::Open).unwrap();
    let protections = executor.protections();
    for name in NAMESPACES.iter().chain(&["landlock"]) {
        assert!(error.message.contains(name), "{error}");
        assert!(protections.iter().any(|entry| entry.name == *name && !entry.in_force), "{name}");
    }
    for name in ["user", "seccomp-worker", SECCOMP_PROGRAM] {
        assert!(!error.message.contains(&format!("{name} (")), "{error}");
        assert!(protections.iter().any(|entry| entry.name == name && entry.in_force), "{name}");
    }
    drop(executor);
    let among = if is_root() { ALL } else { REACHING_OUT };
    assert_contained(Policy::Open, Demand::Default, Gate::Open, among);
}

/// Without the filter of programs the executor refuses to start, and says so.
fn without_filters() {
    refuse_filters();
    let error = started(Demand::Default, Policy::Strict).unwrap_err();
    assert!(error.message.contains(SECCOMP_PROGRAM), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("sandbox = \"any\"")));
    let executor = started(Demand::Any, Policy::Strict).unwrap();
    assert_eq!(run_one(&executor, "def f(x): return x + 1", "1", Purpose::Gold), value("2"));
}

/// What the machine refuses after the start makes the call fail that needs another zygote.
fn refused_later(demand: Demand, refuse: fn()) {
    let executor = started(demand, Policy::Strict).unwrap();
    refuse();
    assert_eq!(run_one(&executor, "def f(x): return x", "1", Purpose::Check), value("1"));
    let job = job("def f(x): return x", &["1"], Purpose::Gold);
    let error = executor.run(&[job], &Quiet).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("demands protections that are missing here"), "{error}");
}

/// Two workers that run endless programs, and the ids of all processes on the standard output.
#[expect(clippy::print_stdout, reason = "its parent reads it")]
fn busy() {
    let options = CpythonOptions { workers: 2, ..CpythonOptions::default() };
    let executor = CpythonExecutor::create(options, Services::default()).unwrap();
    // Establishing gold values starts both zygotes of each worker.
    executor.run(&vec![job("def f(x): return x", &["1"], Purpose::Gold); 20], &Quiet).unwrap();
    let mut endless = job("def f(x):\n    while True: pass", &["1"], Purpose::Check);
    (endless.limits.wall_ms, endless.limits.cpu_ms) = (600_000, 600_000);
    std::thread::scope(|scope| {
        scope.spawn(|| executor.run(&[endless.clone(), endless], &Quiet));
        while processes().1 < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let zygotes = zygotes();
        let all: Vec<String> =
            zygotes.iter().chain(&children(&zygotes)).map(u32::to_string).collect();
        println!("processes: {}", all.join(" "));
    });
}

fn started(sandbox: Demand, policy: Policy) -> azr_plugin::Result<CpythonExecutor> {
    let options = CpythonOptions { sandbox, policy, ..CpythonOptions::default() };
    CpythonExecutor::create(options, Services::default())
}

/// Runs these hostile programs, or all where none is named.
fn assert_contained(policy: Policy, sandbox: Demand, gate: Gate, among: &[&str]) {
    let executor = started(sandbox, policy).unwrap();
    let mut settings = Settings::new(gate);
    settings.limits = short_limits();
    let mut programs = hostile::all();
    programs.retain(|program| among.is_empty() || among.contains(&program.name));
    assert!(programs.len() >= among.len().max(1));
    let failures = hostile::check(&executor, &programs, &settings);
    let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Makes the kernel behave like one of a container: no new namespaces, no Landlock.
fn refuse_namespaces_and_landlock() {
    let spaces = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
    ];
    let rule = |space: libc::c_int| {
        let space = u64::try_from(space).unwrap();
        let (length, operator) = (SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(space));
        let has_space = SeccompCondition::new(0, length, operator, space).unwrap();
        SeccompRule::new(vec![has_space]).unwrap()
    };
    let asks_for_spaces: Vec<SeccompRule> = spaces.map(rule).into();
    refuse(
        [(libc::SYS_clone, asks_for_spaces), (libc::SYS_unshare, Vec::new())].into(),
        libc::EPERM,
    );
    refuse(
        [
            (libc::SYS_clone3, Vec::new()),
            (libc::SYS_landlock_create_ruleset, Vec::new()),
            (libc::SYS_landlock_add_rule, Vec::new()),
            (libc::SYS_landlock_restrict_self, Vec::new()),
        ]
        .into(),
        libc::ENOSYS,
    );
}

/// From here on no process gets a system-call filter.
fn refuse_filters() {
    let argument = u64::try_from(libc::PR_SET_SECCOMP).unwrap();
    let (length, operator) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
    let asks_for_filter = SeccompCondition::new(0, length, operator, argument).unwrap();
    let rule = SeccompRule::new(vec![asks_for_filter]).unwrap();
    refuse([(libc::SYS_seccomp, Vec::new()), (libc::SYS_prctl, vec![rule])].into(), libc::EINVAL);
}

/// System calls under these rules fail in this process and all that it starts.
fn refuse(rules: BTreeMap<i64, Vec<SeccompRule>>, error: i32) {
    let refusal = SeccompAction::Errno(error.try_into().unwrap());
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, architecture).unwrap();
    let filter: seccompiler::BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&filter).unwrap();
}

fn run_in_own_process(name: &str, user: Option<u32>) {
    let output = own_process(name, user).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} as {user:?}:\n{said}");
}

/// This test program, told to run [`scenario`].
fn own_process(name: &str, user: Option<u32>) -> Command {
    // A user may lack the rights on the folder that the program was built in.
    static COPY: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let copy = COPY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(std::env::current_exe().unwrap(), folder.path().join("it")).unwrap();
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), everybody).unwrap();
        folder
    });
    let mut command = Command::new(copy.path().join("it"));
    command
        .args(["--exact", "scenario::scenario", "--ignored", "--nocapture"])
        .env(VARIABLE, name)
        .current_dir("/")
        .stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Whether the process lives and is more than an entry that nobody took away yet.
fn is_living(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, tail)| !tail.trim_start().starts_with('Z'))
}
