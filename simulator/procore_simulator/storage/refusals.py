"""The storage origin's refusals, in XML as object stores write them."""

from xml.sax.saxutils import escape

from procore_simulator.messages import Reply

__all__ = ["StorageError"]


class StorageError(Exception):
    """A refusal of the storage origin, which knows nothing of Procore's error shapes."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def reply(self) -> Reply:
        """Write the answer."""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>{escape(self.message)}</Message></Error>"
        )
        return Reply(status=self.status, body=text.encode(), content_type="application/xml")
