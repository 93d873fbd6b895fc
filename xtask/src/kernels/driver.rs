//! `cargo xtask kernels driver`: a CUDA driver and a cuBLASLt for machines without a GPU, as shared libraries.
//!
//! Every kernel file becomes a translation unit of its own, since their constants share names. Which kernels it has is
//! read from its preprocessed text: macros define most of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use super::{
    FLAGS, Sanitizer, all, compiler, files, newest_change, run_compiler, source_directory,
};
use crate::target_directory;

/// What stands for `__global__` while kernels are looked for.
const MARK: &str = "EMULATOR_KERNEL";
const DRIVER: &str = "libcuda.so.1";
const PRODUCTS: &str = "libcublasLt.so.13";

/// Builds the libraries, unless nothing has changed since, and prints the folder that has them.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (sanitizer, folder) = match arguments[..] {
        [] => (Sanitizer::None, "driver"),
        ["--sanitizer", "address"] => (Sanitizer::Address, "driver-address"),
        _ => bail!("`cargo xtask kernels driver` takes nothing or `--sanitizer address`"),
    };
    let folder = target_directory().join("kernels").join(folder);
    build(&source_directory(), &folder, sanitizer)?;
    let folder = folder.canonicalize()?;
    print(&folder.to_string_lossy());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the folder is for the program that asked for it")]
fn print(line: &str) {
    println!("{line}");
}

fn build(sources: &Path, folder: &Path, sanitizer: Sanitizer) -> Result<()> {
    fs::create_dir_all(folder)?;
    // Tests that run at once each ask for the libraries.
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the folder of the driver")?;
    let compilation = Compilation::new(sources, folder, sanitizer)?;
    let kernels = files(sources, &["cu"])?.into_iter().map(Unit::Kernels);
    let units: Vec<_> = kernels.chain([Unit::Driver, Unit::Products]).collect();
    all(&units, |unit| compilation.compile(unit))
        .context("kernels do not compile for the emulated driver")?;
    let of_driver = units.iter().filter(|unit| !matches!(unit, Unit::Products));
    let of_driver: Vec<_> = of_driver.map(|unit| compilation.object(unit)).collect();
    compilation.link(DRIVER, &of_driver)?;
    compilation.link(PRODUCTS, &[compilation.object(&Unit::Products), folder.join(DRIVER)])
}

/// A translation unit.
#[derive(Debug)]
enum Unit {
    /// A file of kernels.
    Kernels(String),
    Driver,
    Products,
}

struct Compilation<'a> {
    sources: &'a Path,
    folder: &'a Path,
    sanitizer: Sanitizer,
    /// When something changed last that every unit includes.
    common_change: SystemTime,
}

impl<'a> Compilation<'a> {
    fn new(sources: &'a Path, folder: &'a Path, sanitizer: Sanitizer) -> Result<Self> {
        let mut common_change = newest_change(&sources.join("emulator"))?;
        for header in files(sources, &["cuh"])? {
            common_change = common_change.max(change(&sources.join(header))?);
        }
        Ok(Self { sources, folder, sanitizer, common_change })
    }

    fn object(&self, unit: &Unit) -> PathBuf {
        self.folder.join(match unit {
            Unit::Kernels(file) => format!("{file}.o"),
            Unit::Driver => "driver.o".to_owned(),
            Unit::Products => "products.o".to_owned(),
        })
    }

    /// Compiles a unit, unless its object is newer than all that it is made of.
    fn compile(&self, unit: &Unit) -> Result<()> {
        let object = self.object(unit);
        let emulated = self.sources.join("emulator/driver");
        let (source, own_change) = match unit {
            Unit::Kernels(file) => {
                (self.folder.join(format!("{file}.cpp")), change(&self.sources.join(file))?)
            }
            Unit::Driver => (emulated.join("cuda.cpp"), self.common_change),
            Unit::Products => (emulated.join("cublaslt.cpp"), self.common_change),
        };
        if is_newer(&object, self.common_change.max(own_change)) {
            return Ok(());
        }
        if let Unit::Kernels(file) = unit {
            fs::write(&source, registration(file, &self.kernels(file)?))?;
        }
        let mut command = self.compiler();
        command.args(["-O2", "-fPIC", "-fno-gnu-unique"]).args(self.sanitizer.flag());
        run_compiler(command.arg("-c").arg(source).arg("-o").arg(object))
    }

