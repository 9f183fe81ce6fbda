"""Configuration: read, checked against a schema, and explained in words when it is wrong."""

import copy
import difflib
import math
from collections.abc import Iterable, Mapping
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
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "nothing",
}
# Keys of earlier versions, and what they are called now.
RENAMED = {"studies": "backbones, anomaly_rates and ablations"}
Document = Mapping[str, Any]
# JSON Schema lets 5.0 pass for a whole number; here it would end as range(5.0).
Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def load_yaml(path: str | Path) -> Document:
    """Read a YAML file whose top level is a mapping.

    Raises
    ------
    SdorError : the file is missing, is no YAML, or holds something else than a mapping.
    """
    try:
        document = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise SdorError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise SdorError(f"{path}: not valid YAML ({reason})") from error
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
    _refuse_strange_values(document, where, prefix)
    validator = Validator(_schema(schema))
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    if error is not None:
        raise SdorError(f"{where}: {_in_words(error, prefix)}")


def with_defaults(document: Document, schema: str) -> dict[str, Any]:
    """The document with the schema's default for every key that it leaves out, in sections too."""
    return _completed(document, _schema(schema)["properties"])


def hint(name: str, known: Iterable[str]) -> str:
    """The known name that an unknown one is nearest to, else all of them."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"


def _refuse_strange_values(value: Any, where: str | Path, above: tuple[str, ...]) -> None:
    """Refuse what YAML allows and no schema can: keys that are no text, numbers without end."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise SdorError(f"{where}: {'.'.join([*above, str(key)])}: write the key in quotes")
            _refuse_strange_values(item, where, (*above, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_strange_values(item, where, (*above, str(number)))
    elif isinstance(value, float) and not math.isfinite(value):
        raise SdorError(f"{where}: {'.'.join(above)}: {value} is not a finite number")


@cache
def _schema(name: str) -> Document:
    schema: Document = yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text())
    if name == "method":
        schema["properties"]["backbone"]["enum"] = list(ARCHITECTURES)
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


def _in_words(error: jsonschema.ValidationError, above: tuple[str, ...] = ()) -> str:
    key = ".".join([*above, *map(str, error.absolute_path)])
    prefix = f"{key}: " if key else ""
    rule: Any = error.validator
    allowed: Any = error.validator_value
    value: Any = error.instance
    schema: Any = error.schema
    if rule == "additionalProperties":
        known = list(schema.get("properties", {}))
        unknown = next(name for name in value if name not in known)
        if not key and unknown in RENAMED:
            return f"{unknown}: is now {RENAMED[unknown]}, see config/README.md"
        return f"{key + '.' if key else ''}{unknown}: unknown key ({hint(unknown, known)})"
    if "propertyNames" in error.absolute_schema_path:
        return (
            f"{prefix}{value!r} is not a usable name (a letter, then letters, digits, _ and -; "
            "competitors, features, frames, trunk and video are taken)"
        )
    if rule == "required":
        missing = next(name for name in allowed if name not in value)
        return f"{prefix}the key {missing} is missing"
    if rule == "type":
        names = [allowed] if isinstance(allowed, str) else allowed
        expected = " or ".join(TYPE_NAMES[name] for name in names)
        return f"{prefix}{value!r} is not {expected}"
    if rule == "enum":
        return f"{prefix}{value!r} is not one of {', '.join(map(str, allowed))}"
    bounds = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "above",
        "exclusiveMaximum": "below",
    }
    if rule in bounds:
        return f"{prefix}{value!r} must be {bounds[rule]} {allowed}"
    if rule in ("oneOf", "anyOf"):
        choices = [
            repr(choice["const"]) if "const" in choice else TYPE_NAMES[choice["type"]]
            for choice in allowed
        ]
        return f"{prefix}{value!r} is not {' or '.join(choices)}"
    words = {
        "pattern": f"{value!r} is not a usable name (letters, digits, _ and -)",
        "minItems": f"the list has {len(value) if isinstance(value, list) else 0} entries, "
        f"it needs {allowed}",
        "uniqueItems": "an entry stands twice in the list",
        "minProperties": "give at least one",
    }
    return f"{prefix}{words.get(rule, error.message)}"
