"""Loops that do several elements at a time come to the bits that one at a time comes to: runtimes/numpy/08-at-once.patch.

What lies one after the other is done several at a time; the same numbers with gaps between them go one by one.
"""
import numpy as np
import pytest

INTEGERS = ['i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8', 'l', 'L', 'q', 'Q']
FLOATS = ['f4', 'f8', 'g']
LENGTHS = [*range(1, 40), 63, 64, 65, 127, 128, 129, 130, 255, 256, 257, 1000, 1024, 1025, 3001]
random = np.random.RandomState(1)


def apart(x):
    """The same numbers, one by one."""
    wide = np.zeros((len(x), 3), x.dtype)
    wide[:, 1] = x
    return wide[:, 1]


def same(one, other):
    one, other = np.asarray(one), np.asarray(other)
    assert one.dtype == other.dtype and one.tobytes() == other.tobytes(), (one, other)


def numbers(kind, n):
    if kind == '?':
        return random.randint(0, 2, n).astype(bool)
    if kind in FLOATS:
        return random.randn(n).astype(kind)
    info = np.iinfo(kind)
    return random.randint(max(info.min, -2**62), min(info.max, 2**62), n, dtype='i8').astype(kind)


def awkward(n):
    """Numbers with NaNs of two kinds and zeros of both signs, here and there, at the ends, or all over."""
    for some in ([0.0, -0.0], [-0.0, 0.0], [np.nan], [-np.nan], [np.nan, -np.nan], [np.inf, -np.inf], [0.0, np.nan, -0.0]):
        for sign in (1, -1):
            x = sign * np.abs(random.randn(n)) - sign
            x[random.randint(0, n, 1 + n // 9)] = random.choice(some, 1 + n // 9)
            yield x
            x = sign * np.abs(random.randn(n))
            x[n - 1] = some[0]
            x[n // 2] = some[-1]
            yield x
        yield random.choice(some, n)


@pytest.mark.parametrize('kind', ['?', *INTEGERS, *FLOATS])
@pytest.mark.parametrize('name', ['max', 'min', 'argmax', 'argmin', 'any', 'all', 'sum', 'prod'])
def test_reductions(kind, name):
    with np.errstate(all='ignore'):
        for n in LENGTHS:
            x = numbers(kind, n)
            same(getattr(x, name)(), getattr(apart(x), name)())


@pytest.mark.parametrize('kind', FLOATS)
@pytest.mark.parametrize('name', ['maximum', 'minimum', 'fmax', 'fmin'])
def test_extremes_of_awkward_numbers(kind, name):
    extreme = getattr(np, name)
    for n in LENGTHS:
        for x in awkward(n):
            x = x.astype(kind)
            step = x[0]
            for each in x[1:]:
                step = extreme(step, each)
            same(extreme.reduce(x), step)
            same(extreme.reduce(apart(x)), step)
            same(extreme(x, x[::-1].copy()), extreme(apart(x), apart(x[::-1])))


@pytest.mark.parametrize('kind', FLOATS)
def test_arguments_of_awkward_numbers(kind):
    for n in LENGTHS:
        for x in awkward(n):
            x = x.astype(kind)
            assert x.argmax() == max(range(n), key=lambda i: (np.isnan(x[i]), x[i] if x[i] == x[i] else 0, -i))
            assert x.argmin() == min(range(n), key=lambda i: (not np.isnan(x[i]), x[i] if x[i] == x[i] else 0, i))


@pytest.mark.parametrize('kind', ['?', *INTEGERS, *FLOATS])
def test_arguments_of_rising_and_falling_numbers(kind):
    for n in (10, 100, 300):
        x = np.arange(n).clip(0, 100).astype(kind)
        for each in (x, x[::-1].copy(), np.concatenate([x, x[::-1], x])):
            assert each.argmax() == each.tolist().index(max(each.tolist()))
            assert each.argmin() == each.tolist().index(min(each.tolist()))


@pytest.mark.parametrize('kind', ['?', *INTEGERS, *FLOATS])
def test_counts(kind):
    for n in LENGTHS:
        x = (numbers(kind, n) * random.randint(0, 2, n)).astype(kind)
        for each in (x, apart(x), x.newbyteorder() if kind in INTEGERS else -x if kind in FLOATS else x):
            assert np.count_nonzero(each) == sum(1 for one in each.tolist() if one)
    unaligned = np.zeros(8 * 50 + 1, 'u1')[1:].view('f8')
    unaligned[::7] = np.nan
    assert np.count_nonzero(unaligned) == 8


@pytest.mark.parametrize('kind', ['?', *INTEGERS, *FLOATS])
@pytest.mark.parametrize(
    'name',
    ['add', 'subtract', 'multiply', 'maximum', 'minimum', 'less', 'greater_equal', 'equal', 'logical_and', 'logical_or'],
)
def test_two_operands(kind, name):
    operation = getattr(np, name)
    if kind == '?' and name == 'subtract':
        return
    with np.errstate(all='ignore'):
        for n in LENGTHS:
            x, y = numbers(kind, n), numbers(kind, n)
            y[::3] = x[::3]
            for a, b in ((x, y), (x, y[:1]), (x[:1], y), (x, x)):
                expected = operation(apart(a), apart(b))
                same(operation(a, b), expected)
                for out in (a, b):
                    if len(out) == n and expected.dtype == out.dtype:
                        kept = a.copy(), b.copy()
                        same(operation(a, b, out=out), expected)
                        a[:], b[:] = kept
            # overlapping by some elements
            if n > 40 and operation(x, y).dtype == x.dtype:
                for shift in (1, 2, 3, 17):
                    z = x.copy()
                    expected = operation(apart(z[:-shift]), apart(y[shift:]))
                    same(operation(z[:-shift], y[shift:], out=z[shift:]), expected)
                    same(operation.accumulate(x), operation.accumulate(apart(x)))


@pytest.mark.parametrize('kind', ['?', *INTEGERS, *FLOATS])
def test_casts_and_truth(kind):
    for n in LENGTHS:
        x = (numbers(kind, n) * random.randint(0, 2, n)).astype(kind)
        same(x.astype(bool), apart(x).astype(bool))
        same(x.astype(bool).astype(kind), apart(x.astype(bool)).astype(kind))
        same(np.logical_not(x), np.logical_not(apart(x)))
        same(x.astype(bool).sum(), sum(x.astype(bool).tolist()))


@pytest.mark.parametrize('kind', FLOATS)
def test_kinds_of_floats(kind):
    for n in LENGTHS:
        for x in awkward(n):
            x = x.astype(kind)
            for name in ('isnan', 'isinf', 'isfinite', 'signbit'):
                same(getattr(np, name)(x), getattr(np, name)(apart(x)))
