#!/usr/bin/env bash
# Everything that is measured on a machine with one GPU and no Rust, ours and the peers' in turns, in one call:
#
#   benches/gpu/build.sh                # before, where Rust is; leaves benches/gpu/bin
#   OUT=folder bash benches/gpu/run.sh  # on the machine with the GPU
#
# --seconds N    after which nothing is begun and everything ends (520)
# --python P     with PyTorch and transformers; without one there are no peers (python3)
# --libraries F  folders that come before those where CUDA's libraries are found, of ours alone: an emulated GPU's
# --tiny         an emulated GPU and a model of nothing, to try this script; no figure means anything
#
# Leaves in $OUT: results.jsonl, table.md, log.txt and nvidia-smi.txt. The most worth knowing comes first, and each part has
# its own limit, so that what hangs costs its own time alone. Ends with 1 if something was not measured.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
seconds=520 python=python3 libraries= tiny=
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --python) python=$2; shift 2 ;;
    --libraries) libraries=$2:; shift 2 ;;
    --tiny) tiny=1; shift ;;
    *) echo "unknown argument: $1" >&2; exit 2 ;;
    esac
done
out=${OUT:-$here/bin/out}
mkdir -p "$out" && : >"$out/results.jsonl" && : >"$out/log.txt" || exit 2
results=$out/results.jsonl log=$out/log.txt
bench=$here/bin/azr-gpu-bench
# The shell's own clock.
SECONDS=0

# line PART MODEL BY KEY TEXT: a result that is words.
line() {
    printf '{"part": "%s", "model": "%s", "case": "", "by": "%s", "%s": "%s"}\n' \
        "$1" "$2" "$3" "$4" "$(printf %s "$5" | tr -d '"\\' | tr '\n\t' '  ')" >>"$results"
}

# part LIMIT LEAST BY PART MODEL COMMAND...: runs a part for at most LIMIT seconds, or not where fewer than LEAST are left.
part() {
    local limit=$1 least=$2 by=$3 part=$4 model=$5 left=$((seconds - SECONDS)) began=$SECONDS code
    shift 5
    if [ "$left" -lt "$least" ]; then
        line "$part" "$model" "$by" problem "skipped: $left s left"
        return
    fi
    [ "$left" -lt "$limit" ] && limit=$left
    echo "== $((SECONDS)) s: $by $part $model, at most $limit s" | tee -a "$log"
    # What is begun before three quarters of the time have passed should end before the rest has.
    timeout --kill-after=5 "$limit" "$@" --results "$results" --budget $((limit * 3 / 4)) >>"$log" 2>&1
    code=$?
    case $code in
    0 | 1) ;;
    124 | 137) line "$part" "$model" "$by" problem "ended after $limit s" ;;
    *) line "$part" "$model" "$by" problem "exit code $code, see log.txt" ;;
    esac
    echo "== $by $part $model: exit code $code after $((SECONDS - began)) s" | tee -a "$log"
}

azr() { # LIMIT LEAST PART MODEL ARGUMENTS...
    local limit=$1 least=$2 name=$3 model=$4
    shift 4
    part "$limit" "$least" azr "$name" "$model" env LD_LIBRARY_PATH="$libraries" "$bench" "$@" $tiny_azr
}

peer() { # LIMIT LEAST OPERATION MODEL ARGUMENTS...
    local limit=$1 least=$2 operation=$3 model=$4
    shift 4
    [ -n "$has_peers" ] && part "$limit" "$least" PyTorch "$operation" "$model" \
        "$python" "$here/peers.py" "$operation" --model "$model" "$@" $tiny_peer
}

# ---- the machine ---------------------------------------------------------------------------------------------------------

if command -v nvidia-smi >/dev/null; then
    nvidia-smi -q >"$out/nvidia-smi.txt" 2>&1
    columns=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit,temperature.gpu,mig.mode.current
    line facts "" nvidia-smi text "$(nvidia-smi --query-gpu=$columns --format=csv,noheader 2>&1)"
