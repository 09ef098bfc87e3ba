# What setup.py would write here: which libraries NumPy was built with. None but its own.
__all__ = ["get_info", "show"]

lapack_lite_info = {"language": "c"}


def get_info(name):
    return globals().get(name, globals().get(name + "_info", {}))


def show():
    print("lapack_lite (the one that comes with NumPy): blas and lapack in C, for wasm32-wasi")
