"""The one error that domain functions raise for input which the contract refuses."""


class DomainError(ValueError):
    """Input that breaks a rule of the contract.

    `reason` is the stable UPPER_SNAKE word that the proto names, `field` the request field at fault.
    """

    def __init__(self, reason: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
