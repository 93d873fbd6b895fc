#!/usr/bin/env python3
"""PyTorch and transformers on the work of `azr-gpu-bench decode` and `train`: the same shapes, prompts and tokens.

    python benches/gpu/peers.py decode --model qwen2.5-0.5b --batch 1 32 256
    python benches/gpu/peers.py train --model qwen2.5-0.5b

Weights are random, which cost what trained ones cost. Prints results in the form of `azr-gpu-bench`, JSON objects, one
a line; --results appends them to a file as well. What does not fit into the memory or into --budget seconds is a line
too.

* decode: `generate` in bfloat16 with sampling and SDPA; the time of all tokens less that of the first, so that prompts
  are not counted. --static adds a static cache, for which transformers compile the step.
* train: forward, backward and fused AdamW on whole sequences, every token trained, with a compiled layer and loss, and
  attention without a mask, so that SDPA takes its flash kernel. Weights, gradients and state are float32 and products
  bfloat16 (autocast); --bf16 keeps all of them in bfloat16, which is less than `azr` keeps.
"""

import argparse
import json
import os
import statistics
import time

# Blocks of any size, without which most of a full GPU can be free and an allocation still fail.
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import torch
import transformers
from torch.nn.functional import cross_entropy, linear
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

# hidden, inner, layers, heads, heads of keys, vocabulary, tied, parameters; the models of `src/models.rs`.
SHAPES = {
    "smollm2-135m": (576, 1536, 30, 9, 3, 49_152, True, 134_515_008),
    "qwen2.5-0.5b": (896, 4864, 24, 14, 2, 151_936, True, 494_032_768),
    "qwen2.5-1.5b": (1536, 8960, 28, 12, 2, 151_936, True, 1_543_714_304),
    "qwen2.5-7b": (3584, 18_944, 28, 28, 4, 152_064, False, 7_615_616_512),
    "tiny": (128, 192, 2, 2, 1, 320, True, 287_872),
}


def config_of(name):
    hidden, inner, n_layers, n_heads, n_kv_heads, n_vocab, tied, _ = SHAPES[name]
    kind = LlamaConfig if name.startswith("smollm2") else Qwen2Config
    return kind(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv_heads,
        vocab_size=n_vocab,
        max_position_embeddings=32_768,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )


def tokens(seed, n, n_vocab):
    return [(seed * 7919 + index * 31) % n_vocab for index in range(n)]


def multiplying_parameters(name):
    """All but gains, biases and an embedding that is no head."""
    hidden, inner, n_layers, n_heads, n_kv_heads, n_vocab, _, _ = SHAPES[name]
    head_dim = hidden // n_heads
    layer = hidden * (2 * n_heads * head_dim + 2 * n_kv_heads * head_dim + 3 * inner)
    return n_layers * layer + n_vocab * hidden


