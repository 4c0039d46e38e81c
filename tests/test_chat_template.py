"""Chat templates: transformers' text, the template's own characters, and an end to everything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from spm import ChatError, ChatTemplate, Tokenizer
from spm.chat.text import Text, own_of, own_spans
from spm.gguf import write_gguf
from tests.making import BYTES, HEAD, metadata, piece, write_vocab

GOLDEN = Path(__file__).parents[1] / "golden" / "chat" / "transformers.json"
TOLD = json.loads(GOLDEN.read_text(encoding="utf-8"))
HI = [{"role": "user", "content": "hi"}]
KNOWN = ("tools", "documents", "add_generation_prompt")


def render(source: str, messages: Any = HI, tokens: Any = None, **options: Any) -> Text:
    known = {name: options.pop(name) for name in KNOWN if name in options}
    tokens = {"bos_token": "<s>", "eos_token": "</s>"} if tokens is None else tokens
    return ChatTemplate(source).render(messages, special_tokens=tokens, variables=options, **known)


def refusal(source: str, messages: Any = HI, **options: Any) -> str:
    with pytest.raises(ChatError) as caught:
        render(source, messages, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 400
    return message


def marked(text: Text) -> str:
    """The text with the template's own characters in brackets."""
    for begin, end in reversed(own_spans(text)):
        text = Text(f"{text[:begin]}[{text[begin:end]}]{text[end:]}", bytes(len(text) + 2))
    return str.__str__(text)


# ---- the text


@pytest.mark.parametrize("case", TOLD["cases"], ids=lambda c: f"{c['template']}-{c['name']}")
def test_the_text_is_that_of_transformers(case: dict[str, Any]) -> None:
    source = TOLD["templates"][case["template"]]
    arguments = source, case["messages"], TOLD["special_tokens"]

    if case["text"] is None:
        with pytest.raises(ChatError):
            render(*arguments, **case["options"])
    else:
        assert case["text"] == render(*arguments, **case["options"])


