//! Spreads jobs over workers. Results come in job order, whatever the number of workers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs `work(worker, job)` for every job in `0..n_jobs`, each worker on a thread of its own.
/// After each job `progress` is called with the number of finished jobs, in any order.
///
/// # Errors
/// The first error in job order among those that occurred; the other workers stop after their current job.
pub fn run_in_order<W: Send, R: Send, E: Send>(
    workers: &mut [W],
    n_jobs: usize,
    work: impl Fn(&mut W, usize) -> Result<R, E> + Sync,
    progress: impl Fn(usize) + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let n_done = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let finished: Mutex<Vec<(usize, Result<R, E>)>> = Mutex::new(Vec::with_capacity(n_jobs));
    let serve = |worker: &mut W| {
        while !failed.load(Ordering::Relaxed) {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job >= n_jobs {
                return;
            }
            let result = work(worker, job);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            finished.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((job, result));
            progress(n_done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    std::thread::scope(|scope| {
        for worker in workers.iter_mut().take(n_jobs) {
            scope.spawn(|| serve(worker));
        }
    });
    let mut finished = finished.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    finished.sort_by_key(|(job, _)| *job);
    finished.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_job_order() {
        for n_workers in [1, 2, 7] {
            let mut workers = vec![0_usize; n_workers];
            let work = |served: &mut usize, job: usize| {
                *served += 1;
                std::thread::yield_now();
                Ok::<_, ()>(job * job)
            };
            let results = run_in_order(&mut workers, 100, work, |_| {}).unwrap();
            assert_eq!(results, (0..100).map(|job| job * job).collect::<Vec<_>>());
            assert_eq!(workers.iter().sum::<usize>(), 100);
        }
    }

    #[test]
    fn an_error_ends_the_run() {
        let work = |_: &mut (), job: usize| if job == 3 { Err(job) } else { Ok(job) };
        assert_eq!(run_in_order(&mut [(), ()], 1_000_000, work, |_| {}), Err(3));
    }
}
