"""Vitrine: a browser studio in which merchandisers make product pictures.

Importing this package does no work. `studio.application.Studio.open` is the one composition root.
"""

__version__ = "0.1.0"
