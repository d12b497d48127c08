"""What the benchmarks run against, each with counts of requests and a latency that can be set.

* :mod:`benchmarks.engine.stub`: a stand-in of SQS and DynamoDB in memory, for figures of clients;
* :mod:`benchmarks.engine.proxy`: a counting proxy in front of a real engine, or of Redis;
* :mod:`benchmarks.engine.client`: starts either from Python;
* :mod:`benchmarks.engine.capacity`: what the stub itself can do.
"""
