#!/usr/bin/env python3
"""Ours and theirs, in turns, on the same machine: A B C A B C ...

    cargo xtask model pull smollm2-135m
    pip install torch transformers trl llama-cpp-python
    python benches/peers/compare.py --rounds 3 --gguf ~/.cache/azr/models/smollm2-135m/model.gguf --save 2026-01-31-my-machine

A peer whose package or file is missing is left out, and said so. Prints one table of medians over the rounds with the
lowest and the highest, the peak memory, and the load of the machine; with --save it goes to
benches/results/FOLDER/peers.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = {"PyTorch": "torch_llama.py", "llama.cpp": "llama_batch.py", "TRL": "trl_grpo.py"}
# An operation: its name, our bench and the line of its table, and the arguments of the scripts of those who have it.
GENERATING = ["PyTorch", "llama.cpp"]
OPERATIONS = [
    ("decode, batch 1", "decode", "SmolLM2-135M, batch 1", ["decode", "--batch", "1"], GENERATING),
    ("decode, batch 1, int8", "decode", "SmolLM2-135M, batch 1, int8", ["decode", "--batch", "1"], GENERATING),
    ("decode, batch 32", "decode", "SmolLM2-135M, batch 32", ["decode", "--batch", "32"], GENERATING),
    ("decode, batch 64", "decode", "SmolLM2-135M, batch 64", ["decode", "--batch", "64"], GENERATING),
    ("prefill, 2 x 512 tokens", "prefill", "SmolLM2-135M, 2 x 512 tokens", ["prefill"], GENERATING),
    ("update, a group of 8", "update", "SmolLM2-135M, group of 8", ["update"], ["PyTorch"]),
    ("update, 6 groups of 8", "update", "SmolLM2-135M, 6 groups of 8", [], ["TRL"]),
    ("update, every token trained", "update", "SmolLM2-135M, every token trained", ["train"], ["PyTorch"]),
]


def ours(bench, line):
    """Tokens per second of a line of one of our benches."""
    # The filter is a regular expression; criterion runs only what matches.
    command = ["cargo", "bench", "--workspace", "--bench", bench, "--", f"^{line}$"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    table = json.loads((target / "bench" / f"{bench}.json").read_text())
    [found] = [entry for entry in table["lines"] if entry["name"] == line]
    rate, floor = found["rate"][0], found["floor_s"] / found["median_s"]
    return {"rate": rate, "floor": floor, "peak_bytes": found["peak_bytes"]}


def theirs(command):
    """What a peer's script prints, or nothing where it has no such operation or cannot run."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        print(f"left out: {' '.join(command[0].split('/')[-1:] + command[1:])}: {lines[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def measure(operation, rounds, gguf):
    _, bench, line, arguments, peers = operation
    commands = {}
    for peer in peers:
        model = [gguf] if peer == "llama.cpp" else []
        if None not in model:
            commands[peer] = [str(HERE / PEERS[peer]), *model, *arguments]
    results = {"azr": []} | {peer: [] for peer in commands}
    for _ in range(rounds):
        results["azr"].append(ours(bench, line))
        for peer, command in list(commands.items()):
            found = theirs(command)
            if found is None:
                del commands[peer]
            else:
                results[peer].append(found)
    return results


def spread(results):
    rates = [result["rate"] for result in results]
    if not rates:
        return "–"
    memory = statistics.median(result["peak_bytes"] for result in results) / 1e9
    return f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f}), {memory:.1f} GB"


def row(name, results):
    our_rate = statistics.median(result["rate"] for result in results["azr"])
    cells = [name, spread(results["azr"]), f"{statistics.median(r['floor'] for r in results['azr']):.2f}"]
    for peer in PEERS:
        found = results.get(peer, [])
        cells.append(spread(found))
        cells.append(f"{our_rate / statistics.median(r['rate'] for r in found):.1f}" if found else "–")
    return "| " + " | ".join(cells) + " |"


def table(rows, rounds, load, versions):
    return "\n".join(
        [
            "## SmolLM2-135M beside its peers",
            "",
            f"Tokens per second: median (lowest to highest) of {rounds} rounds in turns, "
            f"and peak resident memory; load before {load:.1f}; "
            f"{', '.join(versions.values()) or 'no peers'}.",
            "",
            "| operation | azr | of its floor | " + " | ".join(f"{peer} | azr / {peer}" for peer in PEERS) + " |",
            "|---" * (3 + 2 * len(PEERS)) + "|",
            *rows,
            "",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gguf", help="SmolLM2-135M for llama.cpp")
    parser.add_argument("--only", nargs="+", default=[""], help="operations whose names contain one of these")
    parser.add_argument("--save", metavar="FOLDER", help="folder below benches/results")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    rows, versions, text = [], {}, ""
    for operation in OPERATIONS:
        name = operation[0]
        if not any(part in name for part in arguments.only):
            continue
        print(f"{name} ...", file=sys.stderr)
        results = measure(operation, arguments.rounds, arguments.gguf)
        versions |= {peer: r["version"] for peer, found in results.items() for r in found if "version" in r}
        rows.append(row(name, results))
        print(rows[-1], file=sys.stderr)
        text = table(rows, arguments.rounds, load, versions)
        # After every operation: all of them take most of an hour, and none is to be lost.
        if arguments.save:
            folder = ROOT / "benches" / "results" / arguments.save
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "peers.md").write_text(text)
    if not rows:
        names = ", ".join(operation[0] for operation in OPERATIONS)
        raise SystemExit(f"no operation's name contains {' or '.join(arguments.only)!r}; there are: {names}")
    print(text)


if __name__ == "__main__":
    main()
