"""The text table of the page: English and Chinese side by side, one file for each area.

    WAITING = Phrase("{number:,} waiting", "{number:,} 个在等待")

How they are said is `speech`'s. Phrases that several areas need stand in `common`.
"""
