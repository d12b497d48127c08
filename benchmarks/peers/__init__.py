"""The systems that are measured, each in a module that runs in an environment of its own.

``python -m benchmarks.peers.NAME`` is a producer (:mod:`benchmarks.peers.producing`); the module's
app is what the system's own worker command is started with. They read where they are from the
environment: the usual variables of the AWS SDKs, and

=================  ===============================================================
``BENCH_BROKER``   address of Redis, where it is the broker
``BENCH_RESULTS``  ``dynamodb`` or ``redis``, where results are kept
``BENCH_TUNED``    set, where the system is to poll as its users are advised to
=================  ===============================================================
"""

QUEUE = "bench"
RESULTS_TABLE = "bench-results"
CALLERS = 16
"""Threads of a producer that calls concurrently."""
PATIENCE_S = 300
"""After so long a result does not come any more."""
