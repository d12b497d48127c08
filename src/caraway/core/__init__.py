"""Decisions: what happens to a task, without I/O, clock or SDK."""
