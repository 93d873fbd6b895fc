//! Test doubles: a domain over integers and a policy whose responses are a pure function of weights, prompt and seed.
//!
//! A task is a number `n`; its solution is `n % 4`. A proposal or an answer is well-formed when it starts with `<`.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use azr_plugin::{
    Answer, CallContext, Completion, CompletionSink, ControlTokens, Domain, Engine, ErrorCode,
    FinishReason, GenerateRequest, Grade, Message, PluginError, Policy, PolicyInfo, Prompt,
    PromptBody, Proposal, ProposeRequest, ReferenceRule, Result, RlOptimizer, RolloutSummary,
    ScoreRequest, Services, StepPlan, Task, TaskKind, Tokenizer, TokenizerInfo, UpdateReport,
    UpdateRequest, Validation,
};
use azr_rl_policy_gradient::{Algorithm, Options, PolicyGradient};
use azr_selfplay::{Engines, SelfPlay, SelfPlayConfig, SelfPlayError};

/// What the engines were asked to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    Generate(Vec<GenerateRequest>),
    /// A wave that told something has ended.
    End,
    Validate(usize),
    Grade(usize),
    Update(UpdateRequest),
}

/// Which completions the policy tells of before it returns them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    Nothing,
    Everything,
    Backwards,
    EveryThird,
    /// The last one comes twice.
    Twice,
    /// One that nobody asked for is among them.
    Strangers,
    /// The last one is another than is returned.
    Lies,
}

/// What the policy waits for after it told of its completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waits {
    Not,
    /// That a check has begun.
    ForOne,
    /// That a check of everything that was told has begun.
    ForAll,
}

/// What comes of validating and grading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    Work,
    Fail,
    /// They go on until they are cancelled.
    Last,
}

/// How the doubles behave.
#[derive(Debug, Clone)]
pub(crate) struct Toy {
    /// Names of the domains.
    pub domains: Vec<&'static str>,
    /// Proposals are numbers below this.
    pub n_tasks: u64,
    /// Solvers answer with a number below this: 1 and an answer of 0 is right for every fourth task.
    pub n_answers: u64,
    /// Every proposal is rejected.
    pub rejects_all: bool,
    /// Characters that each reference adds to a proposal prompt.
    pub reference_chars: usize,
    /// Characters of a solver prompt.
    pub solve_chars: usize,
    /// Text that ends every response.
    pub suffix: &'static str,
    /// Every grade's score is NaN.
    pub nan_scores: bool,
    /// The policy forgets the last completion of a wave.
    pub short_waves: bool,
    /// What the policy computes on.
    pub device: &'static str,
    pub tells: Tells,
    pub waits: Waits,
    /// The policy fails at the end of a wave.
    pub fails_waves: bool,
    pub checks: Checks,
    /// Temperature of the optimizer.
    pub temperature: f32,
    /// Updates report a loss of 0 and a gradient norm of 1, but of 1,000 in this update, counted from 0.
    pub spike_at: Option<u64>,
    /// What the optimizer does.
    pub algorithm: Algorithm,
    /// Whether there is a reference model.
    pub has_reference: bool,
    /// The reference scores one token less than it was asked for.
    pub short_scores: bool,
    /// The optimizer wants a reference from its second update on, and did not say so.
    pub late_kl: bool,
    /// What the engines were asked to do.
    pub calls: Arc<Mutex<Vec<Call>>>,
}

impl Default for Toy {
    fn default() -> Self {
        Self {
            domains: vec!["toy"],
            n_tasks: 1_000,
            n_answers: 4,
            rejects_all: false,
            reference_chars: 3,
            solve_chars: 8,
            suffix: "",
            nan_scores: false,
            short_waves: false,
            device: "cpu (toy)",
            tells: Tells::Nothing,
            waits: Waits::Not,
            fails_waves: false,
            checks: Checks::Work,
            temperature: 1.0,
            spike_at: None,
            algorithm: Algorithm::default(),
            has_reference: false,
            short_scores: false,
            late_kl: false,
            calls: Arc::default(),
        }
    }
}

