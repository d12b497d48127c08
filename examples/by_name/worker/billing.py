"""The billing team's app. Others know its tasks by their names, and their arguments as JSON."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, Field

from caraway import Caraway

app = Caraway("billing")

VAT = Decimal("0.20")


class Line(BaseModel):
    """One line of an order."""

    sku: str
    quantity: int = Field(gt=0)
    price: Decimal


class Invoice(BaseModel):
    """What an order costs."""

    order: int
    net: Decimal
    vat: Decimal
    total: Decimal


@app.task(name="billing.make_invoice")  # a name of its own: it outlives moves of the code
def make_invoice(order: int, lines: list[Line]) -> Invoice:
    """Make the invoice of an order."""
    net = sum((line.price * line.quantity for line in lines), Decimal())
    vat = (net * VAT).quantize(Decimal("0.01"))
    return Invoice(order=order, net=net, vat=vat, total=net + vat)
