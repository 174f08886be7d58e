"""Runs a Dockerfile without a container engine: each stage is a folder, and each RUN a chroot into it.

It knows what this project's Dockerfile uses: FROM, SHELL, COPY, RUN, WORKDIR, ENV, ARG, and the settings of the image.
Anything else is an error, so that nothing of the Dockerfile is passed over. It needs root.
"""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

SETTINGS = ("USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD", "LABEL")


@dataclasses.dataclass
class Stage:
    """What a stage has made: its files, and how a container of it is to be started."""

    tree: Path
    workdir: str = "/"
    shell: tuple = ("/bin/sh", "-c")
    environment: dict = dataclasses.field(default_factory=dict)
    arguments: dict = dataclasses.field(default_factory=dict)
    settings: dict = dataclasses.field(default_factory=dict)

    def child(self, tree):
        """A stage that begins with all that this one has; arguments end with their stage."""
        return dataclasses.replace(
            self,
            tree=tree,
            environment=dict(self.environment),
            arguments={},
            settings=dict(self.settings),
        )


def instructions(text):
    """The instructions with their continued lines joined, as Docker reads them: comments between them don't count."""
    pending = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or (pending == "" and not line.strip()):
            continue
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        name, _, rest = pending.strip().partition(" ")
        yield name.upper(), rest.strip()
        pending = ""


def needed(stages, target):
    """The names of the stages that the target is made from."""
    found, waiting = set(), [target]
    while waiting:
        name = waiting.pop()
        if name in found or name not in stages:
            continue
        found.add(name)
        base, steps = stages[name]
        waiting.append(base)
        for instruction, rest in steps:
            if instruction == "COPY" and rest.startswith("--from="):
                waiting.append(rest.split()[0].removeprefix("--from="))
    return found


def split_into_stages(text):
    """Name -> (base, steps), in their order. The last stage may have no name: its name is then its number."""
    stages = {}
    for instruction, rest in instructions(text):
        if instruction == "FROM":
            base, _, name = re.fullmatch(r"(\S+)( AS (\S+))?", rest).groups()
            stages[name or str(len(stages))] = (base, steps := [])
        else:
            steps.append((instruction, rest))
    return stages


class Builder:
    def __init__(self, context, folder, base_trees, toolchain):
        self.context = Path(context)
        self.folder = Path(folder)
        self.base_trees = base_trees
        self.toolchain = toolchain
        self.stages = split_into_stages((self.context / "Dockerfile").read_text())
        self.built = {}

    def build(self, target):
        wanted = needed(self.stages, target)
        for name, (base, steps) in self.stages.items():
            if name in wanted and name not in self.built:
                print(f"--- stage {name}, from {base}", flush=True)
                self.built[name] = self.run_stage(name, base, steps)
        return self.built[target]

    def run_stage(self, name, base, steps):
        tree = self.folder / name
        parent = self.built.get(base)
        if parent or base in self.base_trees:
            source = parent.tree if parent else self.base_trees[base]
            subprocess.run(["cp", "-a", "--reflink=auto", source, tree], check=True)
        elif base == "scratch":
            tree.mkdir()
        else:
            sys.exit(f"no files for the base image {base}")
        stage = parent.child(tree) if parent else Stage(tree)
        for instruction, rest in steps:
            self.step(stage, instruction, rest)
        return stage

    def step(self, stage, instruction, rest):
        if instruction == "RUN":
            print(f"RUN {rest}", flush=True)
            self.run(stage, rest)
        elif instruction == "COPY":
            print(f"COPY {rest}", flush=True)
            self.copy(stage, rest.split())
        elif instruction == "WORKDIR":
            stage.workdir = rest
            self.inside(stage, rest).mkdir(parents=True, exist_ok=True)
        elif instruction == "SHELL":
            stage.shell = tuple(json.loads(rest))
        elif instruction == "ENV":
            stage.environment.update(pair.split("=", 1) for pair in shlex.split(rest))
        elif instruction == "ARG":
            key, _, default = rest.partition("=")
            stage.arguments[key] = default
        elif instruction in SETTINGS:
            stage.settings[instruction] = rest
        else:
            sys.exit(f"this script doesn't know {instruction}")

    def run(self, stage, command):
        """In namespaces of its own, so that what is mounted is gone afterwards, however it ends."""
        mounts = [f"mount --rbind /dev {shlex.quote(str(stage.tree))}/dev", f"mount -t proc proc {stage.tree}/proc"]
        for inner, outer in self.toolchain.items():
            (stage.tree / inner.lstrip("/")).mkdir(parents=True, exist_ok=True)
            mounts.append(f"mount --bind {shlex.quote(str(outer))} {shlex.quote(str(stage.tree) + inner)}")
        environment = {
            "PATH": "/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "CARGO_HOME": "/var/cache/cargo",
            # This machine's authorities, which may be more than Debian's; the image's own bundle stays Debian's.
            "CARGO_HTTP_CAINFO": self.machine_certificates(stage),
            "DEBIAN_FRONTEND": "noninteractive",
            # How this machine reaches the registry of crates.
            **{key: value for key, value in os.environ.items() if re.match(r"CARGO_(HTTP|NET|REGIST|SOURCE)|.*_proxy", key)},
            **stage.arguments,
            **stage.environment,
        }
        inner = f"cd {shlex.quote(stage.workdir)} && exec {shlex.join([*stage.shell, command])}"
        variables = [f"{key}={value}" for key, value in environment.items()]
        script = " && ".join(mounts) + " && exec " + shlex.join(
            ["env", "-i", *variables, "chroot", str(stage.tree), "/bin/sh", "-c", inner]
        )
        subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-ec", script], check=True)

    def machine_certificates(self, stage):
        inner = "/var/cache/machine-certificates.crt"
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", stage.tree / inner.lstrip("/"))
        return inner

    def copy(self, stage, words):
        source_tree = self.context
        if words[0].startswith("--from="):
            source_tree = self.built[words.pop(0).removeprefix("--from=")].tree
        *sources, target = words
        destination = self.inside(stage, target)
        for source in sources:
            path = source_tree / source.lstrip("/")
            if source_tree == self.context:
                self.check_is_in_context(source)
            if path.is_dir():
                shutil.copytree(path, destination, symlinks=True, dirs_exist_ok=True)
            elif target.endswith("/"):
                destination.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, destination)
            else:
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, destination)

    def check_is_in_context(self, source):
        """.dockerignore excludes all and lets in certain files and folders."""
        lines = (self.context / ".dockerignore").read_text().splitlines()
        rules = [line for line in lines if line and not line.startswith("#")]
        assert rules[0] == "*" and all(rule.startswith("!") for rule in rules[1:]), ".dockerignore has another shape"
        allowed = [rule[1:].rstrip("/") for rule in rules[1:]]
        if not any(source.rstrip("/") == path or source.startswith(path + "/") for path in allowed):
            sys.exit(f".dockerignore keeps {source} out of the build")

    def inside(self, stage, path):
        return stage.tree / (Path(stage.workdir) / path).as_posix().lstrip("/")