impl Toy {
    pub(crate) fn start(
        &self,
        config: SelfPlayConfig,
    ) -> std::result::Result<SelfPlay, SelfPlayError> {
        let (algorithm, temperature) = (self.algorithm, self.temperature);
        let options = Options { algorithm, temperature, ..Options::default() };
        let policy = || {
            Box::new(ToyPolicy { toy: self.clone(), weights: 1, n_updates: 0 }) as Box<dyn Policy>
        };
        let domain =
            |name: &&str| (name.to_string(), Arc::new(ToyDomain(self.clone())) as Arc<dyn Domain>);
        let engines = Engines {
            tokenizer: Arc::new(Bytes),
            policy: policy(),
            reference: self.has_reference.then(policy),
            domains: self.domains.iter().map(domain).collect(),
            optimizer: match PolicyGradient::create(options, Services::default()).unwrap() {
                optimizer if self.late_kl => Arc::new(LateKl(optimizer)),
                optimizer => Arc::new(optimizer),
            },
        };
        SelfPlay::new(config, engines)
    }

    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn log(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }

    /// Begins a check.
    fn check(&self, call: Call, context: &dyn CallContext) -> Result<()> {
        self.log(call);
        match self.checks {
            Checks::Work => Ok(()),
            Checks::Fail => Err(PluginError::new(ErrorCode::Unavailable, "out of order")),
            Checks::Last => {
                let patience = Patience::default();
                while !context.is_cancelled() {
                    patience.wait();
                }
                Err(cancelled())
            }
        }
    }

    /// Responses whose check has begun since the newest wave did.
    fn n_checked(&self) -> usize {
        let calls = self.calls.lock().unwrap();
        let of_wave = calls.iter().rev().take_while(|call| !matches!(call, Call::Generate(_)));
        let n = |call: &Call| match call {
            Call::Validate(n) | Call::Grade(n) => *n,
            _ => 0,
        };
        of_wave.map(n).sum()
    }
}

fn cancelled() -> PluginError {
    PluginError::new(ErrorCode::Cancelled, "cancelled")
}

/// Lets others work, but not for ever.
struct Patience(Instant);

impl Default for Patience {
    fn default() -> Self {
        Self(Instant::now() + Duration::from_secs(120))
    }
}

impl Patience {
    fn wait(&self) {
        assert!(Instant::now() < self.0, "it never happens");
        std::thread::yield_now();
    }
}

struct LateKl(PolicyGradient);

impl RlOptimizer for LateKl {
    fn plan(&self, step: u64, rollouts: &[RolloutSummary]) -> Result<StepPlan> {
        let mut plan = self.0.plan(step, rollouts)?;
        plan.loss.kl_coef = 0.1 * step as f32;
        Ok(plan)
    }
}

struct Bytes;

impl Tokenizer for Bytes {
    fn info(&self) -> TokenizerInfo {
        TokenizerInfo { vocab_size: 257, bos: Some(256), eos: vec![0], has_chat_template: true }
    }

    fn encode(&self, texts: &[String], control: ControlTokens) -> Result<Vec<Vec<u32>>> {
        assert_eq!(control, ControlTokens::AsText, "prompts hold untrusted text");
        Ok(texts.iter().map(|text| text.bytes().map(u32::from).collect()).collect())
    }

    fn decode(&self, _sequences: &[Vec<u32>], _skip_control: bool) -> Result<Vec<String>> {
        Err(PluginError::new(ErrorCode::Internal, "the loop never decodes"))
    }

    fn encode_chats(&self, conversations: &[Vec<Message>]) -> Result<Vec<Vec<u32>>> {
        let text = |chat: &Vec<Message>| {
            chat.iter().flat_map(|m| m.content.bytes()).map(u32::from).collect()
        };
        Ok(conversations.iter().map(text).collect())
    }

    fn vocabulary(&self) -> Result<Vec<Vec<u8>>> {
        Ok((0..=255).map(|byte| vec![byte]).collect())
    }

    fn save(&self, directory: &Path) -> Result<()> {
        std::fs::write(directory.join("tokenizer.json"), "{}")
            .map_err(|e| PluginError::new(ErrorCode::Io, e.to_string()))
    }
}

struct ToyDomain(Toy);

impl ToyDomain {
    fn task(kind: &str, number: u64) -> Task {
        let [key, subject, payload] = [(); 3].map(|()| number.to_string());
        Task { kind: kind.into(), key, subject, payload }
    }
}

impl Domain for ToyDomain {
    fn kinds(&self) -> Vec<TaskKind> {
        let kind = |name: &str, from: &[&str], count| TaskKind {
            name: name.into(),
            references: ReferenceRule {
                from: from.iter().map(|name| name.to_string()).collect(),
                count,
            },
        };
        vec![
            kind("deduction", &["deduction"], 4),
            kind("abduction", &["abduction"], 4),
            kind("induction", &["abduction", "deduction"], 1),
        ]
    }

    fn seed_tasks(&self, kind: &str) -> Result<Vec<Task>> {
        Ok(vec![Self::task(kind, 1_000_000)])
    }

