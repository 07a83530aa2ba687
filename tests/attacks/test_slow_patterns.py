"""Texts that make a pattern try again and again, for every pattern of the product."""

import ast
import importlib
import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from cloud_connect.calls import Environment
from cloud_connect.errors import CloudConnectError
from cloud_connect.query import Query
from cloud_connect_agent.policy import Access, Effect, PolicyDocument, Rule, Verb
from cloud_connect_agent.policy.fields import leaf_names, protected
from cloud_connect_agent.procore.filters import predicate
from cloud_connect_agent.procore.raw_content import read_content
from cloud_connect_agent.procore.target import parse_target
from cloud_connect_agent.procore.values import Calendar
from doubles.machine_speed import slowness

pytestmark = pytest.mark.usefixtures("untraced")

ROOT = Path(__file__).parents[2]
SOURCES = ("core", "agent", "relay")
LENGTH = 100_000  # characters
MOST_SECONDS = 0.05 * slowness()
SHARES = 4  # of the patterns, so that two can be tried at a time
_CALLS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}


@dataclass(frozen=True)
class Pattern:
    """One pattern of the product and how its module applies it."""

    place: str
    text: Any
    flags: int = 0
    methods: tuple[str, ...] = ()
    by_pydantic: bool = False

    def __str__(self) -> str:
        return self.place


# Patterns that are made at run time, and where they are tried instead.
_ELSEWHERE = {
    "agent/cloud_connect_agent/procore/filters.py": "test_no_pattern_of_a_condition_is_slow",
    "agent/cloud_connect_agent/toml_text.py": "made of our own keys, for the PC's own file",
    "agent/cloud_connect_agent/cli/accounts.py": "one of the settings, which has it as its own",
}


def modules() -> Iterator[tuple[Path, Any]]:
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT / source).with_suffix("").parts)
            name = name.removesuffix(".__init__")
            if "windows" in name or name.endswith("__main__") or "migrations" in name:
                continue
            yield path, name


@cache
def all_patterns() -> list[Pattern]:
    """All of them, found once."""
    return list(patterns())


def patterns() -> Iterator[Pattern]:
    """Yield every pattern in the sources; one that cannot be told fails the test."""
    for path, name in modules():
        tree = ast.parse(path.read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        wanted = [node for node in calls if _pattern_of(node) is not None]
        if not wanted:
            continue
        module = importlib.import_module(name)
        relative = path.relative_to(ROOT)
        for node in wanted:
            expression = _pattern_of(node)
            assert expression is not None
            place = f"{relative}:{node.lineno}"
            try:
                text = _value(expression, module)
                flags = _value(_flags_of(node), module)
            except NameError:
                assert str(relative) in _ELSEWHERE, f"{place}: say how this pattern is made"
                continue
            if text is None:
                continue
            if isinstance(text, re.Pattern):
                continue
            by_pydantic = not _is_re(node)
            method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            methods = (method,) if method != "compile" else _uses(tree, node)
            yield Pattern(place, text, int(flags or 0), methods, by_pydantic)


def _is_re(node: ast.Call) -> bool:
    function = node.func
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
        and function.attr in _CALLS
    )


def _pattern_of(node: ast.Call) -> ast.expr | None:
    if _is_re(node):
        return node.args[0]
    return next((one.value for one in node.keywords if one.arg == "pattern"), None)


def _flags_of(node: ast.Call) -> ast.expr:
    if _is_re(node) and isinstance(node.func, ast.Attribute) and node.func.attr == "compile":
        given = [*node.args[1:], *(one.value for one in node.keywords if one.arg == "flags")]
        if given:
            return given[0]
    return ast.Constant(0)


def _value(expression: ast.expr, module: Any) -> Any:
    code = compile(ast.fix_missing_locations(ast.Expression(expression)), module.__name__, "eval")
    return eval(code, vars(module))  # noqa: S307 - an expression of our own source