def plain_jinja(source: str, **variables: Any) -> str:
    """Jinja's own sandbox, with the settings of transformers."""
    sandbox = pytest.importorskip("jinja2.sandbox")
    env = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    env.filters["tojson"] = lambda x, **options: json.dumps(x, ensure_ascii=False, **options)
    return str(env.from_string(source).render(**variables))


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' 'b' ~ 1 ~ none ~ [1, 'x'] ~ true }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 if 0 }}",
        "{% for x in 'ab' %}{{ loop.index }}{{ x }}{{ loop.last }}{% else %}-{% endfor %}",
        "{% for x in range(9) if x is odd and x != 3 %}{{ x }}{{ loop.length }}{% endfor %}",
        "{% for k, v in {'b': 1, 'a': [2]}.items() %}{{ k }}{{ v }}{% break %}{% endfor %}",
        "{% set x = 1 %}{% for y in [1, 2] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}",
        "{% set n = namespace(a=1, **{'b': 2}) %}{% set n.a = n.a + n.b %}{{ n.a }}{{ n.c }}",
        "{% macro f(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, z=4) }}",
        "{% macro f() %}<{{ caller(1) }}>{% endmacro %}{% call(x) f() %}{{ x }}{% endcall %}",
        "{% filter upper %}a{{ 'b' }}{% endfilter %}{% with a = 'c' %}{{ a }}{% endwith %}",
        "{% set x %} a {% endset %}[{{ x|trim }}]{% set y | upper %}b{% endset %}{{ y }}",
        "{{ 'a-b-c'.split('-', 1) }}{{ ' a  b'.split() }}{{ 'abc'[::-1] }}{{ 'abc'[1] }}{{ 'a'[5] }}",
        "{{ [1, 2, 3][1:] }}{{ [1] + [2] }}{{ (1,) * 2 }}{{ 2 * 'ab' }}{{ -7 // 2 }}{{ 7 % -3 }}{{ 2 ** 3 }}",
        "{{ 'x'.startswith(('a', 'x')) }}{{ 'abcb'.find('b') }}{{ 'b' in 'abc' }}{{ 1 in [1] }}{{ 'k' in {'k': 0} }}",
        "{{ [3, 1, 2]|sort|join(',') }}{{ ['b', 'B', 'a']|unique|list }}{{ [1, 2]|max }}{{ []|first }}",
        "{{ [{'a': {'b': 1}}]|map(attribute='a.b')|list }}{{ ['a', 'b']|map('upper')|join }}{{ [{'k': 1}]|join('-', attribute='k') }}",
        "{{ [1, 2, 3, 4]|select('even')|list }}{{ [{'r': 1}, {}]|selectattr('r', 'defined')|list }}",
        "{{ [1, none]|reject('none')|list }}{{ [{'r': 1}]|rejectattr('r', 'equalto', 2)|list }}",
        "{{ {'b': 1, 'a': 2}|dictsort }}{{ {'a': 1}|items|list }}{{ {'a': none}.get('a', 5) }}{{ {}.get('a', 5) }}",
        "{{ '12'|int + '1.5'|float }}{{ 'x'|int(7) }}{{ 2.567|round(1) }}{{ -3|abs }}{{ 'aXb'|lower }}{{ 'ab cd'|capitalize }}",
        "{{ 'a\nb\n\nc'|indent(2) }}{{ 'a\nb'|indent('> ', true) }}{{ 'aaa'|replace('a', 'b', 2) }}{{ [1]|string }}",
        "{{ {'a': 'é<>&', 'b': [1, none, true, 1.5]}|tojson }}{{ {'b': 1, 'a': 2}|tojson(indent=2, sort_keys=true) }}",
        "{{ '<'|safe + '<' + '>'|safe }}{{ ('<'|safe) ~ '<' }}{{ 'a' is string }}{{ {} is mapping }}{{ x is undefined }}",
        "{{ 4 is divisibleby 2 }}{{ 'a' is in ['a'] }}{{ 'A' is upper }}{{ 1.5 is odd }}{{ 3 is odd }}{{ 1 is sameas 1 }}",
        "{{ '{}-{x}-{0}{{'.format(1, x=none) if false else '{}-{x}{{'.format(1, x=none) }}{{ 'x'['upper']() }}",
        "{{ 'ab'.removeprefix('a') }}{{ 'a\nb'.splitlines() }}{{ ', '.join(['a', 'b']) }}{{ 'aßb'.upper().title() }}",
        "{{ a.b }}{{ a['b'] }}{{ a.items() | list }}{{ a.zz }}{{ a['zz'] }}{{ none == zz }}{{ a.b.c.d is defined }}",
        "  {% if true %}\n  x  {%- if a -%}  y {% endif %}\n {# no #}\n{% endif %}\n\nz\n",
        "{{ [1, [2, {'a': 'b'}], 'c'] }}{{ a }}{{ {1: (2,)} }}{{ '\\n\\'' }}{{ ['\\n\\''] }}{{ 1e3 }}{{ 10 / 4 }}",
        "{{ [1, 2, 3]|last }}{{ 'abc'|reverse }}{{ [1, 2]|reverse|list }}{{ 'abc'|list }}{{ [1, 2]|length }}{{ none|default('d', true) }}",
    ],
)  # fmt: skip
def test_the_language_is_jinjas(source: str) -> None:
    variables = {"a": {"b": {"c": "text"}, "items": 5}}

    assert plain_jinja(source, **variables) == render(source, **variables)


def test_tools_that_are_not_there_are_none() -> None:
    assert "|None|None" == render("{{ pad_token }}|{{ tools }}|{{ documents }}")


def test_reasoning_and_none() -> None:
    source = "{{ messages[0].thinking }}{{ messages[0].reasoning_content }}{{ 'content' in messages[0] }}"

    assert "rrFalse" == render(source, [{"role": "a", "reasoning": "r", "content": None}])


def test_the_time() -> None:
    assert render("{{ strftime_now('%Y') }}").isdigit()


