"""Images: archives, their layers, and what is remembered of them."""
