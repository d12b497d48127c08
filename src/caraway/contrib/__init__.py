"""Caraway beside other frameworks; each room needs the framework that it is named after."""