def words_of(error):
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.device = torch.device(arguments.device)
        self.is_cuda = self.device.type == "cuda"
        self.deadline = time.perf_counter() + arguments.budget
        torch.manual_seed(1)

    def model(self, dtype):
        name = self.arguments.model
        with self.device:
            model = AutoModelForCausalLM.from_config(config_of(name), dtype=dtype, attn_implementation="sdpa")
        n_parameters = model.num_parameters()
        if n_parameters != SHAPES[name][-1]:
            raise ValueError(f"{name} has {n_parameters} parameters instead of {SHAPES[name][-1]}")
        return model

    def synchronize(self):
        if self.is_cuda:
            torch.cuda.synchronize()

    def seconds(self, work):
        self.synchronize()
        start = time.perf_counter()
        work()
        self.synchronize()
        return time.perf_counter() - start

    def forget_peak(self):
        if self.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self):
        return torch.cuda.max_memory_allocated() if self.is_cuda else None

    def emit(self, part, case, by, **values):
        model = "" if part == "limits" else self.arguments.model
        line = {"part": part, "model": model, "case": case, "by": by}
        line |= {key: value for key, value in values.items() if value is not None}
        text = json.dumps(line)
        print(text, flush=True)
        if self.arguments.results:
            with open(self.arguments.results, "a") as file:
                file.write(text + "\n")

    def measure(self, part, case, by, work):
        """One case; what fails, or is not begun for want of time, is a result as well."""
        if time.perf_counter() >= self.deadline:
            self.emit(part, case, by, problem="skipped: no time left")
            return
        try:
            values = work()
        except Exception as error:  # whatever a compiler, a kernel or the memory says belongs into the results
            values = {"problem": words_of(error)}
        self.emit(part, case, by, **values)

    # ---- limits ----------------------------------------------------------------------------------------------------

    def limits(self):
        """A copy within the memory, bytes read and written, and a large product: the cross-check of ours."""
        side, n = (64, 1 << 12) if self.arguments.tiny else (8192, 1 << 30)
        x, y = (torch.randn(side, side, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        source = torch.ones(n, device=self.device, dtype=torch.uint8)
        target = torch.empty_like(source)
        repeats = range(10)
        # Clocks take a while to be up.
        for _ in range(1 if self.arguments.tiny else 200):
            x @ y
        product_s = statistics.median(self.seconds(lambda: [x @ y for _ in repeats]) for _ in range(5)) / 10
        copy_s = statistics.median(self.seconds(lambda: [target.copy_(source) for _ in repeats]) for _ in range(5)) / 10
        name = torch.cuda.get_device_name() if self.is_cuda else "cpu"
        return {
            "copy_bytes_per_s": 2 * n / copy_s,
            "gemm_flops_per_s": 2 * side**3 / product_s,
            "text": f"{name}, PyTorch {torch.__version__}, transformers {transformers.__version__}",
        }

    # ---- generation ------------------------------------------------------------------------------------------------

    def decode(self):
        try:
            model = self.model(torch.bfloat16).eval()
        except Exception as error:  # as in `measure`
            self.emit("decode", "", "transformers", problem=words_of(error))
            return
        for batch in self.arguments.batch:
            self.measure("decode", f"batch {batch}", "transformers", lambda: self.generate(model, batch, {}))
        for batch in self.arguments.static:
            options = {"cache_implementation": "static"}
            by = "transformers, static cache"
            self.measure("decode", f"batch {batch}", by, lambda: self.generate(model, batch, options))

    @torch.inference_mode()
    def generate(self, model, batch, options):
        n_prompt, n_new, n_vocab = self.arguments.prompt, self.arguments.new, SHAPES[self.arguments.model][5]
        prompts = [tokens(sample, n_prompt, n_vocab) for sample in range(batch)]
        prompts = torch.tensor(prompts, device=self.device)
        mask = torch.ones_like(prompts)
        self.forget_peak()

        def run(n):
            found = model.generate(
                prompts, attention_mask=mask, do_sample=True, top_k=0, min_new_tokens=n, max_new_tokens=n, **options
            )
            if found.shape != (batch, n_prompt + n):
                raise ValueError(f"{found.shape[1] - n_prompt} tokens instead of {n}")

        # A static cache is as long as what is asked for, and compiled for that.
        start = time.perf_counter()
        run(n_new if options else 4)
        warm_up_s = time.perf_counter() - start
        first_s = self.seconds(lambda: run(1))
        all_s = self.seconds(lambda: run(n_new))
        step_s = (all_s - first_s) / (n_new - 1)
        return {
            "seconds": step_s,
            "rate": batch / step_s,
            "peak_bytes": self.peak_bytes(),
            "text": f"prompts and first token {first_s:.3f} s, first run {warm_up_s:.1f} s",
        }

    # ---- updates ---------------------------------------------------------------------------------------------------

    def train(self):
        arguments = self.arguments
        case = f"{arguments.sequences} x {arguments.tokens} tokens"
        by = "PyTorch, all bf16" if arguments.bf16 else "PyTorch"
        self.measure("train", case, by, self.updates)

    def updates(self):
        arguments = self.arguments
        model = self.model(torch.bfloat16 if arguments.bf16 else torch.float32).train()
        if arguments.checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        # One layer is compiled for all: the whole model takes minutes and gains little.
        for layer in model.model.layers:
            layer.compile()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
        n_vocab = SHAPES[arguments.model][5]
        sequences = [tokens(index, arguments.tokens, n_vocab) for index in range(arguments.sequences)]
        sequences = torch.tensor(sequences, device=self.device)
        micro_batches = sequences.split(max(1, arguments.micro_batch_rows // arguments.tokens))
        n_trained = sequences[:, 1:].numel()

        @torch.compile
        def loss_of(states, head, targets):
            logits = linear(states, head).float()
            return cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum") / n_trained

        def update():
            for inputs in micro_batches:
                # Copies of weights for autocast are each used once a pass, and together would not fit beside them.
                with torch.autocast(
                    self.device.type, torch.bfloat16, enabled=not arguments.bf16, cache_enabled=False
                ):
                    states = model.model(inputs, use_cache=False).last_hidden_state[:, :-1]
                    loss = loss_of(states, model.lm_head.weight, inputs[:, 1:])
                loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if not torch.isfinite(norm):
                raise ValueError(f"the gradient norm is {norm.item()}")

        self.forget_peak()
        first_s = self.seconds(update)
        seconds = statistics.median(self.seconds(update) for _ in range(arguments.repeats))
        total = sequences.numel()
        kept = "all bfloat16" if arguments.bf16 else "float32 with autocast"
        checkpointing = ", checkpointing" if arguments.checkpointing else ""
        return {
            "seconds": seconds,
            "rate": total / seconds,
            "model_flops_per_s": 6 * multiplying_parameters(arguments.model) * total / seconds,
            "peak_bytes": self.peak_bytes(),
            "text": f"{kept}, micro-batches of {arguments.micro_batch_rows} rows{checkpointing}; "
            f"first update {first_s:.1f} s",
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("operation", choices=["limits", "decode", "train"])
    parser.add_argument("--model", choices=SHAPES, default="qwen2.5-0.5b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--results", help="file that results are appended to")
    parser.add_argument("--budget", type=float, default=3600, help="seconds after which nothing more is begun")
    parser.add_argument("--tiny", action="store_true", help="sizes for a machine without a GPU")
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 32, 256])
    parser.add_argument("--static", type=int, nargs="*", default=[], help="batches with a static cache as well")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--micro-batch-rows", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="weights, gradients and state in bfloat16")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    bench.measure("limits", "", "PyTorch", bench.limits)
    if arguments.operation == "decode":
        bench.decode()
    elif arguments.operation == "train":
        bench.train()


if __name__ == "__main__":
    main()
