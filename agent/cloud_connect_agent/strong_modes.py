"""Signed and sealed calls in the policy file: what this PC insists on, off unless it says so."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cloud_connect.signing import KEY_BYTES, is_sound_public_key, key_id_of, to_bytes

__all__ = ["NO_STRONG_MODES", "SealingRules", "SignatureRules", "StrongModes"]

Insist = Literal["none", "writes", "all"]


def _check_key(text: str) -> str:
    key = to_bytes(text)
    if len(key) != KEY_BYTES or not is_sound_public_key(key):
        raise ValueError("it is no Ed25519 public key (32 bytes in base64url)")
    return text


CallerKey = Annotated[str, Field(max_length=64), AfterValidator(_check_key)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SignatureRules(_Strict):
    """``[signatures]``: who has to have signed a call.

    Attributes:
        require: For which calls there must be a signature; a wrong one is always refused.
        keys: The callers' public keys, in base64url.
    """

    require: Insist = "none"
    keys: tuple[CallerKey, ...] = Field(default=(), max_length=16)

    def key(self, key_id: str) -> bytes | None:
        """Return the public key of that name, if it is pinned here."""
        for text in self.keys:
            key = to_bytes(text)
            if key_id_of(key) == key_id:
                return key
        return None


class SealingRules(_Strict):
    """``[sealing]``: which calls must come sealed to this connector."""

    require: Insist = "none"


class StrongModes(_Strict):
    """Both."""

    signatures: SignatureRules = SignatureRules()
    sealing: SealingRules = SealingRules()


NO_STRONG_MODES: Final = StrongModes()
