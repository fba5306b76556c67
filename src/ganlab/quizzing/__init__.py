"""Which image is real?  Trials for one person that nothing but the pixels can decide.

The protocols are those of HYPE (Zhou et al. 2019): errors with unlimited time, or the exposure that
a person needs.  The server keeps the key; the page learns an answer once it has given its own.

May import: __init__, data, pages, plots, spec, storage.
Libraries: PIL, numpy, pydantic, torch, tornado.
"""
