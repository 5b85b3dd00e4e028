from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import torch
from PIL import Image, ImageOps

import i2i
from i2i import hookspecs, registry
from i2i.cli import COMMANDS, main
from i2i.metrics import psnr
from i2i.plugins import HOOKS
from i2i.settings import MAY_DIFFER, RunSettings, flag
from i2i.testing.imports import taken

ROOT = Path(__file__).resolve().parents[2]
EXECUTED = (
    "docs/attention.md",
    "docs/concepts.md",
    "docs/cyclegan.md",
    "docs/data.md",
    "docs/faces.md",
    "docs/faq.md",
    "docs/high-resolution.md",
    "docs/images.md",
    "docs/pix2pix.md",
    "docs/pix2pixhd.md",
    "docs/singan-scores.md",
    "docs/singan.md",
    "docs/ugatit.md",
    "packages/cyclegan/README.md",
    "packages/pix2pixhd/README.md",
    "packages/singan/README.md",
    "packages/ugatit/README.md",
)


@pytest.mark.parametrize("name", EXECUTED)
def test_python_blocks_run(page, images, name, tmp_path, monkeypatch):
    images(tmp_path, "data/trainA", "data/trainB", size=40)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for number, code in enumerate(page(name).blocks("python")):
        if ">>>" not in code:
            exec(compile(code, name, "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(code, names, f"{name}, block {number}", name, 0)
        runner.run(test, clear_globs=False)
        names |= test.globs
    assert runner.summarize(verbose=False).failed == 0


def test_no_code_is_left_out(pages):
    # Run or compared by tests of their own.
    elsewhere = {"README.md", "docs/contrastive.md", "docs/write-a-plugin.md", "docs/plugin-hooks.md"}
    elsewhere |= {"packages/core/src/i2i/template/README.md.template"}
    elsewhere |= {f"docs/recipes/{path.name}" for path in ROOT.glob("docs/recipes/*.md") if path.stem != "index"}
    assert {str(page.path.relative_to(ROOT)) for page in pages if page.blocks("python")} == {*EXECUTED, *elsewhere}


def test_links_lead_somewhere(pages):
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.text):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            found = (page.path.parent / path) if path else page.path
            assert found.exists(), f"{page.path}: {target}"
            if anchor:
                assert anchor in _anchors(found), f"{page.path}: {target}"


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_readme(page):
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in seen or path.suffix != ".md":
            continue
        seen.add(path)
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page(str(path.relative_to(ROOT))).text)
        waiting += [(path.parent / link).resolve() for link in links if "://" not in link]
    assert set(ROOT.glob("docs/**/*.md")) <= seen


def test_every_public_name_is_explained(page):
    table = page("docs/concepts.md").text.partition("## Public names")[2]
    first_cells = "\n".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    documented = set(re.findall(r"`(\w+)`", first_cells))
    assert documented == set(i2i.__all__)


def test_registered_names_are_explained(pages):
    text = "\n".join(page.text for page in pages)
    tables = registry.registry().tables
    names = [part.name.removeprefix("core/") for part in tables.parts.all()] + tables.recipes.names()
    assert [name for name in names if f"`{name}`" not in text] == []


def test_hooks_have_the_documented_signatures(page):
    text = page("docs/plugin-hooks.md").text
    sections = {section.partition("\n")[0]: section for section in text.split("\n## ")[1:]}
    assert list(sections) == [*HOOKS, "Versions"]
    for hook in HOOKS:
        section = sections[hook]
        code = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]
        documented = {node.name: _signature(node) for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
        real = {hook: getattr(hookspecs, hook)} | _callbacks(hook)
        assert documented == {name: _signature(_parsed(function)) for name, function in real.items()}


def _callbacks(hook: str) -> dict[str, object]:
    """Return what a hook is given to call, by the names under which the page documents it."""
    (parameter,) = inspect.signature(getattr(hookspecs, hook)).parameters.values()
    methods = vars(getattr(hookspecs, parameter.annotation)).items()
    public = {name: method for name, method in methods if name == "__call__" or not name.startswith("_")}
    return {parameter.name if name == "__call__" else name: method for name, method in public.items()}


def _parsed(function: object) -> ast.stmt:
    return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]  # type: ignore[arg-type]


def _signature(node: ast.stmt) -> tuple[str, str]:
    assert isinstance(node, ast.FunctionDef)
    assert node.returns is not None
    node.args.posonlyargs = [argument for argument in node.args.posonlyargs if argument.arg != "self"]
    return ast.unparse(node.args), ast.unparse(node.returns)


