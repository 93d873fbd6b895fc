//! Dense products by cuBLASLt. Descriptors and the choice of an algorithm are kept for each shape: both take longer than a
//! small product.
//!
//! The algorithm is the library's first suggestion, which is a function of the shape, so that a run that is repeated on
//! the same GPU with the same library has the same bits; timing several would be faster now and then and never the same.

#![expect(unsafe_code, reason = "the library's interface is one of raw pointers")]

use std::collections::BTreeMap;
use std::ffi::c_void;

use azr_transformer::{DeviceError, DeviceResult};
use cudarc::cublaslt::{result, sys};

use crate::driver::Driver;
use crate::error::{OpenError, blas};

/// Working memory that an algorithm may use; the library's advice for Hopper.
pub(crate) const WORKSPACE_BYTES: usize = 32 << 20;

/// Type of the numbers of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Numbers {
    F32,
    Bf16,
}

/// A matrix of a product: row-major, with rows that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operand {
    pub(crate) pointer: u64,
    pub(crate) numbers: Numbers,
    pub(crate) is_transposed: bool,
}

/// `c = a b + (c if accumulate)`, with `a` being `[rows, depth]`, `b` `[depth, columns]`, each after its transposition, and
/// `c` `[rows, columns]`. `a` and `b` are of one type; sums are float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) depth: usize,
    pub(crate) a: Operand,
    pub(crate) b: Operand,
    /// Never transposed.
    pub(crate) c: Operand,
    pub(crate) accumulate: bool,
}

/// All that the choice of an algorithm depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    shape: [usize; 3],
    numbers: [Numbers; 2],
    transposed: [bool; 2],
    /// Alignment of a, b and c in bytes, at most 256.
    alignment: [u32; 3],
}

/// What is kept of a shape.
#[derive(Debug)]
struct Plan {
    descriptor: sys::cublasLtMatmulDesc_t,
    a: sys::cublasLtMatrixLayout_t,
    b: sys::cublasLtMatrixLayout_t,
    c: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

/// The library, with the plans of the shapes that it was asked for.
#[derive(Debug)]
pub(crate) struct Blas {
    handle: sys::cublasLtHandle_t,
    plans: BTreeMap<Key, Plan>,
}

// SAFETY: the library's handle and descriptors may be used from any thread; the engine's lock makes it one at a time.
unsafe impl Send for Blas {}

impl Blas {
    /// Loads the library.
    pub(crate) fn open() -> Result<Self, OpenError> {
        // SAFETY: loads a library by name.
        if !unsafe { sys::is_culib_present() } {
            return Err(OpenError::NoBlas);
        }
        let handle = result::create_handle().map_err(|error| {
            OpenError::Failed(format!("cuBLASLt does not start: {:?}", error.0))
        })?;
        Ok(Self { handle, plans: BTreeMap::new() })
    }

    /// Chooses how a product is computed, unless that was done before.
    pub(crate) fn prepare(&mut self, product: &Product) -> DeviceResult<()> {
        let key = product.key();
        if !self.plans.contains_key(&key) {
            let plan = Plan::new(self.handle, &key).map_err(|error| {
                let DeviceError::Failed(message) = blas(error) else { return blas(error) };
                DeviceError::Failed(format!("{message} of a product of shape {:?}", key.shape))
            })?;
            self.plans.insert(key, plan);
        }
        Ok(())
    }

