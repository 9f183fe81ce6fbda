"""The one exception for what a user can mend."""


class SdorError(Exception):
    """A fault in the input, shown as one line without a traceback.

    The message names the file or clip, the key, the value, and what to do next.
    """
