"""What the API takes and gives, as JSON, a file for each noun. Times are RFC 3339, in UTC.

What a brief may say is judged by the studio in words, not here: here are only its parts.
"""
