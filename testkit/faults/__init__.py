"""Faults injected into a server under traffic: what callers saw, and what the history holds afterwards.

`traffic.py` asks and remembers what was answered, `stores.py` has the stores with their faults, `servers.py` the real
server, `scenarios.py` the faults and the promises. The tests and `bench/faults.py` run the same scenarios.
"""
