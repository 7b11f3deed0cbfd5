"""The demo system: a shop and a bank of real processes, the customers who use them, and what can break.

It is a process tree of its own, so that it goes on living when Homeostat dies. ``launch`` starts it,
``client`` talks to it, ``supervisor`` is its first process and ``service`` is each of the others.
"""
