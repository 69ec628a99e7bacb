"""
A payment provider that fails on request: a separate program that knows nothing of the shop but its webhook URL.
"""
