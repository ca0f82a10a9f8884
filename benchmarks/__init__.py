"""One file per question: how much our server adds to the bare engine, in the same run, on the same machine.

A question is a module with QUESTION, one sentence, and `run()`, which gives the answers. Each answer has a target.
"""
