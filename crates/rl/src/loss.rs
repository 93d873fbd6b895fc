//! The loss of a token and its derivative.

use azr_plugin::{LossSpec, Ratio};

/// Log-ratios are cut to this magnitude before they are exponentiated, so that a token whose
/// probability collapsed between sampling and training cannot turn the whole update infinite.
const MAX_LOG_RATIO: f64 = 20.0;

/// The loss of one token, before its weight and without the entropy bonus.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TokenLoss {
    /// Loss in units of advantage, the divergence from the reference included.
    pub loss: f64,
    /// Derivative of the update's loss by the token's log-probability, before the token's weight; 0 where a bound holds
    /// the loss constant.
    pub d_logprob: f64,
    /// Whether a bound (clip, dual clip or the limit on the log-ratio) holds the policy loss constant.
    pub clipped: bool,
    /// Estimated divergence from the reference in nats; 0 where none is asked for.
    pub kl: f64,
}

/// The policy loss of one token as [`LossSpec`] defines it (arXiv 1707.06347, equation 7; dual clip:
/// arXiv 1912.09729, equation 5), in nats of `logprob` and `behaviour`. The divergence from a reference and the ratio of
/// a whole response are [`response_losses`]'s: here `Ratio::Sequence` counts as `Ratio::None`.
///
/// On-policy (`logprob == behaviour`) the loss is `-advantage` and so is its derivative: plain REINFORCE.
/// Values that are not a number come out as such, so that the caller can skip the update.
pub fn token_loss(logprob: f32, behaviour: f32, advantage: f32, loss: &LossSpec) -> TokenLoss {
    match loss.ratio {
        Ratio::Token => {
            ratio_loss(f64::from(logprob) - f64::from(behaviour), f64::from(advantage), loss)
        }
        Ratio::None | Ratio::Sequence => linear_loss(f64::from(logprob), f64::from(advantage)),
    }
}

/// One response: a number per token in each slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Response<'a> {
    /// Log-probabilities under the weights in training, nats.
    pub logprobs: &'a [f32],
    /// Those when the tokens were sampled; `Ratio::None` does not ask for them.
    pub behaviour: &'a [f32],
    /// Those under the reference model; only a `kl_coef` asks for them.
    pub reference: &'a [f32],
    /// Advantages.
    pub advantages: &'a [f32],
}

/// The loss of each token of a response, where tokens may depend on each other.
///
/// Under [`Ratio::Sequence`] the ratio of every token is `s = exp(mean(logprob - behaviour))` (GSPO, arXiv 2507.18071,
/// equation 7). With one advantage and one weight for all tokens, the derivative of the response's loss by each token's
/// log-probability is `-A s` times the weight, as for an unclipped token ratio of `s`; with several it is GSPO-token's
/// (equation 13). The divergence is k3 (see [`LossSpec`]); a token that became `exp(20)` times less likely than under
/// the reference is counted at that bound, where its derivative is 0.
pub fn response_losses(response: &Response<'_>, loss: &LossSpec) -> Vec<TokenLoss> {
    let n_tokens = response.logprobs.len();
    let log_ratio = |i: usize| f64::from(response.logprobs[i]) - f64::from(response.behaviour[i]);
    let sequence_log_ratio = match loss.ratio {
        Ratio::Sequence => (0..n_tokens).map(log_ratio).sum::<f64>() / n_tokens as f64,
        Ratio::Token | Ratio::None => 0.0,
    };
    let token = |i: usize| {
        let (logprob, advantage) =
            (f64::from(response.logprobs[i]), f64::from(response.advantages[i]));
        let policy = match loss.ratio {
            Ratio::Token => ratio_loss(log_ratio(i), advantage, loss),
            Ratio::None => linear_loss(logprob, advantage),
            Ratio::Sequence => ratio_loss(sequence_log_ratio, advantage, loss),
        };
        if loss.kl_coef == 0.0 {
            return policy;
        }
        let (kl, d_kl) = divergence(logprob, f64::from(response.reference[i]));
        let kl_coef = f64::from(loss.kl_coef);
        TokenLoss {
            loss: policy.loss + kl_coef * kl,
            d_logprob: policy.d_logprob + kl_coef * d_kl,
            kl,
            ..policy
        }
    };
    (0..n_tokens).map(token).collect()
}

fn linear_loss(logprob: f64, advantage: f64) -> TokenLoss {
    // An impossible token without an advantage would come out as 0 times infinity.
    let loss = if advantage == 0.0 && !logprob.is_nan() { 0.0 } else { -advantage * logprob };
    TokenLoss { loss, d_logprob: -advantage, ..TokenLoss::default() }
}

