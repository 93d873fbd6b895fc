//! Our kernels on a GPU: images loaded when one of their kernels is first asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use azr_transformer::{DeviceError, DeviceResult};

use crate::driver::{Driver, Function, Module};
use crate::images;
use crate::nvrtc;

/// Names a folder whose `<file>.fatbin` (or `.cubin`) are used in place of the embedded images: for whoever works on a
/// kernel, and for the emulator.
const KERNELS_VARIABLE: &str = "AZR_CUDA_KERNELS";

/// A kernel as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    /// Its file in `kernels/`, without `.cu`.
    pub(crate) file: &'static str,
    /// Its name.
    pub(crate) kernel: &'a str,
}

/// Loaded modules and kernels.
#[derive(Debug, Default)]
pub(crate) struct Kernels {
    modules: BTreeMap<&'static str, Module>,
    /// With the dynamic shared memory that it is ready for.
    functions: BTreeMap<String, (u32, Function)>,
}

impl Kernels {
    /// The kernel of that name, ready for launches with `shared_bytes` of dynamic shared memory.
    pub(crate) fn get(
        &mut self,
        driver: &Driver,
        name: Name<'_>,
        shared_bytes: u32,
    ) -> DeviceResult<Function> {
        if let Some(&(bytes, function)) = self.functions.get(name.kernel)
            && bytes >= shared_bytes
        {
            return Ok(function);
        }
        if !self.modules.contains_key(name.file) {
            let module = driver.load_module(&machine_code(name.file, driver.capability())?)?;
            self.modules.insert(name.file, module);
        }
        let module = &self.modules[name.file];
        let function = driver.function(module, name.kernel, shared_bytes)?;
        self.functions.insert(name.kernel.to_owned(), (shared_bytes, function));
        Ok(function)
    }
}

/// Machine code of a file of kernels for a GPU: from the folder that the environment names, embedded, or compiled now.
fn machine_code(file: &str, capability: (u32, u32)) -> DeviceResult<Cow<'static, [u8]>> {
    if let Some(folder) = std::env::var_os(KERNELS_VARIABLE).map(PathBuf::from) {
        let path = |extension| folder.join(file).with_extension(extension);
        let read = std::fs::read(path("fatbin")).or_else(|_| std::fs::read(path("cubin")));
        return read.map(Cow::Owned).map_err(|error| {
            let path = path("fatbin");
            let message = format!("{KERNELS_VARIABLE}: cannot read `{}`: {error}", path.display());
            DeviceError::Failed(message)
        });
    }
    let image = images::image(file)
        .ok_or_else(|| DeviceError::Failed(format!("there are no kernels called `{file}`")))?;
    match image.fatbin_for(capability) {
        Some(fatbin) => Ok(Cow::Borrowed(fatbin)),
        None => nvrtc::compile(image, capability).map(Cow::Owned),
    }
}
