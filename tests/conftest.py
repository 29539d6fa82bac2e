"""Examples of hypothesis: found anew at every run on a desk, the same ones at every run of continuous integration.

A failing example is printed with the line that replays it.
"""

import os

from hypothesis import settings

settings.register_profile("desk", print_blob=True, deadline=None)
settings.register_profile("ci", derandomize=True, print_blob=True, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "desk")
