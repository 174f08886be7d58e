"""Builds the image's files with the Dockerfile's instructions, and starts its program in them as a container would.

    image.py build FOLDER BASE_TREE SYSROOT    into FOLDER: the trees of the stages, and image.json
    image.py run FOLDER [--stage NAME] [ARGUMENT...]
                                               as the image's user, in its files, which can't be written to
    image.py health FOLDER                     the image's health check, likewise
"""

import ctypes
import json
import os
import re
import sys
from pathlib import Path

from dockerfile import Builder

PROJECT = Path(__file__).resolve().parents[2]
# What this environment gives to the container; the other variables of this machine don't reach it.
PASSED = re.compile(r"CONSUMER__|KAFKA_BOOTSTRAP_SERVERS")


def build(folder, base_tree, sysroot):
    text = (PROJECT / "Dockerfile").read_text()
    image = re.search(r"^FROM (rust:\S+)", text, re.MULTILINE).group(1)
    builder = Builder(PROJECT, folder, {image: Path(base_tree)}, {"/usr/local/cargo": sysroot})
    # What a build without --target makes.
    last = list(builder.stages)[-1]
    images = {name: builder.build(name) for name in (last, "load-generator", "debug")}
    facts = {
        "default": last,
        "stages": {
            name: {"tree": str(stage.tree), "environment": stage.environment, "settings": stage.settings}
            for name, stage in images.items()
        },
    }
    (Path(folder) / "image.json").write_text(json.dumps(facts, indent=2))


def enter(folder, stage, words_of):
    """Becomes the image's program: its user, its files read-only, no capability, no way to gain one."""
    image = json.loads((Path(folder) / "image.json").read_text())
    facts = image["stages"][stage or image["default"]]
    settings, tree = facts["settings"], facts["tree"]
    words = words_of(settings)
    user, group = (int(part) for part in settings["USER"].split(":"))
    unshare_mounts()
    mount(tree, tree, MS_BIND)
    # An engine makes these folders where the image has none.
    for name in ("dev", "proc"):
        Path(tree, name).mkdir(exist_ok=True)
        mount(f"/{name}", f"{tree}/{name}", MS_BIND | MS_REC)
    mount(None, tree, MS_BIND | MS_REMOUNT | MS_RDONLY)
    os.chroot(tree)
    os.chdir("/")
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    passed = {key: value for key, value in os.environ.items() if PASSED.match(key)}
    os.execve(words[0], words, {**facts["environment"], **passed})


libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18


def mount(source, target, flags):
    if libc.mount(source and source.encode(), target.encode(), None, flags, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def unshare_mounts():
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    mount(None, "/", MS_REC | MS_PRIVATE)


def main():
    command, folder, *rest = sys.argv[1:]
    stage = None
    if rest[:1] == ["--stage"]:
        stage, rest = rest[1], rest[2:]
    if command == "build":
        build(folder, *rest)
    elif command == "run":
        enter(folder, stage, lambda settings: json.loads(settings["ENTRYPOINT"]) + (rest or json.loads(settings["CMD"])))
    elif command == "health":
        enter(folder, stage, lambda settings: json.loads(settings["HEALTHCHECK"].partition("CMD ")[2]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
