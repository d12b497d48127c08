"""Measurements: requests per task, start-up time and memory. ``make bench`` runs them."""
