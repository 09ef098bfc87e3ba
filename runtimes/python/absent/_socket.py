raise ImportError("sockets are not there: a deterministic machine has no network", name="_socket")
