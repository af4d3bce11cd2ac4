"""How many Python functions a call enters: host cost that is the same from run to run, unlike time."""

import sys


def frames(call, warm=3):
    """Return how many Python functions call enters once it has run `warm` times, its own frame not counted."""
    for _ in range(warm):
        call()
    entered = []
    sys.setprofile(lambda frame, event, argument: entered.append(frame.f_code.co_name) if event == "call" else None)
    try:
        call()
    finally:
        sys.setprofile(None)
    return len(entered) - 1
