/** For tests: scripts that look at what a start leaves behind. What is known to differ is in docs/limits.md. */
import { execFileSync } from 'node:child_process'
import type { Flags } from '../../definition/index.ts'

export interface Case {
  readonly name: string
  /** `a.py` */
  readonly script?: string
  readonly files?: Readonly<Record<string, string | Uint8Array>>
  /** What follows `python`; `a.py` unless it is given. */
  readonly args?: readonly string[]
  readonly flags?: Flags
  readonly stdin?: string
}

/** Everything that a start sets, without addresses. */
const LOOK = `import sys
def show(*values):
    print(repr(values))
show(sys.argv, sys.orig_argv, sys.path, sys.flags, sys.executable, sys.prefix, sys.exec_prefix, sys._base_executable)
show(list(sys.modules)[:34], sys.meta_path, sys.path_hooks, sys.path_importer_cache, sys.warnoptions, sys._xoptions)
show(list(globals().items()), dir(), __name__, __builtins__)
show(sys.stdin, sys.stdout, sys.stderr, sys.__stdout__ is sys.stdout, sys.stdout.line_buffering, sys.stdout.errors)
show(sys.getrecursionlimit(), sys.getdefaultencoding(), sys.getfilesystemencoding(), sys.int_info, sys.flags.utf8_mode)
show(sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__, sys.gettrace(), sys.exc_info())
import builtins
show([name for name in dir(builtins)], builtins.__dict__.get('_'))
import os, gc
show(list(os.environ.items()), os.environb, os.getcwd(), os.getenv('X'), gc.isenabled(), gc.get_threshold(), gc.get_freeze_count())
show(sorted(os.listdir('.')), os.name, os.sep, sys.platform, sys.version)
def depth(frame):
    names = []
    while frame is not None:
        names.append((frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno))
        frame = frame.f_back
    return names
show(depth(sys._getframe()), sys._getframe().f_locals is globals())
`

