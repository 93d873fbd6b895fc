#!/usr/bin/env python3
"""PyTorch and transformers on the operations of `cargo xtask bench decode|prefill|update`.

The same shapes, prompts, token counts and float32 as there, with random weights, which cost what trained ones cost.

    pip install torch transformers
    python benches/peers/torch_llama.py decode --batch 32

Prints one JSON object with the median rate in tokens per second, the repeats, and the peak resident memory in bytes.

* decode: `generate` with sampling, prompts of 150 tokens, each for up to 8 samples; the time of 24 tokens after the
  first, so that the prompts are not counted.
* prefill: prompts of 512 tokens in one batch, with a KV cache and the logits of the last token.
* update: forward, backward and AdamW on a group of 8 responses of 120 tokens to a prompt of 150, each sequence alone,
  as a plain loop does it; the loss is about the responses. Every token counts.
* train: the same on 8 sequences of 270 tokens in one batch, every token trained.
"""

import argparse
import json
import resource
import statistics
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

N_PROMPT, N_RESPONSE, GROUP, N_NEW, N_PREFILL = 150, 120, 8, 25, 512


def smollm2_135m():
    config = LlamaConfig(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49_152,
        max_position_embeddings=8192,
        rope_theta=1e5,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    torch.manual_seed(1)
    return LlamaForCausalLM(config).to(torch.float32)


def tokens(seed, n, vocab_size):
    return [(seed * 7919 + i * 31) % vocab_size for i in range(n)]


def median_s(operation, n_repeats):
    operation()
    times = []
    for _ in range(n_repeats):
        start = time.perf_counter()
        operation()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@torch.inference_mode()
def decode(model, batch, n_repeats):
    vocab_size = model.config.vocab_size
    prompts = [tokens(sample // GROUP, N_PROMPT, vocab_size) for sample in range(batch)]
    prompts = torch.tensor(prompts)
    mask = torch.ones_like(prompts)

    def generate(n_new):
        model.generate(
            prompts, attention_mask=mask, do_sample=True, top_k=0, min_new_tokens=n_new, max_new_tokens=n_new
        )

    first = median_s(lambda: generate(1), n_repeats)
    return batch * (N_NEW - 1) / (median_s(lambda: generate(N_NEW), n_repeats) - first)


@torch.inference_mode()
def prefill(model, batch, n_repeats):
    vocab_size = model.config.vocab_size
    prompts = torch.tensor([tokens(index, N_PREFILL, vocab_size) for index in range(batch)])
    seconds = median_s(lambda: model(prompts, use_cache=True, logits_to_keep=1), n_repeats)
    return prompts.numel() / seconds


def group_loss(model, sequences, n_context):
    """Weighted log-probs of the tokens behind the first `n_context`, half of them with a negative advantage."""
    logits = model(sequences[:, :-1], use_cache=False).logits[:, n_context - 1 :]
    targets = sequences[:, n_context:]
    logprobs = -torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    advantages = torch.tensor([1.0 if index % 2 == 0 else -1.0 for index in range(len(sequences))])
    return -(advantages[:, None] * logprobs).sum() / targets.shape[1]


def updates(model, micro_batches, n_context, n_repeats):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, betas=(0.9, 0.99), weight_decay=0.0)

    def update():
        optimizer.zero_grad()
        for sequences in micro_batches:
            group_loss(model, sequences, n_context).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    seconds = median_s(update, n_repeats)
    return sum(sequences.numel() for sequences in micro_batches) / seconds


def sequences_of_a_group(model):
    vocab_size = model.config.vocab_size
    prompt = tokens(0, N_PROMPT, vocab_size)
    return torch.tensor([prompt + tokens(1000 + index, N_RESPONSE, vocab_size) for index in range(GROUP)])


def update(model, _batch, n_repeats):
    return updates(model, sequences_of_a_group(model).split(1), N_PROMPT, n_repeats)


def train(model, _batch, n_repeats):
    return updates(model, [sequences_of_a_group(model)], 1, n_repeats)


def main():
    operations = {operation.__name__: operation for operation in (decode, prefill, update, train)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operation", choices=operations)
    parser.add_argument("--batch", type=int, default=2, help="samples or prompts")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rate = operations[arguments.operation](smollm2_135m(), arguments.batch, arguments.repeats)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    versions = f"PyTorch {torch.__version__}"
    print(json.dumps({"rate": rate, "repeats": arguments.repeats, "peak_bytes": memory, "version": versions}))


if __name__ == "__main__":
    main()
