//! What can go wrong with a GPU, and the way out.

use azr_transformer::DeviceError;
use cudarc::cublaslt::result::CublasError;
use cudarc::driver::DriverError;

/// Why a GPU cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no driver library.
    #[error("no CUDA driver")]
    NoDriver,
    /// The driver is older than the kernels.
    #[error("the CUDA driver is for CUDA {}.{}, azr needs one for 13.0", found / 1000, found % 1000 / 10)]
    OldDriver {
        /// As the driver counts: 12080 is 12.8.
        found: i32,
    },
    /// No GPU has that number.
    #[error("there is no CUDA device {ordinal}: {n_devices} found")]
    NoDevice {
        /// The number that was asked for.
        ordinal: usize,
        /// How many there are.
        n_devices: usize,
    },
    /// The GPU lacks instructions that the kernels are made of.
    #[error("{name} has compute capability {}.{}, azr needs 8.0 for bfloat16", capability.0, capability.1)]
    Unsupported {
        /// The GPU.
        name: String,
        /// Its compute capability.
        capability: (u32, u32),
    },
    /// There is no cuBLASLt library.
    #[error("no cuBLASLt library")]
    NoBlas,
    /// The driver or a library refused.
    #[error("{0}")]
    Failed(String),
}

impl OpenError {
    /// The way out.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoDriver => {
                "install NVIDIA's driver (`nvidia-smi` shows whether it works), or use the backend `cpu`"
            }
            Self::OldDriver { .. } => "install version 580 of NVIDIA's driver or a later one",
            Self::NoDevice { .. } => {
                "set the backend option `device` to a GPU that `nvidia-smi -L` lists, or unset CUDA_VISIBLE_DEVICES"
            }
            Self::Unsupported { .. } => {
                "use a GPU of the Ampere generation or a later one, or the backend `cpu`"
            }
            Self::NoBlas => {
                "install cuBLAS of CUDA 13 (`pip install nvidia-cublas` has it too) and put its folder into LD_LIBRARY_PATH"
            }
            Self::Failed(_) => "`nvidia-smi` shows the state of the GPU",
        }
    }
}

impl From<DriverError> for OpenError {
    fn from(error: DriverError) -> Self {
        Self::Failed(words(error))
    }
}

/// The driver's name and words for an error.
fn words(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, DriverError>| {
        text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let (name, words) = (text(error.error_name()), text(error.error_string()));
    format!("the CUDA driver says {name}: {words}")
}

/// An error of the driver in the middle of work.
pub(crate) fn driver(error: DriverError) -> DeviceError {
    DeviceError::Failed(words(error))
}

/// An error of cuBLASLt.
pub(crate) fn blas(error: CublasError) -> DeviceError {
    DeviceError::Failed(format!("cuBLASLt says {:?}", error.0))
}
