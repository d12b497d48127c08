#!/bin/sh
# Runs the worker of the app that CARAWAY_APP names; arguments are those of `caraway worker`.
set -eu
# exec: the worker takes the shell's place and its process id, 1. A shell in between would get the
# SIGTERM of ECS and keep it to itself, and the worker would be killed with its tasks.
exec caraway worker -A "${CARAWAY_APP:?say which app to run, as module:attribute}" "$@"
