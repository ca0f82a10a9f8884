"""Turns the tree into closures, one for each run of text and each block."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from birdhouse.language.template.expressions import compile_block, compile_output, compile_target, turns
from birdhouse.language.template.failures import as_template_error
from birdhouse.language.template.limits import TemplateLimit
from birdhouse.language.template.literals import Sql, TypedFloat, TypedInteger, to_sql
from birdhouse.language.template.run import Run
from birdhouse.language.template.slots import Slots
from birdhouse.language.template.tree import (
    Break,
    Continue,
    For,
    If,
    Node,
    Output,
    Set,
    Text,
    Try,
    While,
)


class Flow(Enum):
    """Why a body ended before its end."""

    BREAK = "break"
    CONTINUE = "continue"


Step = Callable[[Run], Flow | None]


def compile_body(nodes: tuple[Node, ...]) -> Step:
    steps = [_compile(node) for node in nodes]
    if len(steps) == 1:
        return steps[0]

    def body(run: Run) -> Flow | None:
        for step in steps:
            flow = step(run)
            if flow is not None:
                return flow
        return None

    return body


def _compile(node: Node) -> Step:
    match node:
        case Text():
            return _text(node)
        case Output():
            return _output(node)
        case If():
            return _if(node)
        case For():
            return _for(node)
        case While():
            return _while(node)
        case Set():
            return _set(node)
        case Try():
            return _try(node)
        case Break():
            return lambda run: Flow.BREAK
        case Continue():
            return lambda run: Flow.CONTINUE


def _text(node: Text) -> Step:
    text = node.text
    return lambda run: run.write(text)


def _output(node: Output) -> Step:
    evaluate, source, line = compile_output(node.expression, node.line), node.source, node.line

    def output(run: Run) -> None:
        try:
            value = evaluate(run)
            if type(value) is Sql:
                run.write(value)
            elif run.slots is not None and isinstance(value, _SLOTTED):
                run.write(_in_slot(value, run.slots))
            else:
                run.write(to_sql(value, source))
            run.check_time()
        except Exception as error:
            raise as_template_error(error, line) from error

    return output


_SLOTTED = (str, TypedInteger, TypedFloat)


def _in_slot(value: str | TypedInteger | TypedFloat, slots: Slots) -> str:
    if isinstance(value, str):
        return slots.literal(value)
    return f"to{value.type}({slots.literal(value.digits)})"


def _if(node: If) -> Step:
    arms = [
        (
            compile_block(branch.condition, branch.line) if branch.condition is not None else None,
            compile_body(branch.body),
            branch.line,
        )
        for branch in node.branches
    ]

    def choose(run: Run) -> Flow | None:
        for condition, body, line in arms:
            try:
                chosen = condition is None or condition(run)
            except Exception as error:
                raise as_template_error(error, line) from error
            if chosen:
                return body(run)
        return None

    return choose


def _for(node: For) -> Step:
    bind, iterable = compile_target(node.target, node.line), compile_block(node.iterable, node.line)
    body, otherwise, line = compile_body(node.body), compile_body(node.otherwise), node.line

    def loop(run: Run) -> Flow | None:
        try:
            for value in turns(iterable(run), run):
                bind(run, value)
                if body(run) is Flow.BREAK:
                    return None
        except Exception as error:
            raise as_template_error(error, line) from error
        return otherwise(run)

    return loop


def _while(node: While) -> Step:
    condition, body = compile_block(node.condition, node.line), compile_body(node.body)
    otherwise, line = compile_body(node.otherwise), node.line

    def loop(run: Run) -> Flow | None:
        try:
            while condition(run):
                run.turn()
                if body(run) is Flow.BREAK:
                    return None
        except Exception as error:
            raise as_template_error(error, line) from error
        return otherwise(run)

    return loop


def _set(node: Set) -> Step:
    evaluate, line = compile_block(node.value, node.line), node.line
    targets = [compile_target(target, node.line) for target in node.targets]

    def assign(run: Run) -> None:
        try:
            value = evaluate(run)
            for bind in targets:
                bind(run, value)
            run.check_time()
        except Exception as error:
            raise as_template_error(error, line) from error

    return assign


def _try(node: Try) -> Step:
    body, otherwise = compile_body(node.body), compile_body(node.otherwise)
    handler = compile_body(node.handler) if node.handler is not None else None
    final, name = compile_body(node.final), node.name

    def attempt(run: Run) -> Flow | None:
        try:
            flow = body(run)
        except TemplateLimit:
            # Going on after a limit would be a way around it.
            raise
        except Exception as error:
            if handler is None:
                raise
            if name is not None:
                run.names[name] = as_template_error(error, node.line).message
            return handler(run)
        return flow if flow is not None else otherwise(run)

    def guarded(run: Run) -> Flow | None:
        try:
            flow = attempt(run)
        except TemplateLimit:
            raise
        except Exception:
            flow_of_final = final(run)
            if flow_of_final is not None:
                return flow_of_final
            raise
        flow_of_final = final(run)
        return flow if flow_of_final is None else flow_of_final

    return guarded
