"""What the files of a run contain, read as arrays, frames and text."""
