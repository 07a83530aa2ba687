"""What ``cloud-connect policy show`` says of signed and sealed calls."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud_connect_agent.policy import PolicyDocument

__all__ = ["strong_facts", "strong_rows"]


def strong_facts(document: "PolicyDocument | None") -> dict[str, object]:
    """Return the sections as JSON; of keys their names, by which the audit log knows them."""
    from cloud_connect.signing import key_id_of, to_bytes

    if document is None:
        return {}
    signatures = document.signatures
    names = [key_id_of(to_bytes(key)) for key in signatures.keys]
    return {
        "signatures": {"require": signatures.require, "keys": names},
        "sealing": {"require": document.sealing.require},
    }


def strong_rows(document: "PolicyDocument | None") -> list[tuple[str, str]]:
    """Return them in words; what is not asked for is left out."""
    if document is None:
        return []
    signatures, sealing = document.signatures, document.sealing
    asked = "" if signatures.require == "none" else f"{signatures.require} must be signed; "
    count = len(signatures.keys)
    keys = f"{asked}{count} {'key' if count == 1 else 'keys'}" if asked or count else ""
    if asked and not count:
        keys += ", so nobody can"
    sealed = "" if sealing.require == "none" else f"{sealing.require} must be sealed"
    return [("Signatures", keys), ("Seals", sealed)]
