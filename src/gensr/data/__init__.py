"""Data that needs no download, and photographs from folders."""
