//! Finding a GPU to test on.
#![expect(unsafe_code, reason = "loading libraries, and telling a library by the environment")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use azr_cuda::Cuda;
use azr_transformer::ActivationPrecision;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// What stands for NVIDIA's libraries, in the order in which they have to be loaded.
const LIBRARIES: [&str; 2] = ["libcuda.so.1", "libcublasLt.so.13"];

/// A GPU that keeps activations in `precision`: the emulated one, or the machine's own where `AZR_TEST_GPU` is set.
pub(crate) fn open(precision: ActivationPrecision) -> Cuda {
    static EMULATOR: OnceLock<()> = OnceLock::new();
    if std::env::var_os("AZR_TEST_GPU").is_none() {
        EMULATOR.get_or_init(load_emulator);
    }
    Cuda::open(0, precision).unwrap()
}

/// Loads the emulated driver, so that whoever asks for a driver by name gets that, and names kernels that it takes: it has
/// them compiled in, and any file will do.
fn load_emulator() {
    let folder = build_emulator();
    for library in LIBRARIES {
        // SAFETY: our own library, whose initialisation does nothing but fill tables.
        let library = unsafe { Library::open(Some(folder.join(library)), RTLD_NOW | RTLD_GLOBAL) };
        std::mem::forget(library.unwrap());
    }
    let images = folder.join("images");
    fs::create_dir_all(&images).unwrap();
    for kernels in fs::read_dir(root().join("kernels")).unwrap() {
        let path = kernels.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            let image = images.join(path.file_stem().unwrap()).with_extension("fatbin");
            fs::write(image, "compiled into the emulated driver").unwrap();
        }
    }
    // SAFETY: before the first GPU is opened there is no other thread that reads the environment.
    unsafe { std::env::set_var("AZR_CUDA_KERNELS", images) };
}

/// The folder of the emulated driver.
fn build_emulator() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["xtask", "kernels", "driver"])
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the emulated driver cannot be built: {errors}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
