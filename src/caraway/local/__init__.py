"""AWS on this machine: the local engine, the Lambda package and the deployment of a template.

Nothing is imported here: each module is imported by its own name when it is needed.
"""
