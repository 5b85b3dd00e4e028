"""Sphinx extension: pages of public names, links from docstrings to them, and what a finished site must have.

``.. public:: i2i.losses`` documents all public names of a module, ``.. public:: i2i player every`` some of them.
"""

from __future__ import annotations

import contextlib
import inspect
import pkgutil
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
from docutils import nodes
from public_names import comment, home, homes, imported, is_function, public_names, undocumented, value_of
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inventory import InventoryFile
from sphinx.util.nodes import find_pending_xref_condition

_NOTHING = object()


class Public(SphinxDirective):
    """``.. public:: MODULE [NAME ...]``: the module with all its public names, or some names only."""

    required_arguments = 1
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return what autodoc makes of each name that has its home here, and links to the others."""
        module, *names = " ".join(self.arguments).split()
        lines = [] if names else [f".. automodule:: {module}", "   :no-members:", ""]
        full_names = [f"{module}.{name}" for name in names or public_names()[module]]
        elsewhere = sorted({home(name) for name in full_names} - set(full_names))
        for name in full_names:
            if home(name) == name and not inspect.ismodule(value_of(name)):
                lines += [f".. auto{_kind(name)}:: {name}", *_options(name), ""]
        if elsewhere:
            lines += ["Explained elsewhere: " + ", ".join(f"`{name}`" for name in elsewhere) + "."]
        return self.parse_text_to_nodes("\n".join(lines))


def _kind(name: str) -> str:
    value = value_of(name)
    return "class" if inspect.isclass(value) else "function" if is_function(value) else "data"


def _options(name: str) -> list[str]:
    value = value_of(name)
    if _kind(name) == "data":
        return ["   :no-value:"]
    return ["   :inherited-members:"] if inspect.isclass(value) and attrs.has(value) else []


def prepare_for_napoleon(_: Sphinx, what: str, name: str, value: object, options: Any, lines: list[str]) -> None:
    """Take what is written at data from where it is defined, and keep napoleon from reading words as types.

    It takes what stands before a colon in the first line of ``Returns:``, or of the text at data, for a type. So an
    empty comment comes first.
    """
    if what == "data":
        lines[:] = [*comment(*name.rsplit(".", 1)), ""]
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]
    for index in reversed([index for index, line in enumerate(lines) if line.strip() == "Returns:"]):
        lines[index + 1 : index + 1] = [lines[index].replace("Returns:", "    .."), ""]


def skip_fields(_: Sphinx, what: str, name: str, value: object, skip: bool, options: Any) -> bool | None:
    """Leave out what Python itself says of the fields of NamedTuples; ours are described with the class."""
    return True if (getattr(value, "__doc__", None) or "").startswith("Alias for field number") else None


def mend_signature(
    _: Sphinx, what: str, name: str, value: object, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Show defaults as they are meant; nobody makes a protocol, so that shows its ``__call__`` only."""
    if getattr(value, "_is_protocol", False):
        return "", None
    if signature is None:
        return None
    if inspect.isfunction(getattr(value, "fn", None)):  # a kernel that Triton has wrapped
        return str(inspect.signature(value.fn)), None  # type: ignore[attr-defined]
    if inspect.isclass(value) and attrs.has(value):
        fields = attrs.fields_dict(value)
        signature = re.sub(r"attr_dict\['(\w+)'\]\.default", lambda found: repr(fields[found[1]].default), signature)
    return re.sub(r"<function (\w+)[^>]*>", r"\1", signature), returns


def set_type(_: Sphinx, page: nodes.document) -> None:
    """Take out what `prepare_for_napoleon` put in; set the dash behind parameters; end code with its last line."""
    for remark in list(page.findall(nodes.comment)):
        remark.parent.remove(remark)
    for outer in list(page.findall(nodes.paragraph)):
        if any(isinstance(inner, nodes.paragraph) for inner in outer):
            outer.replace_self(outer.children)
    for text in [text for text in page.findall(nodes.Text) if text == " -- "]:
        text.parent.replace(text, nodes.Text(" – "))
    for block in list(page.findall(nodes.literal_block)):
        if block.rawsource.endswith("\n"):
            block.rawsource = block.rawsource.rstrip("\n")
            block.children = [nodes.Text(block.rawsource)]


