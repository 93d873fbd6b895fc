//! The loss of one token and its derivative.

use azr_plugin::{LossSpec, Ratio};

/// Log-ratios are cut to this magnitude before they are exponentiated, so that a token whose
/// probability collapsed between sampling and training cannot turn the whole update infinite.
const MAX_LOG_RATIO: f32 = 20.0;

/// The policy loss of one token, before its weight and without the entropy bonus.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLoss {
    /// Loss in units of advantage.
    pub loss: f32,
    /// Derivative of `loss` with respect to the log-probability; 0 where a bound holds the loss constant.
    pub d_logprob: f32,
    /// Whether a bound (clip, dual clip or the limit on the log-ratio) holds the loss constant.
    pub clipped: bool,
}

/// The loss of one token as [`LossSpec`] defines it (arXiv 1707.06347, equation 7; dual clip:
/// arXiv 1912.09729, equation 5), in nats of `logprob` and `behaviour`.
///
/// On-policy (`logprob == behaviour`) the loss is `-advantage` and so is its derivative: plain REINFORCE.
/// Values that are not a number come out as such, so that the caller can skip the update.
pub fn token_loss(logprob: f32, behaviour: f32, advantage: f32, loss: &LossSpec) -> TokenLoss {
    match loss.ratio {
        Ratio::Token => clipped_loss(logprob, behaviour, advantage, loss),
        Ratio::None | Ratio::Sequence => linear_loss(logprob, advantage),
    }
}

fn linear_loss(logprob: f32, advantage: f32) -> TokenLoss {
    // An impossible token without an advantage would come out as 0 times infinity.
    let loss = if advantage == 0.0 && !logprob.is_nan() { 0.0 } else { -advantage * logprob };
    TokenLoss { loss, d_logprob: -advantage, clipped: false }
}

fn clipped_loss(logprob: f32, behaviour: f32, advantage: f32, loss: &LossSpec) -> TokenLoss {
    let log_ratio = logprob - behaviour;
    let ratio = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp();
    if advantage == 0.0 && ratio.is_finite() {
        return TokenLoss { loss: 0.0, d_logprob: 0.0, clipped: false };
    }
    let unclipped = -advantage * ratio;
    let clipped = -advantage * ratio.clamp(1.0 - loss.clip_low, 1.0 + loss.clip_high);
    let mut result = if clipped > unclipped {
        TokenLoss { loss: clipped, d_logprob: 0.0, clipped: true }
    } else {
        let is_cut = log_ratio.abs() > MAX_LOG_RATIO;
        TokenLoss {
            loss: unclipped,
            d_logprob: if is_cut { 0.0 } else { unclipped },
            clipped: is_cut,
        }
    };
    if let Some(dual_clip) = loss.dual_clip
        && advantage < 0.0
        && result.loss > -advantage * dual_clip
    {
        result = TokenLoss { loss: -advantage * dual_clip, d_logprob: 0.0, clipped: true };
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(dual_clip: Option<f32>) -> LossSpec {
        LossSpec { clip_high: 0.28, dual_clip, ..LossSpec::default() }
    }

    #[test]
    fn on_policy_it_is_reinforce() {
        for advantage in [-1.5_f32, 0.25, 2.0] {
            let token = token_loss(-0.7, -0.7, advantage, &spec(Some(3.0)));
            assert_eq!(
                token,
                TokenLoss { loss: -advantage, d_logprob: -advantage, clipped: false }
            );
        }
    }

    #[test]
    fn clips_only_where_the_objective_would_gain() {
        let ln = |ratio: f32| ratio.ln();
        // A good token that is already 1.28 times as likely earns nothing more.
        let token = token_loss(ln(1.5), 0.0, 1.0, &spec(None));
        assert_eq!((token.loss, token.d_logprob, token.clipped), (-1.28, 0.0, true));
        // A bad token that is already 0.8 times as likely is pushed no further.
        let token = token_loss(ln(0.5), 0.0, -1.0, &spec(None));
        assert_eq!((token.loss, token.d_logprob, token.clipped), (0.8, 0.0, true));
        // Moves in the wrong direction are never clipped.
        let token = token_loss(ln(0.5), 0.0, 1.0, &spec(None));
        assert!(
            (token.loss + 0.5).abs() < 1e-6
                && (token.d_logprob + 0.5).abs() < 1e-6
                && !token.clipped
        );
        let token = token_loss(ln(2.0), 0.0, -1.0, &spec(None));
        assert!(
            (token.loss - 2.0).abs() < 1e-6
                && (token.d_logprob - 2.0).abs() < 1e-6
                && !token.clipped
        );
    }

    #[test]
    fn dual_clip_bounds_bad_tokens_only() {
        let token = token_loss(5.0_f32.ln(), 0.0, -2.0, &spec(Some(3.0)));
        assert_eq!((token.loss, token.d_logprob, token.clipped), (6.0, 0.0, true));
        let token = token_loss(2.0_f32.ln(), 0.0, -2.0, &spec(Some(3.0)));
        assert!(!token.clipped);
    }

    #[test]
    fn without_a_ratio_it_is_linear_and_the_behaviour_policy_does_not_matter() {
        let spec = LossSpec { ratio: Ratio::None, ..spec(Some(3.0)) };
        for behaviour in [-0.5, -30.0, f32::NAN] {
            let token = token_loss(-2.5, behaviour, 1.0, &spec);
            assert_eq!(token, TokenLoss { loss: 2.5, d_logprob: -1.0, clipped: false });
            let token = token_loss(-40.0, behaviour, -0.5, &spec);
            assert_eq!(token, TokenLoss { loss: -20.0, d_logprob: 0.5, clipped: false });
        }
        assert_eq!(token_loss(f32::NEG_INFINITY, 0.0, 0.0, &spec).loss, 0.0);
        assert!(token_loss(f32::NAN, 0.0, 0.0, &spec).loss.is_nan());
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
            let slope = (above.loss - below.loss) / (2.0 * step);
            prop_assert!((slope - here.d_logprob).abs() <= 0.02 * (1.0 + here.d_logprob.abs()), "{slope} {here:?}");
        }
    }
}
