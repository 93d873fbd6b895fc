//! Hostile programs. The first line of each file says what a safe executor must do with it.

use std::path::Path;
use std::time::{Duration, Instant};

use azr_plugin::LimitKind;

use crate::*;

/// A file, an argument and whether an outcome is what the process sandbox alone should make of them.
type Case = (&'static str, &'static str, fn(&Outcome) -> bool);

fn contained() -> Vec<Case> {
    fn is_exception(outcome: &Outcome, name: &str) -> bool {
        *outcome == exception(name)
    }
    fn is_limit(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Limit(LimitKind::Cpu | LimitKind::Wall | LimitKind::Memory))
    }
    fn all_denied(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Value(text) if text.contains("PermissionError") && !text.contains("opened")
            && !text.contains("made") && !text.contains("killed") && !text.contains("reached"))
    }
    vec![
        ("01_file_write.py", "1", |outcome| is_exception(outcome, "PermissionError")),
        ("03_socket.py", "1", |outcome| is_exception(outcome, "ModuleNotFoundError")),
        ("04_fork_bomb.py", "1", |outcome| *outcome == value("('refused', 'PermissionError', 0)")),
        ("05_kill_host.py", "1", all_denied),
        // 127 is what the C library reports when it could start no shell.
        ("07_subclasses_os.py", "1", |outcome| {
            *outcome == value("32512") || *outcome == value("-1")
        }),
        ("08_infinite_loop.py", "1", is_limit),
        ("09_memory_bomb_one.py", "1", |outcome| *outcome == Outcome::Limit(LimitKind::Memory)),
        ("10_memory_creep.py", "1", is_limit),
        ("11_output_bomb.py", "1", |outcome| *outcome == value("1") || is_limit(outcome)),
        ("13_recursion_bomb.py", "1", |outcome| *outcome == Outcome::Limit(LimitKind::Depth)),
        ("14_native_stack.py", "1", |outcome| {
            is_limit(outcome) || matches!(outcome, Outcome::Crashed(_))
        }),
        ("16_pickle_rce.py", "1", |outcome| *outcome == Outcome::NonValue("E".into())),
        ("17_proc_self_mem.py", "1", all_denied),
        ("18_sys_exit.py", "1", |outcome| is_exception(outcome, "SystemExit")),
        ("20_repr_raises.py", "1", |outcome| *outcome == Outcome::NonValue("R".into())),
        ("21_threads_left.py", "1", |outcome| is_exception(outcome, "RuntimeError")),
        ("23_huge_int.py", "10", is_limit),
        ("25_swallow_everything.py", "1", is_limit),
        ("26_env_secrets.py", "1", |outcome| {
            *outcome == value("(['LC_CTYPE', 'PYTHONHASHSEED'], [], [])")
        }),
        ("27_atexit_del.py", "1", |outcome| *outcome == value("5")),
        ("30_eq_always_true.py", "3", |outcome| *outcome == Outcome::NonValue("Any".into())),
        ("32_shadow_repr.py", "3", |outcome| *outcome == value("'wrong'")),
        ("34_print_fake.py", "3", |outcome| *outcome == value("'wrong'")),
        ("36_frame_peek.py", "3", |outcome| *outcome == value("'gold not reachable'")),
        ("37_input_injection.py", "0) or (True", |outcome| {
            *outcome == Outcome::Refused("arguments".into())
        }),
        ("39_output_is_code.py", "3", |outcome| *outcome == value("9")),
        ("40_stateful.py", "3", |outcome| *outcome == value("3")),
        ("42_lax_equality.py", "3", |outcome| *outcome == value("(1, 1, nan, 0.0)")),
        ("44_lazy_result.py", "1", |outcome| *outcome == Outcome::NonValue("generator".into())),
        ("46_settrace_profile.py", "3", |outcome| *outcome != value("9")),
        ("48_long_sleep.py", "1", |outcome| {
            is_exception(outcome, "PermissionError") || is_limit(outcome)
        }),
        ("50_disk_fill.py", "1", |outcome| *outcome == value("(0, 'PermissionError')")),
    ]
}

