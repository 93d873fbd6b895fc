#!/usr/bin/env python3
"""llama.cpp on the operations of `cargo xtask bench decode|prefill`.

It computes in the types of the file it is given; `azr model pull smollm2-135m` fetches a quantised one.

    pip install llama-cpp-python
    python benches/peers/llama_batch.py MODEL.gguf decode --batch 32

Prints one JSON object with the median rate in tokens per second, the repeats, and the peak resident memory in bytes.

* decode: one batch per token of 24 tokens after prompts of 150, each for up to 8 samples, whose cells they share.
* prefill: prompts of 512 tokens, and the logits of the last token.

Tokens are not sampled: the next ones are given, which saves the peer that time.
"""

import argparse
import json
import resource
import statistics
import time

import llama_cpp

N_PROMPT, GROUP, N_NEW, N_PREFILL = 150, 8, 25, 512


class Context:
    def __init__(self, path, n_threads, n_cells, n_sequences):
        llama_cpp.llama_backend_init()
        parameters = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
        if not self.model:
            raise SystemExit(f"{path} cannot be loaded")
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = n_cells
        parameters.n_batch = parameters.n_ubatch = N_PREFILL
        parameters.n_seq_max = n_sequences
        parameters.n_threads = parameters.n_threads_batch = n_threads
        # One buffer for all sequences, so that they can share the cells of a prompt.
        parameters.kv_unified = True
        self.context = llama_cpp.llama_init_from_model(self.model, parameters)
        if not self.context:
            raise SystemExit("llama.cpp made no context")
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(max(N_PREFILL, n_sequences), 0, n_sequences)

    def clear(self):
        llama_cpp.llama_memory_clear(self.memory, True)

    def decode(self, rows):
        """Rows of (token, position, sequence, whether logits are wanted)."""
        self.batch.n_tokens = len(rows)
        for index, (token, position, sequence, has_logits) in enumerate(rows):
            self.batch.token[index] = token % self.n_vocab
            self.batch.pos[index] = position
            self.batch.n_seq_id[index] = 1
            self.batch.seq_id[index][0] = sequence
            self.batch.logits[index] = has_logits
        if llama_cpp.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama.cpp could not decode a batch")

    def prompt(self, index, length, sequence):
        self.decode(
            [(index * 7919 + i * 31, i, sequence, i + 1 == length) for i in range(length)]
        )


def decode(context, batch):
    context.clear()
    for first in range(0, batch, GROUP):
        context.prompt(first // GROUP, N_PROMPT, first)
        for sample in range(first + 1, min(first + GROUP, batch)):
            llama_cpp.llama_memory_seq_cp(context.memory, first, sample, -1, -1)
    start = time.perf_counter()
    for step in range(N_NEW - 1):
        context.decode([(sample * 31 + step, N_PROMPT + step, sample, True) for sample in range(batch)])
    return batch * (N_NEW - 1) / (time.perf_counter() - start)


def prefill(context, batch):
    context.clear()
    start = time.perf_counter()
    for sequence in range(batch):
        context.prompt(sequence, N_PREFILL, sequence)
    return batch * N_PREFILL / (time.perf_counter() - start)


def main():
    operations = {operation.__name__: operation for operation in (decode, prefill)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("operation", choices=operations)
    parser.add_argument("--batch", type=int, default=2, help="samples or prompts")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    batch = arguments.batch
    n_cells = batch * max(N_PROMPT + N_NEW, N_PREFILL)
    context = Context(arguments.model, arguments.threads, n_cells, batch)
    operation = operations[arguments.operation]
    operation(context, batch)
    rate = statistics.median(operation(context, batch) for _ in range(arguments.repeats))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    version = f"llama-cpp-python {llama_cpp.__version__}"
    print(json.dumps({"rate": rate, "repeats": arguments.repeats, "peak_bytes": memory, "version": version}))


if __name__ == "__main__":
    main()
