"""A very small Python that is played, not run: it walks the syntax tree and knows only what is written here.

No code of the user reaches this machine's interpreter. Played code has only the listed modules and attributes, and only
the files of the disk in memory, and every step is counted. Anything else ends the cell with an error that says so.
"""

import ast
import builtins
import operator
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from ..disk import MemoryDisk
from ..machine import Output
from .saying import LARGEST, Function, Scopes, as_text, said, shown
from .stand_ins import METHODS, Module, Read, Shown, modules

NOT_RUN = "the simulator does not run code (start it with --run-code to have it do so)"
MOST_STEPS = 2_000_000
DEEPEST = 40


class NotPlayed(Exception):
    """The code uses Python that the player does not know."""


class Stopped(BaseException):
    """The cell was interrupted."""


class _Break(Exception): ...


class _Continue(Exception): ...


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        self.value = value


BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: a**b,
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
    ast.BitXor: lambda a, b: a ^ b,
}
UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
PLAIN = (
    "abs all any bool chr dict divmod enumerate filter float frozenset hex int isinstance len list map max min "
    "next ord range reversed round set sorted sum tuple zip"
)
ERRORS = (
    "ArithmeticError AssertionError AttributeError EOFError Exception FileNotFoundError ImportError IndexError "
    "KeyError LookupError "
    "MemoryError ModuleNotFoundError NameError NotImplementedError OSError OverflowError PermissionError "
    "RuntimeError StopIteration SyntaxError TimeoutError TypeError ValueError ZeroDivisionError"
)


