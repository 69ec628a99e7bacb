"""
A payment provider that misbehaves on request: a process of its own that knows nothing of the shop but its webhook.
"""
