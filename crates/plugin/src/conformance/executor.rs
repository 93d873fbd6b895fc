//! What an executor promises. Programs are Python; `azr-executor-suite` has the long list of hostile ones.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::text::hostile;
use super::{CANCELLATION, Cancelled, CheckFn, Flaw, Maker, Verdict, ensure, from_threads, shown};
use crate::{ErrorCode, Executor, Job, JobReport, Limits, Outcome, Purpose, Quiet};

pub(super) const CHECKS: &[(&str, CheckFn<dyn Executor>)] = &[
    ("protections", protections),
    ("values", values),
    ("exceptions and no values", failures),
    ("endless loops", endless),
    ("memory", memory),
    ("huge results", huge_results),
    ("independent calls", independent_calls),
    ("order of reports", order),
    ("gold values", gold),
    ("programs of any text", any_program),
    ("files and environment", secrets),
    ("cancellation", cancellation),
    ("calls from several threads", threads),
];

/// Short enough for a check, long enough for a busy machine.
const LIMITS: Limits =
    Limits { wall_ms: 5_000, cpu_ms: 1_000, memory_bytes: 256 << 20, output_bytes: 64 << 10 };
/// Longest time of a call with [`LIMITS`], waiting for a worker included.
const PATIENCE: Duration = Duration::from_secs(30);

const ADD: &str = "def f(a, b=1):\n    return a + b\n";
const LOOP: &str = "def f(x):\n    while True:\n        x += 1\n";

fn job(program: &str, calls: &[&str]) -> Job {
    Job {
        program: program.into(),
        calls: calls.iter().map(|&call| call.into()).collect(),
        purpose: Purpose::Check,
        limits: LIMITS,
        pinned: None,
    }
}

fn value(text: &str) -> Outcome {
    Outcome::Value(text.into())
}

fn run(executor: &dyn Executor, jobs: &[Job]) -> std::result::Result<Vec<JobReport>, Flaw> {
    let reports = executor.run(jobs, &Quiet)?;
    ensure!(reports.len() == jobs.len(), "{} reports for {} jobs", reports.len(), jobs.len());
    for (report, job) in reports.iter().zip(jobs) {
        let (got, expected) = (report.outcomes.len(), job.calls.len());
        ensure!(got == expected, "{got} outcomes for {expected} calls");
    }
    Ok(reports)
}

/// The outcome of one call of one program.
fn outcome(
    executor: &dyn Executor,
    program: &str,
    call: &str,
) -> std::result::Result<Outcome, Flaw> {
    let mut reports = run(executor, &[job(program, &[call])])?;
    let outcome = reports.pop().and_then(|mut report| report.outcomes.pop());
    outcome.ok_or_else(|| Flaw::Failed("there is no outcome".into()))
}

fn protections(make: Maker<'_, dyn Executor>) -> Verdict {
    let protections = make()?.protections();
    for protection in &protections {
        ensure!(!protection.name.is_empty(), "a protection has no name");
    }
    ensure!(make()?.protections() == protections, "two equal engines have different protections");
    Ok(())
}

/// Of programs that every executor can express.
fn values(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    for (program, call, expected) in [
        (ADD, "1", "2"),
        (ADD, "1.5, b=2", "3.5"),
        (ADD, "'a\\xe9', b=\"it's\"", "\"a\\xe9it's\""),
        (ADD, "[1], b=[None, True]", "[1, None, True]"),
        ("def f(x):\n    return {'k': (x,), 'j': []}\n", "-7", "{'k': (-7,), 'j': []}"),
        ("def f(n):\n    return 2 ** n\n", "100", "1267650600228229401496703205376"),
        ("def f(s):\n    return ' '.join(reversed(s.split()))\n", "'a b c'", "'c b a'"),
        ("def f():\n    return None\n", "", "None"),
    ] {
        let found = outcome(&*executor, program, call)?;
        ensure!(found == value(expected), "{program}f({call}) is {expected}, not {found:?}");
    }
    Ok(())
}

