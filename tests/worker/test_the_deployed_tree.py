"""What goes out is what the function needs: nothing more, and everything that it imports is in requirements.txt."""

import ast
import sys
from pathlib import Path

from tests.worker.conftest import ROOT, Deployed, shipped

GOES_OUT = {
    *("function_app.py", "host.json", "requirements.txt", "canary.yaml"),
    *("analyzers", "controller", "notifying", "rollouts", "shifting", "storing"),
}


def test_only_the_function_goes_out() -> None:
    """A new folder of the repository is named in .funcignore, or here."""
    assert {Path(one).parts[0] for one in shipped()} == GOES_OUT


def test_nothing_that_git_ignores_goes_out() -> None:
    """Caches, environments and local.settings.json lie in a developer's folder, from which a deployment may start."""
    lines = {one: (ROOT / one).read_text(encoding="utf-8").splitlines() for one in (".gitignore", ".funcignore")}
    kept_here = {one.strip("/").replace("*", "flex_canary") for one in lines[".gitignore"] if one}
    assert kept_here <= set(lines[".funcignore"])


def test_funcignore_uses_plain_names_only() -> None:
    """Patterns are not read by every version of the tools that deploy."""
    names = [one for one in (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines() if not one.startswith("#")]
    assert not [one for one in names if set(one) & set("*?![]/\\ ")]
    assert names == sorted(names, key=lambda one: one.encode())


def _imports(folder: Path) -> set[str]:
    """Every module that any file of the tree imports, at its top or inside a function."""
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {one.name for one in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None, f"{file}: import by the full name"
                assert node.level == 0, f"{file}: import by the full name"
                found.add(node.module)
    return found


def test_what_goes_out_imports_with_the_deployed_packages_alone(package: Path, deployed: Deployed) -> None:
    """Every import, also the late ones inside functions, on the deployed Python."""
    modules = {
        ".".join(file.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
        for file in package.rglob("*.py")
    }
    wanted = sorted(_imports(package) | modules)
    program = (
        "import importlib, sys\nsys.path.insert(0, '.')\n"
        "for name in sys.stdin.read().split(): importlib.import_module(name)\n"
        "print(sorted(name for name in sys.modules if '.' not in name))"
    )
    loaded = deployed.run(["-c", program], given="\n".join(wanted), environment={}, folder=package)
    assert "function_app" in loaded
    ours = {one.stem for one in ROOT.iterdir() if one.is_dir()} - GOES_OUT - set(sys.stdlib_module_names)
    assert not ours & set(ast.literal_eval(loaded))
