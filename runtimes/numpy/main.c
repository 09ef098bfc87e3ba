/*
 * CPython with NumPy's extension modules inside: WASI has no shared libraries, so they are built in. Python finds them
 * by their full names (bundled.py).
 */
#include <Python.h>

#define MODULES \
    MODULE("numpy.core", _multiarray_umath) \
    MODULE("numpy.fft", _pocketfft_internal) \
    MODULE("numpy.linalg", lapack_lite) \
    MODULE("numpy.linalg", _umath_linalg) \
    MODULE("numpy.random", _bounded_integers) \
    MODULE("numpy.random", _common) \
    MODULE("numpy.random", _generator) \
    MODULE("numpy.random", _mt19937) \
    MODULE("numpy.random", _pcg64) \
    MODULE("numpy.random", _philox) \
    MODULE("numpy.random", _sfc64) \
    MODULE("numpy.random", bit_generator) \
    MODULE("numpy.random", mtrand)

#ifdef NUMPY_TESTS
#define TEST_MODULES \
    MODULE("numpy.core", _multiarray_tests) \
    MODULE("numpy.core", _umath_tests) \
    MODULE("numpy.core", _rational_tests) \
    MODULE("numpy.core", _struct_ufunc_tests) \
    MODULE("numpy.core", _operand_flag_tests)
#else
#define TEST_MODULES
#endif

#define MODULE(package, name) PyMODINIT_FUNC PyInit_##name(void);
MODULES TEST_MODULES
#undef MODULE

#define MODULE(package, name) PyImport_AppendInittab(package "." #name, PyInit_##name);

int main(int argc, char **argv)
{
    MODULES TEST_MODULES
    return Py_BytesMain(argc, argv);
}