    fn propose_prompts(&self, requests: &[ProposeRequest]) -> Result<Vec<Prompt>> {
        let prompt = |request: &ProposeRequest| Prompt {
            body: PromptBody::Chat(vec![Message {
                role: "user".into(),
                content: format!(
                    "P{}",
                    "r".repeat(self.0.reference_chars * request.references.len())
                ),
            }]),
            stop: vec!["\n".into()],
            max_new_tokens: 16,
        };
        Ok(requests.iter().map(prompt).collect())
    }

    fn validate(
        &self,
        proposals: &[Proposal],
        context: &dyn CallContext,
    ) -> Result<Vec<Validation>> {
        self.0.check(Call::Validate(proposals.len()), context)?;
        context.progress(proposals.len() as u64, proposals.len() as u64);
        let validate = |proposal: &Proposal| {
            let digits: String = proposal.response.chars().filter(char::is_ascii_digit).collect();
            let number =
                digits.parse::<u64>().ok().filter(|number| !self.0.rejects_all && number % 5 != 0);
            Validation {
                reason: if number.is_some() { "ok".into() } else { "Multiple of/5".into() },
                task: number.map(|number| Self::task(&proposal.kind, number)),
                well_formed: proposal.response.starts_with('<'),
                measures: number.iter().map(|n| ("size".to_owned(), *n as f64)).collect(),
            }
        };
        Ok(proposals.iter().map(validate).collect())
    }

    fn solve_prompts(&self, tasks: &[Task]) -> Result<Vec<Prompt>> {
        let prompt = |task: &Task| Prompt {
            body: PromptBody::Text(format!("S{:>width$}", task.key, width = self.0.solve_chars)),
            stop: Vec::new(),
            max_new_tokens: 8,
        };
        Ok(tasks.iter().map(prompt).collect())
    }

    fn grade(&self, answers: &[Answer], context: &dyn CallContext) -> Result<Vec<Grade>> {
        self.0.check(Call::Grade(answers.len()), context)?;
        let grade = |answer: &Answer| {
            let digits: String = answer.response.chars().filter(char::is_ascii_digit).collect();
            let gold = answer.task.payload.parse::<u64>().unwrap() % 4;
            let is_right = digits.parse() == Ok(gold);
            let score = if is_right { 1.0 } else { 0.0 };
            Grade {
                score: if self.0.nan_scores { f32::NAN } else { score },
                well_formed: answer.response.starts_with('<'),
                reason: if is_right { "ok" } else { "wrong" }.into(),
            }
        };
        Ok(answers.iter().map(grade).collect())
    }
}

struct ToyPolicy {
    toy: Toy,
    weights: u64,
    n_updates: u64,
}

