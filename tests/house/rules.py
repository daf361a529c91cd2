"""The house rules as pure functions: a syntax tree in, the places that break the rule out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

Found = Iterator[tuple[int, str]]

UNSAFE_MODULES = frozenset({"pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle"})
UNSAFE_BUILTINS = frozenset({"eval", "exec", "compile", "__import__"})
UNSAFE_CALLS = frozenset(
    {"joblib.load", "joblib.dump", "os.system", "os.popen", "yaml.load", "yaml.load_all"}
    | {f"yaml.{kind}_load{every}" for kind in ("unsafe", "full") for every in ("", "_all")}
)
VAGUE = frozenset({"Manager", "Handler", "Helper", "Helpers", "Util", "Utils", "Base", "Engine", "Processor"})


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` of a chain of names, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def full_names(tree: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for: ``np`` → ``numpy``, ``load`` → ``torch.load``."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
    return names


def called(node: ast.Call, names: dict[str, str]) -> str:
    """Return the full dotted name of what is called, as far as the imports tell."""
    head, _, rest = dotted(node.func).partition(".")
    return ".".join(part for part in (names.get(head, head), rest) if part)


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield every call."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def gradient_steps(tree: ast.Module) -> Found:
    """Find hand-written gradient loops: ``anything.step(...)``."""
    for node in calls(tree):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "step":
            yield node.lineno, "an optimiser's .step() belongs in models/descent.py"


def unsafe_imports(tree: ast.Module) -> Found:
    """Find imports of modules that read code from bytes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        else:
            continue
        for name in imported:
            if name.split(".")[0] in UNSAFE_MODULES:
                yield node.lineno, f"imports {name}"


def _keyword(node: ast.Call, name: str) -> object:
    for keyword in node.keywords:
        if keyword.arg == name:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else "computed"
    return None


def unsafe_calls(tree: ast.Module) -> Found:
    """Find calls that run or unpickle what they are given."""
    names = full_names(tree)
    for node in calls(tree):
        name = called(node, names)
        if isinstance(node.func, ast.Name) and node.func.id in UNSAFE_BUILTINS and node.func.id not in names:
            yield node.lineno, f"calls {node.func.id}()"
        elif name in UNSAFE_CALLS:
            yield node.lineno, f"calls {name}()"
        elif name == "torch.load" and _keyword(node, "weights_only") is not True:
            yield node.lineno, "calls torch.load() without weights_only=True"
        if _keyword(node, "allow_pickle") not in (None, False):
            yield node.lineno, "allows pickled arrays"
        if _keyword(node, "shell") not in (None, False):
            yield node.lineno, "runs a shell"


def prints(tree: ast.Module) -> Found:
    """Find prints."""
    for node in calls(tree):
        if dotted(node.func) in ("print", "pprint.pprint", "pprint"):
            yield node.lineno, "prints"


def asserts(tree: ast.Module) -> Found:
    """Find asserts, which ``python -O`` removes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, "asserts; raise one of core.errors instead"


def globals_changed(tree: ast.Module) -> Found:
    """Find functions that change module globals."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield node.lineno, f"changes the global {', '.join(node.names)}"


def vague_names(tree: ast.Module) -> Found:
    """Find classes named by a word that says nothing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            words = re.findall(r"[A-Z][a-z]+|[A-Z]+(?![a-z])", node.name)
            for word in sorted(VAGUE.intersection(words)):
                yield node.lineno, f"class {node.name}: {word!r} says nothing"


def public(body: Iterable[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the public classes and functions of a body."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node


def undocumented(tree: ast.Module) -> Found:
    """Find public classes, functions and methods without a docstring."""
    for node in public(tree.body):
        if not ast.get_docstring(node):
            yield node.lineno, f"{node.name} has no docstring"
        if isinstance(node, ast.ClassDef):
            for method in public(node.body):
                marks = {dotted(d.func if isinstance(d, ast.Call) else d) for d in method.decorator_list}
                bare = not ast.get_docstring(method) and not any(m.endswith((".setter", "overload")) for m in marks)
                if bare:
                    yield method.lineno, f"{node.name}.{method.name} has no docstring"


def opening(tree: ast.Module) -> Found:
    """Find a module that does not open with the one sentence that says what it is."""
    text = ast.get_docstring(tree)
    if not text:
        yield 1, "has no docstring"
        return
    first, _, rest = text.partition("\n")
    if not re.search(r"[.?]$", first):
        yield 1, f"the docstring's first line is not a whole sentence: {first!r}"
    if rest and not rest.startswith("\n"):
        yield 1, "the docstring's first sentence runs over its line"


def bases(tree: ast.Module, module: str) -> dict[str, tuple[str, ...]]:
    """Return each class of a module (full name) with the full names of its bases."""
    names = full_names(tree)
    found = {}
    local = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        parents = []
        for base in node.bases:
            path = dotted(base.value if isinstance(base, ast.Subscript) else base)
            head, _, rest = path.partition(".")
            root = f"{module}.{head}" if head in local else names.get(head, head)
            parents.append(f"{root}.{rest}" if rest else root)
        found[f"{module}.{node.name}"] = tuple(parents)
    return found


def towers(classes: dict[str, tuple[str, ...]], roots: frozenset[str] = frozenset(), most: int = 1) -> list[str]:
    """Return the classes with more than ``most`` classes of ours above them; exceptions are a tree and are left out.

    Args:
        classes: class → bases, full names; bases that are not in the mapping are other people's.
        roots: classes of ours that everything may stand on, and that do not count.
        most: how many classes of ours one may stand on.
    """

    def depth(name: str) -> int:
        return max((1 + depth(base) for base in classes[name] if base in classes and base not in roots), default=0)

    def raised(name: str) -> bool:
        return name in ("Exception", "BaseException") or any(raised(base) for base in classes.get(name, ()))

    return [
        f"{name}: {depth(name)} classes deep" for name in sorted(classes) if not raised(name) and depth(name) > most
    ]
