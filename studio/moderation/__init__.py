"""Moderation: what is checked before a picture is seen, and what people decide of it.

`screening` judges pictures on their way from the engine, `service` is the queue of reviews as the
faces see it, `upkeep` lets decisions take effect and deletes what is to be deleted, `learning` and
`plot` tell what the decisions say about the thresholds.
"""
