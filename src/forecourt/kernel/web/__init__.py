"""The web ground every page stands on: assets, the template environment, formats, view structs, macros.

Names no module and imports no web framework. Pages are written as `{% extends "layouts/site.html" %}` (visitors),
`"layouts/shell.html"` (signed in, staff) or `"layouts/focus.html"` (one thing to finish), with
`{% import "ui.html" as ui %}` for every component. `/dev/ui` shows all of them.
"""
