"""How fast does carbon dioxide in the air rise? A trend by decade, with bootstrap intervals.

Ordinary Python: it reads a table, computes, and writes a table. Nothing in it knows of Reprise.
"""

import csv
import random

RESAMPLES = 300


def read(path):
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            year, month = row["Date"].split("-")[:2]
            yield int(year) + (int(month) - 0.5) / 12, float(row["CO2"])


def slope(points):
    """Least squares, in ppm a year."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    below = sum((x - mean_x) ** 2 for x, _ in points)
    return above / below


def interval(points):
    """The middle 95 % of slopes over resampled points."""
    slopes = sorted(slope(random.choices(points, k=len(points))) for _ in range(RESAMPLES))
    return slopes[int(0.025 * RESAMPLES)], slopes[int(0.975 * RESAMPLES)]


decades = {}
for when, ppm in read("co2-concentration.csv"):
    decades.setdefault(int(when) // 10 * 10, []).append((when, ppm))

with open("trend.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["decade", "months", "ppm_per_year", "low", "high"])
    for decade, points in sorted(decades.items()):
        if len(points) < 60:
            continue
        low, high = interval(points)
        table.writerow([decade, len(points), slope(points), low, high])
        print(f"{decade}s: {slope(points):.2f} ppm a year  ({low:.2f} to {high:.2f})")
