"""The errors that i2i raises on purpose: one clear line that names the value and the remedy."""


class I2IError(Exception):
    """A mistake of the user's, said in one line; the command line prints it and exits with code 2."""


class SettingsError(I2IError, ValueError):
    """A setting that is unknown, out of range or at odds with another one."""


class CompositionError(I2IError, ValueError):
    """Steps, nets and losses that do not fit together."""


class NotOfferedError(CompositionError):
    """A term asks for a value that the parts it is combined with do not offer."""


class DataError(I2IError):
    """An image, a folder or a dataset that cannot be used."""


class ModelError(I2IError):
    """A model folder or a checkpoint that cannot be read, or that is not what it says."""


class RunError(I2IError):
    """A run folder that cannot be used: in use, not empty, disk full, other settings."""


class NonFiniteError(I2IError):
    """A loss term or a gradient that became infinite or not a number."""


class OutOfMemoryError(I2IError):
    """A device, or the host, that has no memory left."""


class PluginError(I2IError):
    """A plugin, part or recipe that is missing, broken or registered twice."""
