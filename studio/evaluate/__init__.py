"""`studio evaluate`: how well a model does what it is asked, measured on the world we render.

    briefs ─▶ the studio's own engine ─▶ pictures ─▶ classifier ─▶ match, colour, distance, …
                                            └─▶ edges ─▶ sketch adherence

Any model by name or folder. What is known of the world, its words included, comes from renders and
their descriptions; the classifier that reads pictures is trained on them (`classifier.py`,
`training.py`), and how often it is right itself is stated with every figure. The measures are pure
functions, each in a file of its own with its source; `measure.py` says in which order they are
taken, `command.py` is the command.
"""
