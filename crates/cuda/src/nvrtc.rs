//! Kernels compiled at run time, for devices that no embedded image serves. NVRTC is a library of its own, looked for
//! when it is needed; it takes no file from a CUDA toolkit, for the kernels include none.
#![expect(unsafe_code, reason = "NVRTC is a C library")]

use std::ffi::{CString, c_char, c_int};
use std::ptr;

use azr_transformer::{DeviceError, DeviceResult};
use cudarc::nvrtc::result::{self, NvrtcError};
use cudarc::nvrtc::sys;

use crate::images::{self, HEADERS, Image};

/// The machine code of a file of kernels for devices of just this compute capability (a cubin).
pub(crate) fn compile(image: &Image, capability: (u32, u32)) -> DeviceResult<Vec<u8>> {
    // SAFETY: loading NVRTC runs its initialisers, which ask nothing of the process.
    if !unsafe { sys::is_culib_present() } {
        return Err(missing_library(capability));
    }
    let program = Program::new(image)?;
    program.compile(capability).map_err(|error| {
        let (architecture, name) = (architecture(capability), image.name);
        let (version, log) = (version(), program.log());
        failed(&format!(
            "{version} cannot compile {name}.cu for {architecture}: {error}\n{}",
            log.trim()
        ))
    })?;
    program.machine_code().map_err(|error| {
        failed(&format!("NVRTC has no machine code of {}.cu: {error}", image.name))
    })
}

fn failed(text: &str) -> DeviceError {
    DeviceError::Failed(text.to_owned())
}

/// What NVRTC and nvcc call a compute capability. From 9.0 on there is a name for all that devices of just one have.
fn architecture((major, minor): (u32, u32)) -> String {
    format!("sm_{major}{minor}{}", if major >= 9 { "a" } else { "" })
}

fn missing_library(capability: (u32, u32)) -> DeviceError {
    let architecture = architecture(capability);
    let mut text = format!(
        "this build has no kernels for {architecture}, and the NVRTC library that compiles them is not found: install \
         libnvrtc of CUDA 13 (pip package `nvidia-cuda-nvrtc`) and put its folder into LD_LIBRARY_PATH"
    );
    if images::is_served(capability) {
        text += ", or run `cargo xtask kernels build` before you build azr";
    }
    DeviceError::Failed(text)
}

fn version() -> String {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is loaded, and writes two numbers.
    let _ = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    format!("NVRTC {major}.{minor}")
}

/// A program of NVRTC.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program was created, and nobody has it after this. An error leaves nothing to be done.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

impl Program {
    fn new(image: &Image) -> DeviceResult<Self> {
        let text = |text: &str| {
            CString::new(text).map_err(|_| failed(&format!("{}.cu has a zero byte", image.name)))
        };
        let (source, name) = (text(image.source)?, text(&format!("{}.cu", image.name))?);
        let names = HEADERS.iter().map(|(name, _)| text(name)).collect::<DeviceResult<Vec<_>>>()?;
        let texts =
            HEADERS.iter().map(|(_, found)| text(found)).collect::<DeviceResult<Vec<_>>>()?;
        let pointers = |of: &[CString]| of.iter().map(|text| text.as_ptr()).collect::<Vec<_>>();
        let mut program = ptr::null_mut();
        // SAFETY: the library is loaded; all texts end in a zero, and NVRTC copies them; names and texts are as many as
        // is said.
        let created = unsafe {
            sys::nvrtcCreateProgram(
                &raw mut program,
                source.as_ptr(),
                name.as_ptr(),
                HEADERS.len() as c_int,
                pointers(&texts).as_ptr(),
                pointers(&names).as_ptr(),
            )
        };
        created.result().map_err(|error| failed(&format!("NVRTC fails: {error}")))?;
        Ok(Self(program))
    }

    fn compile(&self, capability: (u32, u32)) -> Result<(), NvrtcError> {
        let options =
            ["--std=c++17".to_owned(), format!("--gpu-architecture={}", architecture(capability))];
        // SAFETY: the program was created and is not destroyed.
        unsafe { result::compile_program(self.0, &options) }
    }

    /// What the compiler said.
    fn log(&self) -> String {
        // SAFETY: the program was created and is not destroyed.
        let log = unsafe { result::get_program_log(self.0) }.unwrap_or_default();
        let bytes: Vec<u8> = log.iter().map(|&byte| byte as u8).filter(|&byte| byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn machine_code(&self) -> Result<Vec<u8>, NvrtcError> {
        let mut size = 0;
        // SAFETY: the program was created and is not destroyed.
        unsafe { sys::nvrtcGetCUBINSize(self.0, &raw mut size) }.result()?;
        let mut code = vec![0_u8; size];
        // SAFETY: there is room for the bytes that were announced.
        unsafe { sys::nvrtcGetCUBIN(self.0, code.as_mut_ptr().cast::<c_char>()) }.result()?;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::IMAGES;

    /// Whether there is an NVRTC to test with; `cargo xtask kernels check` brings one and insists on it.
    fn has_nvrtc() -> bool {
        // SAFETY: as in `compile`.
        let found = unsafe { sys::is_culib_present() };
        if !found {
            let is_required = std::env::var_os("AZR_REQUIRE_NVRTC").is_some();
            assert!(!is_required, "AZR_REQUIRE_NVRTC is set, and there is no NVRTC");
            eprintln!("skipped: no NVRTC library is found; `cargo xtask kernels check` brings one");
        }
        found
    }

    /// Whether `code` is an ELF file that has this name in it.
    fn has_kernel(code: &[u8], name: &str) -> bool {
        code.starts_with(b"\x7fELF") && code.windows(name.len()).any(|part| part == name.as_bytes())
    }

    #[test]
    fn every_kernel_compiles() {
        if !has_nvrtc() {
            return;
        }
        for image in IMAGES {
            let code = compile(image, (9, 0)).unwrap();
            assert!(has_kernel(&code, ".text."), "{}", image.name);
        }
    }

    #[test]
    fn every_architecture_compiles() {
        if !has_nvrtc() {
            return;
        }
        let norm = images::image("rms_norm").unwrap();
        for capability in [(8, 0), (8, 6), (8, 9), (10, 0), (10, 3), (12, 0), (12, 1)] {
            let code = compile(norm, capability).unwrap();
            assert!(has_kernel(&code, ".text.rms_norm_bf16_wide"), "{capability:?}");
        }
    }

    #[test]
    fn what_does_not_compile_says_where() {
        if !has_nvrtc() {
            return;
        }
        let image = Image { name: "wrong", fatbin: None, source: "#include \"common.cuh\"\nint x" };
        let error = compile(&image, (8, 0)).unwrap_err().to_string();
        assert!(error.contains("cannot compile wrong.cu for sm_80"), "{error}");
        assert!(error.contains("wrong.cu(2): error"), "{error}");
        let error = compile(&image, (6, 7)).unwrap_err().to_string();
        assert!(error.contains("for sm_67: ") && error.contains("gpu-architecture"), "{error}");
    }

    #[test]
    fn without_the_library_the_error_names_the_ways_out() {
        let error = missing_library((9, 0)).to_string();
        assert!(error.contains("sm_90a") && error.contains("libnvrtc"), "{error}");
        assert!(error.contains("cargo xtask kernels build"), "{error}");
        let error = missing_library((10, 3)).to_string();
        assert!(error.contains("sm_103a") && !error.contains("cargo xtask"), "{error}");
    }
}
