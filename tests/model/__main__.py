"""Every interleaving of the executor's requests, breadth first, over one task's record.

What is explored is the code itself. An execution is a function from the answers that it got to
what it asks next, so it can be copied: it is run again with the same answers. Writes are evaluated
with :meth:`~caraway.requests.items.Condition.holds` and
:meth:`~caraway.requests.items.Change.apply`. Two workers may receive any message that is on the
queue at any time, a lease may end at any moment, and a worker may crash before every step; what a
:class:`~tests.model.config.Config` counts may happen so many times, at any moment.

In every state that can be reached

* a final record has not changed, and the attempts have not gone backwards;
* a callback or errback says what the record says, or said when it failed;
* where nothing is on the queue and nobody works, the task has ended, what follows from its ending
  is sent, and a failure that may be redriven is in the dead-letter queue;
* there is a way to such an end, and from a dead letter by a redrive to a final one.

``python -m tests.model`` explores all configurations, ``python -m tests.model NAME ...``
some. The clock stands still: what depends on it (early messages, ``expires``, the horizon) is left
to other tests.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.model.config import CONFIGS
from tests.model.explorer import Explorer

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(names: Sequence[str]) -> int:
    """Explore the named configurations, or all; return the exit status."""
    unknown = [name for name in names if name not in CONFIGS]
    if unknown:
        known = ", ".join(CONFIGS)
        print(f"no configuration named {unknown[0]!r}; there are: {known}")  # noqa: T201
        return 2
    unsound = False
    for name in names or CONFIGS:
        findings = Explorer(CONFIGS[name]).explore()
        unsound |= bool(findings.faults)
        print(findings, flush=True)  # noqa: T201
    return int(unsound)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
