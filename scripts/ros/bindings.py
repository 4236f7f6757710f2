"""Turns rclgo-gen's output into Go packages that build only with the tag ros2 and only out of the environment.

The generator writes the include and library folders of every prefix into every package. Here the folders of the ROS 2
come from CGO_CFLAGS and CGO_LDFLAGS, so that its packages stay in Go's build cache when our own interfaces change; only
the packages of robot_interfaces name the prefix it lies in. Usage: bindings.py GENERATED PREFIX
"""

import pathlib
import re
import sys

TAG = "//go:build ros2\n\n"
FOLDER = re.compile(r'^#cgo (CFLAGS: "-I|LDFLAGS: "-L).*\n', re.MULTILINE)
BLANK = re.compile(r"\n{3,}")


def folders(prefix):
    """The lines that let a package of robot_interfaces be compiled and linked."""
    return (
        f'#cgo CFLAGS: "-I{prefix}/include/robot_interfaces"\n'
        f'#cgo LDFLAGS: "-L{prefix}/lib" "-Wl,-rpath={prefix}/lib"\n'
    )


def rewrite(text, prefix):
    """Return one generated file as we want it."""
    with_folders = FOLDER.search(text)
    text = FOLDER.sub("", text)
    if with_folders and prefix:
        text = text.replace("/*\n", "/*\n" + folders(prefix), 1)
    return TAG + BLANK.sub("\n\n", text)


def main(generated, prefix):
    """Rewrite every Go file below generated."""
    top = pathlib.Path(generated)
    # It imports every message package: nothing needs that, and it would compile them all into each program.
    (top / "msgs.gen.go").unlink(missing_ok=True)
    for path in top.rglob("*.go"):
        ours = prefix if path.relative_to(top).parts[0] == "robot_interfaces" else ""
        path.write_text(rewrite(path.read_text(encoding="utf-8"), ours), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
