"""The two doors through which messages reach the executor."""
