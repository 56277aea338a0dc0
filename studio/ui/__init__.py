"""The page: one panel per file, `build_x(studio) -> XPanel` and `bind_x(panel, …)`.

The face owns nothing. It reads a `Snapshot` of the studio, writes it as HTML over the server's own
picture routes, and turns what is typed into a `Brief`.
"""
