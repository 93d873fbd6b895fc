//! `cargo xtask kernels …`: CUDA kernels on a machine without a GPU.
//!
//! Every file of `kernels/tests` includes a kernel as it is and compiles it with the emulator of `kernels/emulator`, a CPU
//! that behaves like CUDA. The tests run with the threads of a block in three orders, under AddressSanitizer, which finds
//! what is read or written out of bounds, and under ThreadSanitizer, which finds what no barrier orders; tests of kernels
//! with asynchronous copies run twice, with copies that arrive late and at once. `mutate` shows that they would: it takes
//! one barrier or wait out after the other and expects a failure.

mod build;
mod driver;
mod recipe;
mod registers;
mod toolkit;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::{cargo_with, say, target_directory};
use toolkit::Toolkit;

const HELP: &str = "\
usage: cargo xtask kernels <command>

  test [FILTER]   every kernel on the emulator against float64: three orders of threads and two sanitizers
  mutate [FILTER] take each barrier and wait out of its kernel and see the tests fail
  driver [--sanitizer address]
                  build libcuda and libcublasLt for machines without a GPU, and print their folder
  build           machine code of every kernel for sm_80, sm_90a, sm_100a and sm_120, which `azr-cuda` embeds, and the
                  registers and memory that each takes
  check           the same; fails on what is spilled and on more registers than kernels/registers.txt allows, and
                  compiles every kernel with NVRTC as well (--update rewrites the table)

build and check need a CUDA toolkit: that of NVCC or CUDA_HOME, or else they install the compiler with pip, once, into
the target directory (235 MB to download).
";

/// The file of the tests that has `main`.
const MAIN: &str = "main";

/// How code for the emulator is compiled. CUDA compares sizes with ints and reads numbers as vectors everywhere; its
/// dynamic shared memory is an `extern` array without a constructor.
const FLAGS: [&str; 9] = [
    "-std=c++20",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-sign-compare",
    "-Wno-unknown-pragmas",
    "-fno-strict-aliasing",
    "-fno-extern-tls-init",
];

/// Runs a command on kernels.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (command, rest) =
        arguments.split_first().map_or(("", &[][..]), |(name, rest)| (name, rest));
    match command {
        "test" => test(rest.first().map_or("", String::as_str)),
        "mutate" => mutate(rest.first().map_or("", String::as_str)),
        "driver" => driver::run(rest),
        "build" => build::build(&Toolkit::find(&build::toolkit_directory())?).map(drop),
        "check" => match rest {
            [] => check(false, Scope::Package),
            [option] if option == "--update" => check(true, Scope::Package),
            _ => bail!("`cargo xtask kernels check` has no option but --update"),
        },
        "" | "help" | "--help" | "-h" => {
            say(HELP);
            Ok(())
        }
        unknown => {
            bail!(
                "`cargo xtask kernels` has no command `{unknown}`; it has test, mutate, driver, build and check"
            )
        }
    }
}

/// What cargo compiles to test `azr-cuda` against NVRTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// As little as possible.
    Package,
    /// What is compiled already where the tests of the workspace are.
    Workspace,
}

/// Compiles all kernels for GPUs and compares what they take with the committed table, which `is_update` rewrites; then
/// compiles them with NVRTC as `azr-cuda` does where nothing is embedded.
pub(crate) fn check(is_update: bool, scope: Scope) -> Result<()> {
    let toolkit = Toolkit::find(&build::toolkit_directory())?;
    let wanted = toolkit::VERSION;
    if toolkit.version != wanted {
        bail!(
            "the table of registers is that of nvcc {wanted}, and this is {}: unset NVCC and CUDA_HOME, and \
             {wanted} is installed",
            toolkit.version
        );
    }
    let usages = build::build(&toolkit)?;
    let found = registers::tabulate(&usages)?;
    let path = source_directory().join("registers.txt");
    if is_update {
        fs::write(&path, registers::display(&found))?;
    }
    let text = fs::read_to_string(&path).context(
        "cannot read kernels/registers.txt; `cargo xtask kernels check --update` writes it",
    )?;
    let committed = registers::parse(&text).context("kernels/registers.txt is no table")?;
    let problems =
        [registers::spills(&usages), registers::differences(&found, &committed)].concat();
    if !problems.is_empty() {
        bail!("kernels take too much:\n{}", problems.join("\n"));
    }
    check_nvrtc(&toolkit, scope)
}

