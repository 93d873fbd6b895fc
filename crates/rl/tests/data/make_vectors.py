#!/usr/bin/env python3
"""Figures that azr-rl's algorithms are tested against, computed in float64 from the papers' formulas.

    python3 make_vectors.py > vectors.json

Every input is a float32 number (as our code gets it), every result is float64. Nothing here is taken from our code
but two conventions, which the papers leave open: deviations are unbiased with 1e-8 added to the variance (as in the
published code of Absolute Zero), and proposals or answers without another one to compare with have advantage 0.
"""

import json
import random
import struct
from math import exp, fsum, sqrt

EPSILON = 1e-8


def f32(x):
    """The float32 number next to x."""
    return struct.unpack("f", struct.pack("f", x))[0]


# What each paper chose. Numbers of the loss are float32 like all options.
ALGORITHMS = {
    # Absolute Zero (arXiv 2505.03335) and its code: masked whitening per task and role, clip 0.2/0.28, dual clip 3.
    "trr++": dict(estimator="whiten_tokens_of_group", ratio="token", clip=(0.2, 0.28), dual_clip=3.0,
                  aggregation="group_token_mean", divisor=1.0, entropy_coef=0.001, kl_coef=0.0),
    # REINFORCE++ (arXiv 2501.03262): normalization over the global batch.
    "reinforce++": dict(estimator="whiten_tokens_of_all", ratio="token", clip=(0.2, 0.2), dual_clip=None,
                        aggregation="token_mean", divisor=1.0, entropy_coef=0.0, kl_coef=0.0),
    # DeepSeekMath (arXiv 2402.03300), equations 3 and 4, section 4.2: beta = 0.04.
    "grpo": dict(estimator="z_score_of_prompt", ratio="token", clip=(0.2, 0.2), dual_clip=None,
                 aggregation="sequence_mean", divisor=1.0, entropy_coef=0.0, kl_coef=0.04),
    # RLOO (arXiv 2402.14740), equation 8: the whole answer is one action.
    "rloo": dict(estimator="leave_one_out", ratio="none", clip=(0.2, 0.2), dual_clip=None,
                 aggregation="sequence_sum", divisor=1.0, entropy_coef=0.0, kl_coef=0.0),
    # Dr. GRPO (arXiv 2503.20783), listing 1: masked sum divided by a constant length.
    "dr_grpo": dict(estimator="mean_of_prompt", ratio="token", clip=(0.2, 0.2), dual_clip=None,
                    aggregation="sequence_sum", divisor=1024.0, entropy_coef=0.0, kl_coef=0.0),
    # DAPO (arXiv 2503.14476), equation 8.
    "dapo": dict(estimator="z_score_of_prompt", ratio="token", clip=(0.2, 0.28), dual_clip=None,
                 aggregation="token_mean", divisor=1.0, entropy_coef=0.0, kl_coef=0.0),
    # GSPO (arXiv 2507.18071), equations 5 to 7, section 5.1.
    "gspo": dict(estimator="z_score_of_prompt", ratio="sequence", clip=(3e-4, 4e-4), dual_clip=None,
                 aggregation="sequence_mean", divisor=1.0, entropy_coef=0.0, kl_coef=0.0),
}


def z_scores(rewards):
    n = len(rewards)
    if n < 2 or len(set(rewards)) == 1:
        return [0.0] * n
    mean = fsum(rewards) / n
    variance = fsum((r - mean) ** 2 for r in rewards) / (n - 1)
    return [(r - mean) / sqrt(variance + EPSILON) for r in rewards]


def advantages(estimator, rollouts):
    """One advantage per rollout, each computed from the list of all those it is compared with."""
    result = []
    for rollout in rollouts:
        if estimator == "whiten_tokens_of_group":
            peers = [r for r in rollouts if r["group"] == rollout["group"]]
        elif estimator == "whiten_tokens_of_all":
            peers = rollouts
        else:
            peers = [r for r in rollouts if r["prompt"] == rollout["prompt"]]
        position = next(i for i, peer in enumerate(peers) if peer is rollout)
        rewards = [r["reward"] for r in peers]
        if estimator.startswith("whiten_tokens"):
            # The reward stands at every token: whitening over the list of all tokens.
            spread = [r["reward"] for r in peers for _ in range(r["n_tokens"])]
            first = sum(r["n_tokens"] for r in peers[:position])
            result.append(z_scores(spread)[first])
        elif estimator == "z_score_of_prompt":
            result.append(z_scores(rewards)[position])
        elif estimator == "mean_of_prompt":
            result.append(rollout["reward"] - fsum(rewards) / len(rewards))
        elif estimator == "leave_one_out":
            others = rewards[:position] + rewards[position + 1:]
            result.append(rollout["reward"] - fsum(others) / len(others) if others else 0.0)
    return result