@dataclass
class Player:
    """Plays cells over one set of names.

    Args:
        emit: Called with each output, as ("stdout", text).
        show: Called with each thing that a cell displays.
    """

    disk: MemoryDisk
    cwd: str
    emit: Callable[[Output, str], None]
    show: Callable[[Shown], None]
    envs: dict[str, str] = field(default_factory=dict[str, str])
    names: dict[str, Any] = field(default_factory=dict[str, Any])
    speed: float = 1.0
    stopping: threading.Event = field(default_factory=threading.Event)
    line: int = 0
    _steps: int = 0
    _depth: int = 0
    _scopes: Scopes = ()

    def __post_init__(self) -> None:
        self._built: dict[str, Any] = {name: getattr(builtins, name) for name in f"{PLAIN} {ERRORS}".split()}
        # type() gives a text, because a real type would lead to attributes that are not listed.
        self._built |= {"str": as_text, "repr": said, "type": _kind}
        self._built |= {"print": self._print, "display": self._display, "input": _no_input}
        self._modules = modules(self)
        self._built["open"] = self._modules["builtins"].names["open"]

    # cells

    def play(self, code: str) -> Any:
        """Play a cell, and return the value of its last expression. Every error is raised."""
        tree = ast.parse(code)
        self._steps, self._depth, self._scopes, self.line = 0, 0, (), 0
        last = tree.body[-1] if tree.body else None
        if not isinstance(last, ast.Expr):
            self._block(tree.body)
            return None
        self._block(tree.body[:-1])
        self.line = last.lineno
        return self._value(last.value)

    def shown(self, value: Any) -> Shown:
        return shown(value)

    def finish(self) -> None:
        """Show the figures that are not shown yet, as a notebook does at the end of a cell."""
        self._modules["matplotlib.pyplot"].names["show"]()

    def pause(self, seconds: float) -> None:
        if self.stopping.wait(max(0.0, seconds) / self.speed):
            raise Stopped

    def _tick(self) -> None:
        self._steps += 1
        if self.stopping.is_set():
            raise Stopped
        if self._steps > MOST_STEPS:
            raise NotPlayed(f"more than {MOST_STEPS} steps: {NOT_RUN}")

    def _print(self, *values: Any, sep: str = " ", end: str = "\n", file: Any = None, flush: bool = False) -> None:
        self.emit("stderr" if file == "<stderr>" else "stdout", sep.join(map(as_text, values)) + end)

    def _display(self, *values: Any) -> None:
        for value in values:
            self.show(shown(value))

    # statements

    def _block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.line = statement.lineno
            self._tick()
            handler = getattr(self, f"_do_{type(statement).__name__.lower()}", None)
            if handler is None:
                raise NotPlayed(f"{type(statement).__name__}: {NOT_RUN}")
            handler(statement)

    def _do_expr(self, node: ast.Expr) -> None:
        self._value(node.value)

    def _do_pass(self, node: ast.Pass) -> None: ...

    def _do_assign(self, node: ast.Assign) -> None:
        value = self._value(node.value)
        for target in node.targets:
            self._put(target, value)

    def _do_annassign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._put(node.target, self._value(node.value))

    def _do_augassign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            before = self._name(node.target.id)
        else:
            before = self._value(cast(ast.expr, node.target))
        self._put(node.target, self._combine(type(node.op), before, self._value(node.value)))

    def _put(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Name(id=name):
                (self._scopes[0] if self._scopes else self.names)[name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                values = list(value)
                if len(values) != len(parts):
                    raise ValueError(f"not enough values to unpack (expected {len(parts)}, got {len(values)})")
                for part, one in zip(parts, values, strict=True):
                    self._put(part, one)
            case ast.Subscript(value=inner, slice=index):
                self._value(inner)[self._value(index)] = value
            case _:
                raise NotPlayed(f"assigning to {type(target).__name__}: {NOT_RUN}")

    def _do_delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._name(target.id)
                (self._scopes[0] if self._scopes else self.names).pop(target.id, None)
            elif isinstance(target, ast.Subscript):
                del self._value(target.value)[self._value(target.slice)]

    def _do_if(self, node: ast.If) -> None:
        self._block(node.body if self._value(node.test) else node.orelse)

    def _do_while(self, node: ast.While) -> None:
        while self._value(node.test):
            if not self._turn(node.body):
                return
        self._block(node.orelse)

    def _do_for(self, node: ast.For) -> None:
        for value in self._value(node.iter):
            self._put(node.target, value)
            if not self._turn(node.body):
                return
        self._block(node.orelse)

    def _turn(self, body: list[ast.stmt]) -> bool:
        """Run the body of a loop once. False after a break."""
        self._tick()
        try:
            self._block(body)
        except _Continue:
            return True
        except _Break:
            return False
        return True

    def _do_break(self, node: ast.Break) -> None:
        raise _Break

    def _do_continue(self, node: ast.Continue) -> None:
        raise _Continue

    def _do_return(self, node: ast.Return) -> None:
        raise _Return(None if node.value is None else self._value(node.value))

    def _do_functiondef(self, node: ast.FunctionDef) -> None:
        self._put(ast.Name(node.name), self._function(node.name, node.args, node.body))

    def _function(self, name: str, arguments: ast.arguments, body: list[ast.stmt] | ast.expr) -> Function:
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs:
            raise NotPlayed(f"such parameters: {NOT_RUN}")
        defaults = [self._value(default) for default in arguments.defaults]
        return Function(
            name, [argument.arg for argument in arguments.args], defaults, body, self.call_own, self._scopes
        )

    def _do_raise(self, node: ast.Raise) -> None:
        error = self._value(node.exc) if node.exc is not None else RuntimeError("No active exception to reraise")
        raise error() if isinstance(error, type) else error

    def _do_assert(self, node: ast.Assert) -> None:
        if not self._value(node.test):
            raise AssertionError(*([self._value(node.msg)] if node.msg is not None else []))

    def _do_try(self, node: ast.Try) -> None:
        try:
            self._block(node.body)
            self._block(node.orelse)
        except (NotPlayed, _Break, _Continue, _Return):
            raise
        except Exception as error:
            for handler in node.handlers:
                kinds = self._value(handler.type) if handler.type is not None else Exception
                if isinstance(error, kinds):
                    if handler.name:
                        self._put(ast.Name(handler.name), error)
                    self._block(handler.body)
                    return
            raise
        finally:
            self._block(node.finalbody)

    def _do_with(self, node: ast.With) -> None:
        opened: list[Any] = []
        for item in node.items:
            value = self._value(item.context_expr)
            opened.append(value)
            if item.optional_vars is not None:
                self._put(item.optional_vars, value)
        try:
            self._block(node.body)
        finally:
            for value in opened:
                METHODS[type(value)]["close"](value)

    def _do_import(self, node: ast.Import) -> None:
        for alias in node.names:
            found = self._module(alias.name)
            top = found if alias.asname else self._module(alias.name.partition(".")[0])
            self._put(ast.Name(alias.asname or alias.name.partition(".")[0]), top)

    def _do_importfrom(self, node: ast.ImportFrom) -> None:
        found = self._module(node.module or "")
        for alias in node.names:
            if alias.name not in found.names:
                raise ImportError(f"cannot import name '{alias.name}' from '{node.module}'")
            self._put(ast.Name(alias.asname or alias.name), found.names[alias.name])

    def _module(self, name: str) -> Module:
        if name not in self._modules:
            raise ModuleNotFoundError(f"No module named '{name}' ({NOT_RUN})")
        return self._modules[name]

    # expressions

    def _name(self, name: str) -> Any:
        for scope in (*self._scopes, self.names, self._built):
            if name in scope:
                return scope[name]
        raise NameError(f"name '{name}' is not defined")

    def _combine(self, kind: type[ast.operator], left: Any, right: Any) -> Any:
        self._tick()
        if kind not in BINARY:
            raise NotPlayed(f"{kind.__name__}: {NOT_RUN}")
        for one, other in ((left, right), (right, left)):
            if kind is ast.Mult and isinstance(other, int):
                _check_size(_length(one) * max(0, other))
        whole = isinstance(left, int) and isinstance(right, int)
        if whole and kind is ast.Pow and right > 0:
            _check_size(max(1, left.bit_length()) * right)
        if whole and kind is ast.Mult:
            _check_size(left.bit_length() + right.bit_length())
        if kind is ast.Mod and isinstance(left, str):
            raise NotPlayed(f"% on a text: {NOT_RUN}")
        result = BINARY[kind](left, right)
        _check_size(_length(result))
        return result

    def _value(self, node: ast.expr) -> Any:
        self._tick()
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._name(name)
            case ast.BinOp(left=left, op=op, right=right):
                return self._combine(type(op), self._value(left), self._value(right))
            case ast.UnaryOp(op=op, operand=operand):
                return UNARY[type(op)](self._value(operand))
            case ast.BoolOp(op=op, values=values):
                found: Any = None
                for value in values:
                    found = self._value(value)
                    if bool(found) == isinstance(op, ast.Or):
                        return found
                return found
            case ast.Compare(left=left, ops=ops, comparators=others):
                before = self._value(left)
                for op, other in zip(ops, others, strict=True):
                    following = self._value(other)
                    if not COMPARE[type(op)](before, following):
                        return False
                    before = following
                return True
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._value(body) if self._value(test) else self._value(orelse)
            case ast.List(elts=parts):
                return [self._value(part) for part in parts]
            case ast.Tuple(elts=parts):
                return tuple(self._value(part) for part in parts)
            case ast.Set(elts=parts):
                return {self._value(part) for part in parts}
            case ast.Dict(keys=keys, values=values) if all(key is not None for key in keys):
                return {self._value(key): self._value(value) for key, value in zip(keys, values, strict=True) if key}
            case ast.Subscript(value=inner, slice=index):
                return self._value(inner)[self._value(index)]
            case ast.Slice(lower=lower, upper=upper, step=step):
                return slice(*(None if part is None else self._value(part) for part in (lower, upper, step)))
            case ast.JoinedStr(values=parts):
                return "".join(as_text(self._value(part)) for part in parts)
            case ast.FormattedValue(value=inner, conversion=how, format_spec=spec):
                value = self._value(inner)
                if how != -1 or not isinstance(value, str | int | float):
                    value = said(value) if how == ord("r") else as_text(value)
                return format(value, _format(self._value(spec) if spec is not None else ""))
            case ast.ListComp(elt=each, generators=loops) | ast.GeneratorExp(elt=each, generators=loops):
                return [self._value(each) for _ in self._loops(loops)]
            case ast.SetComp(elt=each, generators=loops):
                return {self._value(each) for _ in self._loops(loops)}
            case ast.DictComp(key=key, value=value, generators=loops):
                return {self._value(key): self._value(value) for _ in self._loops(loops)}
            case ast.Lambda(args=arguments, body=body):
                return self._function("<lambda>", arguments, body)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                return self._call(node)
            case _:
                raise NotPlayed(f"{type(node).__name__}: {NOT_RUN}")

    def _loops(self, loops: list[ast.comprehension]) -> Iterable[None]:
        first, *rest = loops
        for value in self._value(first.iter):
            self._tick()
            self._put(first.target, value)
            if all(self._value(test) for test in first.ifs):
                if rest:
                    yield from self._loops(rest)
                else:
                    yield None

    def _attribute(self, node: ast.Attribute) -> Any:
        """An attribute that is listed: for a module or a stand-in, in its own list; for a plain value, for its type."""
        holder, name = self._value(node.value), node.attr
        if isinstance(holder, Module):
            if name not in holder.names:
                raise NotPlayed(f"{holder.name}.{name}: {NOT_RUN}")
            return holder.names[name]
        known = METHODS.get(cast("type[Any]", type(holder)), {})
        if name not in known:
            if hasattr(holder, name) and not name.startswith("_"):
                raise NotPlayed(f"{type(holder).__name__}.{name}: {NOT_RUN}")
            raise AttributeError(f"'{type(holder).__name__}' object has no attribute '{name}'")
        found = known[name]
        return found.of(holder) if isinstance(found, Read) else partial(found, holder)

    def _call(self, node: ast.Call) -> Any:
        called = self._value(node.func)
        values: list[Any] = []
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                values += list(self._value(argument.value))
            else:
                values.append(self._value(argument))
        named = {each.arg: self._value(each.value) for each in node.keywords if each.arg is not None}
        if called is range:
            _check_size(abs(values[-1] if len(values) == 1 else values[1] - values[0]))
        result = called(*values, **named)
        _check_size(_length(result))
        return result

    def call_own(self, function: Function, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self._depth >= DEEPEST:
            raise RecursionError("maximum recursion depth exceeded")
        given = dict(zip(function.parameters, values, strict=False)) | named
        spare = dict(zip(function.parameters[::-1], function.defaults[::-1], strict=False))
        missing = [name for name in function.parameters if name not in given and name not in spare]
        if missing or len(values) > len(function.parameters) or named.keys() - set(function.parameters):
            raise TypeError(f"{function.name}() takes {', '.join(function.parameters) or 'no arguments'}")
        outer, self._scopes = self._scopes, (spare | given, *function.around)
        self._depth += 1
        try:
            if isinstance(function.body, ast.expr):
                return self._value(function.body)
            self._block(function.body)
        except _Return as end:
            return end.value
        finally:
            self._scopes = outer
            self._depth -= 1
        return None


def _length(value: Any) -> int:
    return len(cast("list[Any]", value)) if isinstance(value, str | bytes | list | tuple) else 0


def _check_size(size: float) -> None:
    if size > LARGEST:
        raise MemoryError("too large for the simulator, which does not run code")


def _format(spec: str) -> str:
    numbers = "".join(letter if letter.isdigit() else " " for letter in spec).split()
    if any(int(number) > 1000 for number in numbers):
        raise MemoryError("too wide for the simulator, which does not run code")
    return spec


def _kind(value: Any) -> str:
    return f"<class '{type(value).__name__}'>"


def _no_input(*_: Any) -> str:
    raise EOFError("raw_input was called, but this frontend does not support input requests.")
