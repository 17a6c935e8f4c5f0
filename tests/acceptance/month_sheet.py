"""The sheet of the month: rows, how they are written, and how people edit them."""

import copy
import csv
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from month_crew import Kickoff
from month_model import FAILS, MISSING, Inputs, Row

ID = "<id>"
"""The entry of `columns` for the column with the ids, whose name varies."""
ID_NAMES = ("id", "job_id", "custom_id", "ref")
"""`ref` needs `id: "{{ ref }}"` in the job file."""
FEWEST, MOST = 8, 26


@dataclass
class SheetRow:
    """One row; `extra` are columns that are not sent."""

    job_id: str
    inputs: Inputs
    extra: dict[str, str] = field(default_factory=dict)


@dataclass
class Sheet:
    """The rows file, and its description in the job file."""

    rows: list[SheetRow]
    ids: bool
    columns: list[str] = field(default_factory=lambda: [ID, "topic", "tone"])
    id_name: str = "id"
    crew: str = "default"
    meta: str = ""
    deleted: list[SheetRow] = field(default_factory=list)
    former: list[tuple[str, Inputs]] = field(default_factory=list)
    """Inputs that rows had before they were edited."""
    lost: bool = False
    """The column `tone`, which the crew requires, has another name."""
    made: int = 0
    """Numbers that were used in ids and values."""

    @classmethod
    def new(cls, chance: random.Random, *, rows: int, ids: bool) -> "Sheet":
        """Create a sheet with `rows` rows."""
        sheet = cls([], ids)
        for _ in range(rows):
            sheet._append(chance)
        return sheet

    # As batchcrew reads it

    def jobs(self) -> list[Row]:
        """The jobs that this sheet has; without ids, equal rows are numbered (`duplicates: number`)."""
        seen: Counter[Inputs] = Counter()
        jobs = []
        for row in self.rows:
            inputs = (row.inputs[0], MISSING) if self.lost else row.inputs
            seen[inputs] += 1
            job_id = row.job_id if self.ids else self._content_id(inputs, seen[inputs])
            jobs.append(Row(job_id, inputs, own_id=self.ids))
        return jobs

    def _content_id(self, inputs: Inputs, number: int) -> str:
        return f"{self.crew}|{'|'.join(inputs)}|{number}"

    def model_id(self, kickoff: Kickoff) -> str:
        """Return the id that the job of a kickoff has in the model."""
        match = re.fullmatch(r"[0-9a-f]{16}(?:-(\d+))?", kickoff.job_id)
        if self.ids or match is None:
            return kickoff.job_id
        return self._content_id(kickoff.inputs, int(match[1] or 1))

    # Files

    def write(self, path: Path, *, wrong: str = "") -> None:
        """Write the CSV; wrong: with a row that is too short, an id that is there twice, or a quote that stays open."""
        names = {ID: self.id_name, **({"tone": "Tone"} if self.lost else {})}
        columns = [name for name in self.columns if name != ID or self.ids]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([names.get(name, name) for name in columns])
            for row in self.rows:
                values = {ID: row.job_id, "topic": row.inputs[0], "tone": row.inputs[1], **row.extra}
                writer.writerow([values.get(name, "") for name in columns])
            if wrong == "short":
                writer.writerow(["x"])
            elif wrong == "twice" and self.ids:
                writer.writerow([self.rows[0].job_id if name == ID else "x" for name in columns])
            elif wrong:
                file.write('"open')

    def entry(self) -> str:
        """The entry of `jobs:`."""
        crew = "" if self.crew == "default" else f", crew: {self.crew}"
        template = ', id: "{{ ref }}"' if self.ids and self.id_name == "ref" else ""
        meta = f", meta: {{said: {json.dumps(self.meta)}}}" if self.meta else ""
        return f"{{rows: l.csv, duplicates: number{crew}{template}{meta}}}"

    def read_export(self, path: Path) -> None:
        """Replace the rows with those of an export over the file."""
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            read = list(reader)
        ids = [row.job_id for row in self.rows]
        assert len(read) == len(ids), f"{len(read)} rows were exported, not {len(ids)}"
        self.rows = []
        for values, known in zip(read, ids, strict=True):
            job_id = values.pop(self.id_name) if self.ids else known
            inputs = values.pop("topic"), values.pop("tone")
            self.rows.append(SheetRow(job_id, inputs, values))
        own = [ID if self.ids and name == self.id_name else name for name in header]
        self.columns = own if self.ids else [ID, *own]

    # Edits

    def edit(self, chance: random.Random, *, may_rename_crew: bool) -> str:
        """Make a random edit, as the owner of the sheet might; returns its description."""
        edits: dict[Callable[[random.Random], None], int] = {
            self._append: 6,
            self._delete: 4,
            self._change: 8,
            self._change_many: 1,
            self._revert: 6,
            self._reorder: 2,
            self._renumber: 2,
            self._insert_and_number: 3,
            self._delete_and_number: 2,
            self._swap: 2,
            self._rename_id_column: 2,
            self._turn_ids: 1,
            self._add_column: 2,
            self._rename_column: 1,
            self._remove_column: 1,
            self._edit_unsent: 2,
            self._move_column: 1,
            self._change_meta: 1,
            self._bring_back: 5,
            self._duplicate: 2,
        }
        if may_rename_crew:
            edits[self._rename_crew] = 2
        chosen = chance.choices(list(edits), list(edits.values()))[0]
        chosen(chance)
        return chosen.__name__.lstrip("_").replace("_", " ")

    def _values(self, chance: random.Random) -> Inputs:
        """From few values: equal rows come about, and values come back."""
        topic = f"{FAILS}{chance.randrange(4)}" if chance.random() < 0.06 else f"t{chance.randrange(30)}"
        return topic, chance.choice(["dry", "warm"])

    def _new_id(self) -> str:
        self.made += 1
        return f"j{self.made}"

    def _append(self, chance: random.Random) -> None:
        for _ in range(chance.randint(1, 3) if self.rows else 1):
            if len(self.rows) < MOST:
                self.rows.append(SheetRow(self._new_id(), self._values(chance)))

    def _delete(self, chance: random.Random) -> None:
        for _ in range(chance.randint(1, 4)):
            if len(self.rows) > FEWEST:
                self.deleted.append(self.rows.pop(chance.randrange(len(self.rows))))

    def _bring_back(self, chance: random.Random) -> None:
        for _ in range(min(len(self.deleted), chance.randint(1, 3))):
            row = self.deleted.pop(chance.randrange(len(self.deleted)))
            if any(other.job_id == row.job_id for other in self.rows):
                row.job_id = self._new_id()
            self.rows.insert(chance.randint(0, len(self.rows)), row)

    def _change(self, chance: random.Random) -> None:
        for row in chance.sample(self.rows, chance.randint(1, 3)):
            self.former.append((row.job_id, row.inputs))
            row.inputs = self._values(chance)

    def _change_many(self, chance: random.Random) -> None:
        for row in chance.sample(self.rows, len(self.rows) // 2 + 1):
            self.former.append((row.job_id, row.inputs))
            row.inputs = self._values(chance)

    def _revert(self, chance: random.Random) -> None:
        chance.shuffle(self.former)
        for _ in range(min(len(self.former), chance.randint(1, 4))):
            job_id, inputs = self.former.pop()
            for row in self.rows:
                if row.job_id == job_id:
                    row.inputs = inputs

    def _swap(self, chance: random.Random) -> None:
        one, other = chance.sample(self.rows, 2)
        one.inputs, other.inputs = other.inputs, one.inputs

    def _reorder(self, chance: random.Random) -> None:
        chance.shuffle(self.rows)

    def _renumber(self, chance: random.Random) -> None:
        for row in self.rows:
            row.job_id = self._new_id()

    def _number(self) -> None:
        """1, 2, 3 … in the file's order."""
        for number, row in enumerate(self.rows, 1):
            row.job_id = str(number)

    def _insert_and_number(self, chance: random.Random) -> None:
        self.rows.insert(chance.randint(0, len(self.rows)), SheetRow("", self._values(chance)))
        self._number()

    def _delete_and_number(self, chance: random.Random) -> None:
        if len(self.rows) > FEWEST:
            self.deleted.append(copy.copy(self.rows.pop(chance.randrange(len(self.rows)))))
        self._number()

    def _duplicate(self, chance: random.Random) -> None:
        for row in chance.sample(self.rows, 2):
            if len(self.rows) < MOST:
                self.rows.append(SheetRow(self._new_id(), row.inputs))

    def _rename_id_column(self, chance: random.Random) -> None:
        self.id_name = chance.choice(ID_NAMES)

    def _turn_ids(self, chance: random.Random) -> None:
        self.ids = not self.ids

    def _unsent(self) -> list[str]:
        return [name for name in self.columns if name.startswith("notes")]

    def _add_column(self, chance: random.Random) -> None:
        self.made += 1
        self.columns.insert(chance.randint(0, len(self.columns)), f"notes{self.made}")

    def _rename_column(self, chance: random.Random) -> None:
        for name in self._unsent()[:1]:
            self.made += 1
            self.columns[self.columns.index(name)] = f"notes{self.made}"

    def _remove_column(self, chance: random.Random) -> None:
        for name in self._unsent()[:1]:
            self.columns.remove(name)

    def _edit_unsent(self, chance: random.Random) -> None:
        for name in self._unsent():
            for row in chance.sample(self.rows, 4):
                row.extra[name] = f"call back {chance.randrange(100)}"

    def _move_column(self, chance: random.Random) -> None:
        self.columns.append(self.columns.pop(chance.randrange(len(self.columns))))

    def _change_meta(self, chance: random.Random) -> None:
        self.meta = f"v{chance.randrange(100)}"

    def _rename_crew(self, chance: random.Random) -> None:
        self.crew = chance.choice(["default", "prod", "main"])
