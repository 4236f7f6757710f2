"""Rows of the table that make bench prints; see internal/benchtable."""

import json
import pathlib


class Rows:
    """Collects what was measured. Less is better in every unit."""

    def __init__(self):
        self.rows = []

    def add(self, case, who, unit, *values, bound=None, mark=None, **more):
        """Adds a row. bound is what sets the least that the case can need, and that; more are figures with their units.
        Rows of a case follow one another, the agent's first.
        """
        row = {"case": case, "who": who, "unit": unit, "values": list(values)}
        if bound:
            row["bound"] = {"by": bound[0], "value": bound[1]}
        if more:
            row["more"] = [{"name": n.replace("_", " "), "value": v, "unit": u} for n, (v, u) in more.items()]
        if mark:
            row["mark"] = mark
        self.rows.append(row)

    def write(self, file):
        """Writes them for make bench."""
        pathlib.Path(file).write_text(json.dumps(self.rows, indent=2) + "\n")


def verdict(aim, met):
    """What a mark says of itself."""
    return f"{aim}: {'met' if met else 'missed'}"
