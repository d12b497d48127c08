"""The demo: words are counted through both doors, on an AWS that runs on this machine.

``caraway.demo.app`` is an app as a user writes one; the other modules run it.
"""
