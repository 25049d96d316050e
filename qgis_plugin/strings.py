"""Brings `i18n/*.ts` up to date with the plugin's sources: `python qgis_plugin/strings.py`. Translations stay, new strings come in as unfinished.

Qt 5's own `lupdate` does not read Python. A string's context is what the call says at run time: ``QCoreApplication.translate("Context", "text")``,
a function of a module that does so, ``self.tr`` (the class, and every subclass that may say it), or the template of a PluginError.
"""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

PLUGIN = Path(__file__).resolve().parent / "rsgeo_qgis"
Message = tuple[str, str]  # context, source text


def messages(plugin: Path = PLUGIN) -> set[Message]:
    """All strings of the plugin that are translated when shown."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(plugin.rglob("*.py"))}
    functions = {name: context for tree in trees.values() for name, context in _translating_functions(tree)}
    parents = {node.name: [base.id for base in node.bases if isinstance(base, ast.Name)] for tree in trees.values() for node in _classes(tree)}
    found: set[Message] = set()
    for path, tree in trees.items():
        own = {**functions, **dict(_translating_functions(tree))}
        for node in tree.body:
            contexts = [name for name in parents if node.name in _family(name, parents)] if isinstance(node, ast.ClassDef) else []
            for call in (call for call in ast.walk(node) if isinstance(call, ast.Call)):
                found.update(_of_call(call, own, contexts, path))
    return found


def _of_call(call: ast.Call, functions: dict[str, str], classes: list[str], path: Path) -> Iterator[Message]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    text = call.args[0] if call.args else None
    if name == "translate" and len(call.args) > 1:
        if isinstance(text, ast.Constant) and isinstance(call.args[1], ast.Constant):
            yield str(text.value), str(call.args[1].value)
        return
    contexts: list[str] = []
    if isinstance(call.func, ast.Name) and name in functions:
        contexts = [functions[name]]
    elif isinstance(call.func, ast.Attribute) and name == "tr" and isinstance(call.func.value, ast.Name) and call.func.value.id == "self":
        contexts = classes
    elif name == "PluginError":
        contexts = [name]
    if contexts and not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
        raise SystemExit(f"{path.name}:{call.lineno}: what is translated must be a plain string, with {{names}} filled in afterwards.")
    yield from ((context, text.value) for context in contexts)


def _translating_functions(tree: ast.Module) -> Iterator[Message]:
    """(name, context) of the functions ``def tr(text): return QCoreApplication.translate("Context", text)``."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.args.args:
            for call in (part for part in ast.walk(node) if isinstance(part, ast.Call)):
                if isinstance(call.func, ast.Attribute) and call.func.attr == "translate" and len(call.args) == 2:
                    context, text = call.args
                    if isinstance(context, ast.Constant) and isinstance(text, ast.Name) and text.id == node.args.args[0].arg:
                        yield node.name, str(context.value)


def _classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    return (node for node in tree.body if isinstance(node, ast.ClassDef))


def _family(name: str, parents: dict[str, list[str]]) -> set[str]:
    return {name}.union(*(_family(parent, parents) for parent in parents.get(name, ())))


def read(path: Path) -> dict[Message, str]:
    """The finished translations of a .ts file; the unfinished are empty."""
    found = {}
    for context in ElementTree.parse(path).getroot().iter("context"):
        for message in context.iter("message"):
            translation = message.find("translation")
            done = translation is not None and translation.get("type") is None
            found[context.findtext("name", ""), message.findtext("source", "")] = (translation.text or "") if translation is not None and done else ""
    return found


def text_of(language: str, known: dict[Message, str], wanted: set[Message]) -> str:
    """A .ts file of the wanted messages, sorted, with what is known of them. A text known in another context is taken from there."""
    elsewhere = {text: translation for (_, text), translation in known.items() if translation}
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<!DOCTYPE TS>", f'<TS version="2.1" language="{language}" sourcelanguage="en">']
    for context in sorted({context for context, _ in wanted}):
        lines += ["<context>", f"    <name>{escape(context)}</name>"]
        for text in sorted(text for name, text in wanted if name == context):
            translation = known.get((context, text)) or elsewhere.get(text, "")
            state = "" if translation else ' type="unfinished"'
            lines += ["    <message>", f"        <source>{escape(text)}</source>"]
            lines += [f"        <translation{state}>{escape(translation)}</translation>", "    </message>"]
        lines.append("</context>")
    return "\n".join([*lines, "</TS>", ""])


if __name__ == "__main__":
    for file in sorted((PLUGIN / "i18n").glob("*.ts")):
        file.write_text(text_of(file.stem.split("_")[1], read(file), messages()), encoding="utf-8")
        missing = [text for text in read(file).values() if not text]
        print(f"{file.name}: {len(messages())} strings, {len(missing)} to be translated", file=sys.stderr)
