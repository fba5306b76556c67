"""`ganlab lab generative`: four kinds of generative networks on equal terms, on one page.

`kinds` says what is compared, `entries` plans its runs, `measures` asks what a run can do,
`summary` puts seeds together, `seen` says it in words, `pictures` and `page` show it.
"""
