"""The A2A edge: an agent of five skills, spoken to by JSON-RPC and gRPC.

It holds no rules of its own: it finds out which action a message asks for, lets the mail core do it, and
shows the outcome as a task.
"""

import os

# The SDK reads this once, when it is first imported. Its own spans know nothing of our sampling, start
# traces of their own, and record the text of exceptions.
os.environ["OTEL_INSTRUMENTATION_A2A_SDK_ENABLED"] = "false"
