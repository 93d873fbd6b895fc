//! `cargo xtask kernels build`: machine code of all kernels ahead of time, one image for each file, with what each
//! kernel takes of a multiprocessor. `azr-cuda` embeds the images.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};

use super::recipe::{ARCHITECTURES, FLAGS, IMAGE, REPORT, Sources};
use super::registers::{Usage, from_ptxas, from_report};
use super::source_directory;
use super::toolkit::Toolkit;
use crate::{say, target_directory};

/// How many files are compiled at once. One takes up to half a gigabyte.
const N_AT_ONCE: usize = 2;

/// What the kernels of each file take, by its name without the extension.
pub(super) type Usages = BTreeMap<String, Vec<Usage>>;

/// Where a toolkit is installed.
pub(super) fn toolkit_directory() -> PathBuf {
    target_directory().join("kernels/toolkit")
}

/// Compiles what has changed, and shows what the kernels take.
pub(super) fn build(toolkit: &Toolkit) -> Result<Usages> {
    let folder = target_directory().join("kernels/images");
    fs::create_dir_all(&folder)?;
    let sources = Sources::read(&source_directory()).context("cannot read the kernels")?;
    say(&format!("== nvcc {} ({})\n", toolkit.version, toolkit.nvcc.display()));
    let results = Mutex::new((Usages::new(), Vec::new()));
    let next = Mutex::new(sources.kernels.iter());
    thread::scope(|scope| {
        for _ in 0..N_AT_ONCE {
            scope.spawn(|| {
                while let Some((name, text)) = next.lock().ok().and_then(|mut next| next.next()) {
                    let first_line = sources.fingerprint(text);
                    let result = image(toolkit, &folder, name, &first_line);
                    let Ok(mut results) = results.lock() else { return };
                    match result {
                        Ok(usages) => drop(results.0.insert(name.clone(), usages)),
                        Err(error) => results.1.push(format!("{error:#}")),
                    }
                }
            });
        }
    });
    let (usages, failed) = results.into_inner().unwrap_or_default();
    if !failed.is_empty() {
        bail!("kernels do not compile for GPUs:\n{}", failed.join("\n"));
    }
    say(&table(&usages));
    say(&format!("images are in {}\n", folder.display()));
    Ok(usages)
}

/// Compiles the file `name`, unless the report on its image says that this was done with these sources and this
/// compiler.
fn image(toolkit: &Toolkit, folder: &Path, name: &str, first_line: &str) -> Result<Vec<Usage>> {
    let image = folder.join(name).with_extension(IMAGE);
    let report = folder.join(name).with_extension(REPORT);
    let head = format!("{first_line}\nnvcc {}\n", toolkit.version);
    if let Ok(text) = fs::read_to_string(&report)
        && let Some(usages) = text.strip_prefix(&head)
        && image.exists()
    {
        return from_report(usages);
    }
    // Written anew when the image is there.
    let _ = fs::remove_file(&report);
    say(&format!("compiling {name}.cu\n"));
    let architectures =
        ARCHITECTURES.map(|name| format!("-gencode=arch=compute_{name},code=sm_{name}"));
    let output = Command::new(&toolkit.nvcc)
        .args(FLAGS)
        .args(architectures)
        .args(["-Xptxas", "-v", "-o"])
        .arg(&image)
        .arg(source_directory().join(name).with_extension("cu"))
        .output()
        .context("cannot start nvcc")?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{name}.cu:\n{}{log}", String::from_utf8_lossy(&output.stdout));
    }
    let usages = from_ptxas(&log).with_context(|| format!("what ptxas says of {name}.cu"))?;
    let lines: String = usages.iter().map(|usage| format!("{usage}\n")).collect();
    fs::write(report, head + &lines)?;
    Ok(usages)
}

/// What all kernels take, a line for each.
fn table(usages: &Usages) -> String {
    let [a, b, c, d] = ARCHITECTURES;
    let mut text =
        format!("{:<40} registers of sm_{a} {b} {c} {d}  spilled  stack  shared bytes\n", "");
    for (file, usages) in usages {
        text += &format!("{file}.cu\n");
        let mut kernels: BTreeMap<&str, Vec<&Usage>> = BTreeMap::new();
        for usage in usages {
            kernels.entry(&usage.kernel).or_default().push(usage);
        }
        for (kernel, usages) in kernels {
            let column = |of: fn(&Usage) -> u32| {
                let numbers: Vec<_> = usages.iter().map(|usage| of(usage).to_string()).collect();
                let are_equal = numbers.windows(2).all(|pair| pair[0] == pair[1]);
                if are_equal { numbers[0].clone() } else { numbers.join("/") }
            };
            text += &format!(
                "  {kernel:<38} {:<28}  {:<7}  {:<5}  {}\n",
                column(|usage| usage.registers),
                column(|usage| usage.spilled),
                column(|usage| usage.stack),
                column(|usage| usage.shared)
            );
        }
    }
    text
}
