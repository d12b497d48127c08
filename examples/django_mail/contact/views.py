"""The form, and the page after it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.shortcuts import get_object_or_404, redirect, render

from contact.forms import InquiryForm
from contact.models import Inquiry
from contact.tasks import send_mails

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def contact(request: HttpRequest) -> HttpResponse:
    """Show the form; save what is sent, and let a task do the rest."""
    form = InquiryForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "contact/form.html", {"form": form})
    with transaction.atomic():
        inquiry = form.save(commit=False)
        # Not sent before the row can be read, and never for a row that is rolled back.
        inquiry.task_id = send_mails.delay_on_commit(inquiry.pk)
        inquiry.save()
    return redirect("thanks", pk=inquiry.pk)


def thanks(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Thank the visitor, and say whether the mails are out."""
    inquiry = get_object_or_404(Inquiry, pk=pk)
    state = send_mails.AsyncResult(inquiry.task_id).state
    return render(request, "contact/thanks.html", {"inquiry": inquiry, "state": state})
