//! One place in the pool: a worker, a second one for gold values, and the supervision of both.

use std::time::{Duration, Instant};

use azr_executor::ImportPolicy;
use azr_executor::pool;
use azr_executor::worker::WorkerError;
use azr_plugin::{CallContext, Engine, Job, JobReport, LimitKind, Limits, Outcome, Result};

use crate::MontyExecutor;
use crate::launch::{Launch, Started};
use crate::prepare::Plan;
use crate::protocol::decode_outcome;

/// Most calls that are under way at once.
const MAX_AHEAD: usize = 16;

/// Most bytes of requests that are under way at once. They always fit into the pipe: the host never waits for a worker
/// to read while that waits for the host to read.
const MAX_BYTES_AHEAD: usize = 32 << 10;

/// How much later than its limit a call may end by itself before the worker is killed.
const GRACE: Duration = Duration::from_millis(250);

/// How often the processor time of a busy worker is looked at.
const CPU_INTERVAL: Duration = Duration::from_millis(20);

/// How long a worker may take to read a request.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Programs after which a worker is replaced, so that nothing adds up.
const MAX_PROGRAMS: usize = 10_000;

/// Workers by run: gold values need two processes. Each is started when it is first needed and again after it failed.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    running: [Option<Running>; 2],
}

#[derive(Debug)]
struct Running {
    started: Started,
    n_programs: usize,
}

/// One call of one plan.
#[derive(Debug, Clone, Copy)]
struct Item {
    plan: usize,
    call: usize,
}

/// How an exchange about one call ended.
enum Answer {
    /// The worker lives.
    Told(Outcome),
    /// The worker is of no use any more.
    Last(Outcome),
    /// The worker ended without a word.
    Gone(String),
}

impl Slot {
    /// Takes a worker that was started elsewhere.
    pub(crate) fn adopt(&mut self, started: Started) {
        let [first, _] = &mut self.running;
        *first = Some(Running { started, n_programs: 0 });
    }

    /// Runs jobs, one after the other but sent ahead.
    ///
    /// # Errors
    /// When the context is cancelled or a worker cannot be started.
    pub(crate) fn run(
        &mut self,
        jobs: &[Job],
        launch: &Launch,
        gate: Option<&ImportPolicy>,
        context: &dyn CallContext,
    ) -> Result<Vec<JobReport>> {
        if context.is_cancelled() {
            return Err(pool::cancelled());
        }
        let mut plans: Vec<Plan> = jobs.iter().map(|job| Plan::of(job, gate)).collect();
        let all = items(&plans, |_, _| true);
        let outcomes = self.run_items(0, &plans, &all, launch, context)?;
        store(&mut plans, &all, outcomes, |_, outcome| outcome);
        let values = items(&plans, |plan, index| {
            plan.is_gold && matches!(plan.outcomes.get(index), Some(Some(Outcome::Value(_))))
        });
        let again = self.run_items(1, &plans, &values, launch, context)?;
        // Canonical texts are equal exactly where values are the same to the bit.
        store(&mut plans, &values, again, |first, second| {
            match second {
                second if first == Some(&second) => second,
                // The machine's trouble says nothing about the program.
                Outcome::Limit(_) | Outcome::Crashed(_) => second,
                _ => Outcome::Nondeterministic,
            }
        });
        Ok(plans.into_iter().map(report).collect())
    }

    /// One outcome per item. No item is lost: what a failed worker did not answer goes to the next one.
    fn run_items(
        &mut self,
        which: usize,
        plans: &[Plan],
        items: &[Item],
        launch: &Launch,
        context: &dyn CallContext,
    ) -> Result<Vec<Outcome>> {
        let [first, second] = &mut self.running;
        let place = if which == 0 { first } else { second };
        let mut outcomes = Vec::with_capacity(items.len());
        let mut is_second_try = false;
        while let Some(rest) = items.get(outcomes.len()..).filter(|rest| !rest.is_empty()) {
            // Taken out, so that an error leaves no worker behind whose pipes hold half an answer.
            let mut running = match place.take().filter(|running| running.n_programs < MAX_PROGRAMS)
            {
                Some(running) => running,
                None => Running { started: launch.restart()?, n_programs: 0 },
            };
            let (answered, end) = running.exchange(plans, rest, context)?;
            is_second_try &= answered.is_empty();
            outcomes.extend(answered);
            match end {
                None => *place = Some(running),
                Some(Answer::Told(outcome) | Answer::Last(outcome)) => {
                    is_second_try = false;
                    outcomes.push(outcome);
                }
                Some(Answer::Gone(how)) if is_second_try => {
                    is_second_try = false;
                    outcomes.push(Outcome::Crashed(how));
                }
                // The call may be innocent: somebody else may have ended the worker.
                Some(Answer::Gone(_)) => is_second_try = true,
            }
        }
        Ok(outcomes)
    }
}

