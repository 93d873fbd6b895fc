//! Hostile programs beyond the common suite: what they do to each other and to the frames of answers.

use azr_executor_suite::hostile::{self, Gate, Settings};
use azr_plugin::LimitKind;

use crate::*;

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

#[test]
fn nothing_of_other_calls_is_left_in_memory() {
    let _turn = turn();
    let executor = executor(Policy::Open, 1);
    let mut programs = hostile::all();
    programs.retain(|program| program.name == "126_stale_memory");
    assert_eq!(programs.len(), 1);
    for purpose in [Purpose::Check, Purpose::Gold] {
        let settings = Settings { purpose, limits: limits(), ..Settings::new(Gate::Open) };
        let failures = hostile::check(&executor, &programs, &settings);
        assert_eq!(failures, [], "{purpose:?}");
    }
}

#[test]
fn classes_that_equal_all_others_are_no_plain_ones() {
    let _turn = turn();
    let executor = executor(Policy::Open, 1);
    for plain in ["list", "dict", "tuple", "int"] {
        let program = format!(
            "class Like(type):\n    def __eq__(self, other): return True\n    def __hash__(self): return hash({plain})\n\
             class Mine({plain}, metaclass=Like): pass\ndef f(x): return Mine()"
        );
        let outcome = run_one(&executor, &program, "1", Purpose::Check);
        assert_eq!(outcome, Outcome::NonValue("Mine".into()), "{plain}");
    }
}

#[test]
fn memory_that_is_short_to_the_last_byte_is_told_as_such() {
    let _turn = turn();
    let executor = executor(Policy::Open, 1);
    // Takes all memory, down to the smallest blocks, so that not even the answer has a place.
    let program = "
held = None
def f(x):
    global held
    for size in [1 << 20, 1 << 16, 1 << 12, 1 << 10, *range(600, -1, -x)]:
        try:
            while True: held = (held, bytes(size))
        except MemoryError: pass
    raise MemoryError";
    let calls = ["1", "2", "3", "4", "8", "16"];
    let outcomes = run_all(&executor, program, &calls, Purpose::Check);
    assert_eq!(outcomes, vec![Outcome::Limit(LimitKind::Memory); calls.len()]);
}

#[test]
fn floods_end_at_the_programs_own_limits() {
    let _turn = turn();
    let executor = executor(Policy::Open, 1);
    for (program, expected) in [
        // A gigabyte, printed in pieces.
        ("def f(x):\n    for i in range(1000): print('x' * 1_000_000)\n    return x", value("1")),
        ("def f(x): return 'x' * (34 << 20)", Outcome::Limit(LimitKind::Output)),
        ("def f(x): return [['x' * 1000] * 200] * 200", Outcome::Limit(LimitKind::Output)),
        ("import os\ndef f(x):\n    os.close(3)\n    return x", exception("PermissionError")),
        (
            "import os\ndef f(x):\n    while True: os.write(3, b'x' * 65536)",
            Outcome::Crashed("broken answer".into()),
        ),
    ] {
        assert_eq!(run_one(&executor, program, "1", Purpose::Check), expected, "{program}");
        assert_eq!(run_one(&executor, "def f(x): return x", "1", Purpose::Check), value("1"));
    }
    assert_no_program_runs();
}
