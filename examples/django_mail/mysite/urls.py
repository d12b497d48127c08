"""The site's pages."""

from __future__ import annotations

from contact.views import contact, thanks
from django.urls import path

urlpatterns = [
    path("", contact, name="contact"),
    path("thanks/<uuid:pk>/", thanks, name="thanks"),
]
