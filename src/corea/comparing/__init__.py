"""From several runs or answers tables to one comparison: tables, differences, curves, a page."""
