"""The sections of RESULTS.md, one a file: the table, the text, the figure."""
