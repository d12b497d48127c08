"""What happens after a visitor has written."""

from __future__ import annotations

import smtplib
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import timezone

from caraway import shared_task
from contact.models import Inquiry


@shared_task(autoretry_for=(smtplib.SMTPException, OSError), retry_backoff=True, max_retries=8)
def send_mails(inquiry: UUID) -> int:
    """Forward an inquiry to the team, and tell the visitor so; return how many mails went out.

    It may run twice, if a worker dies at the wrong moment: a mail twice is better than none.
    """
    row = Inquiry.objects.get(pk=inquiry)
    if row.answered_at is not None:
        return 0
    about = f"Inquiry of {row.name}"
    EmailMessage(about, row.text, to=[settings.CONTACT_ADDRESS], reply_to=[row.email]).send()
    EmailMessage("We have got your message", f"Dear {row.name}, thank you.", to=[row.email]).send()
    row.answered_at = timezone.now()
    row.save(update_fields=["answered_at"])
    return 2
