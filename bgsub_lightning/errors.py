"""The one exception for what a user can mend."""


class UserError(Exception):
    """Something in the user's data, configuration or command is wrong.

    The command line prints the message alone, without a traceback, and exits with status 2. So the message names the
    file or the configuration key, says what is wrong, and says what to do about it.
    """
