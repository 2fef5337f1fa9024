"""Builds an image from a Dockerfile without a container engine, and starts programs in it: overlay file systems, mount namespaces
and `chroot`, which is what an engine does too. Needs root, and Linux.

Two things stand in for base images, which cannot be fetched here. For `python:…` it is this machine's own root below the layers,
with the running Python at /usr/local, and with all that a base image would not have (the checkout, homes, /opt, /tmp) covered.
For `uv:…` it is the locked uv. `apt-get` is not run: the packages it names have to be here already, in versions that fit. Every
other step runs as it is written, with this machine's network.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

STEP_LIMIT_S = 240
COVERED = ("home", "media", "mnt", "opt", "root", "srv", "tmp", "usr/local", "var/lib/forecourt", "var/tmp", "work")
"""What this machine has and a base image has not."""
NOT_NEEDED = ("*/site-packages/*", "*/test", "*/idlelib", "*/__pycache__", "*.a")
KNOWN_TO_PACKAGE_MANAGERS = re.compile(r"^(PIP|UV|SSL|REQUESTS|CURL)_|_proxy$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class CannotBuild(Exception):
    """A Dockerfile that does not build, or says something this builder does not know."""


@dataclass(frozen=True)
class Step:
    name: str
    text: str
    line: int

    def fault(self, what: str) -> CannotBuild:
        return CannotBuild(f"Line {self.line}, {self.name} {self.text}: {what}")


def steps_of(dockerfile: str) -> list[Step]:
    """The instructions in order, one line each. Raises CannotBuild."""
    steps: list[Step] = []
    pending, began = "", 0
    for number, line in enumerate(dockerfile.splitlines(), start=1):
        if line.lstrip().startswith("#") or not (line.strip() or pending):
            continue
        began = began or number
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1] + " "
            continue
        name, _, text = (pending + line).strip().partition(" ")
        steps.append(Step(name.upper(), re.sub(r"\s+", " ", text).strip(), began))
        pending, began = "", 0
    if pending:
        raise CannotBuild("The last line goes on into nowhere.")
    return steps


def ignored(path: str, rules: Sequence[str]) -> bool:
    """Whether .dockerignore keeps `path` from the builder: the last rule that fits it, or a folder it is in, decides."""
    parts = path.split("/")
    upwards = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    kept_away = False
    for rule in rules:
        pattern = rule.strip().removeprefix("!").rstrip("/")
        if not pattern or pattern.startswith("#"):
            continue
        patterns = (pattern, pattern.removeprefix("**/"))
        if any(fnmatch.fnmatchcase(name, p) and name.count("/") == p.count("/") for name in upwards for p in patterns) or (
            pattern.startswith("**/") and any(fnmatch.fnmatchcase(part, pattern[3:]) for part in parts)
        ):
            kept_away = not rule.strip().startswith("!")
    return kept_away


@dataclass(frozen=True)
class Image:
    """File systems, and how programs are started on them."""

    layers: tuple[Path, ...] = ()
    """What the steps made, uppermost first."""
    plain: Path | None = None
    """Instead of layers: a folder of files, such as uv's image is."""
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    healthcheck: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    stop_signal: str = "SIGTERM"


