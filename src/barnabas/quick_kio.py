"""Imports a part of kio as if hypothesis were not installed; it comes before any other of kio.

kio registers strategies with hypothesis where it finds it, whose import takes longer than a broker
takes to start. A process that has imported hypothesis itself gets them still, and nobody else's
import of it is touched.
"""

import builtins
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from typing import Any, Final

_MODULE: Final = "kio.static._phantom"  # which looks for hypothesis
_COSTLY: Final = "hypothesis"


def _import(name: str, *args: Any) -> Any:
    if name.partition(".")[0] == _COSTLY and _COSTLY not in sys.modules:
        raise ImportError(name=name)
    return builtins.__import__(name, *args)


def _execute(spec: ModuleSpec) -> None:
    module = module_from_spec(spec)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
    sys.modules[_MODULE] = module
    try:
        assert spec.loader is not None
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[_MODULE]
        raise


if _MODULE not in sys.modules and (_spec := find_spec(_MODULE)) is not None:
    _execute(_spec)
