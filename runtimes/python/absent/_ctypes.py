raise ImportError(
    "ctypes is not there: a WebAssembly module can neither load shared libraries nor call C functions by their address",
    name="_ctypes",
)