fi
line facts "" machine text "$(uname -sr), $(nproc) cores, $(grep MemTotal /proc/meminfo | tr -s ' '), open files $(ulimit -n), locked memory $(ulimit -l)"
# cuBLASLt and NVRTC come with PyTorch's wheels; the driver where containers have it. Never CUDA's stubs.
packages=$("$python" -c 'import nvidia; print(*nvidia.__path__, sep="\n")' 2>/dev/null)
while read -r folder; do
    for library in "$folder"/*/lib; do
        compgen -G "$library/libcublasLt.so*" >/dev/null || compgen -G "$library/libnvrtc.so*" >/dev/null || continue
        libraries+=$library:
    done
done <<<"$packages"
for library in /usr/local/nvidia/lib64 /usr/local/nvidia/lib /usr/local/cuda/lib64; do
    [ -d "$library" ] && libraries+=$library:
done
libraries+=${LD_LIBRARY_PATH:-}
echo "libraries: $libraries" >>"$log"
tiny_azr=${tiny:+--tiny} tiny_peer=${tiny:+--tiny --device cpu}
has_peers=
if "$python" -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("torch") and u.find_spec("transformers")))' 2>/dev/null; then
    has_peers=1
    # Reading a gigabyte of libraries for the first time is done beside what is not timed.
    "$python" -c 'import torch, transformers; from transformers import AutoModelForCausalLM' >>"$log" 2>&1 &
else
    line decode "" PyTorch problem "skipped: no PyTorch with transformers in $python"
fi

# ---- what is measured, most worth first ----------------------------------------------------------------------------------

if [ -n "$tiny" ]; then
    # What an emulated GPU and a processor can do.
    least=tiny small=tiny medium=tiny large=tiny
    lengths="--prompt 9 --new 5" batches="--batch 1 32" static=2
    updates="--sequences 4 --tokens 32 --micro-batch-rows 64" large_updates=$updates large_rows=64
    play="--model tiny --samples 4 --group 2 --prompt 9 --new 5 --micro-batch-rows 64"
else
    least=smollm2-135m small=qwen2.5-0.5b medium=qwen2.5-1.5b large=qwen2.5-7b
    lengths="--prompt 512 --new 128" batches="--batch 1 32 256" static=32
    updates="--sequences 16 --tokens 1024" large_updates="--sequences 8 --tokens 2048" large_rows=4096
    play="--samples 64 --group 8 --prompt 512 --new 256"
fi
# Options are words.
# shellcheck disable=SC2086
{
    azr 90 5 conformance "" conformance
    wait
    azr 60 10 kernels "$small $large" kernels --model $small $large
    azr 40 10 decode $small decode --model $small $batches $lengths
    peer 80 25 decode $small $batches $lengths
    azr 40 10 train $small train --model $small $updates
    peer 90 30 train $small $updates
    azr 100 30 selfplay $large selfplay7b $play
    azr 70 30 train $large train --model $large $large_updates --checkpointing --state bf16 --repeats 2
    # With float32 weights and state, twice as many rows of logits would not fit beside them.
    peer 120 50 train $large $large_updates --micro-batch-rows $large_rows --checkpointing --repeats 2
    azr 50 25 decode $large decode --model $large $batches $lengths
    peer 60 35 decode $large --batch 32 $lengths
    for model in $medium $least; do
        azr 30 12 decode $model decode --model $model $batches $lengths
        azr 30 12 train $model train --model $model $updates
        azr 30 12 kernels $model kernels --model $model
    done
    azr 25 12 decode $small decode --model $small $batches $lengths --copies int8
    peer 60 40 decode $small --batch --static $static $lengths
    peer 60 40 decode $medium --batch 32 $lengths
    peer 70 40 train $medium $updates
    peer 90 50 train $large $large_updates --checkpointing --repeats 2 --bf16
    peer 50 30 decode $least --batch 32 $lengths
    peer 50 30 train $least $updates
}

"$bench" table "$results" 2>>"$log" | tee "$out/table.md"
echo "$SECONDS s, results in $out"
! grep -q '"problem"' "$results"