    /// The names of the kernels in a file.
    fn kernels(&self, file: &str) -> Result<Vec<String>> {
        let preprocessed = self.folder.join(format!("{file}.i"));
        let mark = format!("-D__global__={MARK}");
        let mut command = self.compiler();
        command.args(["-E", "-P", "-x", "c++", &mark]).arg(self.sources.join(file));
        run_compiler(command.arg("-o").arg(&preprocessed))?;
        let kernels = kernel_names(&fs::read_to_string(preprocessed)?);
        if kernels.is_empty() {
            bail!("`{file}` has no kernel");
        }
        Ok(kernels)
    }

    fn compiler(&self) -> Command {
        let mut command = Command::new(compiler());
        command
            .args(FLAGS)
            .arg("-I")
            .arg(self.sources)
            .arg("-I")
            .arg(self.sources.join("emulator"));
        command
    }

    /// Links a library, unless it is newer than its objects.
    fn link(&self, name: &str, objects: &[PathBuf]) -> Result<()> {
        let library = self.folder.join(name);
        let mut newest = self.common_change;
        for object in objects {
            newest = newest.max(change(object)?);
        }
        if is_newer(&library, newest) {
            return Ok(());
        }
        // Another process may have the old one open, which must stay as it is.
        let new = self.folder.join(format!("{name}.new"));
        let exports = self.sources.join("emulator/driver/exports.map");
        let mut command = Command::new(compiler());
        command
            .args(self.sanitizer.flag())
            // Its callers may come with another C++ library, or with none.
            .args(["-shared", "-static-libstdc++", "-static-libgcc", "-pthread"])
            .arg(format!("-Wl,--version-script={}", exports.display()))
            .arg(format!("-Wl,-soname,{name},-rpath,$ORIGIN"))
            .args(objects);
        run_compiler(command.arg("-o").arg(&new))?;
        fs::rename(new, library)?;
        Ok(())
    }
}

/// A translation unit that registers the kernels of `file` with the driver.
fn registration(file: &str, kernels: &[String]) -> String {
    let mut text = format!("#include \"{file}\"\n#include \"driver/registry.h\"\n\n");
    for kernel in kernels {
        text += &format!("REGISTER_KERNEL({kernel})\n");
    }
    text
}

/// The kernels with C linkage in preprocessed text: `extern "C" MARK void name(…)`.
fn kernel_names(preprocessed: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut parts = preprocessed.split(MARK);
    let mut before = parts.next().unwrap_or_default();
    for part in parts {
        let name = part.split('(').next().and_then(|start| start.split_whitespace().last());
        if let (true, Some(name)) = (before.trim_end().ends_with("extern \"C\""), name) {
            names.push(name.to_owned());
        }
        before = part;
    }
    names
}

fn change(file: &Path) -> Result<SystemTime> {
    let changed = fs::metadata(file).and_then(|found| found.modified());
    changed.with_context(|| format!("cannot read {}", file.display()))
}

fn is_newer(file: &Path, than: SystemTime) -> bool {
    fs::metadata(file).and_then(|found| found.modified()).is_ok_and(|made| made > than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_after_macros() {
        let text = "int f(int); extern \"C\" EMULATOR_KERNEL void\n  one(const float* x, int n) { g(x); }\n\
                    extern \"C\" EMULATOR_KERNEL void two() {} EMULATOR_KERNEL void without_c_linkage() {}";
        assert_eq!(kernel_names(text), ["one", "two"]);
    }
}