def aim_links(_: Sphinx, page: nodes.document) -> None:
    """Aim each Python link of a page at the public name of the value that its text has where it is written.

    What exists but is not public becomes text. What does not exist is left to Sphinx, which warns.
    """
    for link in list(page.findall(addnodes.pending_xref)):
        if link.get("refdomain") != "py":
            continue
        scopes = _scopes(link)
        value, owner = _value(link["reftarget"], scopes), _value(link["reftarget"].rpartition(".")[0], scopes)
        target = homes().get(id(value))
        if target is None and inspect.isclass(owner):
            target = homes().get(id(owner))
            if target is not None and inspect.isroutine(value) and value.__doc__:
                target += f".{value.__name__}"
        if target is not None:
            link["reftarget"] = target
            link.attributes.pop("refspecific", None)
        elif value is not _NOTHING:
            shown = find_pending_xref_condition(link, "*")
            link.replace_self(link.children if shown is None else shown.children)


def _value(name: str, scopes: list[str]) -> object:
    """Return what a name means in the first of some modules and classes that know it."""
    first, _, rest = name.partition(".")
    for scope in scopes if name else []:
        origin = imported(scope).get(first) if scope.startswith("i2i") and scope in sys.modules else None
        for full_name in (f"{scope}.{name}".lstrip("."), f"{origin}.{rest}".rstrip(".") if origin else ""):
            with contextlib.suppress(ImportError, AttributeError, ValueError):
                return pkgutil.resolve_name(full_name)
    return _NOTHING


def _scopes(link: nodes.Node) -> list[str]:
    """Return where a name is looked up: class and module that define what is explained, the public names, Python."""
    scopes: list[str] = []
    parent: nodes.Node | None = link
    while parent is not None:
        if isinstance(parent, addnodes.desc) and parent.get("domain") == "py":
            signature = parent.next_node(addnodes.desc_signature)
            value = _value(f"{signature['module']}.{signature['fullname']}", [""])
            module = str(getattr(value, "__module__", signature["module"]))
            scopes += [f"{module}.{value.__qualname__}"] if inspect.isclass(value) else []
            scopes += [module]
        parent = parent.parent
    return [*scopes, link.get("py:module") or "", "i2i", "i2i.errors", "", "builtins"]


class _Fetched(HTMLParser):
    """Collects what a browser fetches for a page from another host."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"a": (), "link": ("href",)}.get(tag, ("src", "srcset", "data", "poster"))
        self.found += [value for name, value in attrs if name in names and value and re.match(r"(\w+:)?//", value)]


def fetched(text: str) -> list[str]:
    """Return the addresses of other hosts from which the HTML or CSS in ``text`` loads scripts, styles or pictures."""
    parser = _Fetched()
    parser.feed(text)
    return parser.found + re.findall(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""", text)


def check_site(app: Sphinx, exception: Exception | None) -> None:
    """Fail the build where a public name is missing, or where a page needs another host.

    Raises:
        ExtensionError: says which.
    """
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    inventory = InventoryFile.loads((out / "objects.inv").read_bytes(), uri="")
    on_the_site = {name for kind, found in inventory.data.items() if kind.startswith("py:") for name in found}
    lines = undocumented(public_names(), on_the_site)
    for path in sorted([*out.rglob("*.html"), *out.rglob("*.css")]):
        lines += [f"{path.relative_to(out)} loads {link}" for link in fetched(path.read_text("utf-8"))]
    if lines:
        raise ExtensionError("the site is not complete:\n" + "\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    next(field for field in PyObject.doc_field_types if field.name == "variable").label = "Attributes"
    app.add_directive("public", Public)
    app.connect("autodoc-process-docstring", prepare_for_napoleon, priority=400)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-process-signature", mend_signature)
    app.connect("doctree-read", set_type)
    app.connect("doctree-read", aim_links)
    app.connect("build-finished", check_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
