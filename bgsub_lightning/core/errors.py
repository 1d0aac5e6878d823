"""The one exception for what a user can mend."""


class UserError(Exception):
    """Something in the user's data, configuration or command is wrong.

    The command line prints the message alone, without a traceback, and exits with status 2. So the message names the
    file or the configuration key, says what is wrong, and says what to do about it.
    """


def cause_of(error: BaseException, *kinds: type[BaseException]) -> BaseException | None:
    """Find the first error of some kinds among what an error came from; libraries wrap what our classes raise.

    Args:
        error: The error.
        kinds: The kinds; by default :class:`UserError`.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kinds or UserError):
        cause = cause.__cause__ or cause.__context__
    return cause
