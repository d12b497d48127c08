"""The app and its task, which the Lambda worker of the Caraway stack runs."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, Field

from caraway import Caraway

app = Caraway("orders")


class Order(BaseModel):
    """What a customer sends."""

    email: str = Field(pattern=r".+@.+")
    sku: str
    quantity: int = Field(default=1, gt=0)


@app.task
def confirm(order: Order) -> dict[str, Decimal]:
    """Price an order and mail its confirmation; here that is printed."""
    total = Decimal("9.90") * order.quantity
    print(f"mail to {order.email}: {order.quantity} x {order.sku}, {total} in all")
    return {"total": total}
