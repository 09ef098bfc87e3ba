"""Fisher's irises: means, principal components, the linear discriminant of 1936, and how sure its error rate is.

Run it with NumPy: reprise run --runtime numpy python analysis.py [ROUNDS]
"""
import csv
import json
import sys

import numpy as np

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 400

with open("iris.csv", newline="") as file:
    rows = list(csv.reader(file))[1:]
x = np.array([row[:4] for row in rows], dtype=float)
names, y = np.unique([row[4] for row in rows], return_inverse=True)


def discriminant(x, y):
    """Fisher's linear discriminant: the directions that separate the species best, and the mean of each in them."""
    means = np.array([x[y == k].mean(axis=0) for k in range(len(names))])
    within = sum(np.cov(x[y == k].T) * (np.sum(y == k) - 1) for k in range(len(names)))
    spread = means - x.mean(axis=0)
    between = (spread.T * np.bincount(y)) @ spread
    values, vectors = np.linalg.eig(np.linalg.solve(within, between))
    best = np.argsort(-values.real)[:2]
    directions = vectors[:, best].real
    return directions, means @ directions


def wrong(model, x, y):
    directions, means = model
    distances = np.linalg.norm((x @ directions)[:, None, :] - means, axis=2)
    return np.mean(distances.argmin(axis=1) != y)


centred = x - x.mean(axis=0)
singular = np.linalg.svd(centred, compute_uv=False)
variance = singular**2 / np.sum(singular**2)

# The error on flowers that the model has not seen, by drawing the sample again and again.
random = np.random.default_rng(1936)
errors = []
for n in range(ROUNDS):
    drawn = random.integers(0, len(y), len(y))
    left = np.setdiff1d(np.arange(len(y)), drawn)
    errors.append(wrong(discriminant(x[drawn], y[drawn]), x[left], y[left]))
low, high = np.percentile(errors, [2.5, 97.5])

result = {
    "numpy": np.__version__,
    "means": {name: x[y == k].mean(axis=0).tolist() for k, name in enumerate(names)},
    "variance of the principal components": variance.tolist(),
    "wrong on all": float(wrong(discriminant(x, y), x, y)),
    "wrong on the unseen": [float(np.mean(errors)), float(low), float(high)],
    "rounds": ROUNDS,
}
with open("result.json", "w") as file:
    json.dump(result, file, indent=1)
print(f"first component {variance[0]:.4f}, wrong on the unseen {np.mean(errors):.4f} ({low:.4f} to {high:.4f})")
