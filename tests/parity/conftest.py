"""The same random weights for a reference and for us, and how far apart their numbers may be."""

from __future__ import annotations

import os

# Set before any peer is imported: nothing in these tests may ask a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