    /// Computes a product that was prepared, with [`WORKSPACE_BYTES`] bytes at `workspace`.
    pub(crate) fn run(
        &self,
        driver: &Driver,
        product: &Product,
        workspace: u64,
    ) -> DeviceResult<()> {
        let plan = self
            .plans
            .get(&product.key())
            .ok_or_else(|| DeviceError::Failed("a product was not prepared".to_owned()))?;
        let alpha = 1.0_f32;
        let beta = if product.accumulate { 1.0_f32 } else { 0.0 };
        // The library counts columns first: what is row-major to us is its transpose to it, and the product of the
        // transposes in reverse order is the transpose of the product.
        // SAFETY: layouts and algorithm are those of the operands' shapes; the caller holds the operands.
        unsafe {
            result::matmul(
                self.handle,
                plan.descriptor,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                product.b.pointer as *const c_void,
                plan.b,
                product.a.pointer as *const c_void,
                plan.a,
                product.c.pointer as *const c_void,
                plan.c,
                product.c.pointer as *mut c_void,
                plan.c,
                &raw const plan.algorithm,
                workspace as *mut c_void,
                WORKSPACE_BYTES,
                driver.raw_stream().cast(),
            )
        }
        .map_err(blas)
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: the handle is not used again. There is nobody to tell of an error.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

impl Product {
    fn key(&self) -> Key {
        let alignment = |operand: Operand| 1 << operand.pointer.trailing_zeros().min(8);
        Key {
            shape: [self.rows, self.columns, self.depth],
            numbers: [self.a.numbers, self.c.numbers],
            transposed: [self.a.is_transposed, self.b.is_transposed],
            alignment: [alignment(self.a), alignment(self.b), alignment(self.c)],
        }
    }
}

impl Numbers {
    const fn raw(self) -> sys::cudaDataType {
        match self {
            Self::F32 => sys::cudaDataType::CUDA_R_32F,
            Self::Bf16 => sys::cudaDataType::CUDA_R_16BF,
        }
    }
}

impl Plan {
    /// Descriptors and algorithm for a shape. They live as long as the library: there are a few dozen.
    fn new(handle: sys::cublasLtHandle_t, key: &Key) -> Result<Self, result::CublasError> {
        let [rows, columns, depth] = key.shape;
        let [inputs, outputs] = key.numbers.map(Numbers::raw);
        let [a_transposed, b_transposed] = key.transposed;
        // A row-major [n, m] matrix is a column-major [m, n] one with m numbers between columns.
        let layout = |numbers, [n, m]: [usize; 2]| {
            result::create_matrix_layout(numbers, m as u64, n as u64, m as i64)
        };
        let stored = |shape: [usize; 2], is_transposed: bool| {
            if is_transposed { [shape[1], shape[0]] } else { shape }
        };
        let a = layout(inputs, stored([rows, depth], a_transposed))?;
        let b = layout(inputs, stored([depth, columns], b_transposed))?;
        let c = layout(outputs, [rows, columns])?;
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let descriptor = result::create_matmul_desc(compute, sys::cudaDataType::CUDA_R_32F)?;
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        for (attribute, is_transposed) in [
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSA, b_transposed),
            (Attribute::CUBLASLT_MATMUL_DESC_TRANSB, a_transposed),
        ] {
            let operation = i32::from(is_transposed);
            // SAFETY: the attribute is a 32-bit number: 0 for no operation, 1 for a transposition.
            unsafe {
                result::set_matmul_desc_attribute(
                    descriptor,
                    attribute,
                    (&raw const operation).cast(),
                    size_of_val(&operation),
                )
            }?;
        }
        let preference = result::create_matmul_pref()?;
        use sys::cublasLtMatmulPreferenceAttributes_t as Preference;
        let workspace = WORKSPACE_BYTES as u64;
        // SAFETY: the attribute is a 64-bit number.
        unsafe {
            result::set_matmul_pref_attribute(
                preference,
                Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                (&raw const workspace).cast(),
                size_of_val(&workspace),
            )
        }?;
        let [align_a, align_b, align_c] = key.alignment;
        for (attribute, bytes) in [
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, align_b),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, align_a),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align_c),
            (Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align_c),
        ] {
            // SAFETY: the attributes are 32-bit numbers.
            unsafe {
                result::set_matmul_pref_attribute(
                    preference,
                    attribute,
                    (&raw const bytes).cast(),
                    size_of_val(&bytes),
                )
            }?;
        }
        // SAFETY: all of them were made above.
        let found = unsafe {
            result::get_matmul_algo_heuristic(handle, descriptor, b, a, c, c, preference)
        };
        // SAFETY: it is not used again.
        unsafe { result::destroy_matmul_pref(preference) }?;
        Ok(Self { descriptor, a, b, c, algorithm: found?.algo })
    }
}