const PATHOLOGIES: readonly (readonly [string, string])[] = [
  ['raises', 'def f(x):\n    return g(x)\ndef g(x):\n    raise ValueError(f"bad {x}")\nf(1)\n'],
  [
    'chains exceptions',
    'try:\n    {}["a"]\nexcept KeyError as e:\n    try:\n        raise TypeError("b") from e\n    except TypeError:\n        1 / 0\n',
  ],
  [
    'raises a group with notes',
    'e = ValueError("a")\ne.add_note("note")\nraise ExceptionGroup("g", [e, TypeError("b")])\n',
  ],
  ['leaves with 3', 'import sys\nsys.exit(3)\n'],
  ['leaves with a text', 'import sys\nprint("out")\nsys.exit("text")\n'],
  ['leaves with what is no number', 'import sys\nsys.exit([1])\n'],
  ['leaves with None', 'import sys\nprint(1)\nsys.exit()\n'],
  ['leaves with 300', 'raise SystemExit(300)\n'],
  ['leaves at once', 'import os\nprint("lost?", flush=True)\nos._exit(7)\n'],
  ['is interrupted', 'print(1)\nraise KeyboardInterrupt\n'],
  [
    'hangs its own on what was there before',
    'import atexit, os, weakref\nclass Thing:\n    def __init__(self, name):\n        self.name = name\n    def __del__(self):\n        print("gone:", self.name)\nos.mine = Thing("of a module")\nos.environ.mine = Thing("of an object of a module")\nos.circle = Thing("in a circle")\nos.circle.module = os\nweakref.finalize(Thing, print, "finalized")\natexit.register(print, "at exit")\nmine = Thing("of the script")\nprint("end")\n',
  ],
  ['asserts', 'assert 1 == 2, "no"\n'],
  [
    'runs out of frames',
    'import sys\nn = 0\ndef f():\n    global n\n    n += 1\n    f()\ntry:\n    f()\nexcept RecursionError as e:\n    print(n, e)\nf()\n',
  ],
  [
    'recurses in C',
    'import json\nx = []\nfor _ in range(5000):\n    x = [x]\ntry:\n    json.dumps(x)\nexcept RecursionError as e:\n    print(e)\ntry:\n    repr(x)\nexcept RecursionError as e:\n    print(e)\n',
  ],
  [
    'fails at the end',
    'import atexit\natexit.register(lambda: 1 / 0)\natexit.register(print, "bye")\nclass D:\n    def __del__(self):\n        print("gone", __name__)\nd = D()\nraise ValueError\n',
  ],
  [
    'fails to be deleted',
    'class D:\n    def __del__(self):\n        raise ValueError("x")\nd = D()\ndel d\nprint("on")\n',
  ],
  [
    'warns',
    'import warnings\ndef f():\n    warnings.warn("old", DeprecationWarning, stacklevel=2)\nf()\nwarnings.warn("user")\nprint(1 is 1, "\\d")\n',
  ],
  ['has an open bracket', 'a = (1,\nb = 2\n'],
  ['has wrong indentation', 'def f():\n    x = 1\n  y = 2\n'],
  ['has a wrong token', 'x = 1\nprint "a"\n'],
  ['has an open string', 'x = """abc\n\n'],
  ['has return outside', 'x = 1\nreturn x\n'],
  ['has tabs and spaces', 'if True:\n        x = 1\n\ty = 2\n'],
  ['has a wrong f-string', 'print(f"{1 +}")\n'],
  [
    'has its own hook',
    'import sys\nsys.excepthook = lambda *a: print("hook", a[0], a[2].tb_lineno, a[2].tb_next)\n1 / 0\n',
  ],
  ['has a hook that fails', 'import sys\ndef hook(*a):\n    raise TypeError("h")\nsys.excepthook = hook\n1 / 0\n'],
  [
    'is traced',
    'import sys\nsys.settrace(lambda f, e, a: print(f.f_code.co_name, f.f_lineno, e))\ndef f():\n    return 1\nf()\n',
  ],
  [
    'is profiled',
    'import sys\nsys.setprofile(lambda f, e, a: print(f.f_code.co_name, e))\nlen("a")\nsys.setprofile(None)\n',
  ],
  [
    'catches',
    'x = 1\ntry:\n    try:\n        1 / 0\n    finally:\n        print("f")\nexcept ZeroDivisionError:\n    print("c")\nelse:\n    print("e")\nwith open("o.txt", "w") as f:\n    f.write("x" * 10)\nfor i in range(300):\n    try:\n        if i % 2:\n            raise KeyError(i)\n    except KeyError:\n        x += 1\nprint(x)\n' +
      'y = 1\n'.repeat(300) +
      'try:\n    [][1]\nexcept IndexError as e:\n    print(e.__traceback__.tb_lineno)\n',
  ],
  [
    'runs code',
    'exec("x = 1\\nprint(sorted(locals()) == sorted(globals()), dir())")\nprint(eval("x + 1"), vars() is globals(), list(locals()))\nclass C:\n    y = x\n    print(dir())\nprint([x for _ in range(2)], (lambda: x)())\ndef g():\n    yield x\nprint(list(g()))\n',
  ],
  [
    'looks at the stack',
    'import inspect, traceback, warnings\ndef f():\n    traceback.print_stack()\n    print([(i.function, i.lineno) for i in inspect.stack()])\nf()\nprint(inspect.getsource(f))\nwarnings.warn("high", stacklevel=9)\n',
  ],
  [
    'imports itself',
    'import __main__, runpy, pickle\nclass C:\n    pass\nprint(__main__.C is C, type(pickle.loads(pickle.dumps(C()))) is C)\nif __name__ == "__main__":\n    print(runpy.run_path("a.py", run_name="other")["__name__"])\n',
  ],
  [
    'draws random numbers',
    'import random, uuid, secrets, os, tempfile\nprint(random.random(), random.gauss(0, 1), uuid.uuid4(), secrets.token_hex(4), os.urandom(8))\nprint(tempfile.mkdtemp())\nrandom.seed(1)\nprint(random.randint(0, 99), hash("a"), {"a", "b", "c", "d"}, hash(1.5))\n',
  ],
  [
    'prints much',
    'import sys\nfor i in range(20000):\n    print(i, "x" * 20)\nsys.stdout.write("é€😀\\n")\nsys.stderr.write("err\\udcff\\n")\nsys.stdout.buffer.write(b"\\xff")\n',
  ],
  [
    'has annotations',
    '"""Doc."""\nfrom __future__ import annotations\nx: int = 1\ny: Unknown\nprint(__annotations__, __doc__)\ndef f(a: Q) -> R: ...\nprint(f.__annotations__)\n',
  ],
  [
    'uses the library',
    'import json, csv, re, dataclasses, decimal, collections, itertools, logging, argparse, unittest, enum, typing, statistics, fractions, string, textwrap, hashlib, zlib, struct, functools, contextlib, asyncio\n@dataclasses.dataclass\nclass P:\n    a: int\nprint(P(1), decimal.Decimal(1) / 3, hashlib.sha256(b"a").hexdigest(), statistics.mean([1, 2]))\nlogging.warning("w")\nargparse.ArgumentParser().parse_args(["--no"])\n',
  ],
  [
    'is a test',
    'import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(1, 2)\nif __name__ == "__main__":\n    unittest.main(argv=["x", "T.missing"])\n',
  ],
  ['is a doctest', '"""\n>>> 1 + 1\n3\n"""\nimport doctest\ndoctest.testmod()\n'],
  [
    'asks for what is not there',
    'import threading, socket, subprocess\ntry:\n    threading.Thread(target=print).start()\nexcept RuntimeError as e:\n    print(e)\ntry:\n    subprocess.run(["ls"])\nexcept OSError as e:\n    print(e)\nopen("/none/x")\n',
  ],
  [
    'awaits',
    'async def f():\n    return 1\nc = f()\ntry:\n    c.send(None)\nexcept StopIteration as e:\n    print(e.value)\nf()\n',
  ],
  [
    'collects',
    'import gc, weakref\nclass C:\n    pass\nc = C()\nc.c = c\nr = weakref.ref(c)\ndel c\ngc.collect()\nprint(r())\n',
  ],
]

