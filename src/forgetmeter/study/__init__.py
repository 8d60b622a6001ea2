"""Runs studies: checks, plans and executes a study into a finished folder."""
