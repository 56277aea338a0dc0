"""The table of refusals: each sentence of the studio's beside its Chinese, a file for each matter.

    Phrase("There is no {0} {1}: choose one of {2}.", "没有“{0}”{1}：请从 {2} 中选择。")

`{0}`, `{1}`, … are the values in a sentence, in the order of the English. How sentences are
recognised and said again is `told`'s; where one is missing, a test says which.
"""
