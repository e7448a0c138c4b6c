"""The error that the trainer and the scripts raise on purpose."""


class TrainerError(ValueError):
    """What a user can cause and mend: one line that names the file or the option, what was found, what was
    expected, and the remedy. Other ValueErrors are errors of ours."""
