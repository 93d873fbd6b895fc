//! What a model can do: greedy solve rates on a file of tasks, and how many of its proposals are valid.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use azr_plugin::{
    Answer, ControlTokens, Domain, GenerateRequest, Policy, Prompt, PromptBody, Proposal,
    ProposeRequest, Quiet, Sampling, Task, Tokenizer,
};

use crate::engines::Engines;
use crate::heldout::read_tasks;

/// Rates in 0..=1 by task kind.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Greedy answers that are right.
    pub solved: BTreeMap<String, f64>,
    /// Tokens of a greedy answer, on average.
    pub tokens: BTreeMap<String, f64>,
    /// Sampled answers that are right.
    pub sampled: BTreeMap<String, f64>,
    /// Sampled proposals that are valid.
    pub valid: BTreeMap<String, f64>,
}

/// Measures the model in `folder` on the first `n` tasks of each kind in the file `tasks`.
pub fn measure(folder: &Path, tasks: &Path, n: usize) -> Result<Measured> {
    let engines = Engines::new()?;
    let (domain, _) = engines.domain("auto")?;
    let tokenizer = engines.tokenizer(folder)?;
    let mut policy = engines.policy(folder, &*tokenizer)?;
    let mut by_kind: BTreeMap<String, Vec<Task>> = BTreeMap::new();
    for task in read_tasks(tasks)? {
        by_kind.entry(task.kind.clone()).or_default().push(task);
    }
    let mut measured = Measured::default();
    let mut asker = Asker { policy: &mut *policy, tokenizer: &*tokenizer };
    for (kind, tasks) in &mut by_kind {
        tasks.truncate(n);
        for temperature in [0.0, 1.0] {
            let responses = asker.ask(domain.solve_prompts(tasks)?, temperature)?;
            let n_tokens: usize = responses.iter().map(|(_, n_tokens)| n_tokens).sum();
            let answers: Vec<Answer> = (tasks.iter().zip(responses))
                .map(|(task, (response, _))| Answer { task: task.clone(), response })
                .collect();
            let grades = domain.grade(&answers, &Quiet)?;
            let score: f64 = grades.iter().map(|grade| f64::from(grade.score)).sum();
            let rates =
                if temperature == 0.0 { &mut measured.solved } else { &mut measured.sampled };
            rates.insert(kind.clone(), score / tasks.len() as f64);
            measured
                .tokens
                .insert(format!("{kind} at {temperature}"), n_tokens as f64 / tasks.len() as f64);
        }
        let rate = valid_rate(&mut asker, &*domain, kind, n)?;
        measured.valid.insert(kind.clone(), rate);
    }
    Ok(measured)
}

/// Proposals as a first step would ask for them, from the domain's own seed tasks.
fn valid_rate(asker: &mut Asker<'_>, domain: &dyn Domain, kind: &str, n: usize) -> Result<f64> {
    let from = if kind == "induction" { "deduction" } else { kind };
    let references = domain.seed_tasks(from)?;
    let requests: Vec<ProposeRequest> = (0..n as u64)
        .map(|seed| ProposeRequest { kind: kind.to_owned(), references: references.clone(), seed })
        .collect();
    let responses = asker.ask(domain.propose_prompts(&requests)?, 1.0)?;
    let proposals: Vec<Proposal> = (requests.into_iter().zip(responses))
        .map(|(ProposeRequest { kind, references, .. }, (response, _))| Proposal {
            kind,
            references,
            response,
        })
        .collect();
    let verdicts = domain.validate(&proposals, &Quiet)?;
    Ok(verdicts.iter().filter(|verdict| verdict.task.is_some()).count() as f64 / n as f64)
}

struct Asker<'a> {
    policy: &'a mut dyn Policy,
    tokenizer: &'a dyn Tokenizer,
}

impl Asker<'_> {
    /// One response to each prompt, with its number of tokens.
    fn ask(&mut self, prompts: Vec<Prompt>, temperature: f32) -> Result<Vec<(String, usize)>> {
        let mut requests = Vec::new();
        for (seed, Prompt { body, stop, max_new_tokens }) in (0..).zip(prompts) {
            let PromptBody::Text(text) = body else { continue };
            let prompt = self.tokenizer.encode(&[text], ControlTokens::AsText)?.concat();
            let sampling = Sampling { temperature, top_p: 1.0, max_new_tokens, stop };
            requests.push(GenerateRequest { prompt, seeds: vec![seed], sampling });
        }
        let completions = self.policy.generate(&requests, &Quiet, &Quiet).context("generating")?;
        Ok(completions
            .into_iter()
            .flatten()
            .map(|completion| (completion.text, completion.tokens.len()))
            .collect())
    }
}
