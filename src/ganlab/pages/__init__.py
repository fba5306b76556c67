"""What every page shares: one HTML file without a network, its looks, and servers on loopback.

A page is one Jinja template that extends `base.html`; its styles and scripts stand beside it and
are put into the file.  Texts are escaped by the template, and a policy in the file lets the browser
run only the page's own scripts and load nothing.

May import: __init__, errors.
Libraries: PIL, bokeh, jinja2, markupsafe, numpy, tornado.
"""
