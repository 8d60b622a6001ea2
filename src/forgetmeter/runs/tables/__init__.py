"""The parquet files of a run."""
