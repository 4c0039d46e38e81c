"""A template's source -> Python's code, in which nothing happens behind the sandbox's back.

Jinja parses, and its code generator writes Python. It leaves `a + b`, `a ~ b`, `a[1:2]`, `a == b`
and literals to Python's own, which knows neither masks (text.py) nor budgets (budget.py).
`Compiler` writes calls of the environment (operations.py) in their place, and a payment in front of
every block of statements:

    {{ 'Hi ' ~ name }}    environment.budget.pay(5)
                          yield str(environment.finalize(
                              environment.concat_of(environment.literal('Hi '), l_0_name)))

Nothing is computed while compiling: the budget begins with the rendering.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType
from typing import Any, Final

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.exceptions import TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.parser import Parser

from spm.chat.text import words

MAX_SOURCE: Final = 1 << 18  # characters of a template; those in the wild have up to 30,000
MAX_DEPTH: Final = 100  # of its nodes inside one another

_NODES: Final = words(
    "Template Output TemplateData If For Break Continue Macro CallBlock FilterBlock With Assign"
    " AssignBlock NSRef Scope Name Const Tuple List Dict Pair CondExpr Compare Operand And Or Not"
    " Neg Pos Add Sub Mul Div FloorDiv Mod Pow Concat Getattr Getitem Slice Call Keyword Filter"
    " Test EnvironmentAttribute"
)


def compiled(environment: Environment, source: str) -> CodeType:
    """A template as Python's code. Raises TemplateSyntaxError for what is not understood."""
    if len(source) > MAX_SOURCE:
        raise TemplateSyntaxError(f"{len(source)} characters, expected at most {MAX_SOURCE}", 1)
    tree = environment.parse(source)
    _check(tree)
    for loop in list(tree.find_all(nodes.For)):
        if loop.test is not None:  # which runs outside of the loop's body
            price = nodes.Const(1 + _size(loop.test))
            function = nodes.EnvironmentAttribute("paid")
            loop.iter = nodes.Call(function, [loop.iter, price], [], None, None)
    return environment.compile(tree)


def _check(tree: nodes.Template) -> None:
    """Only nodes that are understood, and none too deep for the functions that walk them."""
    rest: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while rest:
        node, depth = rest.pop()
        kind = type(node).__name__
        if kind not in _NODES or (isinstance(node, nodes.For) and node.recursive):
            raise TemplateSyntaxError(f"{kind} is not offered to templates", node.lineno)
        if depth > MAX_DEPTH:
            raise TemplateSyntaxError(f"nested deeper than {MAX_DEPTH}", node.lineno)
        rest += [(child, depth + 1) for child in node.iter_child_nodes()]


class Compiler(CodeGenerator):
    """Writes Python in which what Jinja leaves to Python's operators is left to the environment."""

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        """Statements, which first pay for themselves: loop bodies, branches, macros."""
        statements = list(nodes)
        self.writeline(f"environment.budget.pay({sum(map(_size, statements)) + 1})")
        super().blockvisit(statements, frame)

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:
        if isinstance(node.value, str):
            self.write(_literal(node.value))
        else:
            super().visit_Const(node, frame)

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return _literal("".join(group))

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return node.data

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self._call("concat_of", node.nodes, frame)

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        self.write("(")
        self._call("weighed", [node.expr], frame)
        for operand in node.ops:
            self.write(f" {operators[operand.op]} ")
            self._call("weighed", [operand.expr], frame)
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        name = "cut" if isinstance(node.arg, nodes.Slice) else "getitem"
        self._call(name, [node.node, node.arg], frame)

    def visit_Slice(self, node: nodes.Slice, frame: Frame) -> None:
        none = nodes.Const(None)
        parts = [part or none for part in (node.start, node.stop, node.step)]
        self._call("slice", parts, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("{")
        for pair in node.items:
            self._call("weighed", [pair.key], frame)  # it will be hashed
            self.write(": ")
            self.visit(pair.value, frame)
            self.write(", ")
        self.write("}")

    def _call(self, name: str, args: Iterable[nodes.Node], frame: Frame) -> None:
        self.write(f"environment.{name}(")
        for arg in args:
            self.visit(arg, frame)
            self.write(", ")
        self.write(")")


def _literal(text: str) -> str:
    return f"environment.literal({text!r})"


def _size(node: nodes.Node) -> int:
    return 1 + sum(map(_size, node.iter_child_nodes()))


class Generation(Extension):
    """`{% generation %} ... {% endgeneration %}`: what the assistant says, for training masks."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """A call of the body, as if it were a macro: so are its variables."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = nodes.Call(nodes.EnvironmentAttribute("generation"), [], [], None, None)
        return nodes.CallBlock(call, [], [], body).set_lineno(line)
