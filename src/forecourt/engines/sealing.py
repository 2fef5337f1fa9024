"""What leaves the house for an encrypted archive, in the format of age (https://age-encryption.org): whoever has the identity
opens it, with this program or any other that knows age, and nobody else does, this house included. It has the recipients only.

An archive says in `archive.json` for whom it is encrypted and whose changes it has. The house keeps its own list beside its
secrets, and goes by that: who may write to the archive's disk could write a recipient of their own there.
"""

import contextlib
import hmac
import io
import json
import os
import secrets
import stat
import tarfile
import threading
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, NamedTuple, Protocol, cast

import pyrage

from forecourt.engines.process import EngineError

SUFFIX = ".age"
DESCRIPTION = "archive.json"
KEPT = Path("secrets", "archive_recipients")
NAMING_KEY = Path("secrets", "archive_names")
HIDDEN_TEXT = "AGE-SECRET-KEY-"


class Readable(Protocol):
    """What can be sealed: no more of a file than this is asked for."""

    def read(self, size: int = -1, /) -> bytes: ...


class Story(NamedTuple):
    """Whose changes they are."""

    system: int
    """The number that a database gets when it is made, and keeps in all its copies."""
    timeline: int
    """Begins with 1; each restore goes on with another."""


@dataclass(frozen=True)
class Description:
    """What an encrypted archive says of itself to everybody."""

    recipients: tuple[str, ...]
    story: Story


class Damaged(EngineError):
    """A file that is not what was sealed."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file} is damaged, or not made for this archive.",
            "Take it from another copy of the archive, or go back to a moment before it with --to.",
        )


class Sealer:
    """Encrypts for the recipients. Files appear under their names when they are whole and on the disk."""

    def __init__(self, recipients: Sequence[str]) -> None:
        self._recipients = [pyrage.x25519.Recipient.from_str(text) for text in recipients]

    def file(self, source: Path, target: Path) -> None:
        with source.open("rb") as content:
            self.stream(content, target)

    def content(self, content: bytes, target: Path) -> None:
        self.stream(io.BytesIO(content), target)

    def stream(self, source: Readable, target: Path) -> None:
        """Raises OSError when the source or the target cannot be read or written; then there is no target."""
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        watched = _Watched(source)
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                try:
                    pyrage.encrypt_io(cast("io.BufferedIOBase", watched), file, self._recipients)
                except pyrage.EncryptError as error:  # the library tells of a source that cannot be read in its own words
                    raise watched.trouble or OSError(str(error)) from error
                file.flush()
                os.fsync(file.fileno())
            part.rename(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_directory(target.parent)


class _Watched:
    """A source that remembers why it could not be read."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self.trouble: BaseException | None = None
        """Also of who was told to stop meanwhile: the library would make an error of reading of it."""

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._source.read(size)
        except BaseException as error:
            self.trouble = error
            raise


@dataclass(frozen=True, repr=False)
class Identities:
    """Who opens what was sealed, from a file as age-keygen writes it: `AGE-SECRET-KEY-1…`, one a line, and comments."""

    path: Path
    keys: tuple[pyrage.x25519.Identity, ...]

    @property
    def recipients(self) -> set[str]:
        return {str(key.to_public()) for key in self.keys}

    @contextlib.contextmanager
    def opened(self, sealed: Path) -> Generator[IO[bytes], None, None]:
        """What is in a sealed file, as a stream. Raises Damaged, at the latest when the block ends: only then it is proved."""
        out, into = os.pipe()
        outcome: list[Exception] = []

        def open_it() -> None:
            try:
                with os.fdopen(into, "wb") as target, sealed.open("rb") as source:
                    pyrage.decrypt_io(source, target, self.keys)
            except (OSError, pyrage.DecryptError) as error:
                outcome.append(error)

        opener = threading.Thread(target=open_it, name="opener", daemon=True)
        opener.start()
        try:
            with os.fdopen(out, "rb") as stream:
                try:
                    yield stream
                finally:
                    while stream.read(1 << 20):
                        pass
        finally:
            opener.join()
            if outcome:
                raise self._meant(outcome[0], sealed)

    def content(self, sealed: Path) -> bytes:
        with self.opened(sealed) as stream:
            return stream.read()

    def _meant(self, error: Exception, sealed: Path) -> Exception:
        if isinstance(error, OSError) and error.errno is not None:
            return error  # the disk's words; those of a file that does not prove itself have no number
        if "No matching keys" in str(error):
            return EngineError(f"No identity in {self.path} opens {sealed}.", "Name the file with the right one: --identity.")
        return Damaged(sealed)


def read_recipients(texts: Sequence[str]) -> tuple[str, ...]:
    """Recipients, in one order and without repetitions. Raises EngineError for a text that is none."""
    for text in texts:
        if text.upper().startswith(HIDDEN_TEXT):
            raise EngineError(
                "A recipient was asked for, and this is an identity: whoever has it can read the archive.",
                "Give what begins with age1. Make a new pair: command lines are seen by others and kept.",
            )
        try:
            pyrage.x25519.Recipient.from_str(text)
        except pyrage.RecipientError as error:
            raise EngineError(
                f"{text!r} is no recipient of an archive: {error}.", "Give one as `forecourt archive keygen` prints it: age1…"
            ) from error
    return tuple(sorted(set(texts)))


