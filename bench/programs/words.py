"""Counts and sorts random words. Argument: rounds."""
import random
import sys

random.seed(7)
for r in range(int(sys.argv[1])):
    words = {}
    for _ in range(6_000):
        word = "".join(random.choices("abcdefgh", k=3))
        words[word] = words.get(word, 0) + 1
    top = sorted(words.items(), key=lambda item: (-item[1], item[0]))[0]
    print(f"round {r} {len(words)} {top[0]} {top[1]} {sum(n**0.5 for n in words.values())!r}", flush=True)
