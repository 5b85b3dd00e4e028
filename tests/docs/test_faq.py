"""The questions and answers: their form, the flags that they name in the text, and the figures that they repeat."""

from __future__ import annotations

import inspect
import re

import attrs
import pytest

from i2i import registry
from i2i.cli import COMMANDS
from i2i.entries import load_reference
from i2i.settings import RunSettings, flag


@pytest.fixture
def answers(page) -> dict[str, str]:
    sections = re.split(r"^### ", page("docs/faq.md").text, flags=re.MULTILINE)[1:]
    parts = [re.split(r"^## ", section, flags=re.MULTILINE)[0].partition("\n") for section in sections]
    return {question: answer for question, _, answer in parts}


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def test_questions_have_short_answers_that_lead_on(answers):
    assert 30 <= len(answers) <= 45
    for question, answer in answers.items():
        prose = without_code(answer)
        sentences = re.findall(r"[.?](?=\s|$)", re.sub(r"\[[^\]]+\]\([^)]+\)(, | |\.)*", "", prose))
        assert "?" in question
        assert 1 <= len(sentences) <= 5, question
        assert re.search(r"\]\([^)]+\)", prose), f"{question} links to nothing"


def test_flags_in_the_text_exist(answers):
    tables = registry.registry().tables
    known = {field.name for field in attrs.fields(RunSettings)}
    known |= {field.name for entry in tables.recipes.all() for field in attrs.fields(entry.settings())}
    commands = [load_reference(reference, "i2i") for reference, *_ in COMMANDS.values()]
    commands += [command.load() for command in tables.commands.all()]
    known |= {name for command in commands for name in inspect.signature(command).parameters}
    flags = {flag(name) for name in known}
    flags |= {f"--no-{name[2:]}" for name in flags}
    named = {word for answer in answers.values() for word in re.findall(r"(?<!\w)--[a-z][a-z-]*", without_code(answer))}
    assert named - flags == {"--logdir"}  # of TensorBoard


def figures(page, table: str) -> list[list[str]]:
    text = page("docs/evidence.md").text.partition(f"<!-- table: {table} -->")[2].partition("<!-- end -->")[0]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.strip().splitlines()[2:]]


def test_decibels_of_the_stages_are_those_of_the_demo(answers, page):
    (answer,) = (answer for question, answer in answers.items() if "enhancer stage" in question)
    stages = [[float(cell.split()[0]) for cell in row[3:6]] for row in figures(page, "evidence-demo-pix2pixhd")]
    changed = [f"{enhancer - whole:+.1f}" for whole, enhancer, _ in stages]
    added = [joint - enhancer for _, enhancer, joint in stages]
    words = " ".join(answer.split())
    assert f"{changed[0]}, {changed[1]} and {changed[2]} dB" in words
    assert f"added {min(added):.1f} to {max(added):.1f}" in words


def test_levels_of_the_checkerboard_are_those_of_the_evidence(answers, page):
    (answer,) = (answer for question, answer in answers.items() if "checkerboard" in question)
    level = {row[0].split()[0]: row[5].partition(" ")[0] for row in figures(page, "evidence-pix2pixhd")}
    words = " ".join(answer.split())
    assert f"{level['resize']} levels of 255 instead of {level['transposed']}" in words
    assert f"photographs have {level['truth']}." in words


def test_memory_is_that_of_the_pages_that_count_it(answers, page):
    said = " ".join(answers["How much memory does it take?"].split())
    cyclegan = re.findall(r"^\| 256 \| ([\d.]+) \|", page("docs/high-resolution.md").text, re.MULTILINE)[0]
    pix2pixhd = re.findall(r"^\| `--precision fp32` \| ([\d.]+) \|", page("docs/pix2pixhd.md").text, re.MULTILINE)[0]
    ugatit = re.findall(r"([\d.]+) GiB of states and saved tensors", page("docs/ugatit.md").text)[0]
    assert f"takes {cyclegan} GiB in float32, pix2pixHD at 2048 x 1024 takes {pix2pixhd}" in said
    assert f"with the light head {ugatit}:" in said
