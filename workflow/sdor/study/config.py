"""Configuration: read, checked against a schema, and explained in words when it is wrong."""

import copy
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from sdor.errors import SdorError
from sdor.study.backbones import ARCHITECTURES

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
TYPE_NAMES = {
    "object": "a mapping (key: value)",
    "array": "a list",
    "string": "text",
    "number": "a (finite) number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "nothing",
}
WORDS = {
    "minimum": "must be at least ALLOWED",
    "maximum": "must be at most ALLOWED",
    "exclusiveMinimum": "must be above ALLOWED",
    "exclusiveMaximum": "must be below ALLOWED",
    "pattern": "is not a usable name (letters, digits, _ and -)",
    "minItems": "needs at least ALLOWED entries",
    "uniqueItems": "has an entry twice",
    "minProperties": "needs at least ALLOWED entries",
    "dependentRequired": "lacks a column of csv: first and last, or frame and anomalous",
}
Document = Mapping[str, Any]
# JSON Schema lets 5.0 pass for a whole number, where it would end as range(5.0), and YAML has .inf.
Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: type(value) is int,
            "number": lambda _, value: type(value) in (int, float) and abs(value) < 1e300,
        }
    ),
)


class _Strict(yaml.SafeLoader):
    """YAML as it is meant: no key twice, keys are text, no number that was not written as one."""

    def compose_mapping_node(self, anchor: dict[object, yaml.Node]) -> yaml.MappingNode:
        """Refuse keys before `<<` brings in others, which may be overridden."""
        mapping = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in mapping.value:
            if isinstance(key, yaml.ScalarNode):
                if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                    self._refuse(key, f"the key {key.value} is not read as text; put it in quotes")
                if key.value in lines:
                    self._refuse(key, f"{key.value} again, as in line {lines[key.value]}; keep one")
                lines[key.value] = key.start_mark.line + 1
        return mapping

    def construct_number(self, node: yaml.ScalarNode) -> object:
        """Refuse what YAML 1.1 takes for a number and people for a name or a time."""
        digits = "-?(0|[1-9][0-9]*)" if node.tag.endswith(":int") else "[^:_]*"
        if not re.fullmatch(digits, node.value):
            self._refuse(node, f"{node.value} is no plain number; rewrite it, or quote it")
        return yaml.SafeLoader.yaml_constructors[node.tag](self, node)

    def _refuse(self, node: yaml.Node, words: str) -> None:
        raise yaml.MarkedYAMLError(problem=words, problem_mark=node.start_mark)


for _number in ("int", "float"):
    _Strict.add_constructor(f"tag:yaml.org,2002:{_number}", _Strict.construct_number)


def load_yaml(path: str | Path) -> Document:
    """Read a YAML file whose top level is a mapping.

    Raises
    ------
    SdorError : the file is missing, is no YAML, has a key twice or one that is not text, or holds
        something else than a mapping.
    """
    try:
        content = Path(path).read_bytes()
        if Path(path).suffix == ".json":  # may be set with tabs, and has none in its strings
            content = content.replace(b"\t", b" ")
        document = yaml.load(content, _Strict)
    except OSError as error:
        raise SdorError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        words = " ".join(filter(None, [error.context, error.problem]))
        raise SdorError(f"{path}: line {line}: {words}") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise SdorError(f"{path}: no YAML in UTF-8 ({' '.join(str(error).split())})") from error
    if not isinstance(document, dict):
        raise SdorError(f"{path}: expected a mapping (key: value) at the top level")
    return document


def check(document: Document, schema: str, where: str | Path, *prefix: str) -> None:
    """Check a document against `workflow/schemas/<schema>.schema.yaml`.

    Parameters
    ----------
    where : the file's name, which starts the message.
    prefix : keys above the document in its file.

    Raises
    ------
    SdorError : one line for the most telling fault: file, key, value, what is allowed.
    """
    error = jsonschema.exceptions.best_match(Validator(_schema(schema)).iter_errors(document))
    if error is not None:
        words = _in_words(error, prefix)
        if (
            schema == "config"
            and (key := words.partition(":")[0]) in _schema("scene")["properties"]
        ):
            words = (
                f"{key}: belongs in a scene file: sdor scene FOLDER > config/scenes/NAME.yaml "
                "writes one, and scenes: [NAME] asks for it"
            )
        raise SdorError(f"{where}: {words}")


