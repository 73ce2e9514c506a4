"""Errors that a user causes and can mend: one sentence naming the field, the value and the remedy."""


class InputError(ValueError):
    """Something that came from outside (a recipe, a file, an option) cannot be used; the command line exits with 3."""


class RecipeError(InputError):
    """A recipe or an override of one is not valid."""


class DatasetError(InputError):
    """A dataset, or a file that should be part of one, is damaged, foreign or does not fit."""


class MeshError(InputError):
    """A mesh, or the file that it is read from, cannot carry a problem."""


class CheckpointError(InputError):
    """A run folder or a checkpoint is damaged, or belongs to another model or dataset."""


class ClusterError(InputError):
    """A cluster cannot be reached, or its machines do not fit together."""