def _commands(text: str) -> list[list[str]]:
    """Return the lines of shell blocks that call i2i or make, split into words."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words for words in lines if words and words[0] in ("i2i", "make")]


@pytest.mark.usefixtures("contrastive", "recolour")
def test_commands_and_flags_exist(pages):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    every_run = {field.name for field in attrs.fields(RunSettings)} | {"config", "steps"}
    for page in pages:
        for program, command, *words in _commands(page.text):
            flags = [word for word in words if word.startswith("--")]
            if program == "make":
                assert command in targets, f"{page.path}: make {command}"
                continue
            of_plugin = registry.registry().tables.commands.find(" ".join([command, *words[:1]]))
            if of_plugin is not None:
                known = set(inspect.signature(of_plugin.load()).parameters)
            elif command == "train":
                known = every_run | _settings_of(words)
            elif command == "convert":
                known = _parameters("i2i.cli.convert:convert") | _options_of(words)
            else:
                assert command in COMMANDS, f"{page.path}: i2i {command}"
                known = _parameters(COMMANDS[command][0])
            known = {flag(name) for name in known} | {"--help"}
            known |= {f"--no-{name[2:]}" for name in known}  # of switches
            assert set(flags) <= known, f"{page.path}: i2i {command} {flags}"


def _settings_of(words: list[str]) -> set[str]:
    recipes = registry.registry().tables.recipes
    entry = recipes.find(words[0]) if words else None
    return set() if entry is None else {field.name for field in attrs.fields(entry.settings())}


def _options_of(words: list[str]) -> set[str]:
    entry = registry.registry().tables.converters.find(words[0]) if words else None
    return set() if entry is None else set(entry.options())


def _parameters(reference: str) -> set[str]:
    module, _, name = reference.partition(":")
    return set(inspect.signature(getattr(importlib.import_module(module), name)).parameters)


def test_make_targets_and_flags_in_the_text_exist(pages):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in pages:
        assert set(re.findall(r"`make ([a-z0-9-]+)`", page.text)) <= targets, page.path


def test_what_a_resumed_run_may_change_is_listed(page):
    section = page("docs/command-line.md").text.partition("## Resume")[2].partition("Any other setting")[0]
    assert set(re.findall(r"--[a-z-]+", section)) == {flag(name) for name in MAY_DIFFER}


def test_make_help_lists_every_target():
    listed = subprocess.run(
        ["make", "-s", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    text = (ROOT / "Makefile").read_text("utf-8")
    phony = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split()
    assert [line.split()[0] for line in listed.splitlines()] == [
        name for name in re.findall(r"^([\w-]+):", text, re.MULTILINE) if name in phony
    ]
    assert len(listed.splitlines()) == len(phony)


PLUGINS = ("cyclegan", "pix2pixhd", "singan", "ugatit")


def _imported(plugin: str) -> set[tuple[str, str | None]]:
    """Return the modules of i2i and of plugins that a plugin imports, each with a name that it takes from it."""
    found: set[tuple[str, str | None]] = set()
    for path in sorted((ROOT / "packages" / plugin / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {(alias.name, None) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {_taken(node.module, alias.name) for alias in node.names}
    return {(module, name) for module, name in found if re.match(r"i2i(_\w+)?(\.|$)", module)}


def _taken(module: str, name: str) -> tuple[str, str | None]:
    """Return where a name is taken from: ``from i2i import losses`` imports a module of its own."""
    folder = ROOT / "packages" / "core" / "src" / Path(*module.split("."))
    is_module = name in {path.stem for path in folder.glob("*")}
    return (f"{module}.{name}", None) if is_module else (module, name)


def test_plugins_import_what_the_page_lists_and_nothing_else(page):
    section = page("docs/write-a-plugin.md").text.partition("## What else the core offers")[2]
    rows = re.findall(r"^\| `(i2i\.[\w.]+)` \| (.*) \|$", section, re.MULTILINE)
    listed = {module: set(re.findall(r"`(\w+)`", names)) for module, names in rows}
    assert len(listed) == len(rows), "a module is listed twice"
    table = tomllib.loads((ROOT / "packages/core/src/i2i/testing/public.toml").read_text("utf-8"))
    assert listed == {module: set(names) for module, names in table.items()}, "the page and public.toml differ"
    ours, examples = ROOT.glob("packages/*/src/i2i_*/**/*.py"), ROOT.glob("examples/*/src/**/*.py")
    used = {(each.module, each.name) for each in taken([*ours, *examples])}
    assert [f"{module}.{name}" for module in listed for name in listed[module] if (module, name) not in used] == []
    imported = {pair for plugin in PLUGINS for pair in _imported(plugin) if re.match(r"i2i(\.|$)", pair[0])}
    listed["i2i"] = set(i2i.__all__)
    assert [f"{module}.{name}" for module, name in imported if name not in {None, *listed.get(module, ())}] == []
    assert {module for module, _ in imported} <= set(listed)
    for module, names in listed.items():
        assert [name for name in names if not hasattr(importlib.import_module(module), name)] == [], module


@pytest.mark.parametrize("plugin", PLUGINS)
def test_plugins_import_nothing_private_and_no_other_plugin(plugin):
    imported = _imported(plugin)
    core = [f"{module}.{name}" for module, name in imported if re.match(r"i2i(\.|$)", module)]
    assert [name for name in core if any(part.startswith("_") for part in name.split("."))] == []
    assert {module.partition(".")[0] for module, _ in imported} == {"i2i", f"i2i_{plugin}"}


def test_nothing_private_is_named(pages):
    hosts = r"pypi\.org|pythonhosted|registry\.|index-url|localhost|127\.0\.0\.1"
    for page in pages:
        found = re.findall(rf"/(?:work|tmp|home|root|opt)/|{hosts}", page.text)
        assert not found, f"{page.path} names {found}"


@pytest.fixture
def recolour(page, tmp_path, monkeypatch):
    """The plugin of the page, installed as pip would: what ``i2i new-plugin`` writes and what the page adds to it."""
    site, shown = tmp_path / "recolour", page("docs/write-a-plugin.md")
    assert main(["new-plugin", "recolour", "--out", str(site)]) == 0
    for name, text in shown.files().items():
        (site / name).write_text(text)
    (hook,) = (block for block in shown.blocks("python") if block.startswith("@hookimpl"))
    plugin = site / "src" / "i2i_recolour" / "plugin.py"
    plugin.write_text(f"{plugin.read_text()}\n\n{hook}".replace("RegisterPart,", "RegisterObserver, RegisterPart,"))
    project = tomllib.loads((site / "pyproject.toml").read_text())["project"]
    info = site / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    lines = [f"Name: {project['name']}", f"Version: {project['version']}"]
    lines += [f"Requires-Dist: {line}" for line in project["dependencies"]]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
    points = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["i2i"].items())
    (info / "entry_points.txt").write_text(f"[i2i]\n{points}")
    monkeypatch.syspath_prepend(str(site / "src"))
    registry.registry.cache_clear()
    yield site
    registry.registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("i2i_recolour")]:
        del sys.modules[name]


def test_the_plugin_of_the_page_trains(recolour, images, tmp_path, capsys):
    data, out = images(tmp_path / "data", "trainA", "trainB", "testA", size=20), tmp_path / "run"
    assert main(["plugins"]) == 0
    assert re.search(r"recolour +i2i-recolour 0\.1\.0 +i2i_recolour\.plugin +ok", capsys.readouterr().out)
    assert registry.part("recolour/generator").kind == "generator"
    small = ["--load-size", "18", "--crop-size", "16", "--base-width", "2", "--device", "cpu"]
    run = ["train", "recolour", "--data", str(data), "--out", str(out), "--steps", "2", "--observers", "diary"]
    assert main([*run, *small]) == 0
    assert re.fullmatch(r"batch 1: 0\.\d+\nbatch 2: 0\.\d+\n", (out / "diary.txt").read_text())
    translated = tmp_path / "translated"
    assert main(["translate", str(out), str(data / "testA"), "--out", str(translated), "--device", "cpu"]) == 0
    assert len(list(translated.iterdir())) == 4


def test_the_plugin_of_the_page_learns(recolour, images, tmp_path):
    """Negatives of images it has not seen: better by 10 dB after fifty batches than the image itself."""
    data = images(tmp_path / "data", "trainA", "testA", size=20)
    for path in data.glob("*A/*.png"):
        negative = data / path.parent.name.replace("A", "B") / path.name
        negative.parent.mkdir(exist_ok=True)
        ImageOps.invert(Image.open(path)).save(negative)
    recipe_of, settings_of = (importlib.import_module(f"i2i_recolour.{name}") for name in ("recipe", "settings"))
    settings = settings_of.Settings(load_size=18, crop_size=16, base_width=8, blocks=1, lr=1e-2)
    torch.manual_seed(0)
    recipe = recipe_of.build(settings, RunSettings(data=data))
    nets = i2i.fit(recipe.step, recipe.nets(), recipe.data(), steps=50, device="cpu").nets
    batch = recipe.preview_batch()
    with torch.no_grad():
        made = nets.G(batch.a).image
    assert psnr(made, batch.b).mean() > psnr(batch.a, batch.b).mean() + 10


def test_the_tests_of_a_new_plugin_pass(recolour):
    names: dict[str, Callable[..., None]] = {}
    exec((recolour / "tests" / "test_plugin.py").read_text(), names)
    names["test_plugin"]()


def test_the_readme_of_a_new_plugin_is_true(recolour):
    (code,) = re.findall(r"^```python\n(.*?)^```$", (recolour / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Callable[..., object]] = {}
    exec(code, names)
    assert names["generator"](base_width=2).reach == 6  # type: ignore[attr-defined]
