"""The platform's tree of metadata: what people pick tables and fields from."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["TreeField", "TreeNode"]


class TreeField(BaseModel):
    """A field of a table, in one direction: ``IMPORT`` goes in, ``EXPORT`` comes out.

    Attributes:
        required: Of what goes in: whether a new record needs it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    text: str
    title: str
    icon: str
    type: str
    desc: str
    inout: Literal["IMPORT", "EXPORT"]
    selectable: Literal[False] = False
    required: bool | None = None


class TreeNode(BaseModel):
    """A group of tables, or a table: selectable, its fields in ``nodes`` and ``fields``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    text: str
    title: str
    icon: str
    type: str
    desc: str
    selectable: bool
    nodes: tuple["TreeNode | TreeField", ...] = ()
    fields: tuple[TreeField, ...] = ()