impl Running {
    /// Sends the items, some ahead of their answers, and collects the answers until all are there or the worker is of
    /// no use any more; then the second part tells of the first call without an answer.
    fn exchange(
        &mut self,
        plans: &[Plan],
        items: &[Item],
        context: &dyn CallContext,
    ) -> Result<(Vec<Outcome>, Option<Answer>)> {
        let mut outcomes = Vec::with_capacity(items.len());
        let mut loaded = None;
        let mut ahead: std::collections::VecDeque<usize> = std::collections::VecDeque::new();
        let mut to_send = items.iter().peekable();
        let mut cpu_before = self.cpu_time();
        let mut broken = None;
        loop {
            while let Some(item) = to_send.peek().filter(|_| broken.is_none()) {
                let Some(plan) = plans.get(item.plan) else { break };
                let Some((_, call)) = plan.calls.get(item.call) else { break };
                let is_loaded = loaded == Some(item.plan);
                let n_bytes = call.len() + if is_loaded { 0 } else { plan.program.len() } + 8;
                let n_bytes_ahead: usize = ahead.iter().sum();
                let has_room =
                    ahead.len() < MAX_AHEAD && n_bytes_ahead + n_bytes <= MAX_BYTES_AHEAD;
                if !ahead.is_empty() && !has_room {
                    break;
                }
                let mut sent = Ok(());
                if !is_loaded {
                    sent = self.send(&plan.program, context);
                    self.n_programs += 1;
                }
                match sent.and_then(|()| self.send(call, context)) {
                    Ok(()) => {}
                    Err(WorkerError::Cancelled) => return Err(pool::cancelled()),
                    // Half a frame may be in the pipe: nothing can follow it. What was sent before still counts.
                    Err(error) => {
                        broken = Some(error.to_string());
                        break;
                    }
                }
                loaded = Some(item.plan);
                ahead.push_back(n_bytes);
                to_send.next();
            }
            let Some(limits) = items.get(outcomes.len()).and_then(|item| plans.get(item.plan))
            else {
                return Ok((outcomes, None));
            };
            if let Some(how) = broken.take_if(|_| ahead.is_empty()) {
                return Ok((outcomes, Some(Answer::Gone(how))));
            }
            match self.answer(&limits.limits, cpu_before, context)? {
                Answer::Told(outcome) => outcomes.push(outcome),
                end => return Ok((outcomes, Some(end))),
            }
            ahead.pop_front();
            cpu_before = self.cpu_time();
        }
    }

    fn send(
        &mut self,
        body: &[u8],
        context: &dyn CallContext,
    ) -> std::result::Result<(), WorkerError> {
        let deadline = Instant::now() + SEND_TIMEOUT;
        self.started.worker.send(body, deadline, &|| context.is_cancelled())
    }

    /// The answer to the oldest call, within its limits.
    fn answer(
        &mut self,
        limits: &Limits,
        cpu_before: Duration,
        context: &dyn CallContext,
    ) -> Result<Answer> {
        let deadline = Instant::now() + Duration::from_millis(limits.wall_ms) + GRACE;
        loop {
            let look = deadline.min(Instant::now() + CPU_INTERVAL);
            match self.started.worker.receive(look, &|| context.is_cancelled()) {
                Ok(body) => {
                    return Ok(match decode_outcome(&body, limits.output_bytes) {
                        // The worker's last word: its memory was counted by the process and not by the program.
                        Some(outcome @ Outcome::Limit(LimitKind::Memory)) => Answer::Last(outcome),
                        Some(outcome) => Answer::Told(outcome),
                        None => Answer::Last(Outcome::Crashed("broken answer".to_owned())),
                    });
                }
                Err(WorkerError::Cancelled) => return Err(pool::cancelled()),
                Err(WorkerError::Late) => {
                    let cpu = self.cpu_time().saturating_sub(cpu_before);
                    if cpu >= Duration::from_millis(limits.cpu_ms) {
                        return Ok(Answer::Last(Outcome::Limit(LimitKind::Cpu)));
                    }
                    if Instant::now() >= deadline {
                        return Ok(Answer::Last(Outcome::Limit(LimitKind::Wall)));
                    }
                }
                Err(error) => return Ok(Answer::Gone(error.to_string())),
            }
        }
    }

    /// Processor time of the worker so far; none where it has ended, which the next exchange shows.
    fn cpu_time(&self) -> Duration {
        self.started.worker.cpu_time().unwrap_or_default()
    }
}

fn items(plans: &[Plan], wanted: impl Fn(&Plan, usize) -> bool) -> Vec<Item> {
    let mut items = Vec::new();
    for (index, plan) in plans.iter().enumerate() {
        let calls =
            plan.calls.iter().enumerate().filter(|(_, (outcome, _))| wanted(plan, *outcome));
        items.extend(calls.map(|(call, _)| Item { plan: index, call }));
    }
    items
}

fn store(
    plans: &mut [Plan],
    items: &[Item],
    outcomes: Vec<Outcome>,
    merge: impl Fn(Option<&Outcome>, Outcome) -> Outcome,
) {
    for (item, outcome) in items.iter().zip(outcomes) {
        let Some(plan) = plans.get_mut(item.plan) else { continue };
        let Some((index, _)) = plan.calls.get(item.call) else { continue };
        if let Some(place) = plan.outcomes.get_mut(*index) {
            *place = Some(merge(place.as_ref(), outcome));
        }
    }
}

fn report(plan: Plan) -> JobReport {
    let lost = || Outcome::Crashed("no answer".to_owned());
    let outcomes = plan.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(lost)).collect();
    JobReport { outcomes, executor: MontyExecutor::NAME.to_owned() }
}
