"""What the benchmarks run against, each with counts of requests and a latency that can be set.

* :mod:`benchmarks.engine.stub`: a stand-in of SQS and DynamoDB in memory, for figures of clients;
* :mod:`benchmarks.engine.client`: starts it from Python.
"""
