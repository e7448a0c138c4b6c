"""Records in JSON files: built-in data, which users can replace by files of their own."""

import os
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import List

from eventsim.arguments import path_of
from eventsim.errors import FormatError, ModelError
from eventsim.storage.json_fields import parse_json
from eventsim.storage.nearby import remedy_of_missing
from eventsim.storage.reading import refuse_special
from eventsim.text import did_you_mean

MAX_BYTES = 1 << 16  # of a file


@dataclass(frozen=True)
class JsonRecords:
    """A reader of the records of one dataclass.

    cls: the dataclass, which has a field `name` and raises ModelError for values that do not fit.
    what: the word for a record in messages, such as "chip". folder: holds the built-in files <name>.json.
    """

    cls: type
    what: str
    folder: Path

    def names(self) -> List[str]:
        """Return the names of the built-in records, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def find(self, given):
        """Return a record: `given` itself if it is one, else the built-in one of that name, else the one in the
        JSON file at that path.

        Raises FormatError, which names the file and the field.
        """
        if isinstance(given, self.cls):
            return given
        if str(given) in self.names():
            return self.read(self.folder / f"{given}.json")
        path = Path(path_of(given, self.what, FormatError))
        if path.suffix.lower() != ".json" and not os.path.exists(path):
            raise FormatError(
                f"{self.what} is {str(given)!r}, expected {', '.join(self.names())} or the path of a JSON file"
                + did_you_mean(given, self.names())
            )
        return self.read(path)

    def read(self, path):
        """Return the record in the JSON file at `path`. Raises FormatError, which names the file and the field."""
        refuse_special(path, FormatError)
        try:
            with open(path, "rb") as file:
                record = parse_json(file.read(MAX_BYTES).decode("utf-8"), once=True)
        except (OSError, ValueError, RecursionError) as error:
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())
            remedy = "" if os.path.exists(path) else remedy_of_missing(path)
            raise FormatError(f"{path}: cannot be read as {self._a_record} ({reason}){remedy}") from None
        return self._made(record, path)

    def _made(self, record, path):
        known = [field.name for field in fields(self.cls)]
        if not isinstance(record, dict):
            raise FormatError(f"{path}: not {self._a_record}: expected an object with {', '.join(known)}")
        for name in record:
            if name not in known:
                raise FormatError(f"{path}: {name!r} is unknown, expected only {', '.join(known)}")
        missing = [field.name for field in fields(self.cls)
                   if field.default is MISSING and field.default_factory is MISSING and field.name not in record]
        if missing:
            raise FormatError(f"{path}: {', '.join(missing)} missing, expected {', '.join(known)}")
        try:
            return self.cls(**record)
        except ModelError as error:
            raise FormatError(f"{path}: {error}") from None

    @property
    def _a_record(self):
        return f"{'an' if self.what[0] in 'aeiou' else 'a'} {self.what}"