# ---- whose characters


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<|{{ messages[0].content }}|>", "[<|]hi[|>]"),
        ("{{ '<' + messages[0].content ~ '>' }}", "[<]hi[>]"),
        ("{{ bos_token }}{{ other }}", "[<s>]o"),
        ("{% set x %}<{{ other }}>{% endset %}{{ x[1:] }}{{ x|length }}", "o[>]3"),
        ("{% macro f(x) %}<{{ x }}{% endmacro %}{{ f(other) }}{{ f('a') }}", "[<]o[<a]"),
        ("{{ 'a,b'.split(',')|join(other) }}{{ (other ~ 'x').upper() }}", "[a]o[b]O[X]"),
        ("{{ 'a.b'.replace('.', other) }}{{ other.replace('o', '<s>') }}", "[a]o[b<s>]"),
        ("{{ {'k': '<s>'}.k }}{{ ['<s>', other]|join }}{{ {'k': '<s>'}|tojson }}", '[<s><s>]o{"k": "<s>"}'),
        ("{{ {other: 1} }}{{ ['<s>'] }}{{ 1 }}{{ none }}{{ 'a'|list|first }}", "{'o': 1}['<s>']1Nonea"),
        ("{{ messages[0].role }}{{ messages[1].role }}", "[user]<s>"),
        ("{% generation %}<{{ other }}{% endgeneration %}", "[<]o"),
        ("{{ '<'|safe + other + '&' }}", "[<]o&amp;"),
        ("{{ '{}<s>{}'.format(other, 1) }}{{ (other ~ '{}').format('<s>') }}", "o[<s>]1o[<s>]"),
        ("{{ '<s>' * 2 }}{{ other * 2 }}{{ ('<' ~ other)[::-1] }}{{ 'abc'[1] }}", "[<s><s>]ooo[<b]"),
        ("{% for c in '<s>' %}{{ c }}{% endfor %}", "<s>"),
    ],
)  # fmt: skip
def test_what_is_the_templates_own(source: str, expected: str) -> None:
    messages = [*HI, {"role": "<s>", "content": ""}]

    assert expected == marked(render(source, messages, other="o"))


def test_a_text_that_was_rendered_is_a_strangers_again() -> None:
    first = render("<s>")

    again = render(
        "{{ messages[0].content }}{{ x }}", [{"role": "user", "content": first}], x=first
    )

    assert "<s><s>" == again
    assert 1 not in own_of(again)


# ---- no way out, and an end


