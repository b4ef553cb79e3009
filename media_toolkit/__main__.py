"""`python -m media_toolkit`: migrate, ingest, reconcile, doctor and embedded, for a shell."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from media_toolkit.asset import RESOURCE_TYPES
from media_toolkit.errors import MediaToolkitError
from media_toolkit.settings import Settings
from media_toolkit.toolkit import connect

if TYPE_CHECKING:
    from media_toolkit.embedded.options import ServerOptions

app = typer.Typer(
    name="media-toolkit", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
embedded = typer.Typer(
    invoke_without_command=True,
    help="The stack with no account: Postgres and a Cloudinary-compatible server.",
)
app.add_typer(embedded, name="embedded")


@app.command()
def migrate(
    is_the_library: Annotated[
        bool,
        typer.Option(
            "--is-the-library",
            help="this database, restored, reset or moved, is the library now: purge here",
        ),
    ] = False,
) -> None:
    """Apply pending migrations to the database in the settings; mend what it has lost."""
    with connect(is_checked=False) as kit:
        names = kit.migrate(
            lambda name: print(f"applied {name}", flush=True), is_the_library=is_the_library
        )
    if not names:
        print("nothing to apply")
    if is_the_library:
        print("this database is the library now")


@app.command()
def doctor(
    signature: Annotated[
        str, typer.Option(help="Cloudinary's words: Invalid Signature … or Stale request …")
    ] = "",
    param: Annotated[
        list[str] | None, typer.Option(help="name=value that was signed or sent, with --signature")
    ] = None,
) -> None:
    """Say what is configured and reachable, or with --signature why one was refused.

    Status 1 when something is broken, or when the cause of the refusal was not found.
    """
    if param and not signature:
        raise typer.BadParameter("give it with --signature", param_hint="--param")
    with connect(is_checked=False) as kit:
        if signature:
            explanation = kit.explain_signature(_parameters(param or []), signature)
            print(explanation)
            raise typer.Exit(0 if explanation.is_proven else 1)
        diagnosis = kit.doctor()
    print(diagnosis)
    raise typer.Exit(0 if diagnosis.is_well else 1)


@app.command()
def ingest(
    source: Annotated[Path, typer.Argument(help="folder with pictures and videos")],
    folder: Annotated[str, typer.Option(help="put before every public_id")] = "",
    tags: Annotated[str, typer.Option(help="for every file, separated by commas")] = "",
    threads: Annotated[int, typer.Option(help="parallel uploads", min=1, max=50)] = 8,
    resource_type: Annotated[
        str, typer.Option(help="image, video or raw for every file; unset, its content tells")
    ] = "",
) -> None:
    """Import a folder; status 1 when a file was refused."""
    if resource_type not in ("", *RESOURCE_TYPES):
        raise typer.BadParameter("give image, video or raw", param_hint="--resource-type")
    names = [name for tag in tags.split(",") if (name := tag.strip())]
    options: dict[str, Any] = {"resource_type": resource_type} if resource_type else {}
    with connect() as kit:
        report = kit.ingest(source, folder=folder, threads=threads, tags=names or None, **options)
    print(report)
    raise typer.Exit(130 if report.interrupted else 1 if report.failed else 0)


@app.command()
def reconcile(
    folder: Annotated[str, typer.Option(help="this one and those below")] = "",
    since: Annotated[str, typer.Option(help="created then or later, such as 2026-01-31")] = "",
    types: Annotated[str, typer.Option(help="image, video, raw, separated by commas")] = "",
    budget: Annotated[int, typer.Option(help="Admin calls at most; 0 estimates", min=0)] = 400,
    wait: Annotated[
        float, typer.Option(help="seconds to wait for the account's limit to be reset", min=0)
    ] = 0,
    resume: Annotated[bool, typer.Option(help="go on where the last one stopped")] = True,
    apply: Annotated[
        str, typer.Option(help="mend: to-table or to-cloudinary; unset only tells")
    ] = "",
    all_gone: Annotated[
        bool, typer.Option("--all-gone", help="that most assets are gone is no mistake")
    ] = False,
) -> None:
    """Compare Cloudinary with the table, and mend the differences with --apply.

    Status 0: nothing differs, or all is mended. 1: something differs, or was refused.
    2: an error. 3: the budget or the account's limit was spent; run it again to go on, or, where
    the budget was 0, with one.
    """
    if apply not in ("", "to-table", "to-cloudinary"):
        raise typer.BadParameter("give to-table or to-cloudinary", param_hint="--apply")
    kinds = [kind for part in types.split(",") if (kind := part.strip())]
    with connect() as kit:
        plan = kit.reconcile(
            folder=folder or None,
            since=since or None,
            resource_types=kinds or None,
            budget=budget,
            wait_s=wait,
            resume=resume,
        )
        print(plan)
        if plan.differences:
            columns = ["kind", "resource_type", "public_id", "fields", "user_id"]
            print(plan.frame[columns].to_string(index=False, max_rows=50))
        is_mended, is_stopped = not plan.differences, not plan.is_complete
        if apply and plan.differences:
            report = plan.apply("to_table" if apply == "to-table" else "to_cloudinary",
                                dry_run=False, all_gone=all_gone)  # fmt: skip
            print(report)
            is_mended = report.is_complete
            is_stopped = is_stopped or report.is_stopped
    raise typer.Exit(3 if is_stopped else 0 if is_mended else 1)


@embedded.callback()
def embedded_stack(
    context: typer.Context,
    search_lag: Annotated[
        float, typer.Option(help="seconds that searches lag behind changes", min=0)
    ] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(help="a fault on purpose, such as status=503,share=0.1")
    ] = None,
    notify: Annotated[
        list[str] | None, typer.Option(help="a URL that is told of every event")
    ] = None,
    allow_private_urls: Annotated[
        bool, typer.Option(help="let uploads by URL read from private addresses")
    ] = False,
) -> None:
    """Run the stack in the foreground and print how other programs reach it; Ctrl-C ends it."""
    from media_toolkit.embedded.options import ServerOptions

    options = ServerOptions(
        search_lag=search_lag,
        faults=tuple(fault or ()),
        notification_urls=tuple(notify or ()),
        allow_private_urls=allow_private_urls,
    )
    _check_options(options)
    context.obj = None if options == ServerOptions() else options
    if context.invoked_subcommand is not None:
        return
    from media_toolkit.embedded.stack import EmbeddedStack

    stack = EmbeddedStack.join(_stack_settings(), context.obj)
    try:
        with _until_asked_to_end():
            print(f"export CLOUDINARY_URL={shlex.quote(stack.cloudinary_url)}")
            print(f"export DATABASE_URL={shlex.quote(stack.database_url)}", flush=True)
            print("The embedded stack is running. Ctrl-C ends it.", file=sys.stderr, flush=True)
    finally:
        ended = stack.end_if_unused()
        print("Ended." if ended else "Others still use it: left running.", file=sys.stderr)


@embedded.command(
    "run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def embedded_run(context: typer.Context) -> None:
    """Run COMMAND with CLOUDINARY_URL and DATABASE_URL set; ends with its exit status.

    Usage: python -m media_toolkit embedded run -- COMMAND [ARGUMENTS]
    """
    from media_toolkit.embedded.stack import EmbeddedStack

    if not context.args:
        raise typer.BadParameter("give the command after --", param_hint="COMMAND")
    stack = EmbeddedStack.join(_stack_settings(), context.obj)
    environment = os.environ | {
        "CLOUDINARY_URL": stack.cloudinary_url,
        "DATABASE_URL": stack.database_url,
        # Not left out: a `.env` may name one of another database.
        "DATABASE_DIRECT_URL": stack.database_url,
    }
    # The SDKs prefer these to CLOUDINARY_URL: half of another account must not leak in.
    for name in ("CLOUDINARY_CLOUD_NAME", "CLOUDINARY_API_KEY", "CLOUDINARY_API_SECRET"):
        environment.pop(name, None)
    try:
        status = _run_to_its_end(context.args, environment)
    finally:
        stack.leave()
    raise typer.Exit(status)


def main() -> None:
    """The console script: expected errors are one line on stderr and status 2."""
    try:
        app()
    except MediaToolkitError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)


def _run_to_its_end(command: list[str], environment: dict[str, str]) -> int:
    """The command's own status; 127 when there is none such, 128 + n when signal n ended it."""
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        print(f"Error: cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
    # Ctrl-C reaches the command by itself; a plain kill of this process is passed on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    status = process.wait()
    return status if status >= 0 else 128 - status


def _parameters(given: list[str]) -> dict[str, str | list[str]]:
    """`name=value` each; `name[]=value` more than once is a list."""
    found: dict[str, str | list[str]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not name=value", param_hint="--param")
        is_list = name.endswith("[]")
        name = name.removesuffix("[]")
        if isinstance(found.get(name, [] if is_list else ""), list) != is_list:
            raise typer.BadParameter(f"{name} is given as one value and as a list",
                                     param_hint="--param")  # fmt: skip
        if is_list:
            found[name] = [*found.get(name, []), value]
        else:
            found[name] = value
    return found


def _check_options(options: ServerOptions) -> None:
    """Say what is wrong with an option before anything is started."""
    if not (options.faults or options.notification_urls):
        return
    from media_toolkit.embedded.server.errors import ApiError
    from media_toolkit.embedded.server.faults.injection import parse_fault
    from media_toolkit.embedded.server.notifications import check_url

    try:
        for text in options.faults:
            parse_fault(text)
        for url in options.notification_urls:
            check_url(url, "--notify")
    except ApiError as error:
        raise typer.BadParameter(error.message) from error


def _stack_settings() -> Settings:
    """Home and ports only: an account in the environment, whole or half, does not matter here."""
    return Settings(
        cloudinary_url=None,
        cloud_name=None,
        api_key=None,
        api_secret=None,
        database_url=None,
        database_direct_url=None,
    )


@contextmanager
def _until_asked_to_end() -> Iterator[None]:
    """Wait after the block for Ctrl-C or a plain kill, also one that came meanwhile.

    Its own handlers: shells start background programs with Ctrl-C ignored.
    """
    asked, asking = socket.socketpair()
    asking.setblocking(False)
    with asked, asking:
        signal.set_wakeup_fd(asking.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        yield
        asked.recv(1)


if __name__ == "__main__":
    main()
