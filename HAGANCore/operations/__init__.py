"""What can be asked for: one file per verb, with a request and what is done for it.

A request is a frozen dataclass whose fields say once what they mean, in which unit and range
(:mod:`HAGANCore.fields`). The command line gets its options from it, the worker its validation, a panel its
ranges and tooltips. ``run(request, context)`` does the work; the engine, and with it torch, is loaded there
and not before, since requests are checked where torch is not installed yet.
"""
