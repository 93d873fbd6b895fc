//! The limits of the machine, measured at the start of a bench, so that ratios to them mean something on any machine
//! and under any load.
#![expect(unsafe_code, reason = "the limits are those of instructions that not every machine has")]

use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long each thread computes or reads for one figure, and how many figures are taken; the best one counts.
const WINDOW: Duration = Duration::from_millis(60);
const N_WINDOWS: usize = 6;
/// What each thread reads, in float32 values: more than any cache holds.
const READ_VALUES: usize = 32 << 20;
/// Parts of memory that a thread reads side by side: one alone leaves a quarter of the bandwidth unused.
const N_STREAMS: usize = 4;
/// Independent chains of multiply-adds, enough to hide their latency, and the length of a round of them.
const N_CHAINS: usize = 12;
const N_ROUNDS: usize = 1 << 14;
/// What the chains compute: `x = FACTOR x + TERM`, whose values stay near 1.
const FACTOR: f32 = 0.999;
const TERM: f32 = 0.001;

/// A machine and what it can do at most with all its cores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub name: String,
    /// Cores, and threads that compute.
    pub n_threads: usize,
    /// Float32 multiply-adds count as two.
    pub flops_per_s: f64,
    /// Bytes read from memory.
    pub bytes_per_s: f64,
    /// Processes that ran or wanted to, a mean over the last minute, before the bench began.
    pub load: f64,
}

impl Machine {
    /// Measures this machine; takes about a second.
    pub fn measure() -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        let n_threads = thread::available_parallelism().map_or(1, Into::into);
        let flops_per_s = best_rate(n_threads, || multiply_add);
        let bytes_per_s = best_rate(n_threads, || {
            let values = vec![1.0_f32; READ_VALUES];
            move || (read(&values), 4.0 * READ_VALUES as f64)
        });
        Self { name: processor(), n_threads, flops_per_s, bytes_per_s, load }
    }
}

fn processor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}

/// The best of some windows of what all threads do together per second. `work` makes each thread's work, which returns
/// a value, so that it is done, and its amount.
fn best_rate<F: FnMut() -> (f32, f64)>(n_threads: usize, work: impl Fn() -> F + Sync) -> f64 {
    let run = || {
        let mut work = work();
        let window = |_| {
            let (start, mut amount) = (Instant::now(), 0.0);
            while start.elapsed() < WINDOW {
                let (value, more) = work();
                black_box(value);
                amount += more;
            }
            amount / start.elapsed().as_secs_f64()
        };
        (0..N_WINDOWS).map(window).collect::<Vec<f64>>()
    };
    let rates = thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    (0..N_WINDOWS).map(|window| rates.iter().map(|rates| rates[window]).sum()).fold(0.0, f64::max)
}

/// A round of multiply-adds in the widest registers there are: a value that depends on all of them, and their number.
fn multiply_add() -> (f32, f64) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the machine has it.
            return unsafe { x86::multiply_add_512() };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the machine has both.
            return unsafe { x86::multiply_add_256() };
        }
    }
    let factor = black_box(FACTOR);
    let mut sums = [1.0_f32; 4 * N_CHAINS];
    for _ in 0..N_ROUNDS {
        for sum in &mut sums {
            *sum = *sum * factor + TERM;
        }
    }
    (sums.iter().sum(), 2.0 * (N_ROUNDS * sums.len()) as f64)
}

/// The sum of `values`, of which several parts are read side by side.
fn read(values: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has it.
        return unsafe { x86::read(values) };
    }
    values.iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _MM_HINT_T0, _mm_prefetch, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps,
    };
    use std::hint::black_box;

    use super::{FACTOR, N_CHAINS, N_ROUNDS, N_STREAMS, TERM};

    /// Values of two cache lines, and how many further ahead memory is asked for.
    const STEP: usize = 32;
    const AHEAD: usize = 256;

    #[target_feature(enable = "avx512f")]
    pub(super) fn multiply_add_512() -> (f32, f64) {
        let (factor, term) = (_mm512_set1_ps(black_box(FACTOR)), _mm512_set1_ps(TERM));
        let mut sums = [_mm512_set1_ps(1.0); N_CHAINS];
        for _ in 0..N_ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, term);
            }
        }
        (sums.map(|sum| _mm512_reduce_add_ps(sum)).iter().sum(), flops(16))
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn multiply_add_256() -> (f32, f64) {
        let (factor, term) = (_mm256_set1_ps(black_box(FACTOR)), _mm256_set1_ps(TERM));
        let mut sums = [_mm256_set1_ps(1.0); N_CHAINS];
        for _ in 0..N_ROUNDS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, term);
            }
        }
        let mut out = [0.0; 8];
        for sum in sums {
            let mut lanes = [0.0; 8];
            // SAFETY: there is room for eight values.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
            out.iter_mut().zip(lanes).for_each(|(out, lane)| *out += lane);
        }
        (out.iter().sum(), flops(8))
    }

    fn flops(n_lanes: usize) -> f64 {
        2.0 * (N_ROUNDS * N_CHAINS * n_lanes) as f64
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn read(values: &[f32]) -> f32 {
        let len = values.len() / N_STREAMS / STEP * STEP;
        let mut sums = [[_mm256_setzero_ps(); 4]; N_STREAMS];
        for start in (0..len).step_by(STEP) {
            for (stream, sums) in sums.iter_mut().enumerate() {
                let from = values[stream * len + start..][..STEP].as_ptr();
                for (index, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: within the `STEP` values; prefetching any address is harmless.
                    unsafe {
                        _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD + 8 * index).cast());
                        *sum = _mm256_add_ps(*sum, _mm256_loadu_ps(from.add(8 * index)));
                    }
                }
            }
        }
        let mut total = 0.0;
        for sum in sums.into_iter().flatten() {
            let mut lanes = [0.0; 8];
            // SAFETY: there is room for eight values.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sum) };
            total += lanes.iter().sum::<f32>();
        }
        total + values[N_STREAMS * len..].iter().sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_what_it_says() {
        let values: Vec<f32> = (0..6411).map(|i| (i % 7) as f32).collect();
        assert_eq!(read(&values), values.iter().sum::<f32>());
        // The fixed point of x = 0.999 x + 0.001 is 1, in every lane of every chain.
        let (sum, flops) = multiply_add();
        let n_lanes = flops / (2 * N_ROUNDS) as f64;
        assert!((f64::from(sum) - n_lanes).abs() < 0.01 * n_lanes, "{sum} of {n_lanes}");
    }

    #[test]
    fn a_machine_can_do_something() {
        let machine = Machine::measure();
        assert!(machine.flops_per_s > 1e8 && machine.bytes_per_s > 1e8, "{machine:?}");
        assert!(!machine.name.is_empty() && machine.n_threads > 0);
    }
}
