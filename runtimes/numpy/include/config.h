/*
 * What NumPy's setup.py would find out about wasm32-wasi: written by hand, because it asks the machine that builds.
 * The names are those of numpy/core/setup_common.py, 1.19.5.
 */
#ifndef _NPY_NPY_CONFIG_H_
#error config.h should never be included directly, include npy_config.h instead
#endif

#define HAVE_ENDIAN_H 1
#define SIZEOF_PY_INTPTR_T 4
#define SIZEOF_OFF_T 8
#define SIZEOF_PY_LONG_LONG 8
#define MATHLIB m
#define NPY_RELAXED_STRIDES_CHECKING 1
#define NPY_RESTRICT restrict
#define __NPY_PRIVATE_NO_SIGNAL 1

/* longdouble is double, as with Microsoft's compiler: quad precision would be in software, and half of the C library's
   functions for it have no more than double's. So none of the functions that end in l. */
#define HAVE_LDOUBLE_IEEE_DOUBLE_LE 1

/* C99 functions of the C library. CPython's pyconfig.h has spoken of some of them; that of 3.11 does so no more. */
#define HAVE_SIN 1
#define HAVE_COS 1
#define HAVE_TAN 1
#define HAVE_SINH 1
#define HAVE_COSH 1
#define HAVE_TANH 1
#define HAVE_FABS 1
#define HAVE_FLOOR 1
#define HAVE_CEIL 1
#define HAVE_SQRT 1
#define HAVE_LOG10 1
#define HAVE_LOG 1
#define HAVE_EXP 1
#define HAVE_ASIN 1
#define HAVE_ACOS 1
#define HAVE_ATAN 1
#define HAVE_FMOD 1
#define HAVE_MODF 1
#define HAVE_FREXP 1
#define HAVE_LDEXP 1
#define HAVE_RINT 1
#define HAVE_TRUNC 1
#define HAVE_EXP2 1
#define HAVE_LOG2 1
#define HAVE_ATAN2 1
#define HAVE_POW 1
#define HAVE_NEXTAFTER 1
#define HAVE_CBRT 1
#ifndef HAVE_EXPM1
#define HAVE_EXPM1 1
#endif
#ifndef HAVE_LOG1P
#define HAVE_LOG1P 1
#endif
#ifndef HAVE_ACOSH
#define HAVE_ACOSH 1
#endif
#ifndef HAVE_ASINH
#define HAVE_ASINH 1
#endif
#ifndef HAVE_ATANH
#define HAVE_ATANH 1
#endif
#ifndef HAVE_HYPOT
#define HAVE_HYPOT 1
#endif
#ifndef HAVE_COPYSIGN
#define HAVE_COPYSIGN 1
#endif
#ifndef HAVE_FTELLO
#define HAVE_FTELLO 1
#endif
#ifndef HAVE_FSEEKO
#define HAVE_FSEEKO 1
#endif
#define HAVE_STRTOLL 1
#define HAVE_STRTOULL 1

#define HAVE_SINF 1
#define HAVE_COSF 1
#define HAVE_TANF 1
#define HAVE_SINHF 1
#define HAVE_COSHF 1
#define HAVE_TANHF 1
#define HAVE_FABSF 1
#define HAVE_FLOORF 1
#define HAVE_CEILF 1
#define HAVE_RINTF 1
#define HAVE_TRUNCF 1
#define HAVE_SQRTF 1
#define HAVE_LOG10F 1
#define HAVE_LOGF 1
#define HAVE_LOG1PF 1
#define HAVE_EXPF 1
#define HAVE_EXPM1F 1
#define HAVE_ASINF 1
#define HAVE_ACOSF 1
#define HAVE_ATANF 1
#define HAVE_ASINHF 1
#define HAVE_ACOSHF 1
#define HAVE_ATANHF 1
#define HAVE_HYPOTF 1
#define HAVE_ATAN2F 1
#define HAVE_POWF 1
#define HAVE_FMODF 1
#define HAVE_MODFF 1
#define HAVE_FREXPF 1
#define HAVE_LDEXPF 1
#define HAVE_EXP2F 1
#define HAVE_LOG2F 1
#define HAVE_COPYSIGNF 1
#define HAVE_NEXTAFTERF 1
#define HAVE_CBRTF 1

/* No complex function of the C library: its inverse functions lose digits; NumPy's own, after FreeBSD's, do not. */

#define HAVE___BUILTIN_ISNAN 1
#define HAVE___BUILTIN_ISINF 1
#define HAVE___BUILTIN_ISFINITE 1
#define HAVE___BUILTIN_BSWAP32 1
#define HAVE___BUILTIN_BSWAP64 1
#define HAVE___BUILTIN_EXPECT 1
#define HAVE___BUILTIN_MUL_OVERFLOW 1
#define HAVE_ATTRIBUTE_NONNULL 1
