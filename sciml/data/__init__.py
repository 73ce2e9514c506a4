"""Datasets on disk: generation from a recipe, import of arrays, reading, checking.

Nothing is imported here, so that a reader of datasets does not pay for the solvers. The entry points are
`sciml.data.generate.generate`, `sciml.data.loader.open_dataset`, `sciml.data.verify.verify`, `sciml.data.info.describe` and
`sciml.data.convert.import_arrays`; `sciml.data.store` and the modules below it are the only ones that touch its HDF5 files.
"""
