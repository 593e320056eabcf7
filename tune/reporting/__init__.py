"""The report of a search: statistics, figures, tables and words, put on one page."""
