"""Training text of our own: a few honest paragraphs, and a small grammar that repeats their words.

The vocabularies in golden/vocabs are trained on these lines and on nothing else, so they carry no
licence but the project's. Every line is deterministic: no random module, no clock, no file.
"""

from __future__ import annotations

from collections.abc import Iterator

# One paragraph a language, several scripts: with and without spaces, right to left, combining.
PARAGRAPHS = (
    "The river turned slowly under the old bridge, and the children counted the boats. "
    "There were seven of them in the morning, nine at noon, and none at all when the rain came.",
    "A tokenizer cuts a sentence into pieces. It does not know what the pieces mean; "
    "it only knows which two neighbours may be joined, and which of them should be joined first.",
    "When the lights went out in the workshop, nobody stopped working. They knew the place of "
    "every tool by heart, and the kettle was whistling anyway.",
    "She wrote: 'don't wait for us, we'll follow.' He didn't wait; he'd already left the house.",
    "Der Müller zählte die Säcke zweimal, weil ihm die Zahl beim ersten Mal zu schön vorkam. "
    "Über dem Fluß hing Nebel, und die Straße war größer als sonst.",
    "Le garçon a oublié son manteau à l'école; sa sœur l'a retrouvé près de la fenêtre, "
    "là où le café était déjà froid. Un naïf élève dessine une forêt.",
    "El niño preguntó por qué el año tiene doce meses. ¿Quién sabe? ¡Mañana lo veremos!",
    "A avó fez pão e não contou a ninguém; a manhã cheirava a maçã e canela.",
    "Kedi, güneşli pencerenin önünde uyuyordu; çocuk ışığı görünce güldü.",
    "Zażółć to słowo, którego nikt nie potrzebuje, a każdy drukarz zna je na pamięć.",
    "Старый мост скрипел под снегом, а дети считали вагоны длинного поезда.",
    "Вечером мы пили чай и говорили о том, чего ещё не было.",
    "Η γάτα κοιμόταν στο παράθυρο και η θάλασσα ήταν ήσυχη.",
    "הילדים ספרו את הסירות בנהר, והגשר הישן שתק.",
    "عدّ الأطفال القوارب في النهر، وكان الجسر القديم صامتا.",
    "बच्चों ने नदी में नावें गिनीं और पुराना पुल चुप रहा।",
    "เด็กๆ นับเรือในแม่น้ำ และสะพานเก่าก็เงียบ",
    "孩子们在河边数船,早上有七条,中午有九条,下雨的时候一条也没有。",
    "我们在桥下等雨停,他说明天会更好。",
    "子供たちは川で船を数えた。朝は七つ、昼は九つ、雨が降ると一つもなかった。",
    "東京の古い橋の下で、ねこがしずかに眠っていました。コーヒーはもう冷たい。",
    "아이들은 강에서 배를 세었다. 오래된 다리는 조용했다.",
    "Những đứa trẻ đếm thuyền trên sông, còn cây cầu cũ thì im lặng.",
    "Mail 3 boxes by 12:45; it costs 1,250.50 EUR (or 1999 points), call +49 30 901820.",
    "good morning 😀 thanks 👍🏽 the family 👨‍👩‍👧 is here ❤️ 🇫🇷 and it rains 🌧️",
    "½ cup, 20 °C, № 5, ﬁne ﬂour, Ａｂｃ１２３, ㌔, ™ and ①②③",
)

SUBJECTS = ("the miller", "a child", "my neighbour", "the old bridge", "nobody", "the river")
VERBS = ("counted", "was counting", "forgot", "has found", "will follow", "mended")
OBJECTS = ("the boats", "seven sacks", "a small house", "the morning light", "every tool")
ENDINGS = (".", ", and then it rained.", "!", "; nobody knew why.", " (again).", "?")

CODE = """\
def count(boats, start=0):
    total = start
    for boat in boats:
        if boat.name == "heron":
            total += 1
            continue
        while not boat.empty():
            boat.unload()
    return total


class Bridge:
    def __init__(self, length: int) -> None:
        self.length = length

int main(void) {
\tfor (int i = 0; i < 10; i++) {
\t\tprintf("%d\\n", i * 2);
\t}
\treturn 0;
}

{"name": "heron", "boats": [1, 2, 3], "open": true, "depth": {"metres": 4.25}}
a = [x  for x in range(100)]    # four spaces before the comment
================  ----------------  ................  ################
<p class="note">The bridge is <b>closed</b>.</p>
"""


def sentences() -> Iterator[str]:
    """The small grammar's lines: each subject with each verb, objects and endings in rotation."""
    for i, subject in enumerate(SUBJECTS):
        for j, verb in enumerate(VERBS):
            what = OBJECTS[(i + 2 * j) % len(OBJECTS)]
            yield f"{subject} {verb} {what}{ENDINGS[(i * j + i + j) % len(ENDINGS)]}"


def indented() -> Iterator[str]:
    """Lines that begin with 1 to 24 spaces: indentation is where tokenizers go wrong."""
    for width in range(1, 25):
        yield " " * width + ("return total" if width % 2 else "if boat.empty():")


def training_lines() -> list[str]:
    """All lines, in the one order that the vocabularies are trained with."""
    return [*PARAGRAPHS, *sentences(), *CODE.splitlines(), *indented()]
