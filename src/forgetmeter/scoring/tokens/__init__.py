"""Tokenization of texts and answers."""
