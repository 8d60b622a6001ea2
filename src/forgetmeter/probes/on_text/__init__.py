"""Tasks on running text, which are measured rather than judged right or wrong."""
