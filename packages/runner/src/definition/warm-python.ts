/**
 * How CPython 3.11.3 is started warm: the sitecustomize module of its warm-up. It is run by that very build, whose
 * byte code and whose C it knows. What must come out is what a cold start gives: machine/warm/python.slow.test.ts.
 */

/** Where the warm-up finds it, as its PYTHONPATH and below its working folder. */
export const WARM_FOLDER = '.reprise'
export const WARM_FILE = 'sitecustomize.py'
/** What the warm-up is told to run: never looked for. */
export const WARM_MODULE = 'reprise'

/** Names that, in the working folder, the interpreter looks at before it is warm. */
export const READ_AT_START: readonly string[] = ['Modules/Setup.local', 'pybuilddir.txt', 'pyvenv.cfg']
/** Variables that the interpreter or its C library reads before it is warm. */
export const VARIABLES_AT_START = /^(?:PYTHON.*|LC_.*|LANG|LANGUAGE|PATH|TZ)$/

export const SITECUSTOMIZE = String.raw`# How a warm start of CPython 3.11 begins: spec/computation.md, section 6.
#
# Python is told to run a module, and has initialised itself when C comes to that: with no Python frame on the stack
# it imports runpy, looks up _run_module_as_main there and calls it with two arguments. What it finds in the place of
# runpy is an object of ours. Being asked whether it is still initialising passes the warm point; from there on it is
# another computation, which says what to run. What is handed back to C runs it as C itself would: nothing of this file
# is on the stack or in a namespace then.
import _functools, posix, sys


class _Initializing:
    # Called without a Python frame: the interpreter's loop is nothing that a warm start has to continue.
    __bool__ = _functools.partial(posix.access, "/dev/reprise/warm", 0)


class _Runpy:
    __spec__ = type(sys.implementation)(_initializing=_Initializing())

    def __getattr__(self, name):
        if name != "_run_module_as_main":
            raise AttributeError(name)
        return _start()


def _start():
    del sys.modules["runpy"], sys.modules["sitecustomize"]
    arguments = _strings(b"arguments")
    _set_environment(_strings(b"environment"))
    sys.orig_argv[:] = arguments
    word = arguments[1]
    if word == "-c":
        sys.argv[:] = ["-c", *arguments[3:]]
        sys.path[0] = ""
        return _main(arguments[2] + "\n", "<string>")
    if word == "-m":
        sys.argv[:] = ["-m", *arguments[3:]]
        return _module(arguments[2], True)
    sys.argv[:] = arguments[1:]
    path = word if word.startswith("/") else "//" + word
    external = sys.modules["_frozen_importlib_external"]
    if external.PathFinder._path_importer_cache(path) is not None:
        # An archive with a __main__ in it.
        sys.path[0] = path
        return _module("__main__", False)
    folder, slash, _ = word.rpartition("/")
    sys.path[0] = folder or slash
    with open(path, "rb") as file:
        source = file.read()
    names = sys.modules["__main__"].__dict__
    names["__file__"] = path
    names["__cached__"] = None
    names["__loader__"] = external.SourceFileLoader("__main__", path)
    return _main(source, path)


def _strings(name):
    parts = []
    while True:
        try:
            parts.append(posix.readlink(b"/dev/reprise/%s/%d" % (name, len(parts))))
        except OSError:
            return [text.decode("utf-8", "surrogateescape") for text in b"".join(parts).split(b"\0")[:-1]]


def _set_environment(lines):
    import os

    for name in posix.environ:
        posix.unsetenv(name)
    posix.environ.clear()
    for line in lines:
        name, _, value = line.partition("=")
        posix.putenv(name, value)
        posix.environ[os.fsencode(name)] = os.fsencode(value)


def _main(source, path):
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except BaseException as error:
        return _raiser(error)
    # A function of a module's code uses the namespace of __main__ for its names. C calls it with two arguments: they become
    # a tuple in a variable of its own, and what is put before the code deletes that, so that no dir() shows it.
    return type(_main)(
        code.replace(
            co_flags=code.co_flags | 4,  # *arguments
            co_nlocals=1,
            co_varnames=("_",),
            co_code=b"\x7e\0" + code.co_code,  # DELETE_FAST 0
            co_linetable=b"\xf8" + code.co_linetable,  # one instruction that has no line
            co_exceptiontable=_moved(code.co_exceptiontable),
        ),
        sys.modules["__main__"].__dict__,
    )


def _moved(table):
    # Entries of start, length, target and depth, each in groups of 6 bits; start and target move by one.
    numbers = []
    for byte in table:
        if byte & 0x80 or not more:
            numbers.append(0)
        numbers[-1] = numbers[-1] << 6 | byte & 0x3F
        more = byte & 0x40
    moved = bytearray()
    for index, number in enumerate(numbers):
        number += index % 4 in (0, 2)
        groups = [number & 0x3F]
        while number > 0x3F:
            number >>= 6
            groups.insert(0, number & 0x3F | 0x40)
        if index % 4 == 0:
            groups[0] |= 0x80
        moved += bytes(groups)
    return bytes(moved)


def _raiser(error):
    # C shows what its compiler finds without a single frame.
    hook = sys.excepthook

    def excepthook(kind, value, _):
        sys.excepthook = hook
        value.__traceback__ = None
        hook(kind, value, None)

    def run(*_):
        sys.excepthook = excepthook
        error.__context__ = None
        raise error

    return run


def _module(name, alter_argv):
    import runpy

    # The same code. Its parameters come from here; what C gives lands in a variable that it sets before it reads it.
    run = runpy._run_module_as_main
    code = run.__code__
    run = type(run)(code.replace(co_argcount=0, co_kwonlyargcount=2, co_flags=code.co_flags | 4), run.__globals__)
    run.__kwdefaults__ = {"mod_name": name, "alter_argv": alter_argv}
    return run


del sys.modules["_functools"]
sys.path.remove("/${WARM_FOLDER}")
del sys.path_importer_cache["/${WARM_FOLDER}"]
# As the search for a sitecustomize that is nowhere leaves it.
sys.modules["_frozen_importlib_external"].PathFinder.find_spec("sitecustomize", sys.path)
# The function makes the types of a syntax tree, a hundred of them, when it is first called. C compiles a script without them.
compile("", "", "exec")
sys.modules["runpy"] = _Runpy()
`