/// Runs the tests of `azr-cuda` that compile every kernel with the toolkit's NVRTC.
fn check_nvrtc(toolkit: &Toolkit, scope: Scope) -> Result<()> {
    let libraries = toolkit.libraries().context(
        "the CUDA toolkit has no NVRTC library: install it, or unset NVCC and CUDA_HOME, and one is installed",
    )?;
    let mut path = libraries.into_os_string();
    if let Some(others) = env::var_os("LD_LIBRARY_PATH") {
        path.push(":");
        path.push(others);
    }
    let selection = match scope {
        Scope::Package => ["--package", "azr-cuda"].as_slice(),
        Scope::Workspace => &["--workspace"],
    };
    let tests = ["--lib", "nvrtc", "--", "--nocapture"];
    cargo_with(
        &[&["test", "--release"], selection, &tests].concat(),
        &[("LD_LIBRARY_PATH", path.as_os_str()), ("AZR_REQUIRE_NVRTC", OsStr::new("1"))],
    )
}

/// What watches over a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sanitizer {
    None,
    Address,
    Thread,
}

impl Sanitizer {
    const ALL: [Self; 3] = [Self::None, Self::Address, Self::Thread];

    fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Address => "address",
            Self::Thread => "thread",
        }
    }

    fn flag(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Address => Some("-fsanitize=address"),
            Self::Thread => Some("-fsanitize=thread"),
        }
    }
}

/// Tests all kernels, or what `filter` names.
pub(crate) fn test(filter: &str) -> Result<()> {
    let (sources, build) = (source_directory(), target_directory().join("kernels"));
    let tests = test_names(&sources)?;
    for sanitizer in Sanitizer::ALL {
        let program = compile(&sources, &build, sanitizer, &tests)?;
        for (order, shapes) in runs(sanitizer) {
            say(&format!("== kernels, {} build, order {order}\n", sanitizer.name()));
            let status = command(&program, *order, shapes, filter).status();
            if !status.context("cannot start the tests of the kernels")?.success() {
                bail!("a kernel failed ({} build, order {order})", sanitizer.name());
            }
        }
    }
    Ok(())
}

/// The orders of threads that a build runs, and the arguments for its shapes. A sanitizer looks at each access, whatever
/// the order was; ThreadSanitizer takes a thread of its own for each of CUDA's.
fn runs(sanitizer: Sanitizer) -> &'static [(u8, &'static [&'static str])] {
    match sanitizer {
        Sanitizer::None => &[(0, &[]), (1, &[]), (2, &[])],
        Sanitizer::Address => &[(0, &[])],
        Sanitizer::Thread => &[(0, &["--tiny"])],
    }
}

fn command(program: &Path, order: u8, shapes: &[&str], filter: &str) -> Command {
    let mut command = Command::new(program);
    command.args(shapes).arg(filter).env("EMULATOR_ORDER", order.to_string());
    // A race found is a failure, not a remark.
    command.env("TSAN_OPTIONS", "halt_on_error=1:report_signal_unsafe=0");
    command
}

/// Takes out each barrier in turn, in the files that `filter` names; every such mutant has to fail.
fn mutate(filter: &str) -> Result<()> {
    let (sources, build) = (source_directory(), target_directory().join("kernels"));
    let mut survivors = Vec::new();
    for file in files(&sources, &["cu", "cuh"])?.iter().filter(|file| file.contains(filter)) {
        let text = fs::read_to_string(sources.join(file))?;
        for statement in synchronizations(&text) {
            let line = text[..statement.start].matches('\n').count() + 1;
            let name = &text[statement.clone()];
            let mut mutant = text.clone();
            // What is left may be all that a loop or a condition has.
            mutant.replace_range(statement.clone(), "(void)0;");
            let folder = build.join("mutant");
            // What an earlier one left would be compiled too.
            let _ = fs::remove_dir_all(&folder);
            copy_directory(&sources, &folder.join("source"))?;
            fs::write(folder.join("source").join(file), mutant)?;
            let found = finder(&folder, file)?;
            say(&format!("{file}:{line}: {name} {}\n", found.as_deref().unwrap_or("NOT FOUND")));
            if found.is_none() {
                survivors.push(format!("{file}:{line}"));
            }
        }
    }
    if !survivors.is_empty() {
        bail!("no test fails without the statement of {}", survivors.join(", "));
    }
    Ok(())
}

/// What orders the threads of a kernel, or its asynchronous copies.
const SYNCHRONIZATIONS: [&str; 4] =
    ["__syncthreads", "__syncwarp", "copy_async_commit", "copy_async_wait"];

/// Where `text` has calls of synchronizations as statements, in their order.
fn synchronizations(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for name in SYNCHRONIZATIONS {
        for (start, _) in text.match_indices(name) {
            let Some(length) = text[start..].find(';') else { continue };
            let rest = &text[start + name.len()..start + length];
            // A definition has a body before its first semicolon, and a mention in a comment no parentheses.
            if rest.starts_with(['(', '<']) && rest.ends_with(')') && !rest.contains(['{', '\n']) {
                found.push(start..start + length + 1);
            }
        }
    }
    found.sort_by_key(|statement| statement.start);
    found
}

