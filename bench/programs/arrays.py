"""What NumPy is used for, small. Argument: rounds of each. Says when a round ends on stderr; answers with all results.

A round is some hundredths of a second of native NumPy: what is shorter is over before the engine has compiled it.
"""
import json
import sys

import numpy as np

random = np.random.RandomState(1)
a, b = random.rand(400_000), random.rand(400_000)
left, right = random.rand(160, 160), random.rand(160, 160)
tall = random.rand(120, 60)


def elementwise():
    total = 0.0
    for _ in range(8):
        c = a * b + a / (b + 1.0) - np.sqrt(a)
        c = np.where(c > 0.5, c, -c)
        total += float(c[-1])
    return total


def reductions():
    total = 0.0
    for _ in range(20):
        total += float(a.sum() + b.mean() + a.std() + b.max() + np.argmax(a))
    return total


def matmul():
    total = 0.0
    for _ in range(6):
        total += float((left @ right)[3, 4])
    return total


def svd():
    total = 0.0
    for _ in range(24):
        total += float(np.linalg.svd(tall, full_matrices=False)[1][0])
    return total


results = {}
for run in (elementwise, reductions, matmul, svd):
    for number in range(int(sys.argv[1])):
        results[run.__name__] = run()
        print(f"round {run.__name__} {number}", file=sys.stderr, flush=True)
print(json.dumps(results))