def token_weight(algorithm, rollouts, rollout):
    n_tokens = sum(r["n_tokens"] for r in rollouts)
    kind = algorithm["aggregation"]
    if kind == "group_token_mean":
        of_group = sum(r["n_tokens"] for r in rollouts if r["group"] == rollout["group"])
        return 1 / of_group / len({r["group"] for r in rollouts})
    if kind == "token_mean":
        return 1 / n_tokens
    if kind == "sequence_mean":
        return 1 / len(rollouts) / rollout["n_tokens"]
    return 1 / len(rollouts) / algorithm["divisor"]


def surrogate(ratio, advantage, low, high, dual_clip):
    """PPO's clipped objective, negated, and its derivative by the logarithm of the ratio."""
    plain, held = ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage
    value, slope = (plain, plain) if plain <= held else (held, 0.0)
    if dual_clip is not None and advantage < 0 and value < dual_clip * advantage:
        value, slope = dual_clip * advantage, 0.0
    return -value, -slope


def update(algorithm, rollouts):
    low, high = (f32(x) for x in algorithm["clip"])
    kl_coef = f32(algorithm["kl_coef"])
    found = advantages(algorithm["estimator"], rollouts)
    per_rollout, total = [], 0.0
    for rollout, advantage in zip(rollouts, found):
        weight = token_weight(algorithm, rollouts, rollout)
        # The per-token advantage goes to the loss as float32.
        a = f32(advantage)
        differences = [lp - old for lp, old in zip(rollout["logprobs"], rollout["behaviour"])]
        sequence_ratio = exp(fsum(differences) / len(differences))
        losses, gradient, divergences = [], [], []
        for lp, difference, ref in zip(rollout["logprobs"], differences, rollout["reference"]):
            if algorithm["ratio"] == "token":
                loss, slope = surrogate(exp(difference), a, low, high, algorithm["dual_clip"])
            elif algorithm["ratio"] == "none":
                loss, slope = -a * lp, -a
            else:
                # d s / d lp of any token is s / |y|; the |y| equal terms of the answer add up to this.
                loss, slope = surrogate(sequence_ratio, a, low, high, algorithm["dual_clip"])
            divergence = exp(ref - lp) - (ref - lp) - 1
            losses.append(loss + kl_coef * divergence)
            gradient.append(weight * (slope + kl_coef * (1 - exp(ref - lp))))
            divergences.append(divergence if kl_coef else 0.0)
        total += weight * fsum(losses)
        per_rollout.append(dict(advantage=advantage, weight=weight, losses=losses, gradient=gradient,
                                divergences=divergences))
    return dict(rollouts=per_rollout, total=total)


def make_rollouts():
    """Three groups: ties, a prompt with equal rewards, one with a single answer, one with a single token."""
    rng = random.Random(11)
    shape = [  # group, prompt, reward, tokens
        (0, 0, 1.0, 3), (0, 0, 0.0, 5), (0, 0, 1.0, 2), (0, 0, 0.0, 1),
        (0, 1, 1.0, 4), (0, 1, 1.0, 2),
        (0, 2, 0.25, 6),
        (1, 3, -0.5, 2), (1, 3, 0.875, 7), (1, 3, -1.0, 3),
        (2, 4, -1.0, 4), (2, 4, -1.0, 1), (2, 4, 0.3, 2), (2, 4, 0.1, 3),
    ]
    rollouts = []
    for index, (group, prompt, reward, n_tokens) in enumerate(shape):
        logprobs = [f32(-rng.expovariate(0.8)) for _ in range(n_tokens)]
        # Some answers were sampled by nearly the same policy, some by one that is far off.
        spread = [2e-4, 1.5, 0.4, 0.05][index % 4]
        rollouts.append(dict(
            group=group, prompt=prompt, reward=f32(reward), n_tokens=n_tokens, logprobs=logprobs,
            behaviour=[f32(lp - rng.gauss(0, spread)) for lp in logprobs],
            reference=[f32(lp + rng.gauss(0, 0.7)) for lp in logprobs],
        ))
    return rollouts


if __name__ == "__main__":
    batch = make_rollouts()
    cases = {name: dict(algorithm, expected=update(algorithm, batch)) for name, algorithm in ALGORITHMS.items()}
    print(json.dumps(dict(rollouts=batch, algorithms=cases)))