fn failures(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    for (program, call, class) in [
        ("def f(x):\n    return 1 // x\n", "0", "ZeroDivisionError"),
        ("def f(x):\n    raise ValueError('no')\n", "1", "ValueError"),
        ("def f(x):\n    return [][x]\n", "0", "IndexError"),
        ("def f(x):\n    return x\n", "1, 2", "TypeError"),
    ] {
        let found = outcome(&*executor, program, call)?;
        ensure!(
            found == Outcome::Exception(class.into()),
            "{program}f({call}) raises {class}, but the outcome is {found:?}"
        );
    }
    let found = outcome(&*executor, "def f(x):\n    return lambda: x\n", "1")?;
    ensure!(
        !matches!(found, Outcome::Value(_)),
        "a function is no plain value, but it is {found:?}"
    );
    Ok(())
}

fn stops(executor: &dyn Executor, program: &str) -> Verdict {
    let start = Instant::now();
    let found = outcome(executor, program, "1")?;
    let took = start.elapsed();
    let stopped = !matches!(found, Outcome::Value(_) | Outcome::NonValue(_));
    ensure!(stopped, "{program}f(1) is to be stopped, but it returned {found:?}");
    ensure!(took <= PATIENCE, "{program}f(1) was stopped after {:.1} s only", took.as_secs_f64());
    let next = outcome(executor, ADD, "1")?;
    ensure!(next == value("2"), "after {program}the next program came to {next:?}");
    Ok(())
}

fn endless(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    let found = outcome(&*executor, LOOP, "1")?;
    ensure!(matches!(found, Outcome::Limit(_)), "an endless loop is a limit, not {found:?}");
    stops(&*executor, LOOP)?;
    stops(&*executor, "def f(x):\n    return f(x + 1)\n")?;
    stops(&*executor, "def f(x):\n    return sum(i for i in iter(int, 1))\n")
}

fn memory(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    stops(&*executor, "def f(x):\n    return len('a' * (1 << 36))\n")?;
    stops(&*executor, "def f(x):\n    a = [0]\n    while True:\n        a = a + a\n")
}

fn huge_results(make: Maker<'_, dyn Executor>) -> Verdict {
    stops(&*make()?, "def f(x):\n    return 'a' * 1000000\n")
}

fn independent_calls(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    let program = "seen = []\n\ndef f(x):\n    seen.append(x)\n    return len(seen)\n";
    let reports = run(&*executor, &[job(program, &["1", "1", "2"]), job(program, &["3"])])?;
    for outcome in reports.iter().flat_map(|report| &report.outcomes) {
        ensure!(*outcome == value("1"), "a call sees what another one left: {outcome:?}");
    }
    let program = "def f(x):\n    return 10 // x\n";
    let reports = run(&*executor, &[job(program, &["5", "0", "2"])])?;
    let expected = [value("2"), Outcome::Exception("ZeroDivisionError".into()), value("5")];
    ensure!(reports[0].outcomes == expected, "one call spoils others: {:?}", reports[0].outcomes);
    Ok(())
}

fn order(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    // Slow and quick programs in turn, so that they do not end in this order.
    let program = |index: usize| match index % 4 {
        0 => format!("def f(x):\n    for i in range(200000): x += 0\n    return x + {index}\n"),
        _ => format!("def f(x):\n    return x + {index}\n"),
    };
    let jobs: Vec<Job> = (0..24).map(|index| job(&program(index), &["0", "100"])).collect();
    let reports = run(&*executor, &jobs)?;
    for (index, report) in reports.iter().enumerate() {
        let expected = [value(&index.to_string()), value(&(index + 100).to_string())];
        ensure!(report.outcomes == expected, "job {index} has the report {:?}", report.outcomes);
        ensure!(!report.executor.is_empty(), "a report names no executor");
    }
    let backwards: Vec<Job> = jobs.into_iter().rev().collect();
    let again: Vec<JobReport> = run(&*make()?, &backwards)?.into_iter().rev().collect();
    ensure!(again == reports, "a report depends on what else is in the call, or on the engine");
    ensure!(run(&*executor, &[])?.is_empty(), "there is a report on nothing");
    let nothing = run(&*executor, &[job(ADD, &[])])?;
    ensure!(nothing[0].outcomes.is_empty(), "there is an outcome of no call");
    Ok(())
}