class Builder:
    """Holds a mount namespace until it is closed, with everything it made in memory."""

    def __init__(self, place: Path, uv: Path) -> None:
        """`place`: an empty folder of the machine, over which the file system of the layers is mounted."""
        self._place = place
        self._uv = uv
        self._made = 0
        hold = f"mount -t tmpfs -o size=3g layers {shlex.quote(str(place))} && echo there && exec cat"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", hold],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "there\n":
            self.close()
            raise CannotBuild("This machine lends no mount namespaces.")
        self._cover = self._base()

    def close(self) -> None:
        assert self._holder.stdin is not None and self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait(30)
        self._holder.stdout.close()

    # --- building --------------------------------------------------------------------------------------------------------

    def build(self, dockerfile: str, context: Path, arguments: Mapping[str, str] | None = None) -> Image:
        """The image of the last stage. Raises CannotBuild with the line and what was said there."""
        stages: dict[str, Image] = {}
        name, known = "", dict[str, str]()
        for step in steps_of(dockerfile):
            if step.name == "FROM":
                reference, _, name = step.text.partition(" AS ")
                name = name or str(len(stages))
                stages[name] = self._started_from(step, reference, stages)
                known = {}
            elif not stages:
                raise step.fault("comes before FROM")
            elif step.name == "ARG":
                key, _, default = step.text.partition("=")
                known[key] = (arguments or {}).get(key, default)
            else:
                stages[name] = self._after(step, stages[name], stages, context, known)
        if not stages:
            raise CannotBuild("There is no FROM.")
        return stages[name]

    def _started_from(self, step: Step, reference: str, stages: Mapping[str, Image]) -> Image:
        if reference in stages:
            return replace(stages[reference], layers=(self._layer(), *stages[reference].layers))
        repository, _, tag = reference.partition(":")
        if repository == "python":
            running = ".".join(map(str, sys.version_info[:2]))
            if not re.fullmatch(rf"{re.escape(running)}(\.\d+)?-slim-bookworm", tag):
                raise step.fault(f"is not the slim Python {running} that runs these tests")
            path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
            # Where this Python keeps its library is known to its own build; here it has moved.
            environ = {"PATH": path, "LANG": "C.UTF-8", "LD_LIBRARY_PATH": "/usr/local/lib"}
            return Image(layers=(self._layer(),), environ=environ)
        if repository.rpartition("/")[2] == "uv":
            locked = subprocess.run([self._uv, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
            if tag != locked:
                raise step.fault(f"is not the uv {locked} of the lock")
            return Image(plain=self._uv.parent)
        raise step.fault("nothing stands in for this image")

    def _after(self, step: Step, image: Image, stages: Mapping[str, Image], context: Path, known: Mapping[str, str]) -> Image:
        """The image with one step more."""
        values = {**known, **image.environ}
        filled = _VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), step.text)
        match step.name:
            case "ENV":
                return replace(image, environ={**image.environ, **_pairs(filled)})
            case "LABEL":
                return replace(image, labels={**image.labels, **_pairs(filled)})
            case "WORKDIR":
                self._run(step, image, ["mkdir", "-p", filled])
                return replace(image, workdir=filled)
            case "USER":
                return replace(image, user=filled)
            case "STOPSIGNAL":
                return replace(image, stop_signal=filled)
            case "EXPOSE":
                return image
            case "ENTRYPOINT":
                return replace(image, entrypoint=_exec_form(step, step.text), command=())
            case "CMD":
                return replace(image, command=_exec_form(step, step.text))
            case "HEALTHCHECK":
                return replace(image, healthcheck=_exec_form(step, step.text.partition("CMD ")[2]))
            case "COPY":
                self._copy(step, image, stages, context)
                return image
            case "RUN" if step.text.startswith("apt-get "):
                _check_packages(step)
                return image
            case "RUN":
                caches, text = _mounts(step)
                self._run(step, replace(image, environ=values), ["sh", "-c", text], caches)
                return image
            case _:
                raise step.fault("is not known here")

    def _run(self, step: Step, image: Image, command: Sequence[str], caches: Sequence[str] = ()) -> None:
        cache = ""
        if caches:
            cache = subprocess.run([self._uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
            Path(cache).mkdir(parents=True, exist_ok=True)
        told = {name: value for name, value in os.environ.items() if KNOWN_TO_PACKAGE_MANAGERS.search(name)}
        within = replace(image, environ={**told, "HOME": "/root", **image.environ})
        self._do(step, self.starting(within, command, shared=dict.fromkeys(caches, cache)))

    def _do(self, step: Step, command: Sequence[str]) -> None:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=STEP_LIMIT_S, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0:
            raise step.fault(f"exit status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")

    def _copy(self, step: Step, image: Image, stages: Mapping[str, Image], context: Path) -> None:
        options, names = [], []
        for part in shlex.split(step.text):
            (options if part.startswith("--") else names).append(part)
        if any(not option.startswith("--from=") for option in options):
            raise step.fault("has an option that is not known here")
        origin = options[0].removeprefix("--from=") if options else None
        *sources, target = names
        where = os.path.normpath(f"{image.layers[0]}/{target if target.startswith('/') else f'{image.workdir}/{target}'}")
        for source in sources:
            found = (
                self._of_context(step, source, context) if origin is None else self._of_stage(step, source, stages.get(origin))
            )
            into = f"{where}/{Path(source).name}" if target.endswith("/") and not source.endswith("/") else where
            # A folder's content is copied, not the folder; the target is made, and everything belongs to root.
            script = 'mkdir -p "$(dirname "$2")"; if [ -d "$1" ]; then mkdir -p "$2"; set -- "$1/." "$2"; fi; '
            copying = ["sh", "-ec", script + 'cp -R --preserve=mode,links,timestamps "$1" "$2"', "copy", str(found), into]
            self._do(step, self._entering(copying))

    def _of_context(self, step: Step, source: str, context: Path) -> Path:
        """A part of the build context, as .dockerignore leaves it."""
        found = context / source
        rules = (context / ".dockerignore").read_text().splitlines()
        if not found.exists():
            raise step.fault(f"{source} is not in the context")
        if ignored(source.rstrip("/"), rules):
            raise step.fault(f".dockerignore keeps {source} away")
        if found.is_file():
            return found

        def left_out(folder: str, names: list[str]) -> set[str]:
            return {name for name in names if ignored(os.path.relpath(Path(folder) / name, context), rules)}

        self._made += 1
        sent = self._place.with_name(f"{self._place.name}-sent-{self._made}")
        shutil.copytree(found, sent, ignore=left_out)
        return sent

    def _of_stage(self, step: Step, source: str, stage: Image | None) -> Path:
        if stage is None:
            raise step.fault("there is no such stage")
        for folder in stage.layers if stage.plain is None else (stage.plain,):
            found = folder / source.lstrip("/")
            if subprocess.run(self._entering(["test", "-e", str(found)]), check=False).returncode == 0:
                return found
        raise step.fault(f"{source} was not made by that stage")

    def _layer(self) -> Path:
        self._made += 1
        layer = self._place / str(self._made)
        subprocess.run(self._entering(["mkdir", "-p", str(layer), f"{layer}.work"]), check=True)
        return layer

    def _base(self) -> Path:
        """The lowest layer: covers what a base image has not, and puts Python where the image has it."""
        layer = self._layer()
        mark = "import os, sys; [os.setxattr(path, 'trusted.overlay.opaque', b'y') for path in sys.argv[1:]]"
        folders = [str(layer / name) for name in COVERED]
        subprocess.run(self._entering(["mkdir", "-p", *folders]), check=True)
        subprocess.run(self._entering(["chmod", "1777", f"{layer}/tmp", f"{layer}/var/tmp"]), check=True)
        subprocess.run(self._entering([sys.executable, "-c", mark, *folders]), check=True)
        left_out = " ".join(f"--exclude={shlex.quote(pattern)}" for pattern in NOT_NEEDED)
        copy = f"tar -C {shlex.quote(sys.base_prefix)} {left_out} -cf - bin lib | tar -C {layer}/usr/local -xf -"
        subprocess.run(self._entering(["sh", "-c", copy]), check=True)
        return layer

    # --- running ---------------------------------------------------------------------------------------------------------

    def _entering(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", "--mount", f"--target={self._holder.pid}", "--", *command]

    def starting(
        self,
        image: Image,
        command: Sequence[str],
        *,
        shared: Mapping[str, str] | None = None,
        writable: Sequence[str] | None = None,
    ) -> list[str]:
        """A command line, for the machine, that runs `command` in `image`, as its user and with its environment alone.

        `shared`: folders of the machine, by their path in the image. `writable`: the root takes nothing; these folders are
        volumes, which begin as copies of what the image has there. Without it, what is written goes into the uppermost layer.
        """
        root = f"{self._place}/root"
        below = [str(layer) for layer in (*image.layers, self._cover)]
        if writable is None:
            stack = f"lowerdir={':'.join(below[1:])}:/,upperdir={below[0]},workdir={below[0]}.work"
        else:
            stack = f"lowerdir={':'.join(below)}:/"
        lines = [
            f"mkdir -p {root}",
            f"mount -t overlay image -o {stack} {root}",
            f"mount --rbind /proc {root}/proc",
            f"mount --rbind /dev {root}/dev",
        ]
        for target, source in (shared or {}).items():
            lines += [f"mkdir -p {root}{target}", f"mount --bind {shlex.quote(source)} {root}{target}"]
        for number, folder in enumerate(writable or ()):
            volume = f"{self._place}/volume-{number}"
            lines += [
                f"mkdir -p {volume}",
                f"mount -t tmpfs volume {volume}",
                f"cp -a {root}{folder}/. {volume}",
                f"mount --bind {volume} {root}{folder}",
            ]
        environ = [f"{name}={value}" for name, value in image.environ.items()]
        within = ["sh", "-c", 'cd "$0" && exec "$@"', image.workdir, *command]
        start = ["env", "-i", *environ, "chroot", f"--userspec={image.user}", "--groups=", root, *within]
        lines.append(f"exec {shlex.join(start)}")
        return self._entering(["unshare", "--mount", "sh", "-ec", "\n".join(lines)])


def _pairs(text: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in shlex.split(text))


def _exec_form(step: Step, text: str) -> list[str]:
    """A program and its arguments. In shell form a shell would be process 1, and pass no signal on."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        raise step.fault("is not written as a list") from None
    return found


def _mounts(step: Step) -> tuple[list[str], str]:
    """Where caches are mounted for a RUN, and what runs."""
    caches, text = list[str](), step.text
    while text.startswith("--mount="):
        option, _, text = text.partition(" ")
        fields = dict(part.partition("=")[::2] for part in option.removeprefix("--mount=").split(","))
        if fields.get("type") != "cache":
            raise step.fault("has a mount that is not known here")
        caches.append(fields["target"])
    return caches, text


def _check_packages(step: Step) -> None:
    """The packages that a step installs are on this machine, in versions that fit."""
    install = next((part for part in step.text.split("&&") if " install " in part), "")
    for package in (word for word in install.split()[2:] if not word.startswith("-")):
        name, _, wanted = package.partition("=")
        asked = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${Version}", name], capture_output=True, text=True, check=False
        )
        if asked.returncode != 0 or not fnmatch.fnmatchcase(asked.stdout, wanted or "*"):
            raise step.fault(f"{name} {asked.stdout or 'is not here'}, not {wanted}")
