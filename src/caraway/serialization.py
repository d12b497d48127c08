"""Serializers of your own: register them where values are written and where they are read.

>>> from caraway import serialization
>>> serialization.register("hex", lambda value: value.hex(), bytes.fromhex, "application/x-hex")
"""

from __future__ import annotations

from caraway.core.serializers import register, unregister

__all__ = ["register", "unregister"]
