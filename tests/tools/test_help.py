"""Every command explains itself, and says in one line what is wrong with what it was given."""

import shlex

import click
import pytest
from click.testing import CliRunner

from tests.tools.conftest import run
from tools.cli import main
from tools.usage import EXAMPLES

WIDTH = 80
PATHS = {"DIR", "FILE", "FILE...", "FOLDER", "SOURCE", "NEWDIR"}
ADDRESS = {"HOST:PORT", "[HOST:PORT]"}
FINDINGS = {("config", "check"), ("clear", "validate")}
"""Commands that tell what is wrong as their result, on standard output."""
NO_PATH = {("decode",), ("top",)}
MAKING = {("init",)}


def walked(command, words=()):
    """All commands: the words that name each, and itself."""
    yield words, command
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from walked(command.get_command(None, name), (*words, name))


COMMANDS = dict(walked(main))
GROUPS = {words: one for words, one in COMMANDS.items() if isinstance(one, click.Group)}
LEAVES = {words: one for words, one in COMMANDS.items() if words not in GROUPS}
named = pytest.mark.parametrize("words", LEAVES, ids=" ".join)


def line_of(words, directory):
    """The words of a command with its group's DIR between, as in `issue DIR cards`."""
    line = []
    for place, word in enumerate(words):
        line.append(word)
        group = COMMANDS[words[: place + 1]]
        if isinstance(group, click.Group):
            line += [directory for one in group.params if isinstance(one, click.Argument)]
    return line


def value_of(parameter, directory):
    """Something that the type of a required argument or option takes."""
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return kind.choices[0]
    if isinstance(kind, click.DateTime):
        return "2026-03-02"
    if isinstance(kind, click.types.IntParamType):
        return "1"
    metavar = parameter.metavar or parameter.name.upper()
    if metavar in ADDRESS:
        return "127.0.0.1:1"
    if metavar in PATHS or isinstance(kind, click.Path):
        return directory
    return "00000001"


def typed(words, directory):
    """A command with all that it needs, where every path is `directory`."""
    line = line_of(words, directory)
    for one in LEAVES[words].params:
        if one.required and isinstance(one, click.Option):
            line += [one.opts[0], value_of(one, directory)]
        elif isinstance(one, click.Argument):
            line.append(value_of(one, directory))
    return line


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_everywhere_and_whole(words):
    done = run(*line_of(words, "nowhere"), "--help")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: counterfoil")
    command = COMMANDS[words]
    unexplained = [
        one.opts
        for one in command.params
        if isinstance(one, click.Option) and not (one.help and one.help.endswith("."))
    ]
    assert not unexplained
    for typed_line in EXAMPLES.get(" ".join(words), "").split("\n"):
        assert typed_line in done.stdout


@pytest.mark.parametrize("words", GROUPS, ids=" ".join)
def test_no_line_of_a_list_of_commands_is_cut(words):
    done = CliRunner().invoke(main, [*line_of(words, "x"), "--help"], terminal_width=WIDTH)
    assert "..." not in done.stdout.partition("Commands:")[2]


@pytest.mark.parametrize("path", EXAMPLES)
def test_an_example_is_of_its_command_and_is_understood(path):
    command = COMMANDS[tuple(path.split())]
    for line in EXAMPLES[path].replace("\\\n", "").split("\n"):
        words = shlex.split(line.partition(" | ")[0].partition(" > ")[0].partition(" < ")[0])
        context = click.Context(main, info_name="counterfoil")
        found = main
        while isinstance(found, click.Group):
            at = found.make_context(words[0] if found is not main else None, words, parent=context,
                                    resilient_parsing=True)  # fmt: skip
            name, found, words = found.resolve_command(at, [*at._protected_args, *at.args])
            context = at
        assert found is command or isinstance(command, click.Group), name
        found.make_parser(context).parse_args(words)


@named
def test_a_mistyped_option_is_told_in_one_line(words):
    done = run(*typed(words, "nowhere"), "--no-such-option")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "'--no-such-option'" in done.stderr
    assert f"counterfoil {words[0]}" in done.stderr
    assert "--help` explains it" in done.stderr


@pytest.mark.parametrize("words", sorted(LEAVES.keys() - NO_PATH), ids=" ".join)
@pytest.mark.parametrize("place", ["nothing there", "a file", "an empty folder"])
def test_what_is_no_data_directory_is_told_in_a_sentence(words, place, tmp_path):
    path = tmp_path / "given"
    if place == "a file":
        path.write_text("not what was expected\n")
        path.chmod(0o600)
    elif place == "an empty folder":
        path.mkdir()
    if words in MAKING and place != "a file":
        return
    done = run(*typed(words, str(path)))
    assert done.exit_code in {1, 2}, done.output
    if words in FINDINGS:
        assert str(path) in done.stdout or "manifest" in done.stdout or done.stderr
        return
    assert done.stderr.startswith("counterfoil"), done.output
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.output
