"""Makes a ROS 2 prefix of a virtual environment that PyPI's ROS 2 wheels were installed into.

The wheels were built on another machine and for Python programs alone. What does not hold here, or not for a C or Go
program, is put right: see the functions, one repair each. Usage: repair.py VENV
"""

import pathlib
import subprocess
import sys
import sysconfig

BUILD_PYTHON = "/opt/python/cp{tag}-cp{tag}"


def cmake_files(prefix):
    """The exported cmake files name the build machine's Python; name the one that runs this."""
    minor = sys.version_info[1]
    built = BUILD_PYTHON.format(tag=f"3{minor}")
    renames = {
        f"{built}/include/python3.{minor}": sysconfig.get_paths()["include"],
        f"{built}/lib/python3.{minor}": str(prefix / "lib" / f"python3.{minor}"),
    }
    for path in prefix.glob("share/**/*.cmake"):
        before = path.read_text(encoding="utf-8")
        after = before
        for old, new in renames.items():
            after = after.replace(old, new)
        if after != before:
            path.write_text(after, encoding="utf-8")


def libraries(prefix):
    """Libraries must find each other by themselves, and must not need a Python interpreter in the process."""
    site = pathlib.Path(f"python3.{sys.version_info[1]}") / "site-packages"
    bundles = sorted(p.name for p in (prefix / "lib" / site).glob("ros_*.libs"))
    rpath = ":".join(["$ORIGIN"] + [f"$ORIGIN/{site}/{name}" for name in bundles])
    patchelf = str(prefix / "bin" / "patchelf")
    for path in sorted((prefix / "lib").glob("lib*.so*")):
        if path.is_symlink() or path.read_bytes()[:4] != b"\x7fELF":
            continue
        command = [patchelf, "--force-rpath", "--set-rpath", rpath]
        if not path.name.endswith("__rosidl_generator_py.so"):
            needed = run([patchelf, "--print-needed", str(path)]).split()
            for name in needed:
                if name.endswith("__rosidl_generator_py.so"):
                    command += ["--remove-needed", name]
        run([*command, str(path)])


def python_modules(prefix):
    """The same for the compiled Python modules, which lie deeper."""
    site = prefix / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    bundles = sorted(p.name for p in site.glob("ros_*.libs"))
    for path in sorted(site.glob("*/*.so")):
        if b"rosidl" not in path.name.encode() and path.parent.name != "rclpy":
            continue
        rpath = ":".join(["$ORIGIN/../../.."] + [f"$ORIGIN/../{name}" for name in bundles])
        run([str(prefix / "bin" / "patchelf"), "--force-rpath", "--set-rpath", rpath, str(path)])


def bootstrapper(prefix):
    """A start-up hook starts each Python a second time with a shuffled LD_LIBRARY_PATH; now it is not needed."""
    for path in prefix.glob("lib/python3*/site-packages/ros_wheels_bootstrapper.pth"):
        path.unlink()


def rmw_implementation(prefix):
    """The one middleware is linked straight in, but clients ask the linker for librmw_implementation."""
    (prefix / "lib" / "librmw_implementation.so").write_text("INPUT(-lrmw_fastrtps_cpp)\n", encoding="ascii")


def run(command):
    """Run command and return what it prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(prefix):
    """Carry out all repairs."""
    for repair in (cmake_files, libraries, python_modules, bootstrapper, rmw_implementation):
        repair(prefix)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
