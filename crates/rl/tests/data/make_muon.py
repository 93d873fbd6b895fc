#!/usr/bin/env python3
"""Steps of Muon computed in float64 from its description, for the test of azr_rl's reference.

    python3 make_muon.py > muon.json

Keller Jordan's Muon (https://kellerjordan.github.io/posts/muon/): Nesterov momentum, five Newton-Schulz steps with the
coefficients (3.4445, -4.7750, 2.0315). Update scale 0.2 * sqrt(max(rows, columns)) and decoupled decay: arXiv
2502.16982, equation 4. Nothing here is taken from our code but the inputs' formula.
"""

import json
import struct
from math import sin, sqrt


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def matmul(x, y):
    return [[sum(a * b for a, b in zip(row, column)) for column in zip(*y)] for row in x]


def transpose(x):
    return [list(row) for row in zip(*x)]


def combine(a, x, b, y):
    return [[a * p + b * q for p, q in zip(r, s)] for r, s in zip(x, y)]


def orthogonalize(u):
    if len(u) > len(u[0]):
        return transpose(orthogonalize(transpose(u)))
    norm = sqrt(sum(v * v for row in u for v in row)) + 1e-7
    x = [[v / norm for v in row] for row in u]
    for _ in range(5):
        gram = matmul(x, transpose(x))
        polynomial = combine(-4.7750, gram, 2.0315, matmul(gram, gram))
        x = combine(3.4445, x, 1.0, matmul(polynomial, x))
    return x


def case(rows, columns, learning_rate, momentum, weight_decay):
    learning_rate, momentum, weight_decay = map(f32, (learning_rate, momentum, weight_decay))
    value = lambda seed, i, j: f32(sin(seed + 1.7 * i + 0.9 * j * j + 0.3 * i * j))
    p = [[value(1, i, j) for j in range(columns)] for i in range(rows)]
    m = [[0.0] * columns for _ in range(rows)]
    parameters, gradients = sum(p, []), []
    for step in range(3):
        g = [[value(5 + 3 * step, i, j) for j in range(columns)] for i in range(rows)]
        gradients.append(sum(g, []))
        m = combine(momentum, m, 1.0 - momentum, g)
        u = orthogonalize(combine(momentum, m, 1.0 - momentum, g))
        scale = 0.2 * sqrt(max(rows, columns))
        p = combine(1.0 - learning_rate * weight_decay, p, -learning_rate * scale, u)
    return {
        "n_out": rows, "n_in": columns, "learning_rate": learning_rate, "momentum": momentum,
        "weight_decay": weight_decay, "parameters": parameters, "gradients": gradients,
        "expected": sum(p, []), "expected_momentum": sum(m, []),
    }


print(json.dumps([case(3, 5, 0.02, 0.95, 0.1), case(6, 4, 0.1, 0.9, 0.0), case(1, 7, 0.05, 0.95, 0.01)], indent=1))
