//! NVIDIA's compiler: the one that the environment names, or else one from the Python package index, which needs
//! neither a GPU nor a driver.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::say;

/// What pip installs. The metapackage pins all parts to one release; the parts alone would mix several.
const REQUIREMENT: &str = "cuda-toolkit[nvcc,nvrtc,cccl]==13.0.3.0";

/// The nvcc in there, whose registers are in the table.
pub(super) const VERSION: &str = "13.0.88";

/// A CUDA toolkit.
#[derive(Debug)]
pub(super) struct Toolkit {
    pub(super) nvcc: PathBuf,
    /// The release and build of nvcc, such as `13.0.88`.
    pub(super) version: String,
}

impl Toolkit {
    /// The toolkit that `NVCC` or `CUDA_HOME` names, or the one in `folder`, which is installed first if there is none.
    pub(super) fn find(folder: &Path) -> Result<Self> {
        let nvcc = match (env::var_os("NVCC"), env::var_os("CUDA_HOME")) {
            (Some(nvcc), _) => PathBuf::from(nvcc),
            (None, Some(home)) => Path::new(&home).join("bin/nvcc"),
            (None, None) => own(folder)?,
        };
        let output = Command::new(&nvcc).arg("--version").output().with_context(|| {
            format!("cannot start `{}`; NVCC or CUDA_HOME name another", nvcc.display())
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version(&text)
            .with_context(|| format!("`{} --version` tells no version", nvcc.display()))?;
        Ok(Self { version: version.to_owned(), nvcc })
    }

    /// Where the toolkit's libraries are: beside the folder of nvcc.
    pub(super) fn libraries(&self) -> Option<PathBuf> {
        let home = self.nvcc.parent()?.parent()?;
        ["lib", "lib64"].map(|name| home.join(name)).into_iter().find(|folder| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .into_iter()
                .any(|entry| entry.file_name().to_string_lossy().starts_with("libnvrtc.so"))
        })
    }
}

/// The version in what `nvcc --version` says.
fn version(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.rsplit_once(", V")).map(|(_, version)| version.trim())
}

/// The nvcc of the toolkit in `folder`, which is installed unless it is there.
fn own(folder: &Path) -> Result<PathBuf> {
    // Written when all was done: what an interrupted installation left is not taken.
    let done = folder.join("installed");
    if !fs::read_to_string(&done).is_ok_and(|text| text == REQUIREMENT) {
        install(folder)?;
        fs::write(&done, REQUIREMENT)?;
    }
    let packages = fs::read_dir(folder.join("lib"))?
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/nvidia/cu13/bin/nvcc")));
    packages.into_iter().find(|nvcc| nvcc.exists()).with_context(|| {
        format!("no nvcc in {}; remove the folder and start again", folder.display())
    })
}

fn install(folder: &Path) -> Result<()> {
    say(&format!(
        "installing the CUDA compiler ({REQUIREMENT}) into {}\n235 MB are downloaded and take 600 MB there; NVCC or \
         CUDA_HOME name one that you have\n",
        folder.display()
    ));
    let _ = fs::remove_dir_all(folder);
    run(Command::new("python3").args(["-m", "venv"]).arg(folder)).context(
        "the CUDA compiler comes with pip: install Python 3 with its `venv`, or set CUDA_HOME to a CUDA toolkit",
    )?;
    let pip = ["-m", "pip", "--disable-pip-version-check", "install", "--no-cache-dir"];
    run(Command::new(folder.join("bin/python3")).args(pip).arg(REQUIREMENT)).context(
        "the CUDA compiler cannot be downloaded: connect to a network with a Python package index, or set CUDA_HOME \
         to a CUDA toolkit",
    )
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_owned();
    let status =
        command.status().with_context(|| format!("cannot start `{}`", name.to_string_lossy()))?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        bail!("`{} {}` failed", name.to_string_lossy(), arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_build() {
        let text = "nvcc: NVIDIA (R) Cuda compiler driver\nBuilt on Wed_Aug_20\n\
                    Cuda compilation tools, release 13.0, V13.0.88\nBuild cuda_13.0.r13.0/compiler.1_0\n";
        assert_eq!(version(text), Some("13.0.88"));
        assert_eq!(version("gcc (Debian) 12.2"), None);
    }
}
