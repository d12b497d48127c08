"""The app: one task starts four others, and starts none of them twice."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from caraway import Caraway

app = Caraway("sign_up")


def id_of(email: str) -> str:
    """Return the id of a person's sign-up: the same however often the form is sent."""
    return f"sign-up-{sha256(email.lower().encode()).hexdigest()[:16]}"


@app.task(bind=True, autoretry_for=(ConnectionError,), default_retry_delay=1, max_retries=3)
def sign_up(self: Any, email: str, *, stumble: bool = False) -> dict[str, str]:
    """Start all that a new customer leads to; return the tasks' ids by step.

    Each step's id says whose and which step it is. Whatever runs this again (a retry, another
    worker, a second click) sends the same ids, and an id runs once.
    """
    steps = {"mail": welcome, "avatar": draw_avatar, "crm": tell_crm, "audit": audit}
    ids = {name: f"{self.request.id}-{name}" for name in steps}
    for name, step in steps.items():
        step.apply_async((email,), task_id=ids[name])
    if stumble and self.request.retries == 0:
        raise ConnectionError("the network went away after everything had been sent")
    return ids


@app.task
def welcome(email: str) -> str:
    """Send the first mail; here it is printed."""
    print(f"mail to {email}: welcome!")
    return f"mail sent to {email}"


@app.task
def draw_avatar(email: str) -> str:
    """Draw a picture for whoever has none."""
    print(f"avatar of {email}: drawn")
    return f'<svg><circle r="32" fill="#{sha256(email.encode()).hexdigest()[:6]}"/></svg>'


@app.task(autoretry_for=(ConnectionError,), retry_backoff=True, max_retries=8)
def tell_crm(email: str) -> str:
    """Make a contact in the CRM, which is down now and then."""
    print(f"contact {email}: created")
    return f"contact-{sha256(email.encode()).hexdigest()[:6]}"


@app.task
def audit(email: str) -> str:
    """Note that it happened."""
    print(f"audit: {email} signed up")
    return "noted"
