"""One file of Python with all that a model needs, made of this package's own sources.

``transformers`` copies the file that a checkpoint names, and the files that this one imports
relatively from the same folder; it knows no packages. So the definitions that a model reaches are
put one after the other, each as it stands in its module, without what only reads and writes our
checkpoints. Nothing is rewritten but names: where two modules have a private name in common, that
of the second gets the module's name before it.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = "hiera_video"
_INTEGRATIONS = f"{_PACKAGE}.integrations."
#: What a model of ours does with files; ``transformers`` does it there.
_OF_FILES = {
    "from_pretrained",
    "from_weights",
    "push_to_hub",
    "save_pretrained",
    "to_checkpoint",
    "without_weights",
}
#: Methods that PyTorch calls; decorators of those that pydantic calls.
_CALLED_BY_TORCH = {"forward"}
_CALLED_BY_PYDANTIC = {"field_validator", "model_validator", "model_serializer"}

#: A definition: its module, and its name there.
Place = tuple[str, str]


class Module:
    """The source of a module of ours, statement by statement."""

    def __init__(self, name: str) -> None:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{name}: has no source")
        self.name = name
        self.lines = Path(spec.origin).read_text(encoding="utf-8").splitlines()
        #: Local name -> the module and the name there (None: the module itself).
        self.imports: dict[str, tuple[str, str | None]] = {}
        self.definitions: dict[str, ast.stmt] = {}
        #: Statements that define nothing.
        self.effects: list[ast.stmt] = []
        for statement in ast.parse("\n".join(self.lines)).body:
            self._take(statement)

    def _take(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import):
            self.imports |= {a.asname or a.name: (a.name, None) for a in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            origin = statement.module or ""
            self.imports |= {a.asname or a.name: (origin, a.name) for a in statement.names}
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            self.definitions[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    self.definitions[target.id] = statement
        elif not isinstance(statement, ast.Expr) and not _is_for_type_checkers(statement):
            self.effects.append(statement)

    def first_line(self, statement: ast.stmt) -> int:
        """The number, from 0, of its first line: of its comment, or its first decorator."""
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(d.lineno for d in decorators)]) - 1
        while first and self.lines[first - 1].lstrip().startswith("#"):
            first -= 1
        return first

    def text(self, statement: ast.stmt, left_out: Iterable[ast.stmt] = ()) -> str:
        """Its lines, without those of some statements inside it."""
        dropped: set[int] = set()
        for inner in left_out:
            first = self.first_line(inner)
            while not self.lines[first - 1].strip():
                first -= 1
            dropped |= {*range(first, inner.end_lineno or 0)}
        numbers = range(self.first_line(statement), statement.end_lineno or 0)
        return "\n".join(self.lines[n] for n in numbers if n not in dropped)


def _is_for_type_checkers(statement: ast.stmt) -> bool:
    tested = statement.test if isinstance(statement, ast.If) else None
    return isinstance(tested, ast.Name) and tested.id == "TYPE_CHECKING"


class Bundle:
    """The definitions that some definitions reach, in an order in which Python can run them."""

    def __init__(self, roots: Iterable[Place]) -> None:
        self.modules: dict[str, Module] = {}
        self.kept: set[Place] = set()
        self.outside: dict[str, tuple[str, str | None]] = {}
        #: Names of attributes that kept code uses: a method of another name is never called.
        self.attributes: set[str] = set()
        self.order: list[str] = []
        for module, name in roots:
            self._reach(module, name)
        size = (-1, -1)
        while size != (len(self.kept), len(self.attributes)):  # methods may have become of use
            size = (len(self.kept), len(self.attributes))
            for module, name in sorted(self.kept):
                self._follow(module, self.modules[module].definitions[name])

    def _open(self, module: str) -> Module:
        if module not in self.modules:
            self.modules[module] = Module(module)
            for effect in self.modules[module].effects:
                self._follow(module, effect)
            self.order.append(module)
        return self.modules[module]

    def _reach(self, module: str, name: str) -> None:
        """Keep a name of a module, and all that it needs, if it is a global one."""
        source = self._open(module)
        if name in source.definitions:
            if (module, name) not in self.kept:
                self.kept.add((module, name))
                self._follow(module, source.definitions[name])
        elif name in source.imports:
            origin, original = source.imports[name]
            if origin.split(".")[0] != _PACKAGE:
                if self.outside.setdefault(name, (origin, original)) != (origin, original):
                    raise ValueError(f"{module}: {name} is not what other modules call so")
            elif original is None or name != original:
                raise ValueError(f"{module}: {name}: a bundle has no modules and no other names")
            else:
                self._reach(origin, original)

    def _follow(self, module: str, statement: ast.stmt) -> None:
        for part in self._kept_parts(module, statement):
            for node in ast.walk(part):
                if isinstance(node, ast.Attribute) and not _is_super(node.value):
                    self.attributes.add(node.attr)
                elif isinstance(node, ast.Name):
                    self._reach(module, node.id)

    def _kept_parts(self, module: str, statement: ast.stmt) -> Iterator[ast.AST]:
        if not isinstance(statement, ast.ClassDef):
            yield statement
            return
        yield from (*statement.bases, *statement.keywords, *statement.decorator_list)
        left_out = self.left_out(module, statement)
        yield from (inner for inner in statement.body if inner not in left_out)

    def left_out(self, module: str, statement: ast.stmt) -> list[ast.stmt]:
        """The methods of a class that nothing calls there."""
        if not isinstance(statement, ast.ClassDef) or module.startswith(_INTEGRATIONS):
            return []
        methods = [inner for inner in statement.body if isinstance(inner, ast.FunctionDef)]
        return [method for method in methods if not self._is_called(method)]

    def _is_called(self, method: ast.FunctionDef) -> bool:
        if method.name in _OF_FILES:
            return False
        if method.name.startswith("__") or method.name in self.attributes | _CALLED_BY_TORCH:
            return True
        calls = [d.func for d in method.decorator_list if isinstance(d, ast.Call)]
        return any(isinstance(call, ast.Name) and call.id in _CALLED_BY_PYDANTIC for call in calls)

    def source(self, title: str) -> str:
        """The file."""
        parts = [f'"""{title}"""', "from __future__ import annotations", self._imports()]
        taken = {*self.outside}
        for name in self._sorted_modules():
            module = self.modules[name]
            own = [n for n in module.definitions if (name, n) in self.kept]
            statements = {id(s): s for s in (module.definitions[n] for n in own)}
            statements |= {id(s): s for s in module.effects if own}
            renamed = {n: f"_{name.rpartition('.')[2]}{n}" for n in own if n in taken}
            if public := [n for n in renamed if not n.startswith("_") and n != "logger"]:
                raise ValueError(f"{name}: other modules have these names, too: {public}")
            taken |= {renamed.get(n, n) for n in own}
            for statement in sorted(statements.values(), key=lambda s: s.lineno):
                text = module.text(statement, self.left_out(name, statement))
                parts.append(_rename(text, renamed))
        return "\n\n\n".join(parts) + "\n"

    def _imports(self) -> str:
        grouped: dict[str, list[str]] = {}
        lines = []
        for name, (origin, original) in sorted(self.outside.items()):
            if original is None:
                lines.append(f"import {origin}" + (f" as {name}" if name != origin else ""))
            else:
                alias = "" if name == original else f" as {name}"
                grouped.setdefault(origin, []).append(original + alias)
        lines += [f"from {origin} import {', '.join(n)}" for origin, n in sorted(grouped.items())]
        return "\n".join(lines)

    def _sorted_modules(self) -> list[str]:
        """Each after those that it imports from."""
        done: list[str] = []

        def visit(name: str) -> None:
            if name in self.modules and name not in done:
                for origin, _ in self.modules[name].imports.values():
                    visit(origin)
                done.append(name)

        for name in self.order:
            visit(name)
        return done


def _is_super(node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Name) and called.id == "super"


def _rename(text: str, names: dict[str, str]) -> str:
    """Other names in a piece of source; attributes keep theirs."""
    if not names:
        return text
    lines = text.splitlines(keepends=True)
    previous = ""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and token.string in names and previous != ".":
            found.append(token)
        previous = token.string
    for token in reversed(found):
        row, column = token.start[0] - 1, token.start[1]
        line = lines[row]
        lines[row] = line[:column] + names[token.string] + line[column + len(token.string) :]
    return "".join(lines)


@cache
def bundle_source(roots: tuple[Place, ...], title: str) -> str:
    """The source of a file with these definitions, and all that they need of this package."""
    return Bundle(roots).source(title)
