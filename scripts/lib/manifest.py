"""Tells whether a folder of the cache is whole.

`write DIR` lists every file of DIR with its size in DIR/.manifest, aside and then renamed, so that the list is there
only when the folder is complete. `check DIR` compares: exit 0 when all is there, 1 with one line on what is not.
Byte code that Python writes as it runs is left out.
"""

import os
import sys

NAME = ".manifest"


def files(top):
    """Yield (relative path, size) of each file; the size of a link is -1, for what it points to may be renewed."""
    for folder, folders, names in os.walk(top):
        folders[:] = [f for f in folders if f != "__pycache__"]
        for name in names:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, top)
            if not relative.startswith(NAME) and not name.endswith(".pyc"):
                yield relative, -1 if os.path.islink(path) else os.path.getsize(path)


def write(top):
    """Write the list of all files of top."""
    aside = os.path.join(top, NAME + ".new")
    with open(aside, "w", encoding="utf-8") as out:
        for relative, size in sorted(files(top)):
            out.write(f"{size}\t{relative}\n")
        out.flush()
        os.fsync(out.fileno())
    os.replace(aside, os.path.join(top, NAME))


def fault(top):
    """Return what is wrong with top, or None."""
    try:
        with open(os.path.join(top, NAME), encoding="utf-8") as lines:
            rows = [line.rstrip("\n").split("\t", 1) for line in lines]
    except OSError:
        return "its set-up was interrupted"
    if not rows:
        return "its list of files is empty"
    for size, relative in rows:
        try:
            found = os.stat(os.path.join(top, relative)).st_size
        except OSError:
            return f"{relative} is missing"
        if int(size) not in (-1, found):
            return f"{relative} has {found} bytes, {size} were installed"
    return None


def main(verb, top):
    """Carry out one of the two verbs; return the exit code."""
    if verb == "write":
        write(top)
        return 0
    wrong = fault(top)
    if wrong:
        print(f"setup: {top}: {wrong}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