def _uses(tree: ast.AST, compiled: ast.Call) -> tuple[str, ...]:
    """Return the methods that a module calls on what it compiled; all, if it passes it on."""
    names = [
        ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is compiled
    ]
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in names
    }
    return tuple(sorted(used & _CALLS)) or ("fullmatch", "search", "sub")


def seeds(text: str | bytes) -> list[str]:
    """Characters that the pattern knows, and one that few do."""
    try:
        parsed = re._parser.parse(text)  # type: ignore[attr-defined]
    except re.error:  # written for pydantic's own engine
        return ["a", "0", " "]
    found = list(dict.fromkeys(_letters(parsed)))
    return list(dict.fromkeys([*found[:3], *found[-2:], "a"]))


def _letters(part: Any) -> Iterator[str]:
    """Yield the letters in a parsed pattern, the ends of its ranges among them."""
    if isinstance(part, tuple) and len(part) == 2 and str(part[0]) in {"LITERAL", "NOT_LITERAL"}:
        yield chr(part[1])
    elif isinstance(part, tuple) and len(part) == 2 and str(part[0]) == "RANGE":
        yield from map(chr, part[1])
    elif isinstance(part, str):
        return
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _letters(one)
    elif hasattr(part, "data"):
        yield from _letters(part.data)


def hostile(text: Any) -> Iterator[str]:
    """Yield long texts of few letters, with an end that fits nothing."""
    letters = seeds(text)
    for one in letters:
        yield one * LENGTH
        yield one * LENGTH + "\x00"
        for other in letters:
            if one != other:
                yield (one + other) * (LENGTH // 2 - 1) + "\x00"
    plain = text.decode("latin-1") if isinstance(text, bytes) else text
    run = max(re.findall(r"[A-Za-z0-9 :/.=_-]+", plain) or ["a"], key=len)
    yield run * (LENGTH // len(run)) + "\x00"


def seconds(function: Any, *given: Any) -> float:
    """CPU time, the best of three if the first is too long: this machine does other things."""
    best = 9.0
    for _ in range(3):
        start = time.thread_time()
        function(*given)
        best = min(best, time.thread_time() - start)
        if best <= MOST_SECONDS:
            break
    return best


def applied(pattern: Pattern) -> Iterator[Any]:
    """Yield what applies the pattern to a text, as its module does."""
    if pattern.by_pydantic:
        adapter: TypeAdapter[str] = TypeAdapter(Annotated[str, Field(pattern=pattern.text)])

        def validate(text: str) -> None:
            try:
                adapter.validate_python(text)
            except ValueError:
                return

        yield validate
        return
    compiled = re.compile(pattern.text, pattern.flags)
    for name in pattern.methods:
        method = getattr(compiled, name)
        if name in {"sub", "subn"}:
            empty = b"" if isinstance(pattern.text, bytes) else ""
            yield lambda text, method=method, empty=empty: method(empty, text)
        elif name == "finditer":
            yield lambda text, method=method: list(method(text))
        else:
            yield method


def slow(pattern: Pattern, texts: Iterable[str]) -> list[str]:
    """Return which texts take the pattern too long."""
    found = []
    for apply in applied(pattern):
        for text in texts:
            given: Any = (
                text.encode("latin-1", "replace") if isinstance(pattern.text, bytes) else text
            )
            took = seconds(apply, given)
            if took > MOST_SECONDS:
                found.append(f"{pattern}: {took * 1000:.0f} ms on {text[:12]!r}…")
                break
    return found


@pytest.mark.catalogue("T98")
@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("share", range(SHARES))
def test_no_pattern_of_the_product_is_slow_on_a_long_text(share: int) -> None:
    assert len(all_patterns()) > 80, "the patterns were not found"
    mine = all_patterns()[share::SHARES]
    assert [one for pattern in mine for one in slow(pattern, list(hostile(pattern.text)))] == []


@pytest.mark.catalogue("T98")
@pytest.mark.parametrize("text", ["*a" * 50, "*?a" * 33, "a*" * 50 + "b", "?" * 100])
def test_no_pattern_of_a_condition_is_slow(text: str) -> None:
    """A form's user writes it, and Procore's records are what it is tried on."""
    condition = {
        "arg1": {"name": "subject"},
        "operator": "matches",
        "arg2": {"value": text},
    }
    tree = Query.parse(
        {"action": "select", "info": {"name": "rfis"}, "conditions": [condition]}
    ).condition
    matches = predicate(tree, lambda _: None, Calendar(now=datetime.now(UTC), zone=None))
    for value in ("a" * LENGTH, "ab" * (LENGTH // 2), "a?" * (LENGTH // 2)):
        assert seconds(matches, {"subject": value}) <= MOST_SECONDS


def _paths(count: int) -> PolicyDocument:
    return PolicyDocument(
        rules=tuple(
            Rule(id=f"r{number}", effect=Effect.DENY, paths=("rest/*/" * 50 + "end",))
            for number in range(count)
        )
    )


def _decide(path: str) -> None:
    access = Access(
        verb=Verb.PASSTHROUGH_READ, environment=Environment.LIVE, company_id=1, path=path
    )
    _paths(20).decide(access)


def _protect(name: str) -> None:
    written = {name, f"x.{name}", *(f"{name[:100]}.{n}" for n in range(900))}
    for anywhere in (True, False):
        protected(written, ("a.a.b", "cost_code", "a.b.a.b"), anywhere=anywhere)


def _looked_into(kind: str, body: bytes) -> None:
    with suppress(CloudConnectError):
        read_content(body, kind, complete=True, placed=False)


def _target(text: str) -> None:
    with suppress(CloudConnectError):
        parse_target(text)


_FILLED = LENGTH // 2
BODIES = (
    b'{"a":' * 60 + b"{" + b",".join(b'"%d":1' % n for n in range(12_000)) + b"}" + b"}" * 60,
    b'{"' + b"k" * 40_000 + b'":{' + b",".join(b'"%d":1' % n for n in range(7_000)) + b"}}",
    b"[" * _FILLED + b"]" * _FILLED,
    b"[" + b"{}," * (LENGTH // 3) + b"{}]",
    b'{"company_id":1,' * (LENGTH // 16),
    b"&" * LENGTH,
    b"a[" * _FILLED,
    b"%61=&" * (LENGTH // 5),
    b"--b\r\n" + b"\r\n--b" * (LENGTH // 5),
    b'--b\r\nContent-Disposition: form-data; name="' + b" " * LENGTH,
    b"--b\r\n" + b"Content-Disposition: form-data;" + b" \t" * 2_000 + b"x\r\n\r\n",
)


@pytest.mark.catalogue("T98")
@pytest.mark.parametrize("body", BODIES, ids=[body[:12].decode() for body in BODIES])
def test_no_body_is_looked_into_slowly(body: bytes) -> None:
    for kind in ("application/json", "", "multipart/form-data; boundary=b"):
        assert seconds(_looked_into, kind, body) <= MOST_SECONDS, kind
    with suppress(ValueError, RecursionError):
        assert seconds(leaf_names, json.loads(body)) <= MOST_SECONDS


@pytest.mark.catalogue("T98")
@pytest.mark.parametrize(
    "unit", ["rest/x/", "a.", "../", "%2e", "/", "a", "=&", "\x00", "projects/1/"]
)
def test_no_matcher_of_the_policy_is_slow(unit: str) -> None:
    text = (unit * LENGTH)[:LENGTH]
    for matcher in (_decide, _protect, _target):
        assert seconds(matcher, text) <= MOST_SECONDS, matcher
        assert seconds(matcher, f"rest/v1.0/{text}"[:8192]) <= MOST_SECONDS, matcher


@pytest.mark.catalogue("T98")
@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.deferred(lambda: st.sampled_from(all_patterns())),
    st.text(min_size=1, max_size=6),
    st.text(max_size=2),
)
def test_no_pattern_is_slow_on_what_repeats(pattern: Pattern, unit: str, end: str) -> None:
    assert slow(pattern, [(unit * LENGTH)[:LENGTH] + end]) == []
