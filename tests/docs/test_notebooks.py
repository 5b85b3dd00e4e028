"""What of the notebooks can be seen without running them; `make notebooks` runs them."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator

import attrs
import nbformat
import pytest

from i2i import registry
from i2i.testing.imports import check_public, taken
from tests.docs.packages import PACKAGES, ROOT

NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.ipynb"))
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def codes(path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def of_plugins(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("i2i_"):
            yield from ((node.module, alias.name) for alias in node.names)


def test_every_recipe_of_the_packages_has_one():
    recipes, ours = registry.registry().tables.recipes.all(), {f"i2i-{name}" for name in PACKAGES}
    named = sorted(recipe.name for recipe in recipes if recipe.distribution in ours)
    assert [path.stem for path in NOTEBOOKS] == named


@every
def test_it_is_valid_and_holds_no_outputs(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert [cell.id for cell in notebook.cells if cell.metadata or cell.get("attachments")] == []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


@every
def test_it_takes_public_names_only(path, tmp_path):
    code = tmp_path / f"{path.stem}.py"
    code.write_text("\n\n".join(codes(path)))
    check_public(taken([code]))
    found = list(of_plugins(ast.parse(code.read_text())))
    assert found
    assert [pair for pair in found if pair[1] not in importlib.import_module(pair[0]).__all__] == []


@every
def test_the_first_cell_chooses_the_size_and_the_data(path):
    first = codes(path)[0]
    assert first.count("FULL = torch.cuda.is_available()") == 1
    assert len(re.findall(r"^(?:FOLDER|PICTURE) = None  # ", first, re.MULTILINE)) == 1
    assert 'precision="fp16" if FULL else "fp32"' in first


@every
def test_settings_that_it_proposes_exist(path, page):
    first_cells = re.findall(r"^\| (.*?) \|", page(f"docs/notebooks/{path.name}").text, re.MULTILINE)
    proposed = {name for cell in first_cells for name in re.findall(r"\b([a-z]\w*)=", cell)}
    assert proposed <= {field.name for field in attrs.fields(registry.recipe(path.stem).settings())}
    assert proposed or path.stem == "pix2pix"  # which has no settings: it writes the method out
