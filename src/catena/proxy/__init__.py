"""The proxy of a pool: which worker takes the next call, and which proxies a worker has met."""
