//! Named algorithms: what each publication chose of estimator, ratio, clip and aggregation.

use azr_plugin::{LossSpec, Ratio};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aggregation, Estimator};

/// A published algorithm; [`Algorithm::objective`] says what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// Task-relative REINFORCE++ (Absolute Zero, arXiv 2505.03335), with the wider upper clip and the dual clip that its
    /// code had later, and an entropy bonus.
    #[default]
    #[serde(rename = "trr++")]
    TaskRelative,
    /// REINFORCE++ (arXiv 2501.03262): one baseline for the whole step. Its penalty on the divergence, which it takes
    /// out of the rewards, is left out.
    #[serde(rename = "reinforce++")]
    ReinforcePlusPlus,
    /// GRPO (DeepSeekMath, arXiv 2402.03300, equation 3): z-scores over the answers to one prompt, every answer counts
    /// the same, and a divergence penalty of 0.04.
    #[serde(rename = "grpo")]
    Grpo,
    /// RLOO (arXiv 2402.14740, equation 8): each answer against the mean of the other answers to its prompt, plain
    /// REINFORCE on whole answers. Its penalty on the divergence, which it takes out of the rewards, is left out.
    #[serde(rename = "rloo")]
    Rloo,
    /// Dr. GRPO (arXiv 2503.20783): GRPO without division by the deviation and by the answer's length, which favour
    /// prompts that are nearly always or never solved and long wrong answers; no divergence penalty.
    #[serde(rename = "dr_grpo")]
    DrGrpo,
    /// DAPO (arXiv 2503.14476, equation 8): GRPO with the upper clip at 0.28 and every token counting the same, without
    /// a divergence penalty. Its sampling of more prompts in place of those that teach nothing, and its penalty on long
    /// answers, are not part of an update and left out.
    #[serde(rename = "dapo")]
    Dapo,
    /// GSPO (arXiv 2507.18071, equation 5, section 5.1): GRPO with the ratio of whole answers, clipped to
    /// 1 - 0.0003..1 + 0.0004, without a divergence penalty.
    #[serde(rename = "gspo")]
    Gspo,
}

/// What an algorithm is made of: advantage estimator × ratio × clip × aggregation, and what keeps the policy in place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// How rewards become advantages.
    pub estimator: Estimator,
    /// What an advantage is multiplied by.
    pub ratio: Ratio,
    /// Lower clip distance of the ratio.
    pub clip_low: f32,
    /// Upper clip distance of the ratio.
    pub clip_high: f32,
    /// Bound on the loss of bad tokens in units of their advantage, more than 1; 0 for none.
    pub dual_clip: f32,
    /// How token losses are averaged.
    pub aggregation: Aggregation,
    /// What [`Aggregation::SequenceSum`] divides by, in tokens.
    pub length_divisor: f32,
    /// Weight of the entropy bonus.
    pub entropy_coef: f32,
    /// Weight of the divergence from the reference model.
    pub kl_coef: f32,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 7] = [
        Self::TaskRelative,
        Self::ReinforcePlusPlus,
        Self::Grpo,
        Self::Rloo,
        Self::DrGrpo,
        Self::Dapo,
        Self::Gspo,
    ];

    /// What the algorithm is made of.
    pub const fn objective(self) -> Objective {
        let grpo = Objective {
            estimator: Estimator::PromptRelative,
            ratio: Ratio::Token,
            clip_low: 0.2,
            clip_high: 0.2,
            dual_clip: 0.0,
            aggregation: Aggregation::SequenceMean,
            length_divisor: 1.0,
            entropy_coef: 0.0,
            kl_coef: 0.0,
        };
        match self {
            Self::TaskRelative => Objective {
                estimator: Estimator::TokenWhitening,
                clip_high: 0.28,
                dual_clip: 3.0,
                aggregation: Aggregation::GroupTokenMean,
                entropy_coef: 0.001,
                ..grpo
            },
            Self::ReinforcePlusPlus => Objective {
                estimator: Estimator::Global,
                aggregation: Aggregation::TokenMean,
                ..grpo
            },
            Self::Grpo => Objective { kl_coef: 0.04, ..grpo },
            Self::Rloo => Objective {
                estimator: Estimator::LeaveOneOut,
                ratio: Ratio::None,
                aggregation: Aggregation::SequenceSum,
                ..grpo
            },
            Self::DrGrpo => Objective {
                estimator: Estimator::PromptMean,
                aggregation: Aggregation::SequenceSum,
                length_divisor: 1024.0,
                ..grpo
            },
            Self::Dapo => {
                Objective { clip_high: 0.28, aggregation: Aggregation::TokenMean, ..grpo }
            }
            Self::Gspo => {
                Objective { ratio: Ratio::Sequence, clip_low: 3e-4, clip_high: 4e-4, ..grpo }
            }
        }
    }
}

impl Objective {
    /// The per-token loss at the temperature of sampling.
    pub fn loss(&self, temperature: f32) -> LossSpec {
        let Self { ratio, clip_low, clip_high, dual_clip, entropy_coef, kl_coef, .. } = *self;
        let dual_clip = (dual_clip > 0.0).then_some(dual_clip);
        LossSpec { ratio, clip_low, clip_high, dual_clip, entropy_coef, kl_coef, temperature }
    }
}
