"""The contact form."""

from __future__ import annotations

from typing import ClassVar

from django import forms

from contact.models import Inquiry


class InquiryForm(forms.ModelForm):
    """What a visitor fills in."""

    class Meta:
        model = Inquiry
        fields: ClassVar = ["name", "email", "text"]