#[test]
fn the_sandbox_contains_hostile_programs() {
    let _turn = turn();
    let executor = executor(Policy::Open, 1);
    assert!(
        executor
            .protections()
            .iter()
            .any(|entry| entry.name == "seccomp-program" && entry.in_force)
    );
    for (name, call, is_contained) in contained() {
        let started = Instant::now();
        let outcome = run_one(&executor, &hostile_program(name), call, Purpose::Check);
        let elapsed = started.elapsed();
        assert!(is_contained(&outcome), "{name}: {outcome:?}");
        assert!(elapsed < Duration::from_millis(limits().wall_ms + 1_000), "{name}: {elapsed:?}");
        assert_no_program_runs();
        assert_eq!(processes().0, 1, "{name} cost a zygote");
        let number = &name[..2];
        assert!(!Path::new(&format!("/tmp/azr_escape_{number}")).exists(), "{name} wrote a file");
        assert_eq!(
            run_one(&executor, "def f(x): return [x, len('ab')]", "1", Purpose::Check),
            value("[1, 2]")
        );
    }
}

#[test]
fn the_gate_refuses_what_reaches_for_the_system() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    for (name, reason) in [
        ("01_file_write.py", "name"),
        ("03_socket.py", "import"),
        ("07_subclasses_os.py", "dunder"),
        ("16_pickle_rce.py", "import"),
        ("36_frame_peek.py", "import"),
    ] {
        let outcome = run_one(&executor, &hostile_program(name), "1", Purpose::Gold);
        assert_eq!(outcome, Outcome::Refused(reason.into()), "{name}");
    }
}

#[test]
fn what_a_program_patches_ends_with_it() {
    let _turn = turn();
    let executor = executor(Policy::Open, 1);
    for program in [
        "import builtins\ndef f(x):\n    builtins.len = lambda x: 99\n    return len('a')",
        "import math, sys\ndef f(x):\n    math.sqrt = abs\n    sys.modules.clear()\n    sys.setrecursionlimit(50)\n    return 99",
        "import json, struct, os\nos.write = None\nstruct.pack = None\njson.loads = None\ndef f(x): return 99",
    ] {
        run_one(&executor, program, "1", Purpose::Check);
        let probe = "import math\ndef f(x): return [math.sqrt(x), len('ab')]";
        assert_eq!(run_one(&executor, probe, "4", Purpose::Gold), value("[2.0, 2]"), "{program}");
    }
}

#[test]
fn forged_answers_are_read_strictly() {
    let _turn = turn();
    let executor = executor(Policy::Open, 1);
    // Descriptor 3 is the program's own answer pipe: it can spoil its own answer only.
    let forging = |bytes: &str| format!("import os\nos.write(3, {bytes})\ndef f(x): return 1");
    let crashed = Outcome::Crashed("broken answer".into());
    for (bytes, expected) in [
        ("b'garbage that is no frame'", crashed.clone()),
        ("b'\\x03\\x00\\x00\\x00V+('", crashed.clone()),
        ("b'\\x06\\x00\\x00\\x00V{[1]}'", crashed.clone()),
        ("b'\\x00\\x00\\x00\\x00'", crashed),
        ("b'\\x02\\x00\\x00\\x00V7' + b'x' * 100000", value("7")),
    ] {
        assert_eq!(run_one(&executor, &forging(bytes), "1", Purpose::Check), expected, "{bytes}");
        assert_eq!(run_one(&executor, "def f(x): return x", "1", Purpose::Check), value("1"));
    }
    let silent = "import os\ndef f(x): os._exit(0)";
    assert_eq!(
        run_one(&executor, silent, "1", Purpose::Check),
        Outcome::Crashed("exit status 0".into())
    );
    assert_no_program_runs();
}
