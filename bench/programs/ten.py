"""Ten small benchmarks of what scripts do. Argument: rounds of each. Says when a round ends on stderr; answers with all results."""
import json
import random
import re
import sys


def loop(n=400_000):
    total = 0
    seen = [0] * 1000
    for i in range(n):
        total += i * i % 7
        seen[i % 1000] = total
    return total


def fib(n=24):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def nbody(n=80_000):
    x, v = 1.0, 0.5
    for _ in range(n):
        r = (x * x + 1.0) ** 0.5
        v += -x / (r * r * r) * 0.001
        x += v * 0.001
    return x


def strings(n=80_000):
    counts = {}
    for i in range(n):
        key = "k%d" % (i % 5000)
        counts[key] = counts.get(key, 0) + len(key)
    return len(",".join(sorted(counts)))


class Point:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y

    def add(self, other):
        return Point(self.x + other.x, self.y + other.y)


def objects(n=80_000):
    point, step = Point(0, 0), Point(1, 2)
    for _ in range(n):
        point = point.add(step)
    return point.x


def generators(n=300_000):
    return sum(x * 2 for x in range(n) if x & 1)


def sorting(n=40_000):
    numbers = random.Random(1)
    values = [numbers.random() for _ in range(n)]
    values.sort(key=lambda value: -value)
    return values[0]


def documents(n=20):
    value = {str(i): [i, i * 1.5, "abc" * 3, {"a": None}] for i in range(500)}
    text = ""
    for _ in range(n):
        text = json.dumps(value)
        value = json.loads(text)
    return len(text)


def patterns(n=60):
    text = "foo123 bar 4567 baz@example.com " * 50
    pattern = re.compile(r"(\w+)@(\w+)\.com|\d{3,}")
    return sum(len(pattern.findall(text)) for _ in range(n))


def exceptions(n=150_000):
    caught = 0
    for i in range(n):
        try:
            if i & 1:
                raise ValueError
        except ValueError:
            caught += 1
    return caught


results = {}
for run in (loop, fib, nbody, strings, objects, generators, sorting, documents, patterns, exceptions):
    for number in range(int(sys.argv[1])):
        results[run.__name__] = run()
        print(f"round {run.__name__} {number}", file=sys.stderr, flush=True)
print(json.dumps(results))