@contextmanager
def named(file: str, given: Mapping[str, object]) -> Iterator[None]:
    """Name the command line, and not the file, in faults of what was given by `--config`.

    Parameters
    ----------
    file : that starts the message of a fault. given : on the command line.
    """
    try:
        yield
    except SdorError as error:
        before, _, words = str(error).partition(f"{file}: ")
        if before or not _holds(given, words.partition(":")[0].split(".")):
            raise
        raise SdorError(f"--config: {words}") from error


def with_defaults(document: Document, schema: str) -> dict[str, Any]:
    """The document with the schema's default for every key that it leaves out, in sections too."""
    return _completed(document, _schema(schema)["properties"])


def typed(value: Any) -> Any:
    """A value of the command line as YAML reads it: within mappings, numbers are still text."""
    if isinstance(value, Mapping):
        return {key: typed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [typed(one) for one in value]
    try:
        read = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value
    return read if isinstance(read, int | float) else value


def hint(name: str, known: Iterable[str]) -> str:
    """The known name that an unknown one is nearest to, else all of them."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"


@cache
def _schema(name: str) -> Document:
    schema: Document = yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text())
    if name == "method":
        schema["properties"]["backbone"]["enum"] = list(ARCHITECTURES)
    elif name == "motion":
        still = [backbone for backbone, one in ARCHITECTURES.items() if one.frames == 1]
        schema["properties"]["backbone"]["enum"] = still
    elif name == "config":
        each = {backbone: {"type": "string"} for backbone in ARCHITECTURES}
        schema["properties"]["weights"]["properties"] = each
    return schema


def _completed(document: Document, properties: Document) -> dict[str, Any]:
    defaults = {key: rule["default"] for key, rule in properties.items() if "default" in rule}
    whole = copy.deepcopy({**defaults, **document})
    for key, rule in properties.items():
        if "properties" in rule:
            whole[key] = _completed(whole[key], rule["properties"])
    return whole


def _holds(document: object, keys: Sequence[str]) -> bool:
    """Whether a key below keys is in a document, or what is above it is no mapping there."""
    for key in keys:
        if not isinstance(document, Mapping):
            return True
        if key not in document:
            return False
        document = document[key]
    return True


def _advice(value: object, types: Sequence[str]) -> str:
    """How to write what YAML reads otherwise than it was meant."""
    if "number" in types and re.fullmatch(r"[-+]?[0-9]+([.][0-9]*)?[eE][-+]?[0-9]+", str(value)):
        return " (YAML reads it as text: write it with a point and a sign, as 1.0e-3)"
    scalar = not isinstance(value, str | list | dict | None)
    return "; if it is meant as text, put it in quotes" * (scalar and "string" in types)


def _in_words(error: jsonschema.ValidationError, above: tuple[str, ...]) -> str:
    rule: Any = error.validator
    allowed: Any = error.validator_value
    value: Any = error.instance
    schema: Any = error.schema
    keys = [*above, *map(str, error.absolute_path)]
    if rule == "additionalProperties":
        known = list(schema.get("properties", {}))
        unknown = next(str(name) for name in value if name not in known)
        return f"{'.'.join([*keys, unknown])}: unknown key ({hint(unknown, known)})"
    match rule:
        case "required":
            words = f"the key {next(name for name in allowed if name not in value)} is missing"
        case "type":
            names = [allowed] if isinstance(allowed, str) else allowed
            words = f"{value!r} is not {' or '.join(TYPE_NAMES[name] for name in names)}"
            words += _advice(value, names)
        case _ if "advice" in schema:
            words = f"{'' if isinstance(value, dict) else f'{value!r} '}{schema['advice']}"
        case "enum":
            words = f"{value!r} is not one of {', '.join(map(str, allowed))}"
        case "oneOf" | "anyOf":
            choices = [
                repr(choice["const"]) if "const" in choice else TYPE_NAMES[choice["type"]]
                for choice in allowed
            ]
            words = f"{value!r} is not {' or '.join(choices)}"
        case _ if rule in WORDS:
            words = f"{value!r} {WORDS[rule]}".replace("ALLOWED", str(allowed))
        case _:
            words = error.message
    return ": ".join(filter(None, [".".join(keys), words]))
