"""The worker process of the benchmarks: ``python -m benchmarks.worker CONCURRENCY``."""

from benchmarks.app import main

main()
