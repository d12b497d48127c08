"""The app and its task: what runs on Lambda. It needs none of the API's packages."""

from __future__ import annotations

from typing import Any

from caraway import Caraway

app = Caraway("primes")

STEPS = 10


@app.task(bind=True)
def count_primes(self: Any, limit: int) -> int:
    """Count the primes below a limit, and show how far it is."""
    is_prime = bytearray([1]) * limit
    is_prime[:2] = bytes(2)
    step = 0
    for number in range(2, limit):
        if number * STEPS // limit > step:
            step = number * STEPS // limit
            self.update_state(state="PROGRESS", meta={"percent": 100 * step // STEPS})
        if is_prime[number]:
            multiples = range(number * number, limit, number)
            is_prime[number * number :: number] = bytes(len(multiples))
    return sum(is_prime)
