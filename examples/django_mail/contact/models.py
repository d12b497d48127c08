"""What visitors write."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models


class Inquiry(models.Model):
    """A message from the contact form."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    email = models.EmailField()
    text = models.TextField()
    task_id = models.CharField(max_length=100, editable=False)
    answered_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.name}: {self.text[:40]}"
