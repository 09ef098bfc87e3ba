"""Writes what NumPy's own setup.py would generate, without running a configure step on this machine.

    python3 generate.py TREE        (TREE: the patched numpy source)

NumPy's build asks the compiler of the *building* machine about its types and functions. The module is for another
machine, whose answers are fixed: they stand in config.h beside this file. What is left are pure text generators that
come with NumPy (templates, tables of the C API, tables of ufuncs) and Cython. All output goes beside its source, in an
order and with names that depend on nothing but the tree.
"""
import os
import subprocess
import sys
import types

TREE = os.path.abspath(sys.argv[1])
os.chdir(TREE)
CORE = 'numpy/core'
GENERATORS = CORE + '/code_generators'

for folder in (GENERATORS, CORE, 'numpy/distutils', 'tools'):
    sys.path.insert(0, os.path.join(TREE, folder))

import conv_template  # noqa: E402
import npy_tempita  # noqa: E402

# The generators ask for one module of NumPy by its full name; NumPy itself cannot be imported before it is built.
for name in ('numpy', 'numpy.distutils'):
    sys.modules[name] = types.ModuleType(name)
sys.modules['numpy.distutils.conv_template'] = conv_template


def write(path, text):
    with open(path, 'w', encoding='utf-8') as out:
        out.write(text)


def templates():
    """*.c.src and *.h.src: NumPy's own loops over types."""
    for folder in (CORE, 'numpy/linalg'):
        for place, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                if name.endswith(('.c.src', '.h.src', '.inc.src')):
                    source = os.path.join(place, name)
                    write(source[:-len('.src')], conv_template.process_str(''.join(conv_template.resolve_includes(source))))


def tables():
    """The C API of multiarray and umath, and the table of ufuncs."""
    include = CORE + '/include/numpy'
    os.chdir(CORE)  # the generators look for their sources from here
    import generate_numpy_api
    import generate_ufunc_api
    import generate_umath
    os.chdir(TREE)
    generate_numpy_api.generate_api(include)
    generate_ufunc_api.generate_api(include)
    write(include + '/__umath_generated.c', generate_umath.make_code(generate_umath.defdict, 'generate_umath.py'))


def cython():
    """numpy.random."""
    for name in ('_bounded_integers.pxd', '_bounded_integers.pyx'):
        with open('numpy/random/' + name + '.in', encoding='utf-8') as template:
            write('numpy/random/' + name, npy_tempita.sub(template.read()))
    for name in ('_bounded_integers', '_common', '_generator', '_mt19937', '_pcg64', '_philox', '_sfc64',
                 'bit_generator', 'mtrand'):
        subprocess.run([sys.executable, '-m', 'cython', '-3', '--fast-fail', name + '.pyx', '-o', name + '.c'],
                       cwd='numpy/random', check=True)


templates()
tables()
cython()
