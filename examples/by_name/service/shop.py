"""The shop. It has none of billing's code: it knows a task's name, and what it takes."""

from __future__ import annotations

import argparse
from typing import Any

from caraway import Caraway
from caraway.exceptions import TaskError

app = Caraway("shop")


def line(text: str) -> dict[str, Any]:
    """Read a line of an order as it is typed: sku:quantity:price."""
    sku, quantity, price = text.split(":")
    return {"sku": sku, "quantity": int(quantity), "price": price}


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("order", type=int)
parser.add_argument("lines", type=line, nargs="+", metavar="sku:quantity:price")
parser.add_argument("--task", default="billing.make_invoice", help="the name to send")


def main() -> None:
    """Order something, and show the invoice."""
    options = parser.parse_args()
    sent = app.send_task(options.task, args=[options.order], kwargs={"lines": options.lines})
    print(f"sent {sent.id}")
    try:
        invoice = sent.get(timeout=120)
    except TaskError as error:
        raise SystemExit(f"no invoice: {error}") from error
    print(f"invoice of order {invoice['order']}: {invoice['total']}")


if __name__ == "__main__":
    main()