/// The clipped loss of one log-ratio and its derivative by it.
fn ratio_loss(log_ratio: f64, advantage: f64, loss: &LossSpec) -> TokenLoss {
    let ratio = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp();
    if advantage == 0.0 && ratio.is_finite() {
        return TokenLoss::default();
    }
    let held = |loss| TokenLoss { loss, clipped: true, ..TokenLoss::default() };
    let unclipped = -advantage * ratio;
    let (low, high) = (1.0 - f64::from(loss.clip_low), 1.0 + f64::from(loss.clip_high));
    let clipped = -advantage * ratio.clamp(low, high);
    let result = if clipped > unclipped {
        held(clipped)
    } else if log_ratio.abs() > MAX_LOG_RATIO {
        held(unclipped)
    } else {
        TokenLoss { loss: unclipped, d_logprob: unclipped, ..TokenLoss::default() }
    };
    match loss.dual_clip.map(|bound| -advantage * f64::from(bound)) {
        Some(bound) if advantage < 0.0 && result.loss > bound => held(bound),
        _ => result,
    }
}

/// The k3 estimate of the divergence at one token, and its derivative by `logprob`.
fn divergence(logprob: f64, reference: f64) -> (f64, f64) {
    let difference = reference - logprob;
    let bounded = if difference > MAX_LOG_RATIO { MAX_LOG_RATIO } else { difference };
    let slope = if difference > MAX_LOG_RATIO { 0.0 } else { 1.0 - bounded.exp() };
    (bounded.exp() - bounded - 1.0, slope)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(dual_clip: Option<f32>) -> LossSpec {
        LossSpec { clip_high: 0.28, dual_clip, ..LossSpec::default() }
    }

    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-6, "{actual} is not {expected}");
    }

    #[test]
    fn on_policy_it_is_reinforce() {
        for advantage in [-1.5_f32, 0.25, 2.0] {
            let token = token_loss(-0.7, -0.7, advantage, &spec(Some(3.0)));
            let a = f64::from(advantage);
            let expected = TokenLoss { loss: -a, d_logprob: -a, ..TokenLoss::default() };
            assert_eq!(token, expected);
        }
    }

    #[test]
    fn clips_only_where_the_objective_would_gain() {
        let ln = |ratio: f32| ratio.ln();
        // A good token that is already 1.28 times as likely earns nothing more.
        let token = token_loss(ln(1.5), 0.0, 1.0, &spec(None));
        assert_close(token.loss, -1.28);
        assert_eq!((token.d_logprob, token.clipped), (0.0, true));
        // A bad token that is already 0.8 times as likely is pushed no further.
        let token = token_loss(ln(0.5), 0.0, -1.0, &spec(None));
        assert_close(token.loss, 0.8);
        assert_eq!((token.d_logprob, token.clipped), (0.0, true));
        // Moves in the wrong direction are never clipped.
        let token = token_loss(ln(0.5), 0.0, 1.0, &spec(None));
        assert_close(token.loss, -0.5);
        assert!(token.d_logprob == token.loss && !token.clipped);
        let token = token_loss(ln(2.0), 0.0, -1.0, &spec(None));
        assert_close(token.loss, 2.0);
        assert!(token.d_logprob == token.loss && !token.clipped);
    }

    #[test]
    fn without_a_ratio_it_is_linear_and_the_behaviour_policy_does_not_matter() {
        let spec = LossSpec { ratio: Ratio::None, ..spec(Some(3.0)) };
        for behaviour in [-0.5, -30.0, f32::NAN] {
            let token = token_loss(-2.5, behaviour, 1.0, &spec);
            let expected = TokenLoss { loss: 2.5, d_logprob: -1.0, ..TokenLoss::default() };
            assert_eq!(token, expected);
            let token = token_loss(-40.0, behaviour, -0.5, &spec);
            let expected = TokenLoss { loss: -20.0, d_logprob: 0.5, ..TokenLoss::default() };
            assert_eq!(token, expected);
        }
        assert_eq!(token_loss(f32::NEG_INFINITY, 0.0, 0.0, &spec).loss, 0.0);
        assert!(token_loss(f32::NAN, 0.0, 0.0, &spec).loss.is_nan());
    }

    #[test]
    fn dual_clip_bounds_bad_tokens_only() {
        let token = token_loss(5.0_f32.ln(), 0.0, -2.0, &spec(Some(3.0)));
        assert_eq!((token.loss, token.d_logprob, token.clipped), (6.0, 0.0, true));
        let token = token_loss(2.0_f32.ln(), 0.0, -2.0, &spec(Some(3.0)));
        assert!(!token.clipped);
    }

    #[test]
    fn huge_ratios_stay_finite_and_nan_is_not_hidden() {
        let token = token_loss(0.0, -1e4, -1.0, &spec(None));
        assert!(token.loss.is_finite() && token.d_logprob == 0.0 && token.clipped);
        let token = token_loss(f32::NEG_INFINITY, 0.0, 1.0, &spec(None));
        assert!(token.loss.is_finite() && token.d_logprob == 0.0);
        for (logprob, advantage) in [(f32::NAN, 1.0), (f32::NAN, 0.0), (-1.0, f32::NAN)] {
            assert!(token_loss(logprob, -1.0, advantage, &spec(Some(3.0))).loss.is_nan());
        }
        let (kl, slope) = divergence(f64::NEG_INFINITY, -1.0);
        assert!(kl.is_finite() && slope == 0.0);
        assert!(divergence(f64::NAN, -1.0).0.is_nan() && divergence(f64::NAN, -1.0).1.is_nan());
    }

    #[test]
    fn the_divergence_is_zero_at_the_reference_and_positive_elsewhere() {
        assert_eq!(divergence(-1.5, -1.5), (0.0, 0.0));
        let (above, below) = (divergence(-1.0, -1.5), divergence(-2.0, -1.5));
        assert!(above.0 > 0.0 && above.1 > 0.0, "too likely: the loss falls with less");
        assert!(below.0 > 0.0 && below.1 < 0.0, "too unlikely: the loss falls with more");
    }

    /// A response's loss under one weight for all of its tokens.
    fn total(logprobs: &[f32], behaviour: &[f32], advantage: f32, spec: &LossSpec) -> f64 {
        let (reference, advantages) =
            (vec![-1.25; logprobs.len()], vec![advantage; logprobs.len()]);
        let response =
            Response { logprobs, behaviour, reference: &reference, advantages: &advantages };
        response_losses(&response, spec).iter().map(|token| token.loss).sum()
    }

    proptest! {
        #[test]
        fn the_derivative_is_the_slope(
            logprob in -3.0_f32..0.0, behaviour in -3.0_f32..0.0, advantage in -3.0_f32..3.0, dual in any::<bool>(),
        ) {
            let spec = spec(dual.then_some(3.0));
            let step = 1e-3_f32;
            let at = |x: f32| token_loss(x, behaviour, advantage, &spec);
            let (below, here, above) = (at(logprob - step), at(logprob), at(logprob + step));
            // At a kink the one-sided slopes differ and no single number is right.
            prop_assume!(below.clipped == above.clipped);
            let slope = (above.loss - below.loss) / (2.0 * f64::from(step));
            prop_assert!((slope - here.d_logprob).abs() <= 0.02 * (1.0 + here.d_logprob.abs()), "{slope} {here:?}");
        }

        #[test]
        fn derivatives_of_whole_responses_are_slopes(
            tokens in prop::collection::vec((-3.0_f32..0.0, -0.3_f32..0.3), 1..6),
            advantage in -2.0_f32..2.0, kl_coef in 0.0_f32..0.5, moved in 0_usize..6, ratio in 0..3,
        ) {
            let ratio = [Ratio::Token, Ratio::None, Ratio::Sequence][ratio as usize];
            let spec = LossSpec { ratio, kl_coef, clip_low: 0.1, clip_high: 0.1, ..LossSpec::default() };
            let logprobs: Vec<f32> = tokens.iter().map(|(l, _)| *l).collect();
            let behaviour: Vec<f32> = tokens.iter().map(|(l, gap)| l + gap).collect();
            let moved = moved % tokens.len();
            let step = 1e-3_f32;
            let at = |by: f32| {
                let mut logprobs = logprobs.clone();
                logprobs[moved] += by;
                (total(&logprobs, &behaviour, advantage, &spec), f64::from(logprobs[moved]))
            };
            let (advantages, reference) = (vec![advantage; tokens.len()], vec![-1.25; tokens.len()]);
            let response = Response { logprobs: &logprobs, behaviour: &behaviour, reference: &reference, advantages: &advantages };
            let here = response_losses(&response, &spec)[moved];
            let (above, below) = (at(step), at(-step));
            let log_ratios = tokens.iter().map(|(_, gap)| -gap);
            let log_ratio = match ratio {
                Ratio::Sequence => log_ratios.sum::<f32>() / tokens.len() as f32,
                _ => -tokens[moved].1,
            };
            // At a kink no single number is right.
            prop_assume!([0.9_f32.ln(), 1.1_f32.ln()].iter().all(|kink| (log_ratio - kink).abs() > 2.0 * step));
            let slope = (above.0 - below.0) / (above.1 - below.1);
            prop_assert!((slope - here.d_logprob).abs() <= 1e-4 * (1.0 + here.d_logprob.abs()), "{slope} {here:?}");
        }
    }
}