GROW = (
    "{% set n = namespace(x='aa', l=[1], t=(1,), u=(1,)) %}{% for i in range(200) %}%s{% endfor %}"
)
TREE = GROW.replace("%s", "{% set n.t = (n.t, n.t) %}{% set n.u = (n.u, n.u) %}")


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% for a in range(9999) %}{% for b in range(9999) if b > 9999 %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(50) }}",
        "{% for a in range(9999) %}{{ dict(*range(9999)) if 0 }}{{ [].x(*range(9999)) if 0 }}"
        "{{ range(*range(9999)) if a > 9999 }}{% set l = range(9999)|list %}{% endfor %}",
        "{% for a in range(9999) %}{{ 'x' in range(9999) }}{% endfor %}",
        "{% macro f() %}{{ varargs|length }}{% endmacro %}{% set l = range(9999)|list %}"
        "{% for a in range(99) %}{{ f(*l) }}{% endfor %}",
        "{% for a in range(99) %}{% set y = ('a\n' * 999)|indent(999) %}{% endfor %}",
        "{% set n = namespace(x=1) %}{% for i in range(14) %}{% set n.x = {'a': n.x, 'b': n.x} %}"
        "{% endfor %}{{ n.x }}",
        "{% for a in range(9999) %}{% set y = range(9999)|sort %}{% endfor %}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ loop.length }}{% break %}{% endfor %}{% endfor %}",
        "{{ 'a' * 10**9 }}", "{{ 10**9 * 'a' }}", "{{ ([1] * 10**9)|length }}",
        "{{ 'a\nb'|indent(10**9) }}",
        *(GROW.replace("%s", "{% set n.x = " + grown + " %}") for grown in (
            "n.x ~ n.x", "n.x + n.x", "n.x|replace('a', n.x)", "n.x.replace('a', n.x)",
            "n.x.replace('', n.x)", "n.x.join(n.x)", "n.x|join(n.x)", "n.x * 2", "'{0}{0}'.format(n.x)",
            "''|safe + (n.x ~ '&&' ~ n.x)",
        )),
        GROW.replace("%s", "{% set n.l = n.l + n.l %}"),
        *(TREE + read for read in (
            "{{ n.t }}", "{{ n.t|tojson }}", "{{ n.t == n.u }}", "{{ n.t in [n.u] }}", "{{ n.t is eq n.u }}",
            "{{ {n.t: 1} }}", "{{ [n.t]|unique|list }}", "{{ {}.get(n.t) }}", "{{ {}[n.t] }}",
            "{{ dict([(n.t, 1)]) }}", "{{ namespace([(n.t, 1)]) }}", "{{ n.t|string }}", "{{ n.t|trim }}",
            "{{ n.t|int }}", "{{ n.t is lower }}", "{{ [n.t]|select('upper')|list }}", "{{ n.t ~ '' }}",
            "{{ [{'a': n.t}]|map(attribute='a')|join }}", "{{ '{}'.format(n.t) }}", "{{ [n.t, n.u]|sort }}",
        )),
    ],
)  # fmt: skip
def test_a_template_that_does_not_end(source: str) -> None:
    with mock.patch("spm.chat.budget.UNITS", 100_000):  # so that the tests end sooner
        assert "chat template: the template does more than its budget allows" == refusal(source)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
        ("{{ messages.__class__.x }}", "SecurityError"),
        ("{{ messages['__class__'].x }}", "SecurityError"),
        ("{{ self.__init__.__globals__ }}", "SecurityError"),
        ("{{ cycler.__init__.__globals__.os }}", "SecurityError"),
        ("{{ joiner() }}", "'joiner' is undefined"),
        ("{{ lipsum(10**9) }}", "'lipsum' is undefined"),
        ("{{ ''|attr('__class__') }}", "No filter named 'attr'"),
        ("{{ messages|map('attr', 'x')|list }}", "No filter named 'attr'"),
        ("{{ messages|map(attribute='__class__')|list|string ~ messages.__len__() }}", "SecurityError"),
        ("{{ '{0.__class__}'.format(messages) }}", "more than a number or a name"),
        ("{{ '{a.__class__}'.format_map({'a': 1}) }}", "SecurityError"),
        ("{% import 'os' as os %}", "line 1: TemplateSyntaxError: Import is not offered"),
        ("\n{% include '/etc/passwd' %}", "line 2: TemplateSyntaxError: Include is not offered"),
        ("{% extends 'x' %}", "Extends is not offered"),
        ("{% block a %}{{ self.a() }}{% endblock %}", "Block is not offered"),
        ("{% for x in messages recursive %}{{ loop(messages) }}{% endfor %}", "For is not offered"),
        ("{% autoescape true %}{% endautoescape %}", "is not offered"),
        ("{% set n = namespace(__class__=1) %}", "a namespace keeps no '__class__'"),
        ("{% set n = namespace() %}{% set n._x = 1 %}", "a namespace keeps no '_x'"),
        ("{% macro f() %}{% endmacro %}{{ f._func.__globals__ }}", "SecurityError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{{ messages[0].pop('role') }}", "SecurityError"),
        ("{{ 2 ** 9999 }}", "an integer of"),
        ("{% set n = namespace(x=3) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}", "an integer of"),
        ("{{ (-8) ** 0.5 }}", "no real number"),
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{{ '%1000000000d' % 1 }}", "not offered to templates"),
        ("{{ '%1000000000d' is odd }}", "not offered to templates"),
        ("{{ '{:1000000000}'.format(1) }}", "more than a number or a name"),
        ("{{ 'a'|center(10**9) }}", "No filter named 'center'"),
        ("{{ 'a'.ljust(10**9) }}", "SecurityError"),
        ("{{ (5).to_bytes(10**9, 'big') }}", "SecurityError"),
        ("{{ messages|tojson(indent=10**9) }}", "longer than 64"),
        ("{{ messages|tojson(indent=-1) }}", "longer than 64"),
        ("{{ messages|tojson(separators=['x' * 99, ':']) }}", "longer than 64"),
        ("{{ 5|round(-10**9) }}", "at most 100 digits"),
        ("{{ ('9' * 2000)|int }}", "at most 1000"),
        ("{% set n = namespace() %}{% set n.x = n %}{{ n }}", "a _Namespace cannot be written"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself without end"),
        ("{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}", "nested too deeply"),
        ("{% if 1 %}" * 999 + "{% endif %}" * 999, "nested too deeply"),
        ("{{ 1" + " + 1" * 999 + " }}", "nested deeper than 100"),
        ("{% for x in messages %}" * 30 + "{% endfor %}" * 30, "too many statically nested blocks"),
        ("x" * (1 << 18) + "x", "262145 characters, expected at most 262144"),
        ("{{ raise_exception('no\nway') }}", r"TemplateError: no\nway"),
        ("{{ raise_exception(5) }}", "TemplateError: no message"),
        ("{{ a.b.c }}", "'a' is undefined"),
        ("{{ a + 1 }}", "'a' is undefined"),
        ("{% if %}", "line 1: TemplateSyntaxError"),
        ("{{ messages|frobnicate }}", "No filter named 'frobnicate'"),
        ("{{ 1 is frobnicated }}", "No test named 'frobnicated'"),
        ("{{ ('a'|safe).upper() }}{{ ('a'|safe)[0] }}", "the filter safe is offered for"),
        ("{{ ', '.join([1]) }}", "expected strings"),
        ("{{ [1][1.5:] }}", "TypeError"),
        ("{{ messages[0] - messages[0] }}", "dict - dict is not offered"),
    ],
)  # fmt: skip
def test_what_templates_are_not_offered(source: str, said: str) -> None:
    assert said in refusal(source)