/// SplitMix64, so that responses look unrelated to each other.
fn scramble(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl ToyPolicy {
    fn complete(&self, prompt: &[u32], seed: u64) -> Completion {
        let bits = prompt
            .iter()
            .fold(scramble(seed ^ self.weights), |bits, &id| scramble(bits ^ u64::from(id)));
        let is_proposal = prompt.first() == Some(&u32::from(b'P'));
        let number = bits % if is_proposal { self.toy.n_tasks } else { self.toy.n_answers };
        let opening = if (bits >> 32) % 4 == 0 { "" } else { "<" };
        let text = format!("{opening}{number}{}", self.toy.suffix);
        let tokens: Vec<u32> = text.bytes().map(u32::from).chain([0]).collect();
        let logprobs =
            tokens.iter().map(|&id| ((bits ^ u64::from(id)) % 100) as f32 / -100.0).collect();
        Completion { tokens, logprobs, finish: FinishReason::Eos, text }
    }
}

impl ToyPolicy {
    fn tell(
        &self,
        waves: &[Vec<Completion>],
        sink: &dyn CompletionSink,
        context: &dyn CallContext,
    ) -> Result<()> {
        let places = |(request, wave): (usize, &Vec<Completion>)| {
            (0..wave.len()).map(move |sample| (request, sample))
        };
        let mut told: Vec<(usize, usize)> = waves.iter().enumerate().flat_map(places).collect();
        match self.toy.tells {
            Tells::Backwards => told.reverse(),
            Tells::EveryThird => told = told.into_iter().step_by(3).collect(),
            _ => {}
        }
        let (&last, others) = told.split_last().unwrap();
        for &(request, sample) in others {
            sink.completed(request, sample, &waves[request][sample]);
        }
        let (request, sample) = last;
        let mut last = waves[request][sample].clone();
        if self.toy.tells == Tells::Lies {
            last.text.push('!');
        }
        sink.completed(request, sample, &last);
        match self.toy.tells {
            Tells::Twice => sink.completed(request, sample, &last),
            Tells::Strangers => {
                sink.completed(request, sample + 1, &last);
                sink.completed(usize::MAX, usize::MAX, &last);
            }
            _ => {}
        }
        let n_awaited = match self.toy.waits {
            Waits::Not => 0,
            Waits::ForOne => 1,
            Waits::ForAll => told.len(),
        };
        let patience = Patience::default();
        while self.toy.n_checked() < n_awaited {
            if context.is_cancelled() {
                return Err(cancelled());
            }
            patience.wait();
        }
        Ok(())
    }
}

impl Policy for ToyPolicy {
    fn info(&self) -> PolicyInfo {
        PolicyInfo {
            family: "toy".into(),
            device: self.toy.device.into(),
            n_parameters: 1,
            vocab_size: 257,
            context_length: 1_000,
        }
    }

    fn generate(
        &mut self,
        requests: &[GenerateRequest],
        sink: &dyn CompletionSink,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Completion>>> {
        if context.is_cancelled() {
            return Err(cancelled());
        }
        self.toy.log(Call::Generate(requests.to_vec()));
        assert!(requests.iter().all(|request| !request.prompt.is_empty()));
        let complete = |request: &GenerateRequest| -> Vec<Completion> {
            // A text prompt carries the beginning-of-text token.
            let prompt = request.prompt.strip_prefix(&[256]).unwrap_or(&request.prompt);
            request.seeds.iter().map(|&seed| self.complete(prompt, seed)).collect()
        };
        let mut waves: Vec<Vec<Completion>> = requests.iter().map(complete).collect();
        if self.toy.tells != Tells::Nothing {
            self.tell(&waves, sink, context)?;
            self.toy.log(Call::End);
        }
        if self.toy.fails_waves {
            return Err(PluginError::new(ErrorCode::Internal, "the wave broke"));
        }
        if self.toy.short_waves {
            waves.last_mut().unwrap().pop();
        }
        Ok(waves)
    }

    fn score(
        &mut self,
        requests: &[ScoreRequest],
        _context: &dyn CallContext,
    ) -> Result<Vec<Vec<f32>>> {
        // Weights that were never updated are 1.
        let score = -1.0 / self.weights as f32;
        let n_missing = usize::from(self.toy.short_scores);
        let scores = |request: &ScoreRequest| vec![score; request.response.len() - n_missing];
        Ok(requests.iter().map(scores).collect())
    }

    fn update(
        &mut self,
        request: &UpdateRequest,
        _context: &dyn CallContext,
    ) -> Result<UpdateReport> {
        let mut weights = self.weights;
        for sequence in &request.sequences {
            let n_tokens = sequence.response.len();
            assert!(n_tokens > 0 && sequence.behaviour_logprobs.len() == n_tokens);
            assert!(sequence.advantages.len() == n_tokens && sequence.weights.len() == n_tokens);
            for (advantage, weight) in sequence.advantages.iter().zip(&sequence.weights) {
                weights = scramble(
                    weights ^ u64::from(advantage.to_bits()) ^ u64::from(weight.to_bits()),
                );
            }
        }
        self.toy.log(Call::Update(request.clone()));
        let n_tokens =
            request.sequences.iter().map(|sequence| sequence.response.len() as u64).sum();
        let (loss, grad_norm) = match self.toy.spike_at {
            None => (f64::NAN, 0.0),
            Some(update) => (0.0, if update == self.n_updates { 1_000.0 } else { 1.0 }),
        };
        let applied = loss.is_nan() || request.bounds.admits(loss, grad_norm);
        self.n_updates += 1;
        if applied {
            self.weights = weights;
        }
        let report = UpdateReport {
            loss,
            grad_norm,
            entropy: 1.0,
            n_tokens,
            applied,
            ..UpdateReport::default()
        };
        Ok(report)
    }

    fn save(&self, directory: &Path, _with_optimizer: bool) -> Result<()> {
        let text = format!("{} {}", self.weights, self.n_updates);
        std::fs::write(directory.join("weights"), text)
            .map_err(|e| PluginError::new(ErrorCode::Io, e.to_string()))
    }

    fn load(&mut self, directory: &Path) -> Result<()> {
        let text = std::fs::read_to_string(directory.join("weights"))
            .map_err(|e| PluginError::new(ErrorCode::Io, e.to_string()))?;
        let mut numbers = text.split(' ').map(|number| number.parse().unwrap());
        (self.weights, self.n_updates) = (numbers.next().unwrap(), numbers.next().unwrap());
        Ok(())
    }
}
