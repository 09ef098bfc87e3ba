import random

words = {}
random.seed(7)
for _ in range(100_000):
    word = "".join(random.choices("abcdefgh", k=3))
    words[word] = words.get(word, 0) + 1
print(sorted(words.items(), key=lambda item: -item[1])[:3])
