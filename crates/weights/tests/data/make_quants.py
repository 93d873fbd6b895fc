#!/usr/bin/env python3
"""Writes quants.json: two random blocks of each GGUF tensor type and their float32 values according to the `gguf`
package. usage: pip install gguf; python3 make_quants.py"""
import json, os
import numpy as np
from gguf import GGMLQuantizationType as T, GGML_QUANT_SIZES
from gguf.quants import dequantize

# Offsets of the float16 scales in a block: random bytes there would give NaN and infinity.
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
rng = np.random.default_rng(1)
out = []
for name in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]:
    kind = T[name]
    length, size = GGML_QUANT_SIZES[kind]
    if name == "F32":
        raw = rng.standard_normal(8).astype("<f4").view(np.uint8)
    elif name == "F16":
        raw = rng.standard_normal(8).astype("<f2").view(np.uint8)
    elif name == "BF16":
        raw = (rng.standard_normal(8).astype("<f4").view("<u4") >> 16).astype("<u2").view(np.uint8)
    else:
        blocks = rng.integers(0, 256, (2, size), dtype=np.uint8)
        for at in SCALES[name]:
            blocks[:, at : at + 2] = rng.standard_normal(2).astype("<f2").view(np.uint8).reshape(2, 2)
        raw = blocks.reshape(-1)
    values = dequantize(raw, kind).astype(np.float32).reshape(-1)
    out.append({"kind": int(kind), "bytes": raw.tolist(), "values": [float(v) for v in values]})
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "quants.json"), "w") as file:
    json.dump(out, file, separators=(",", ":"))
