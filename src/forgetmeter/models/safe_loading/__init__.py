"""Calls of libraries that load models, which never run code from model repositories."""