/// Which run fails on the kernels in `folder`, of which `file` is a mutant, if one does.
fn finder(folder: &Path, file: &str) -> Result<Option<String>> {
    let sources = folder.join("source");
    let all = test_names(&sources)?;
    for test in all.iter().filter(|&test| test != MAIN) {
        if !includes(&sources, &format!("{test}.cu"), file)? {
            continue;
        }
        for sanitizer in [Sanitizer::None, Sanitizer::Thread] {
            let parts = [MAIN.to_owned(), test.to_owned()];
            let program = compile(&sources, &folder.join("build"), sanitizer, &parts)?;
            for (order, shapes) in runs(sanitizer) {
                let mut command = command(&program, *order, shapes, "");
                let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
                if !status.success() {
                    let build = sanitizer.name();
                    return Ok(Some(format!("found by {test}, {build} build, order {order}")));
                }
            }
        }
    }
    Ok(None)
}

/// Whether `file` is `header`, or includes it or what includes it.
fn includes(sources: &Path, file: &str, header: &str) -> Result<bool> {
    if file == header {
        return Ok(true);
    }
    // Headers of the toolkit are no files of ours, and not every test is named after a kernel.
    let Ok(text) = fs::read_to_string(sources.join(file)) else { return Ok(false) };
    for line in text.lines() {
        let name = line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"'));
        if let Some(name) = name
            && includes(sources, name, header)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Compiles the named tests of `sources`; returns the program.
fn compile(
    sources: &Path,
    build: &Path,
    sanitizer: Sanitizer,
    tests: &[String],
) -> Result<PathBuf> {
    let folder = build.join(sanitizer.name());
    fs::create_dir_all(&folder)?;
    let newest = newest_change(sources)?;
    all(tests, |test| object(sources, &folder, sanitizer, test, newest))
        .context("kernels do not compile for the emulator")?;
    let program = folder.join("tests");
    let objects = tests.iter().map(|test| folder.join(test).with_extension("o"));
    run_compiler(
        Command::new(compiler()).args(sanitizer.flag()).args(objects).arg("-o").arg(&program),
    )?;
    Ok(program)
}

/// Does `work` on all items, as many at once as there are processors, and tells all that went wrong.
fn all<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let failed = Mutex::new(Vec::new());
    let next = Mutex::new(items.iter());
    let n_threads = thread::available_parallelism().map_or(1, Into::into);
    thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                while let Some(item) = next.lock().ok().and_then(|mut next| next.next()) {
                    if let (Err(error), Ok(mut failed)) = (work(item), failed.lock()) {
                        failed.push(format!("{error:#}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}

/// Compiles one test, unless nothing has changed since.
fn object(
    sources: &Path,
    folder: &Path,
    sanitizer: Sanitizer,
    test: &str,
    newest: std::time::SystemTime,
) -> Result<()> {
    let object = folder.join(test).with_extension("o");
    if fs::metadata(&object).and_then(|found| found.modified()).is_ok_and(|made| made > newest) {
        return Ok(());
    }
    let source = sources.join("tests").join(test).with_extension("cpp");
    run_compiler(
        Command::new(compiler())
            .args(FLAGS)
            .arg("-O1")
            .args(sanitizer.flag())
            .arg("-I")
            .arg(sources.join("emulator"))
            .arg("-c")
            .arg(source)
            .arg("-o")
            .arg(object),
    )
}

/// The C++ compiler: `CXX`, or g++.
fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "g++".to_owned())
}

fn run_compiler(command: &mut Command) -> Result<()> {
    let compiler = compiler();
    let output = command.output().with_context(|| {
        format!("cannot start `{compiler}`; install a C++20 compiler or name one in CXX")
    })?;
    if !output.status.success() {
        bail!("`{compiler}` failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn source_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../kernels")
}

/// The names of the tests in `sources`, in alphabetical order.
fn test_names(sources: &Path) -> Result<Vec<String>> {
    let files = files(&sources.join("tests"), &["cpp"])?;
    Ok(files.iter().filter_map(|file| Some(file.strip_suffix(".cpp")?.to_owned())).collect())
}

/// The files of a folder with one of these extensions, in alphabetical order.
fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension)) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// When a file of the folder or below it was changed last.
fn newest_change(folder: &Path) -> Result<std::time::SystemTime> {
    let mut newest = std::time::UNIX_EPOCH;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let changed = if entry.file_type()?.is_dir() {
            newest_change(&entry.path())?
        } else {
            entry.metadata()?.modified()?
        };
        newest = newest.max(changed);
    }
    Ok(newest)
}

fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::synchronizations;

    #[test]
    fn calls_are_statements_and_definitions_and_comments_are_not() {
        let text = "void copy_async_commit() { asm(\"\"); }\n// __syncthreads and ; more\n\
                    if (a) copy_async_wait<N - 1>();\n__syncthreads();";
        let found: Vec<&str> =
            synchronizations(text).into_iter().map(|statement| &text[statement]).collect();
        assert_eq!(found, ["copy_async_wait<N - 1>();", "__syncthreads();"]);
    }
}
