"""The folder of one run: its identity, its files, its readings, where and by what it was made.

May import: config, errors, storage.
Libraries: filelock, pydantic, torch, yaml.
"""
