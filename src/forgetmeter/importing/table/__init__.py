"""Answers in a table: CSV, JSON Lines or Parquet."""
