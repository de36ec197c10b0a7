"""Commands, one a file: ``SETTINGS``, what can be set, and ``start``, which hands it on in groups.

Nothing heavy is imported before ``start`` is called, so that help and mistakes answer at once.
"""
