"""Images: archives, their layers, and what is remembered of them."""

import logging

logging.getLogger("tinydocker").addHandler(logging.NullHandler())
