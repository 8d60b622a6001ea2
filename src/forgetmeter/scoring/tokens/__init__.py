"""Texts and answers as token ids."""
