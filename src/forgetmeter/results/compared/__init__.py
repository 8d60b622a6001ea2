"""Variants compared with their baseline on one task."""
