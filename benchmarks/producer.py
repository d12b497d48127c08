"""A producer of one group from a generator, which prints the most memory it has had, in kB."""

from __future__ import annotations

import resource
import sys

from benchmarks import app as bench
from caraway import group

if __name__ == "__main__":
    size = int(sys.argv[1])
    result = group(bench.usual.s(number) for number in range(size)).delay()
    assert len(result) == size
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
