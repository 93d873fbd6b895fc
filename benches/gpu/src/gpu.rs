//! The device under test: its clock, its memory, and the limits of both.

use std::time::{Duration, Instant};

use azr_cuda::Cuda;
use azr_transformer::{Device, DeviceResult};

use crate::random::{activations, matrix};
use crate::report::Limits;

/// How often a series is run before it counts: launches, then a graph, then the graph again.
const N_WARM_UPS: usize = 3;
/// How long products run before anything is measured, so that clocks are up.
const SPIN: Duration = Duration::from_millis(300);

/// A device that can be measured.
pub(crate) trait Gpu: Device {
    /// Seconds that the device takes for the launches of `work`, as a series that comes again and again.
    fn time_series(&self, work: &mut dyn FnMut() -> DeviceResult<()>) -> DeviceResult<f64>;

    /// Bytes of the GPU's memory that are free.
    fn free_bytes(&self) -> Option<u64>;

    /// Most bytes that were held at once.
    fn peak_bytes(&self) -> Option<u64>;
}

impl Gpu for Cuda {
    fn time_series(&self, work: &mut dyn FnMut() -> DeviceResult<()>) -> DeviceResult<f64> {
        Cuda::time_series(self, work)
    }

    fn free_bytes(&self) -> Option<u64> {
        Cuda::free_bytes(self)
    }

    fn peak_bytes(&self) -> Option<u64> {
        Cuda::peak_bytes(self)
    }
}

/// How large and how often things are measured: on a GPU, or tiny ones on an emulated GPU.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Values that a copy or an operation on rows moves at least: more than the second cache holds.
    pub(crate) n_cold_values: usize,
    /// Side of the product that is the limit of arithmetic.
    pub(crate) gemm_side: usize,
    /// Most rows of an operation that takes an array of indices.
    pub(crate) n_indexed_rows: usize,
    /// Calls of a series, and how many series the median is of.
    pub(crate) n_calls: usize,
    pub(crate) n_windows: usize,
    pub(crate) spin: Duration,
}

impl Scale {
    pub(crate) const FULL: Self = Self {
        n_cold_values: 1 << 26,
        gemm_side: 8192,
        n_indexed_rows: 1 << 15,
        n_calls: 8,
        n_windows: 7,
        spin: SPIN,
    };
    pub(crate) const TINY: Self = Self {
        n_cold_values: 1 << 12,
        gemm_side: 48,
        n_indexed_rows: 40,
        n_calls: 2,
        n_windows: 2,
        spin: Duration::ZERO,
    };
}

/// Median seconds of `op`, which reads no results, in a series; its argument counts the calls.
pub(crate) fn series_s<D: Gpu>(
    device: &D,
    scale: Scale,
    n_calls: usize,
    mut op: impl FnMut(usize) -> DeviceResult<()>,
) -> DeviceResult<f64> {
    let mut run = || device.time_series(&mut || (0..n_calls).try_for_each(&mut op));
    for _ in 0..N_WARM_UPS {
        run()?;
    }
    let times = (0..scale.n_windows).map(|_| run()).collect::<DeviceResult<Vec<f64>>>()?;
    Ok(median(times) / n_calls as f64)
}

/// Median seconds of `op`, which ends by reading a result, by the host's clock.
pub(crate) fn wall_s(scale: Scale, mut op: impl FnMut() -> DeviceResult<()>) -> DeviceResult<f64> {
    let mut run = || {
        let start = Instant::now();
        op().map(|()| start.elapsed().as_secs_f64())
    };
    for _ in 0..N_WARM_UPS {
        run()?;
    }
    Ok(median((0..scale.n_windows).map(|_| run()).collect::<DeviceResult<_>>()?))
}

/// The middle one of some numbers, 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

impl Limits {
    /// Measures the device: a copy within its memory, bytes read and written, and a square product.
    pub(crate) fn measure<D: Gpu>(device: &D, scale: Scale) -> DeviceResult<Self> {
        let side = scale.gemm_side;
        let (x, mut y) = (activations(device, side * side)?, device.activations(side * side)?);
        let weight = matrix(device, side, side)?;
        let start = Instant::now();
        while start.elapsed() < scale.spin {
            device.linear(&x, side, &weight, None, &mut y)?;
            device.read(&y, 0, &mut [0.0])?;
        }
        let product = |_| device.linear(&x, side, &weight, None, &mut y);
        let flops = 2.0 * (side as f64).powi(3);
        let product_s = series_s(device, scale, scale.n_calls, product)?;
        drop((x, y, weight));
        // Four bytes a value, so that both halves together are 2 GiB.
        let n = 4 * scale.n_cold_values;
        let mut values = device.zeros(2 * n)?;
        let copy_s =
            series_s(device, scale, scale.n_calls, |_| device.copy_within(&mut values, 0, n, n))?;
        Ok(Self { copy_bytes_per_s: 8.0 * n as f64 / copy_s, gemm_flops_per_s: flops / product_s })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use azr_transformer::reference::Reference;

    use super::*;

    /// The float64 device: a clock that all devices have, and no end of memory.
    impl Gpu for Reference {
        fn time_series(&self, work: &mut dyn FnMut() -> DeviceResult<()>) -> DeviceResult<f64> {
            let start = Instant::now();
            work().map(|()| start.elapsed().as_secs_f64())
        }

        fn free_bytes(&self) -> Option<u64> {
            Some(1 << 40)
        }

        fn peak_bytes(&self) -> Option<u64> {
            Some(1 << 20)
        }
    }

    #[test]
    fn limits_are_measured() {
        let limits = Limits::measure(&Reference, Scale::TINY).unwrap();
        assert!(limits.copy_bytes_per_s > 0.0 && limits.gemm_flops_per_s > 0.0, "{limits:?}");
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
