#!/usr/bin/env python3
"""A GRPO step of TRL on the shapes of `cargo xtask bench update`: 6 prompts of 150 tokens, 8 responses of 120 to each.

Float32 as there, with random weights, which cost what trained ones cost, and with AdamW.

    pip install torch transformers trl
    python benches/peers/trl_grpo.py

Prints one JSON object: the median rate of a step without its rollouts, in tokens per second (every token counts), that
of the rollouts in new tokens per second, the repeats, and the peak resident memory in bytes.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time

import datasets
import tokenizers
import torch
import transformers
import trl
from torch_llama import GROUP, N_PROMPT, N_RESPONSE, smollm2_135m, tokens

N_PROMPTS = 6


def tokenizer(n_vocab):
    """One word a token, so that a prompt has as many tokens as it is meant to have."""
    # Special tokens are found inside of words too: theirs must not be the beginning of another.
    ids = {"<pad>": 0, "<eos>": 1} | {f"t{i}": i for i in range(2, n_vocab)}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="<pad>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")


class TimedTrainer(trl.GRPOTrainer):
    """Notes the seconds of rollouts and of whole steps."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.rollouts, self.steps = [], []

    def _generate(self, *args, **kwargs):
        start = time.perf_counter()
        found = super()._generate(*args, **kwargs)
        self.rollouts.append(time.perf_counter() - start)
        return found


class StepClock(transformers.TrainerCallback):
    """A step ends after the optimizer's work, which a trainer's own step time leaves out."""

    def __init__(self, steps):
        self.steps = steps

    def on_step_begin(self, *_args, **_kwargs):
        self.start = time.perf_counter()

    def on_step_end(self, *_args, **_kwargs):
        self.steps.append(time.perf_counter() - self.start)


def half_right(completions, **_kwargs):
    """Every other response is right, so that every group has advantages."""
    return [float(index % 2) for index in range(len(completions))]


def settings(folder, n_steps):
    return trl.GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        max_steps=n_steps,
        learning_rate=1e-6,
        optim="adamw_torch",
        adam_beta2=0.99,
        gradient_checkpointing=False,
        per_device_train_batch_size=GROUP,
        gradient_accumulation_steps=N_PROMPTS,
        num_generations=GROUP,
        max_completion_length=N_RESPONSE,
        generation_kwargs={"min_new_tokens": N_RESPONSE},
        beta=0.0,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = smollm2_135m()
    n_vocab = model.config.vocab_size
    # No special tokens among them.
    ids = [[2 + token for token in tokens(index, N_PROMPT, n_vocab - 2)] for index in range(N_PROMPTS)]
    prompts = [" ".join(f"t{token}" for token in prompt) for prompt in ids]
    with tempfile.TemporaryDirectory() as folder:
        trainer = TimedTrainer(
            model=model,
            reward_funcs=half_right,
            # The first step is not counted.
            args=settings(folder, 1 + arguments.repeats),
            train_dataset=datasets.Dataset.from_dict({"prompt": prompts}),
            processing_class=tokenizer(n_vocab),
        )
        trainer.add_callback(StepClock(trainer.steps))
        trainer.train()
    pairs = list(zip(trainer.steps, trainer.rollouts))[1:]
    n_sequences = N_PROMPTS * GROUP
    rates = [n_sequences * (N_PROMPT + N_RESPONSE) / (step - rollout) for step, rollout in pairs]
    rollout_rates = [n_sequences * N_RESPONSE / rollout for _, rollout in pairs]
    found = {
        "rate": statistics.median(rates),
        "rollout_rate": statistics.median(rollout_rates),
        "repeats": arguments.repeats,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "version": f"TRL {trl.__version__}",
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
