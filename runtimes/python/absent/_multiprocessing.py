raise ImportError(
    "multiprocessing is not there: a WebAssembly module runs as one process with one thread", name="_multiprocessing"
)