def read_identities(path: Path) -> Identities:
    """Those in a file. Raises EngineError when there are none."""
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
        keys = tuple(pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#"))
    except (OSError, UnicodeDecodeError, pyrage.IdentityError) as error:
        raise EngineError(
            f"No identity can be read from {path}: {error}.", "Name a file that `forecourt archive keygen` or age-keygen made."
        ) from error
    if not keys:
        raise EngineError(f"There is no identity in {path}.", "Name the file that holds AGE-SECRET-KEY-1…")
    return Identities(path, keys)


def make_identity(path: Path, when: str) -> str:
    """Write a new identity to `path`, in the form of age-keygen; returns its recipient. Replaces nothing. Raises EngineError."""
    key = pyrage.x25519.Identity.generate()
    recipient = str(key.to_public())
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR), "w") as file:
            file.write(f"# created: {when}\n# public key: {recipient}\n{key}\n")
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.absolute().parent)
    except FileExistsError:
        raise EngineError(
            f"{path} is there already: without what is in it nobody could open what was made for it.", "Name another file."
        ) from None
    except OSError as error:
        raise EngineError(f"{path} cannot be written: {error.strerror or error}.", "Name another file.") from error
    return recipient


def described(place: Path) -> Description | None:
    """What an archive says of itself; None when it is not encrypted, or not there yet. Raises EngineError."""
    file = place / DESCRIPTION
    try:
        fields = json.loads(file.read_bytes())
        return Description(tuple(map(str, fields["recipients"])), Story(*map(int, fields["story"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise EngineError(f"{file} cannot be read: {error}.", "Is the archive's disk there, and is it ours to read?") from error


def describe(place: Path, description: Description) -> None:
    """Make `place` an encrypted archive. Raises OSError."""
    part = place / f"{DESCRIPTION}.{secrets.token_hex(8)}.part"  # two containers have the same process ids
    with part.open("x") as file:
        json.dump({"format": "age", **asdict(description)}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.rename(place / DESCRIPTION)
    sync_directory(place)


def holds(place: Path, pattern: str) -> bool:
    return next(place.glob(pattern), None) is not None


def sealed_for(place: Path, data: Path, given: Sequence[str] = ()) -> tuple[str, ...]:
    """For whom the archive in `place` is encrypted, or is to be when it is empty; nobody: it is not encrypted.

    `given` are the operator's words; without any, what the house over `data` was told last. Raises EngineError when the house and
    the archive do not agree: one archive has one list of recipients, so that whoever opens part of it opens all of it.
    """
    wanted = read_recipients(given) or kept(data)
    there = described(place)
    if there is None:
        if holds(place, "wal/*" + SUFFIX) or holds(place, "base/*/*" + SUFFIX):
            raise EngineError(
                f"{place} is an encrypted archive that has lost its {DESCRIPTION}.",
                "It can be restored from. Name an empty directory for what comes now, and make a whole copy.",
            )
        if wanted and (holds(place, "wal/*") or holds(place, "base/*/note.json")):
            raise EngineError(
                f"{place} is an archive that is not encrypted, and what is in it stays so.",
                "Name an empty directory, make a whole copy, and throw this one away when you no longer need it.",
            )
        return wanted
    if not wanted:
        raise EngineError(
            f"{place} is encrypted for {' and '.join(there.recipients)}, and this house was not told for whom.",
            "If these are yours, give them: --archive-recipient " + " --archive-recipient ".join(there.recipients),
        )
    if set(wanted) != set(there.recipients):
        raise EngineError(
            f"{place} is encrypted for {' and '.join(there.recipients)}; this house encrypts for {' and '.join(wanted)}.",
            "For other recipients name an empty directory, and make a whole copy.",
        )
    return wanted


def kept(data: Path) -> tuple[str, ...]:
    """The recipients that the house over `data` was told last."""
    try:
        return read_recipients((data / KEPT).read_text().split())
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"{data / KEPT} cannot be read: {error}.", "Is it ours to read?") from error


def keep(data: Path, recipients: Sequence[str]) -> None:
    """Let the house over `data` remember for whom it encrypts, and each house that is restored from its copies."""
    if kept(data) == tuple(recipients):
        return
    write(data / KEPT, "".join(f"{recipient}\n" for recipient in recipients).encode())


def hidden_name(data: Path, name: str) -> str:
    """What an uploaded file is called in the archive: always the same, and it tells nothing. Its own name tells what is in it."""
    path = data / NAMING_KEY
    if not path.exists():
        write(path, secrets.token_bytes(32))
    digest = hmac.digest(path.read_bytes(), name.encode(), "sha256").hex()
    return f"{digest[:2]}/{digest}.tar{SUFFIX}"


class _Joined:
    """Several sources, one after another."""

    def __init__(self, *sources: Readable) -> None:
        self._sources = list(sources)

    def read(self, size: int = -1, /) -> bytes:
        while self._sources:
            if found := self._sources[0].read(size):
                return found
            del self._sources[0]
        return b""


@contextlib.contextmanager
def as_tar(file: Path, name: str) -> Generator[Readable, None, None]:
    """A tar archive of one file, which carries its name and time along. Raises OSError."""
    with file.open("rb") as content:
        found = os.fstat(content.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = found.st_size, int(found.st_mtime), 0o600
        blank = bytes(-found.st_size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
        yield _Joined(io.BytesIO(member.tobuf(tarfile.PAX_FORMAT)), content, io.BytesIO(blank))


def write(path: Path, content: bytes) -> None:
    """A file of the house's own, whole or not at all, and there after a loss of power."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename inside `path` survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
