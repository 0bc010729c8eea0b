"""Bytes to arrays and back: record files, Example messages, text lines.

The public names are listed flat in `headrace.io.api`; this face stays empty so that importing
one module of the room (a writer, say) loads nothing else.
"""