export const CASES: readonly Case[] = [
  {
    name: 'looks around',
    script: LOOK,
    args: ['a.py', 'x y', 'é', ''],
    flags: { env: ['X=1', 'Y=ü=2', 'COLUMNS=40'] },
  },
  { name: 'looks around in a folder', files: { 'd/e/b.py': LOOK, 'd/e/z.py': '' }, args: ['d/e/b.py'] },
  { name: 'looks around by an absolute way', files: { 'd/b.py': LOOK }, args: ['./d/b.py'] },
  { name: 'looks around as code', args: ['-c', LOOK, '-x', 'y'] },
  { name: 'looks around as a module', files: { 'm.py': LOOK }, args: ['-m', 'm', '-x', 'y'] },
  {
    name: 'looks around as a package',
    files: { 'p/__init__.py': 'print("init")', 'p/__main__.py': LOOK },
    args: ['-m', 'p'],
  },
  {
    name: 'looks around as an archive',
    files: { 'z.pyz': zip({ '__main__.py': LOOK, 'n.py': 'x = 1' }) },
    args: ['z.pyz', 'a'],
  },
  { name: 'is code of many lines', args: ['-c', `x = ${JSON.stringify('y'.repeat(5000))}\nprint(len(x))\n1 / 0`] },
  { name: 'is wrong code', args: ['-c', 'x ='] },
  { name: 'is a module that is not there', args: ['-m', 'nothing.here'] },
  { name: 'is a module that fails', files: { 'm.py': 'def f():\n    1 / 0\nf()\n' }, args: ['-m', 'm'] },
  { name: 'is a package that fails', files: { 'p/__init__.py': '1 / 0', 'p/__main__.py': '' }, args: ['-m', 'p.q'] },
  { name: 'is a module of the library', args: ['-m', 'json.tool'], stdin: '{"b": [1, 2]}' },
  { name: 'is a folder of the library', args: ['-m', 'unittest', '-h'] },
  {
    name: 'imports beside itself',
    files: {
      'd/a.py': 'import helper, random, sub.x\nprint(helper.x, random.x, sub.x.__package__)',
      'd/helper.py': 'x = __file__',
      'd/random.py': 'x = "mine"',
      'd/sub/x.py': 'from .. import y',
    },
    args: ['d/a.py'],
  },
  {
    name: 'has a codecs of its own',
    files: {
      'codecs.py': 'x = 1',
      'types.py': 'x = 2',
      'a.py': 'import codecs, types, io\nprint(hasattr(codecs, "x"), hasattr(types, "x"))\n',
    },
  },
  {
    name: 'has a sitecustomize of its own',
    files: {
      'sitecustomize.py': 'print("site")',
      'a.py': 'import sitecustomize, sys\nprint(sys.modules["sitecustomize"].__file__)\n',
    },
  },
  {
    name: 'reads its input',
    script: 'print(input("? "), input())\nimport sys\nprint(sys.stdin.read())\ninput()\n',
    stdin: 'one\ntwo\nthree\nfour',
  },
  {
    name: 'is in Latin-1',
    files: {
      'a.py': Buffer.from('# coding: latin-1\nprint("é")\n', 'latin1'),
    },
  },
  {
    name: 'begins with a mark',
    files: { 'a.py': Uint8Array.from([0xef, 0xbb, 0xbf, ...new TextEncoder().encode('print(1)\n1 / 0\n')]) },
  },
  { name: 'has lines as elsewhere', script: 'x = """a\r\nb"""\r\nprint(repr(x))\r\n1 / 0\r\n' },
  {
    name: 'writes files',
    files: {
      'data/in.txt': 'x',
      'a.py':
        'import os, shutil\nprint(open("data/in.txt").read())\nos.makedirs("out/b")\nopen("out/b/c.txt", "w").write("y" * 5000)\nos.rename("data/in.txt", "data/out.txt")\nprint(sorted(os.walk(".")))\n',
    },
  },
  ...PATHOLOGIES.map(([name, script]) => ({ name, script })),
]

/** As Python itself makes one. */
function zip(files: Readonly<Record<string, string>>): Uint8Array {
  const code =
    'import sys, json, zipfile, io\nb = io.BytesIO()\nwith zipfile.ZipFile(b, "w") as z:\n for n, t in json.load(sys.stdin).items(): z.writestr(zipfile.ZipInfo(n), t)\nsys.stdout.buffer.write(b.getvalue())'
  return execFileSync('python3', ['-c', code], { input: JSON.stringify(files) })
}
