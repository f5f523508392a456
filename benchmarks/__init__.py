"""Measure tinydocker beside what people would use instead, in one run on one machine.

``python -m benchmarks --help`` tells how; ``benchmarks/install.py`` brings the peers from Debian.
A new measurement is a new file in ``scenarios/``, a new contender a new file in ``peers/``.
"""
