//! NVIDIA GPUs as a [`Device`](azr_transformer::Device): our own kernels (`kernels/`), and cuBLASLt for dense products.
//!
//! Activations are bfloat16 or float32. With bfloat16, weights are float32 values in two halves, of which products read
//! the upper one, and sums, statistics and gradients of parameters are float32.
//!
//! Nothing of CUDA is needed to build this, and to run it only where a GPU is opened: the driver and cuBLASLt are loaded
//! then. Kernels are embedded as machine code where `cargo xtask kernels build` made it, and as text, which NVRTC
//! compiles for GPUs that the machine code is not for.
//!
//! The same operation on the same values gives the same bits. A row's bits may depend on how many rows there are, because
//! cuBLASLt's choice of an algorithm does.

mod about;
mod arguments;
mod attention;
mod blas;
mod copies;
mod device;
mod driver;
mod engine;
mod error;
mod graphs;
mod head;
mod images;
mod kernels;
mod layers;
mod linear;
mod memory;
mod nvrtc;
mod optim;
mod rows;
mod stage;
mod storage;
mod transfer;

use std::sync::{Mutex, PoisonError};

use azr_transformer::{ActivationPrecision, DeviceResult};

pub use about::About;
pub use error::OpenError;
pub use storage::{Buffer, Matrix, State, WeightCopy};

use engine::Engine;

/// A GPU.
#[derive(Debug)]
pub struct Cuda {
    name: String,
    precision: ActivationPrecision,
    engine: Mutex<Engine>,
}

impl Cuda {
    /// Opens GPU number `ordinal`, to keep activations in `precision`.
    ///
    /// # Errors
    /// What is missing: a driver, a GPU, cuBLASLt, or what the GPU lacks.
    pub fn open(ordinal: usize, precision: ActivationPrecision) -> Result<Self, OpenError> {
        let engine = Engine::open(ordinal)?;
        let (major, minor) = engine.driver().capability();
        let name = format!("{}, sm_{major}{minor}", engine.driver().name());
        Ok(Self { name, precision, engine: Mutex::new(engine) })
    }

    /// Bytes of the GPU's memory that are free, if it can be asked.
    pub fn free_bytes(&self) -> Option<u64> {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.driver().free_bytes().ok()
    }

    /// How many series of operations ran as one CUDA graph so far.
    pub fn n_replays(&self) -> u64 {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).n_replays()
    }

    /// Most bytes of the GPU's memory that were held at once since [`Self::forget_peak`], if it can be asked.
    pub fn peak_bytes(&self) -> Option<u64> {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.driver().peak_bytes().ok()
    }

    /// Gives back what nobody holds any more, and counts [`Self::peak_bytes`] from here.
    ///
    /// # Errors
    /// The driver.
    pub fn forget_peak(&self) -> DeviceResult<()> {
        self.run(Engine::forget_peak)
    }

    /// Runs `work` as a series, as [`repeatedly`](azr_transformer::Device::repeatedly) does, and returns how many seconds
    /// the GPU took for its launches by its own clock. Gaps between them are gone from the third time on, when the series
    /// is a graph. Of work that reads results only what comes behind the last one counts.
    ///
    /// # Errors
    /// What fails in `work`; the device.
    pub fn time_series(&self, work: impl FnOnce() -> DeviceResult<()>) -> DeviceResult<f64> {
        self.run(Engine::begin_series)?;
        let result = work();
        let seconds = self.run(Engine::time_series);
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).end_series();
        result.and(seconds)
    }

    /// About how many bytes of working memory stay with the device once it has worked on `n_rows` rows of a head of
    /// `vocab_size` outputs.
    pub const fn working_bytes(&self, n_rows: usize, vocab_size: usize) -> u64 {
        working_bytes(self.precision, n_rows, vocab_size)
    }
}

/// Bytes of logits and of their gradients, and of the workspace of products.
pub const fn working_bytes(
    precision: ActivationPrecision,
    n_rows: usize,
    vocab_size: usize,
) -> u64 {
    let n_logits = head::chunk_rows(n_rows, vocab_size) as u64 * vocab_size as u64;
    let gradients = match precision {
        ActivationPrecision::F32 => 0,
        ActivationPrecision::Bf16 => 2,
    };
    (4 + gradients) * n_logits + (blas::WORKSPACE_BYTES + stage::STAGE_BYTES) as u64
}
