raise ImportError("ssl is not there: a deterministic machine has no network", name="_ssl")
