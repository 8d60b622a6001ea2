"""Answers in a table: CSV, TSV, JSON Lines or Parquet."""
