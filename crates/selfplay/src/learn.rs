//! The one update of a step.

use azr_plugin::{
    LossSpec, RolloutSummary, ScoreRequest, StepPlan, TrainSequence, UpdateReport, UpdateRequest,
};

use crate::observe::PhaseContext;
use crate::stage::{Rollout, Stage};
use crate::{Engines, Phase, Result, SelfPlayConfig, SelfPlayError};

/// What an update was and did.
#[derive(Debug)]
pub(crate) struct Learned {
    pub(crate) report: UpdateReport,
    pub(crate) plan: StepPlan,
    pub(crate) n_sequences: usize,
}

/// Trains on `rollouts` with the optimizer's plan and notes their advantages. Without a single trained token there is
/// no update.
pub(crate) fn learn(
    stage: &mut Stage<'_>,
    rollouts: &mut [&mut Rollout],
) -> Result<Option<Learned>> {
    let (mut trained, mut summaries) = (Vec::new(), Vec::new());
    for rollout in rollouts.iter_mut() {
        let (Some(reward), false) = (rollout.record.reward, rollout.tokens.is_empty()) else {
            continue;
        };
        let (domain, kind) = (rollout.record.domain.clone(), rollout.record.kind.clone());
        let (role, prompt_index, n_tokens) =
            (rollout.role(), rollout.prompt_index, rollout.tokens.len() as u32);
        summaries.push(RolloutSummary { domain, kind, role, prompt_index, reward, n_tokens });
        trained.push(rollout);
    }
    if trained.is_empty() {
        return Ok(None);
    }
    let mut plan = plan(stage.engines, stage.step.saturating_sub(1), &summaries, stage.config)?;
    let (advantages, weights) =
        (std::mem::take(&mut plan.advantages), std::mem::take(&mut plan.weights));
    let mut sequences = Vec::new();
    for ((rollout, advantages), weights) in trained.into_iter().zip(advantages).zip(weights) {
        rollout.record.advantage = advantages.first().copied();
        sequences.push(TrainSequence {
            prompt: rollout.prompt_tokens.to_vec(),
            response: std::mem::take(&mut rollout.tokens),
            behaviour_logprobs: std::mem::take(&mut rollout.logprobs),
            reference_logprobs: Vec::new(),
            advantages,
            weights,
        });
    }
    score_with_reference(stage, &mut sequences, &plan.loss)?;
    let n_sequences = sequences.len();
    let total = sequences
        .iter()
        .map(|sequence| (sequence.prompt.len() + sequence.response.len()) as u64)
        .sum();
    let request = UpdateRequest {
        sequences,
        loss: plan.loss.clone(),
        optimizer: plan.optimizer.clone(),
        bounds: stage.bounds,
    };
    let report = stage.phase(Phase::Update, total, |stage| {
        let context = PhaseContext {
            observer: stage.observer,
            phase: Phase::Update,
            before: 0,
            total,
            is_given_up: None,
        };
        let report = stage.engines.policy.update(&request, &context);
        report.map_err(|source| SelfPlayError::engine("policy", "update", source))
    })?;
    Ok(Some(Learned { report, plan, n_sequences }))
}

/// Asks the reference model for the log-probabilities of the responses, where the loss wants them.
fn score_with_reference(
    stage: &mut Stage<'_>,
    sequences: &mut [TrainSequence],
    loss: &LossSpec,
) -> Result<()> {
    if loss.kl_coef == 0.0 {
        return Ok(());
    }
    let request = |sequence: &TrainSequence| ScoreRequest {
        prompt: sequence.prompt.clone(),
        response: sequence.response.clone(),
        temperature: loss.temperature,
    };
    let requests: Vec<ScoreRequest> = sequences.iter().map(request).collect();
    let (phase, total) =
        (Phase::Reference, requests.iter().map(|request| request.response.len() as u64).sum());
    let scores = stage.phase(phase, total, |stage| {
        let context =
            PhaseContext { observer: stage.observer, phase, before: 0, total, is_given_up: None };
        let Some(reference) = &mut stage.engines.reference else {
            let message = "a plan with a kl_coef, but it did not say that it needs a reference";
            return Err(SelfPlayError::contract("optimizer", message));
        };
        let scores = reference.score(&requests, &context);
        scores.map_err(|source| SelfPlayError::engine("reference", "score", source))
    })?;
    let lengths = |rows: &[Vec<f32>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
    let expected: Vec<usize> = requests.iter().map(|request| request.response.len()).collect();
    if lengths(&scores) != expected {
        let message = "scores have not the shape of the responses";
        return Err(SelfPlayError::contract("reference", message));
    }
    for (sequence, scores) in sequences.iter_mut().zip(scores) {
        sequence.reference_logprobs = scores;
    }
    Ok(())
}

/// The optimizer's plan of update number `update`, checked.
pub(crate) fn plan(
    engines: &Engines,
    update: u64,
    rollouts: &[RolloutSummary],
    config: &SelfPlayConfig,
) -> Result<StepPlan> {
    let plan = engines
        .optimizer
        .plan(update, rollouts)
        .map_err(|source| SelfPlayError::engine("optimizer", "plan the update", source))?;
    if plan.loss.temperature != config.temperature {
        let (loss, sampling) = (plan.loss.temperature, config.temperature);
        return Err(SelfPlayError::config(
            format!("the optimizer's temperature is {loss}, that of sampling is {sampling}"),
            "set both to the same value, or log-probabilities of training and sampling differ",
        ));
    }
    let has_shape = |rows: &[Vec<f32>]| {
        rows.len() == rollouts.len()
            && rows
                .iter()
                .zip(rollouts)
                .all(|(row, rollout)| row.len() == rollout.n_tokens as usize)
    };
    if !has_shape(&plan.advantages) || !has_shape(&plan.weights) {
        let message = "advantages and weights have not the shape of the rollouts";
        return Err(SelfPlayError::contract("optimizer", message));
    }
    Ok(plan)
}
