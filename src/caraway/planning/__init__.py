"""What a load costs on AWS and which limits it meets: a model in plain arithmetic, without AWS.

A :class:`~caraway.planning.workload.Workload` goes in;
:func:`~caraway.planning.estimate.estimate` answers for both doors. What a task asks of AWS
(:mod:`~caraway.planning.counts`) is what the tests count; prices and limits are AWS's, each with
the title of its page.
"""
