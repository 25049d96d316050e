"""A click group whose commands are imported when used, and whose errors are one sentence."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from typing import Any

import click

from rsgeo.errors import CancelledError, RsgeoError, RsgeoWarning


class LazyGroup(click.Group):
    """``commands_in``: command name -> module that holds it as ``command``.

    Every `RsgeoError` ends the program with exit code 1 and its sentence; every `RsgeoWarning` is printed once on stderr.
    """

    def __init__(self, *args: Any, commands_in: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = commands_in

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self._modules.get(cmd_name)
        return None if module is None else import_module(module).command

    def invoke(self, ctx: click.Context) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("always", RsgeoWarning)
            seen: set[str] = set()
            default = warnings.showwarning

            def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
                if not issubclass(category, RsgeoWarning):
                    default(message, category, *rest, **more)
                elif str(message) not in seen:
                    seen.add(str(message))
                    click.echo(f"Warning: {message}", err=True)

            warnings.showwarning = show
            try:
                return super().invoke(ctx)
            except CancelledError as error:
                raise _Interrupted(str(error)) from error
            except KeyboardInterrupt as error:
                raise _Interrupted("Interrupted; nothing was written.") from error
            except RsgeoError as error:
                raise click.ClickException(str(error)) from error
            except MemoryError as error:
                raise click.ClickException("There is not enough memory; use a coarser GSD or a smaller area.") from error
            except BrokenPipeError:
                # The reader of our output has gone (`rsgeo info ... | head`); keep the interpreter from flushing into nothing.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                ctx.exit(1)


class _Interrupted(click.ClickException):
    exit_code = 130