fn gold(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    let gold = |program: &str| Job { purpose: Purpose::Gold, ..job(program, &["'g'"]) };
    let doubled = "def f(x):\n    return x + x\n";
    let random = "def f(x):\n    return str({'a', 'b', 'c', 'd', 'e', x})\n";
    let reports = run(&*executor, &[gold(doubled), gold(random)])?;
    ensure!(reports[0].outcomes == [value("'gg'")], "a gold value is {:?}", reports[0].outcomes);
    ensure!(
        !matches!(reports[1].outcomes[..], [Outcome::Value(_)]),
        "the text of a set is no gold value: {:?}",
        reports[1].outcomes
    );
    Ok(())
}

fn any_program(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    let programs = hostile();
    let jobs: Vec<Job> = programs.iter().map(|program| job(program, &["1"])).collect();
    for (program, report) in programs.iter().zip(run(&*executor, &jobs)?) {
        ensure!(
            !matches!(report.outcomes[..], [Outcome::Value(_)]) || program.contains("def f"),
            "\"{}\" defines no function, but it returned {:?}",
            shown(program),
            report.outcomes
        );
    }
    for call in ["", "(", "1, ", "__import__('os')", "x", "1\n2", "\0"] {
        let answer = executor.run(&[job("def f(x):\n    return 7\n", &[call])], &Quiet);
        match answer {
            Ok(reports) => ensure!(
                reports.iter().all(|report| report.outcomes != [value("7")]),
                "{call:?} is no argument list, but the function was called"
            ),
            Err(error) => super::no_panic("a call that is no argument list", &error)?,
        }
    }
    Ok(())
}

/// A program neither leaves a file behind nor sees what this process's environment holds.
fn secrets(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    let scratch = super::Scratch::new()?;
    let path = scratch.path().join("escaped");
    let text = path.display().to_string();
    if text.contains(['\'', '\\', '\n']) {
        return Err(Flaw::Skipped(format!("{text} cannot be written in a program")));
    }
    for program in [
        format!(
            "def f(x):\n    with open('{text}', 'w') as file:\n        file.write('x')\n    return 1\n"
        ),
        format!("import os\n\ndef f(x):\n    os.mkdir('{text}')\n    return 1\n"),
        format!("def f(x):\n    __import__('os').system('touch {text}')\n    return 1\n"),
    ] {
        outcome(&*executor, &program, "1")?;
        ensure!(!path.exists(), "this program wrote to a file of the host:\n{program}");
    }
    let program = "import os\n\ndef f(x):\n    return '\\n'.join(os.environ.values())\n";
    if let Outcome::Value(seen) = outcome(&*executor, program, "1")? {
        // Long values only: a short one, or a path, may be there for another reason.
        let ours =
            std::env::vars().filter(|(name, value)| value.len() >= 12 && !name.contains("PATH"));
        for (name, value) in ours {
            ensure!(!seen.contains(&value), "a program can read the environment variable {name}");
        }
    }
    Ok(())
}

fn cancellation(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    let limits = Limits { wall_ms: 120_000, cpu_ms: 120_000, ..LIMITS };
    let jobs = vec![Job { limits, ..job(LOOP, &["1"]) }; 4];
    let context = Arc::new(Cancelled::default());
    let (ended, took) = thread::scope(|scope| {
        let cancel = scope.spawn(|| {
            thread::sleep(Duration::from_millis(300));
            context.cancel();
            Instant::now()
        });
        let ended = executor.run(&jobs, &*context);
        let took = cancel.join().map(|at| at.elapsed()).unwrap_or_default();
        (ended, took)
    });
    ensure!(
        took <= CANCELLATION,
        "it went on for {:.1} s after it was cancelled",
        took.as_secs_f64()
    );
    match ended {
        Err(error) if error.code == ErrorCode::Cancelled => {}
        Err(error) => return Err(error.into()),
        Ok(_) => {
            return Err(Flaw::Failed("a cancelled run of endless programs has reports".into()));
        }
    }
    let next = outcome(&*executor, ADD, "1")?;
    ensure!(next == value("2"), "after a cancelled call the next program came to {next:?}");
    Ok(())
}

fn threads(make: Maker<'_, dyn Executor>) -> Verdict {
    let executor = make()?;
    let jobs: Vec<Job> = (0..4)
        .map(|index| job(&format!("def f(x):\n    return [x] * {index}\n"), &["1", "'a'"]))
        .collect();
    from_threads(|| executor.run(&jobs, &Quiet))
}
