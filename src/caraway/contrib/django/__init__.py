"""Caraway in a Django project: tasks sent at a commit, Django started in workers.

An app that is made while ``DJANGO_SETTINGS_MODULE`` is set is fitted by itself; another one with
:func:`fit`.
"""

from __future__ import annotations

from caraway.contrib.django.connections import Connections
from caraway.contrib.django.fixup import DjangoFixup, fit
from caraway.contrib.django.task import DjangoTask

__all__ = ["Connections", "DjangoFixup", "DjangoTask", "fit"]