def test_the_budget_grows_with_the_messages() -> None:
    source = "{% for m in messages %}{{ m.content|trim }}{% endfor %}"
    messages = [{"role": "user", "content": "x " * 1000}] * 100
    with mock.patch("spm.chat.budget.UNITS", 0):
        assert 199_900 == len(render(source, messages))


# ---- what is handed in


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "messages is empty, expected at least one"),
        ("hello", "messages is 'hello', expected a list of messages"),
        (5, "messages is 5, expected a list of messages"),
        ({"role": "user"}, "expected a list of messages"),
        (["hello"], "messages[0] is 'hello', expected a mapping"),
        ([{"role": "user", "content": b"x"}], "messages[0]['content'] is b'x', expected a string"),
        ([{"role": "user", "content": [{1: 2}]}], "messages[0]['content'][0]: a key is 1"),
    ],
)
def test_messages_that_are_none(messages: Any, said: str) -> None:
    assert said in refusal("x", messages)


def test_messages_nested_deeply() -> None:
    deep: list[Any] = []
    deep.append(deep)

    assert "is nested 101 deep, expected at most 100" in refusal(
        "x", [{"role": "user", "content": deep}]
    )


def test_without_jinja2_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['jinja2'] = None\n"
        "import spm\n"
        "template = spm.ChatTemplate('x')\n"
        "try: template.render([{'role': 'user'}], special_tokens={}, variables={})\n"
        "except spm.ChatError as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert (
        "chat template: jinja2 is not installed, expected: pip install 'spm[chat]'" in said.stdout
    )


# ---- in a file


ENTRIES = [*HEAD, *BYTES, *(piece(c) for c in "▁<|>/suerhi")]


def test_the_templates_of_a_file(tmp_path: Path) -> None:
    path = write_vocab(tmp_path / "a.gguf", ENTRIES)
    assert {} == Tokenizer.from_gguf(path).chat_templates
    told = {
        "tokenizer.chat_template": "plain",
        "tokenizer.chat_template.tool_use": "{{ tools|length }}",
    }
    tok = Tokenizer.from_gguf(
        with_keys(tmp_path, {**told, "tokenizer.chat_templates": ["tool_use"]})
    )

    assert {"default", "tool_use"} == set(tok.chat_templates)
    assert "plain" == tok.render_chat(HI).text
    assert "1" == tok.render_chat(HI, tools=[{}]).text
    for wrong in (5, "a"):
        with pytest.raises(ChatError, match=r"^tools is .*, expected a list$"):
            tok.render_chat(HI, tools=wrong)  # type: ignore[arg-type]
    assert "plain" == tok.render_chat(HI, tools=[{}], template="default").text
    assert "own" == tok.render_chat(HI, template=ChatTemplate("own")).text
    with pytest.raises(
        ChatError, match="the chat template is 'x', expected 'default' or 'tool_use'"
    ):
        tok.render_chat(HI, template="x")


def with_keys(tmp_path: Path, keys: dict[str, Any]) -> Path:

    path = tmp_path / "keys.gguf"
    write_gguf(path, {**metadata(ENTRIES), **keys}, {})
    return path


def test_a_file_without_a_template_has_ids(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "a.gguf", ENTRIES))

    with pytest.raises(ChatError, match="expected a ChatTemplate, the file has none"):
        tok.apply_chat_template(HI)


BAD = b"\xff{{"


@pytest.mark.parametrize("value", [5, ["a"], BAD])
def test_a_template_that_is_no_text_is_refused_when_wanted(tmp_path: Path, value: Any) -> None:
    path = with_keys(tmp_path, {"tokenizer.chat_template": "0{{" if value is BAD else value})
    if value is BAD:
        path.write_bytes(path.read_bytes().replace(b"0{{", BAD))
    tok = Tokenizer.from_gguf(path)

    assert tok.encode("hi")
    with pytest.raises(ChatError, match=r"tokenizer\.chat_template"):
        tok.apply_chat_template(HI)
