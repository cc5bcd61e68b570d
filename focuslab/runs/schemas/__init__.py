"""Typed records of the files of runs: what each field may hold."""
