"""A seed and a number go in, a short story in simple English comes out; the same story every time.

A plot below is written almost as it will be read. Five marks make it a thousand stories:

    [a|b|c]      one of these (they nest; `[|very ]` may be nothing)
    {hero.his}   a word that the scene knows: who, where, what, and the right pronoun
    <thanks>     a phrase that many plots share
    ? line       a line that stands in half of the stories
    empty line   a new paragraph

The scene draws everybody and everything by lot; a plot uses what it needs. Nothing else is random.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

# --- Who, where, what -----------------------------------------------------------------------------


def with_article(noun: str) -> str:
    """`owl` -> `an owl`, `red kite` -> `a red kite`: by the letter, so no hours and no unicorns."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


@dataclass(frozen=True)
class Noun:
    """A thing and its adjective: `{toy}` kite, `{toy.full}` red kite, `{toy.a}` a red kite."""

    noun: str
    adjective: str = ""

    def __str__(self) -> str:
        return self.noun

    @property
    def full(self) -> str:
        """The noun with its adjective."""
        return f"{self.adjective} {self.noun}".strip()

    @property
    def a(self) -> str:
        """The noun as it is first met."""
        return with_article(self.full)


@dataclass(frozen=True)
class Character(Noun):
    """Somebody: `{hero}` Mia, `{hero.a}` a brave girl, `{hero.the}` the girl, and the pronouns."""

    name: str = ""
    she: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def the(self) -> str:
        """Somebody already known."""
        return f"the {self.noun}"

    @property
    def he(self) -> str:
        """The one who does."""
        return "she" if self.she else "he"

    @property
    def him(self) -> str:
        """The one to whom it is done."""
        return "her" if self.she else "him"

    @property
    def his(self) -> str:
        """The one who has."""
        return "her" if self.she else "his"


@dataclass(frozen=True)
class Place:
    """`{place.to}` to the river, `{place.at}` by the river, `{place.spot}` under the bridge."""

    noun: str
    preposition: str
    spot: str
    other_spot: str

    def __str__(self) -> str:
        return f"the {self.noun}"

    @property
    def to(self) -> str:
        """Where somebody goes."""
        return f"to the {self.noun}"

    @property
    def at(self) -> str:
        """Where somebody is."""
        return f"{self.preposition} the {self.noun}"


@dataclass(frozen=True)
class Food:
    """`{food}` is apples or soup; `{food.them}`, `{food.were}` and `{food.they}` agree with it."""

    noun: str

    def __str__(self) -> str:
        return self.noun

    @property
    def many(self) -> bool:
        """A plural; every plural below ends in s, and no other food does."""
        return self.noun.endswith("s")

    @property
    def them(self) -> str:
        """The food, again."""
        return "them" if self.many else "it"

    @property
    def they(self) -> str:
        """The food, as it does something."""
        return "they" if self.many else "it"

    @property
    def they_are(self) -> str:
        """The food, as it is."""
        return "they are" if self.many else "it is"

    @property
    def were(self) -> str:
        """The food's past."""
        return "were" if self.many else "was"


@dataclass(frozen=True)
class Skill:
    """Something to learn: its verb, the verb in the past, and what happens to a beginner."""

    do: str
    did: str
    failed: str


@dataclass(frozen=True)
class Plant:
    """What is sown, what comes up, and what hangs on it in the end."""

    seed: str
    plant: str
    fruit: str


def words(text: str) -> list[str]:
    """A list of single words."""
    return text.split()


def columns(table: str) -> list[list[str]]:
    """One row a line, cells between commas."""
    rows = [line for line in table.strip().splitlines() if line.strip()]
    return [[cell.strip() for cell in row.split(",")] for row in rows]


GIRLS = words("Mia Anna Rosa Nora Ella Lucy Ruby Clara Hanna Molly Olive Zoe")
BOYS = words("Tom Max Leo Finn Otto Jack Paul Hugo Oscar Felix Adam Karl")
TRAITS = words("""brave kind shy curious clever happy quiet cheerful gentle lively merry patient
busy
dreamy careful friendly proud hungry sleepy funny""")
ANIMALS = words("""fox bear rabbit mouse hedgehog squirrel frog duck goat pony pig otter badger lamb
donkey puppy turtle cat goose beaver mole""")
HELPERS = words("""owl crow heron tortoise raven stork toad snail horse deer swan goat badger
robin beetle""")
BABIES = words("""kitten puppy duckling chick lamb bird mouse hedgehog rabbit squirrel bee butterfly
frog owl""")
ELDERS = columns("""
mother, she
father, he
grandmother, she
grandfather, he
aunt, she
uncle, he
big sister, she
big brother, he
""")
COLOURS = words("red blue green yellow white brown orange purple silver golden")
LOOKS = words("little big old new shiny pretty tiny")
TOYS = words("""ball kite doll drum boat wagon flute bell whistle hat scarf bucket basket lantern
blanket book pencil hoop top puzzle button ribbon marble key mitten spoon cup bag stick
coat""")
FOODS = words("""apples berries cookies pancakes pears plums cherries nuts carrots cakes beans buns
dumplings grapes peaches bread cheese soup honey porridge corn pie milk jam""")
PLACES = [
    Place(*row)
    for row in columns("""
forest, in, under a fern, behind an old oak
garden, in, behind the roses, under a leaf
river, by, under the bridge, between two stones
lake, by, among the reeds, under a little boat
beach, on, behind a sand hill, under a shell
market, at, under a table, behind a cart
farm, on, behind the barn, in the hay
field, in, in the tall grass, behind the fence
hill, on, behind a rock, under a thorn bush
meadow, in, among the flowers, under a log
pond, by, behind the reeds, under a lily leaf
park, in, under a bench, behind a tree
village, in, behind the mill, beside the well
mountain, on, behind a big rock, in a dry cave
orchard, in, under an apple tree, behind a ladder
harbor, at, behind the nets, under a rope
valley, in, beside the stream, behind a stone wall
mill, at, behind the wheel, under a sack
barn, in, in the hay, behind a ladder
town, in, behind the clock tower, beside the gate
""")
]
HOMES = """a small house by the sea|a yellow house near the forest|a cottage on a hill
a little house with a red door|an old house at the end of the road|a tall house in the town
a quiet village by the river|a warm house beside the mill|a hut under the tall trees
a green valley far away|a village between two mountains|a house with a round window"""
SKILLS = [
    Skill(*row)
    for row in columns("""
swim, swam, sank like a stone
ride a bike, rode the bike, fell into the grass
skate, skated, slipped and sat down on the ice
whistle, whistled, made no sound at all
climb a tree, climbed the tree, slid down again
bake bread, baked the bread, burned it until it was black
row a boat, rowed the boat, went around and around
fly a kite, flew the kite, ran until the kite fell down
dance, danced, stepped on somebody's foot
sing, sang, forgot the words
play the drum, played the drum, lost the beat
play the flute, played the flute, made a sound like a goose
paint, painted, spilled the paint
jump over the fence, jumped over the fence, landed in the mud
tell a story, told a story, forgot the end
read, read a whole page, mixed up all the letters
""")
]
PLANTS = [
    Plant(*row)
    for row in columns("""
an apple seed, tree, red apples
a pumpkin seed, vine, fat orange pumpkins
a bean, stalk, long green beans
a sunflower seed, sunflower, black seeds
a plum stone, tree, sweet plums
a carrot seed, green plant, bright carrots
a pea, vine, round peas
a cherry stone, tree, dark cherries
a rose seed, bush, white roses
a strange little seed, bush, blue berries
""")
]
NOISES = columns("""
tap tap tap, a branch that was dancing against the window
knock knock knock, the wind that was playing with the old door
scratch scratch, a hungry mouse who was looking for crumbs
hoo hoo, a young owl who could not sleep
drip drip drip, the rain that was falling into a bucket
bump bump, an apple that was rolling on the roof
squeak squeak, a gate that nobody had closed
rustle rustle, a hedgehog who was walking through the leaves
click click, a beetle who was climbing up the wall
meow, a wet cat who wanted to come in
""")
GIFTS = columns("""
picture, painted a picture
crown, made a crown of flowers
cake, baked a round cake
scarf, knitted a long scarf
song, wrote a short song
boat, carved a small boat
necklace, made a necklace of shells
pillow, sewed a soft pillow
card, drew a funny card
lamp, made a paper lamp
""")
BUILDINGS = columns("""
tree house, branches and rope, play
raft, logs and rope, cross the pond
bridge, stones and boards, cross the stream
sand castle, sand and shells, play
tent, sticks and an old sheet, sleep
snow house, snow and ice, play
bird house, boards and nails, feed the birds
bench, a board and two stones, watch the sunset
swing, a board and a rope, play
little hut, mud and grass, hide from the rain
""")
WISHES = """see a whale|touch the moon|talk to the birds|find a treasure|see the snow
visit the king|travel on a ship|sleep under the stars|see the other side of the hill
catch a falling star|ride on a cloud|hear the whales sing"""
LIKES = """sing|dance in the rain|count the stars|read old books|run down the hill|draw pictures
climb trees|listen to stories|watch the clouds|feed the birds|splash in the water|pick flowers
play in the mud|help in the garden|look at the moon|collect round stones|tell jokes
sit by the fire|eat warm bread|play hide and seek|wake up early|sleep late|walk in the snow
build small houses|talk to the trees"""
SAYINGS = """every bird falls before it flies|nobody can do everything on the first day
big trees were small once|the first step is the hardest one|a fall is only a step that went wrong"""
JOBS = """cooking soup|mending a net|washing the dishes|reading by the fire|cutting wood
sweeping the floor|feeding the hens|sewing a shirt|baking bread|watering the flowers
painting the fence|writing a letter"""


def choices(text: str) -> list[str]:
    """The entries of a list written with bars and lines."""
    return [entry.strip() for line in text.splitlines() for entry in line.split("|")]


# --- Phrases that many plots share ----------------------------------------------------------------

PHRASES = {
    "opening": """[[Once upon a time|Once upon a time,|Long ago,|Once,|Many years ago,] there
            [was|lived] {hero.a} [named|called] {hero}.
        |There was once {hero.a} [named|called] {hero}.
        |{hero} was {hero.a} who lived in {home}.
        |In {home} there lived {hero.a}. {hero.his} name was {hero}.
        |{hero} was {hero.a}.
        |{hero}, {hero.a}, lived in {home} with {hero.his} {elder}.]
        [
        |{hero} [liked|loved] to {like} and to {like2}.
        |More than anything, {hero} [liked|loved] to {like}.
        |Every day {hero.he} liked to {like}.]""",
    "friend": """[{hero.his} best friend was {friend.a} [named|called] {friend}.
        |{hero} had a friend [named|called] {friend}, {friend.a}.
        |Next door lived {friend.a}, and {friend.his} name was {friend}.]""",
    "day": """[One day
        |One day
        |One morning
        |One afternoon
        |One [cold|warm|sunny|windy|quiet|bright] [day|morning|afternoon]
        |On a [cold|warm|sunny|windy|foggy] [day|morning]
        |Early one morning
        |One [spring|summer|autumn|winter] day]""",
    "weather": """[The sun was [warm|bright|shining].
        |The sky was [blue|gray|full of clouds|clear].
        |It was [a little cold|very warm|windy|quiet outside].
        |The wind was [soft|strong|playing in the trees].
        |Birds were singing [in the trees|on the roof].
        |The air smelled of [flowers|rain|grass|the sea].]""",
    "sad": """[{hero} was [very |so |]sad.
        |{hero} began to cry.
        |A tear ran down {hero.his} face.
        |{hero} sat down and did not know what to do.
        |{hero.his} heart was heavy.]""",
    "glad": """[{hero} was [very |so |]happy.
        |{hero} laughed and clapped.
        |{hero} jumped for joy.
        |{hero} smiled from ear to ear.
        |{hero} could not stop smiling.
        |{hero.his} heart was light again.]""",
    "oh": """["Oh no!"
        |"Oh dear!"
        |"What shall I do?"
        |"What now?"
        |"This is bad!"]""",
    "hello": """["Hello," said the {helper.full}. "Why are you so sad?"
        |"What is wrong?" asked the {helper.full}.
        |"Why do you cry, little one?" asked the {helper.full}.
        |"Good day," said the {helper.full}. "You look [sad|lost|tired]. Can I help you?"]""",
    "thanks": """["Thank you[ so much| very much|, my friend]!" said {hero}.
        |"Thank you," {hero} said. "You are very kind."
        |{hero} thanked {helper.him} [again and again|with all {hero.his} heart|and gave
            {helper.him} a hug].
        |"You are a true friend," said {hero}.]""",
    "supper": """[That [night|evening], {hero} [ate {food} and slept well|told {hero.his} {elder}
            all about it|fell asleep with a smile|dreamed of the [|long ]day].
        |Then {hero} went home and had {food} for supper.
        |{hero.his} {elder} gave {hero.him} some {food} and said, "I am proud of you."]""",
    "lesson": """[From that day on, {hero} [was never afraid to ask for help|always helped
            others|was a little braver|knew that [friends|small things|kind words] are the best
            treasure].
        |{hero} never forgot that day.
        |And so {hero} learned that [it is good to help|it is good to share|nobody is too small to
            help|a kind word costs nothing|it is good to try again].
        |And they [all |]lived happily ever after.]""",
    "friends": """[{hero} and {friend} [became|were] best friends.
        |After that, {hero} and {friend} played together every day.
        |{hero} and {friend} laughed and held hands.
        |"You are my best friend," said {friend}. "And you are mine," said {hero}.
        |They were friends for a long, long time.]""",
    "elder_asks": """["What is the matter?" asked {hero.his} {elder}.
        |{hero.his} {elder} was {job}. "Why are you so quiet?" {elder.he} asked.
        |{hero.his} {elder} stopped {job} and looked up. "What happened?" asked {elder.the}.]""",
}

# --- The plots ------------------------------------------------------------------------------------

PLOTS = {
    "lost and found": """
        <opening>
        {hero} had {toy.a}. [{hero.he} took it everywhere.|It was a gift from {hero.his}
        {elder}.|{hero.he} loved it more than anything.|{hero.he} kept it under {hero.his} bed at
        night.]

        <day>, {hero} [went|walked|ran] {place.to} [and played there for a long time|to play|with
        {friend}].
        ? <weather>
        When {hero.he} came home, the {toy} was gone! <oh> [cried|said] {hero}. "I have lost my
        {toy}."
        {hero.he} looked [under the bed|in the kitchen|behind the door], but it was not there.
        ? {hero.he} looked in {hero.his} pockets, but they were empty.
        <sad>
        [<elder_asks> "I cannot find my {toy}," said {hero}. "[Think|Try to remember]. Where did you
        see it last?" said {elder.the}. "{place.at}!" said {hero}.|Then {hero.he} thought of
        {place}.]

        {hero} ran back {place.to} and looked everywhere. There [sat|was] {helper.a}. <hello>
        "I have lost my {toy}," said {hero}. "Is it {toy.adjective}?" asked {helper.the}. "Yes!"
        said {hero}. "Then look {place.spot}," said {helper.the}. [{hero} looked {place.spot}, and
        there was the {toy}!|And there it was, {place.spot}.]
        <glad> <thanks>
        ? <supper>
        [<lesson>|After that, {hero} always took good care of the {toy}.]
        """,
    "the little one": """
        <opening>
        <day>, {hero} was walking {place.at} when {hero.he} heard a [small|sad|tiny] voice. "Help!
        Help me!" [{hero} stopped and listened.|{hero} looked up and down.]
        {place.spot} {hero.he} found {baby.a}. The {baby.noun} [had hurt {baby.his} leg|could not
        find {baby.his} mother|was stuck and could not get out|was cold and wet|was too tired to
        walk].
        ? <weather>
        "[Do not be afraid|Do not cry]," said {hero}. "I will help you."

        {hero} [picked up the {baby.noun}|wrapped the {baby.noun} in {hero.his} scarf|took the
        {baby.noun} in {hero.his} hands] and carried {baby.him} home. {hero.his} {elder} was {job}.
        "Look what I found," said {hero}. "Can {baby.he} stay with us?"
        "{baby.he} may stay until {baby.he} is well," said {elder.the}. They gave {baby.him} [some
        warm milk|some {food}|a little water] and made a bed in [a box|a basket|an old hat].
        [|Every morning {hero} asked, "How are you today?" and the {baby.noun} [blinked|moved a
        little].]
        {hero} named {baby.him} {baby}.

        After [three days|a week|some time], {baby} was [well|strong] again. [They went back
        {place.to}, and there {baby}'s mother was waiting. "Thank you for my child," said the
        mother.|"You must go home now," said {hero}. {baby} looked back once and then was gone.]
        {hero} was [a little sad and very happy|sad, but only a little].
        [And every [spring|summer|year], {baby} came back to visit {hero}.|But {baby} came to the
        window every morning to say hello.|<lesson>]
        """,
    "learning": """
        <opening>
        {hero} wanted to learn to {skill.do}. [All the others could do it.|{hero.his} friend
        {friend} could do it very well.|{hero.he} dreamed of it every night.]
        <day>, {hero.he} tried for the first time, but {hero.he} {skill.failed}. [Everybody
        laughed.|{friend} laughed.|It hurt a little.|{hero.his} face turned red.]
        "I will never learn it," said {hero}. <sad>

        [{hero.his} {elder} saw it and sat down beside {hero.him}.|<elder_asks>]
        "{saying}," said {elder.the}. "[Try again tomorrow.|Try a little every day.|I was slow too,
        when I was small.]"
        So {hero} tried again. {hero.he} tried [in the morning and in the evening|every day, in sun
        and in rain|when nobody was looking].
        ? The second day was no better than the first.
        ? But {hero.he} did not give up.
        On the [third|fifth|seventh] day, {hero.he} took a deep breath, and then {hero.he}
        {skill.did}! "[Look|Look at me], I can do it!" [cried|shouted] {hero}.

        {hero.his} {elder} [smiled|clapped|was very proud]. <glad>
        [Soon {hero} and {friend} could do it together.|"Will you teach me too?" asked {friend}.
        "Yes," said {hero}. "You only have to try again and again."|<lesson>]
        """,
    "sharing": """
        <opening>
        <day>, {hero.his} {elder} gave {hero.him} some {food}. "[All of this is for you|Eat well],"
        said {elder.the}.
        {hero} took the {food} and went {place.to}. <weather>
        {hero.he} wanted to eat {food.them} all alone.

        {place.at} sat {friend}, {friend.a}. {friend} had nothing to eat. "I am so hungry," said
        {friend}. "May I have some {food}?"
        "No," said {hero}. "{food.they_are} mine." {friend} [looked at the ground|said
        nothing|walked away slowly].
        {hero} began to eat, but the {food} did not taste good. [{hero.he} thought of {friend}'s sad
        face.|It is no fun to eat alone.|{hero.he} felt a stone in {hero.his} heart.]
        ? Then {helper.a} came by. "Food tastes better with a friend," said {helper.the}.

        So {hero} went to {friend} and said, "I am sorry. Let us eat together." They shared the
        {food} and talked until [the sun went down|the stars came out|evening]. The {food}
        {food.were} [very good|sweet|better than before].
        [The next day, {friend} brought some {food2} and shared {food2.them} with
        {hero}.|<friends>|<lesson>]
        """,
    "the storm": """
        <opening> <friend>
        <day>, {hero} and {friend} went {place.to}. <weather> They [played and laughed|looked for
        {food}|ran and jumped|sang songs].
        Then the sky turned dark. [A cold wind began to blow.|The birds stopped singing.|Black
        clouds came over the hill.] "A storm is coming," said {friend}. "We must find a dry place!"
        [Rain began to fall.|Big drops fell on their noses.] There was [a flash and a loud
        boom|thunder and lightning]. {friend} was afraid and held {hero}'s hand.

        "Come, I see a [cave|hut|barn|hollow tree]," said {hero}. They ran as fast as they could.
        Inside, it was dark, but it was dry. In the dark they saw two [yellow|green|bright] eyes!
        "Who is there?"
        asked {hero}. "It is only me," said {helper.a}. "I am hiding from the storm too."
        ? They sat close together to keep warm.
        {helper.the} [told them a story|sang them a song|gave them some {food}], and soon {friend}
        was not afraid anymore.

        When the rain stopped, [the sun came out|a rainbow stood in the sky|the whole world was
        clean and bright]. "[Look how beautiful it is|What a day]!" said {friend}. They said goodbye
        to {helper.the} and went home.
        [<supper>|<friends>|After that, {friend} was never afraid of storms again.]
        """,
    "the noise": """
        <opening>
        One [|cold |windy |rainy |warm ]night, {hero} could not sleep. The house was dark and
        [quiet|still]. Then {hero.he} heard a noise.
        {noise}! {noise}! "What is that?" whispered {hero}. [{hero.he} pulled the blanket over
        {hero.his} head.|{hero.his} heart beat fast.|{hero.he} did not move.]
        ? "Is it a monster?" {hero.he} thought.
        The noise came again. {noise}!

        {hero} [ran|went] to {hero.his} {elder}. "There is [something|somebody|a monster] in the
        dark!" said {hero}. {elder.the} took a [lamp|candle|lantern] and {hero.his} hand. "Let us
        look together," {elder.he} said.
        They [walked slowly through the house|went down the stairs|opened the door]. {noise}!
        {hero} wanted to run away, but {hero.he} was brave. They held up the light and saw
        {noise_cause}.
        "Is that all?" said {hero}. They looked at each other and laughed.

        "[Most things are small when you look at them|The dark is only the day with its eyes
        closed|A light and a friend are good against fear]," said {elder.the}.
        {hero} went back to bed. {noise}, it went again, but now {hero} [only smiled|was not
        afraid|fell asleep] and [dreamed of {place}|slept until morning].
        """,
    "building": """
        <opening> <friend>
        <day>, {hero} and {friend} wanted to build a {building}. "We can use it to {building_use},"
        said {friend}. They took {building_from} and worked all [morning|day|afternoon].
        ? <weather>
        ? {hero} had a plan, and {friend} had strong arms.
        At last the {building} was ready. They were proud. But then [the wind blew|it began to
        rain|a goat ran into it|{hero} leaned on it], and the {building} fell to pieces with a
        [crash|loud noise].

        "It is your fault!" said {friend}. "No, it is your fault!" said {hero}. They did not talk
        for a while.
        <sad>
        {helper.a} had seen it all. "It is nobody's fault," said {helper.the}. "You were too
        [fast|quick].
        [Begin with a strong floor|Put the big parts under the small parts|Tie it twice and take
        your time]."
        {hero} looked at {friend}. "I am sorry," said {hero}. "I am sorry too," said {friend}. "Let
        us try again."

        This time they worked slowly [and helped each other|and did as {helper.the} said]. In the
        evening, the {building} was ready, and it was [strong|even better than before]. [They sat
        there and ate some {food}.|"We did it!" they shouted.|{hero.his} {elder} came to look and
        was amazed.]
        [<friends>|<lesson>]
        """,
    "the seed": """
        <opening>
        <day>, {hero} found {plant.seed} {place.at}. "What will it be?" {hero.he} asked. "Put it in
        the ground and wait," said {hero.his} {elder}.
        {hero} dug a small hole [behind the house|in the garden|near the gate], put it in, and gave
        it some water. The next day {hero.he} looked, but there was nothing. On the second day there
        was nothing. "It does not work," said {hero}. "[Wait|Be patient]," said {elder.the}. "Good
        things are slow."

        [{hero} waited one week and then another.|The rain fell and the sun shone.|Every day
        {hero.he} gave it water and sang to it.] Then one morning there was something green! It was
        as small as [a finger|a mouse's ear|a grain of corn].
        [|Once {helper.a} wanted to eat it. "Please do not eat it," said {hero}. "Come back later,
        and you will get more." {helper.the} went away.]
        The {plant.plant} grew and grew. It grew as high as [{hero.his} knee|a chair], then as high
        as [the window|the door|the roof].

        In [summer|autumn|the end], it was full of {plant.fruit}. {hero} [called everybody|ran to
        get {hero.his} friend {friend}].
        They picked the {plant.fruit} and [made a feast|gave some to everybody|filled ten baskets].
        [{hero} kept one seed for the next year.|"Good things are slow," said {hero}, and {hero.his}
        {elder} smiled.|<lesson>]
        """,
    "the gift": """
        <opening> <friend>
        It was the day before {friend}'s birthday. {hero} wanted to give {friend} something, but
        {hero.he} had no money. {hero.his} purse was empty.
        [<sad>|{hero} thought and thought.] <elder_asks> "I have no gift for {friend}," said {hero}.
        "The best gifts are not from a shop," said {elder.the}. "Make something with your own
        hands."
        So {hero} sat down and {gift_made}. It took [all day|a long time|the whole evening].
        ? It was not perfect, but it was made with love.

        The next day, everybody came to the party. {friend} got {toy.a} and {toy2.a}. {hero} looked
        at the {gift}. It looked so small. {hero.he} [hid it behind {hero.his} back|was
        ashamed|wanted to go home].
        "What do you have there?" asked {friend}. "It is nothing," said {hero}. But {friend} took
        the {gift} and [{friend.his} eyes shone|was quiet for a moment|smiled].
        "You made this for me?" said {friend}. "It is the best gift of all!"

        [<glad>|{hero}'s face turned red with joy.] They all ate {food} and [danced|sang|played
        games] until [it was dark|bedtime].
        [{friend} kept the {gift} for {friend.his} whole life.|<friends>|<lesson>]
        """,
    "the race": """
        <opening>
        {hero} was [slow|small], but {hero.he} never gave up. {friend}, {friend.a}, was the fastest
        of all.
        "Nobody can run like me," said {friend}.
        <day>, there was a race from {place} to the [old oak|bridge|mill|red gate]. [Everybody came
        to see it.|Many animals came to watch.] The winner was to get {food} for a week.
        ? <weather>
        "You want to run too?" laughed {friend}. "You will be last." {hero} said nothing.

        "One, two, three, go!" cried {helper.the}. {friend} ran like the wind and was soon far
        ahead. "I have time," thought {friend}.
        [{friend} lay down under a tree and fell asleep.|{friend} stopped to eat some
        {food2}.|{friend} stopped to tell everybody how fast {friend.he} was.]
        {hero} [walked on and on|took one step and then another|did not stop once]. {hero.he} passed
        the [well|pond|fence], and {hero.he} passed {friend}. When {friend} [woke up|saw it|looked
        up], it was too late.
        [{hero} had won!|{hero} was the first to cross the line.]

        "How did you do it?" asked {friend}. "I [just kept going|did not stop]," said {hero}.
        [{hero} shared the {food} with {friend}.|{friend} never laughed at {hero} again.]
        [<friends>|<lesson>|<glad>]
        """,
    "the quarrel": """
        <opening> <friend>
        {hero} and {friend} found {toy.a} {place.at}. "It is mine! I saw it first," said {hero}.
        "No, it is mine! I picked it up," said {friend}.
        {hero} pulled, and {friend} pulled. [Crack!|Snap!|Oh no!] The {toy} broke into two pieces.
        [They were very quiet.|{friend} began to cry.|"Look what you did!" they both shouted.]
        {hero} went home, and {friend} went home too, [without a word|and nobody laughed|both of
        them angry].

        At home, {hero} sat [by the window|on the stairs|in {hero.his} room]. <elder_asks> {hero}
        told {elder.him} everything. "What is better," asked {elder.the}, "half of a {toy} or a
        whole friend?"
        {hero} thought about it [for a long time|all night].
        The next morning, {hero.he} took [some glue|a needle and some thread|some string] and went
        to {friend}'s house. But {friend} was already at the door. "I am sorry," they said at the
        same time. Then they laughed.

        They [mended|fixed] the {toy} together. [It was not as pretty as before, but it was
        theirs.|Now it had a scar, and they loved it more.] "You can have it [on Monday|today], and
        I can have it [on Tuesday|tomorrow]," said {friend}.
        [<friends>|<lesson>]
        """,
    "lost in the woods": """
        <opening>
        <day>, {hero} followed a [butterfly|blue bird|white rabbit] into the woods. It went from
        tree to tree, and {hero} ran after it. When it was gone, {hero} looked around. Everything
        looked strange. "Where am I?" {hero.he} asked.
        [It was getting dark.|The trees were tall and dark.|The wind was cold.] <sad>
        ? {hero} called for {hero.his} {elder}, but nobody answered.

        [On a low branch sat|Behind an old oak stood|Then there came] {helper.a}. <hello>
        "I am lost," said {hero}. "I want to go home."
        "Where do you live?" asked {helper.the}. "In {home}," said {hero}. "[Follow the stream,"
        said {helper.the}. "It knows the way."|Follow the bright star," said {helper.the}. "It
        stands over your house."|Follow me," said {helper.the}. "I know the way."]
        {hero} walked and walked. {hero.he} went over a [bridge|hill], past a [mill|big rock|farm],
        and through a [gate|field].
        Then {hero.he} saw a light. It was {hero.his} home!

        {hero.his} {elder} was standing at the door. "Where have you been?" {elder.he} asked and
        took {hero} in {elder.his} arms. {hero} told {elder.him} [everything|about {helper.the}].
        [<supper>|{hero} never went into the woods alone again.|The next day, {hero} took some
        {food} to the woods for {helper.the}.]
        """,
    "the wish": """
        <opening>
        {hero} had one big wish. {hero.he} wanted to {wish}. [Everybody laughed at
        {hero.him}.|{hero.he} thought of it every night.|"You are too small," said {hero.his}
        {elder}.]
        <day>, {hero} took {hero.his} {toy} and some {food} and went on a long walk. {hero.he}
        walked [over hill after hill|along the dusty road|all morning] until {hero.he} came
        {place.to}.

        There {hero.he} met {helper.a}. "I am hungry," said {helper.the}. {hero} gave {helper.him}
        [half of|all] the {food}. "You are kind," said {helper.the}. "What do you wish for?"
        "I want to {wish}," said {hero}. {helper.the} thought about it. "[Close your eyes and come
        with me|Climb on my back|Wait here until the moon comes up]," said {helper.he}.
        ? {hero} was a little afraid, but {hero.he} did it.
        [They went far, far away.|The stars came out one by one.|The wind sang in the trees.] And
        that night, {hero}'s wish came true. <glad>

        In the morning, {hero} woke up in {hero.his} own bed. Was it a dream? [But there was a
        {colour} feather on the pillow.|But there was sand in {hero.his} shoes.|But {hero.his} {toy}
        was wet and smelled of the sea.]
        {hero} [smiled and said nothing|told only {hero.his} friend {friend}|knew that it was real].
        """,
    "the truth": """
        <opening>
        <day>, {hero} was playing with {hero.his} {toy} in the [kitchen|house|living room].
        {hero.his} {elder} had said, "Do not play here." But {hero} did not listen. Crash! The
        [vase|lamp|{colour} cup|big plate|clock] fell down and broke.
        [{hero} looked at the pieces.|"Oh no," whispered {hero}.] {hero.he} [hid the pieces under
        the bed|swept the pieces behind the door|put a blanket over the pieces].

        In the evening, {hero.his} {elder} asked, "Who did this?" "[It was the cat|It was the wind|I
        do not know],"
        said {hero}. But {hero} could not eat {hero.his} {food}. {hero.his} stomach felt bad.
        {hero.he} could not sleep.
        ? The cat looked at {hero.him} and said nothing, as cats do.
        At last, {hero.he} got up and went to {hero.his} {elder}. "It was me," said {hero}. "I am
        sorry. I was [playing|running] in the house, and I told you a lie."

        {elder.the} was quiet. Then {elder.he} [took {hero} in {elder.his} arms|smiled]. "I knew
        it," said {elder.he}. "A broken thing is bad, but a lie is worse. Thank you for telling me
        the truth."
        The next day they [mended it together|went {place.to} and found a new one|cleaned the whole
        house together].
        {hero} [felt as light as a feather|never told a lie again|slept very well that night].
        """,
    "the new friend": """
        <opening>
        {hero} was new in the [village|town|school] and had no friends. [The others played together,
        but nobody asked {hero.him}.|{hero.he} was too shy to speak.|{hero.he} sat alone every day.]
        <day>, {hero} sat {place.at} with {hero.his} {toy}. <weather> Somebody sat {place.spot} and
        was alone too. It was {friend.a}. {hero} wanted to say hello, but no word came out.

        Then [the wind took {hero.his} {toy} and carried it away|the {toy} fell out of {hero.his}
        hands and rolled away|{hero} dropped the {toy} with a bang]. The {friend.noun} jumped up and
        caught it. "Here is your {toy}," said {friend.the}. "It is very nice. My name is {friend}.
        What is your name?"
        "I am {hero}," said {hero}. "[Do you want to play with me?|Do you want some {food}?|Do you
        like to {like} too?]"
        "Yes!" said {friend}. "[I like that very much.|I was waiting for somebody to ask me.|That
        would be fun.]"

        They [played until evening|showed each other everything|talked about a hundred things]. When
        it was time to go home, {friend} said, "Will you come back tomorrow?" "Yes, I will," said
        {hero}.
        [<supper>|<friends>|{hero} skipped all the way home.]
        """,
    "the sick friend": """
        <opening> <friend>
        <day>, {hero} went to {friend}'s house to play, but {friend} was sick. {friend.he} lay in
        bed with a [red nose|hot head|sore throat]. "I cannot play today," said {friend}.
        "Everything hurts."
        {hero} wanted to help. <elder_asks> "{friend} is sick," said {hero}. "[Make some soup|Bring
        something warm|Make {friend.him} laugh]," said {elder.the}. "That always helps."

        {hero} went {place.to} to get some herbs. {place.at} {hero.he} met {helper.a}. "[The best
        ones grow {place.spot}|Take the green leaves {place.other_spot}]," said {helper.the}.
        <thanks>
        ? On the way back it began to rain, but {hero} did not stop.
        {hero} cooked and stirred and tasted. Then {hero.he} carried the hot pot to {friend}, very
        slowly, step by step.

        {friend} ate [everything|three bowls]. {hero} sat on the bed and [told a funny story|sang a
        song|read from a book].
        {friend} laughed so hard that {friend.his} [nose|bed] shook. After [two|three] days,
        {friend} was well again.
        [But now {hero} had a red nose! "Lie down," said {friend}. "Now it is my turn to
        cook."|<friends>|<lesson>]
        """,
    "the market": """
        <opening>
        <day>, {hero.his} {elder} said, "Please go to the market and get some {food}." {hero} took
        [a coin|two coins] and {toy.a} and went on {hero.his} way. <weather>
        On the way {hero} met {friend}, {friend.a}. {friend} was crying. "I have lost my coin," said
        {friend}. "Now I cannot buy bread." {hero} [thought about it|looked at the coin in
        {hero.his} hand]. Then {hero.he} gave {friend} the coin.

        At the market {hero} had no money. "What can you give me for the {food}?" asked the [old
        woman|farmer|baker].
        "I can give you my {toy}," said {hero}. "What a pretty {toy}! But would you not miss it?"
        {hero} looked at the ground and said, "Yes, but we need the {food}."
        ? "Why do you have no money?" asked the seller, and {hero} told everything.
        "You have a good heart," said the seller. "[Help me carry these baskets|Sweep the floor for
        me|Sing me a song], and you may have the {food}." {hero} did it gladly.

        {hero} came home with the {food} and the {toy}. "You were gone for a long time," said
        {elder.the}. {hero} told {elder.him} the whole story. {elder.he} [smiled|kissed {hero.him}]
        and said, "[A good heart is better than a full purse|I could not be more proud]."
        [<supper>|They ate the {food} together, and {food.they} {food.were} very good.]
        """,
    "the moon": """
        <opening>
        One night, {hero} looked out of the window. The moon was [round and yellow|big and
        white|thin like a smile]. "[The moon looks lonely,|Does the moon ever sleep?]" said {hero}.
        {hero.his} {elder} was {job}. "Ask the moon," said {elder.the}.
        So {hero} [opened the window|went outside|climbed up the hill]. "Moon, [are you lonely?|do
        you ever sleep?|do you have a friend?]" asked {hero}. The moon did not answer.
        ? It was so quiet that {hero.he} could hear the grass.

        {hero} went {place.to}, and the moon came too. {hero} stopped, and the moon stopped. {hero}
        hid {place.spot}, and the moon hid behind a cloud. "You are playing with me!" laughed
        {hero}.
        ? {helper.a} watched them and shook {helper.his} head.
        They played until {hero} was tired. In the water {hero.he} saw the moon's face, and beside
        it {hero.he} saw {hero.his} own. "Now you are not alone," said {hero}.

        {hero.his} {elder} carried {hero.him} home. "Does the moon have a friend?" asked
        {elder.the}. "Yes," said {hero} with closed eyes. "[Me|It has me now]."
        [And the moon shone on {hero.his} pillow all night.|Then {hero} fell asleep.|And outside,
        the moon smiled.]
        """,
    "hide and seek": """
        <opening> <friend>
        <day>, {hero}, {friend}, and {pal} played hide and seek {place.at}. {friend} closed
        {friend.his} eyes and counted. "One, two, three, four, five. I am coming!"
        {pal} hid {place.spot}, and {hero} hid {place.other_spot}. <weather> {friend} [looked here
        and there|walked around slowly]. "I see you, {pal}!" said {friend} and laughed. But
        {friend.he} could not find {hero}.

        They looked [for a long time|everywhere|until the sun was low]. "{hero}, come out! You have
        won!" they called. Nobody answered. {pal} was [afraid|worried]. "Where can {hero.he} be?"
        asked {pal}.
        Then they heard a [soft|strange|funny] sound. It came from {place.other_spot}. They [went
        closer|walked there on their toes], and what did they see? {hero} was [sleeping|fast
        asleep]! {hero.he} had waited so long that {hero.his} eyes had closed.
        ? {baby.a} was sleeping on {hero.his} knees.

        "Did I win?" asked {hero} and [rubbed {hero.his} eyes|yawned]. "Yes," said {friend}. "Nobody
        can hide like you, but you snore!" They all laughed and went home to eat {food}.
        """,
    "the proud one": """
        <opening> <friend>
        {hero} had {toy.a} and was very proud of it. "Nobody has a {toy} like mine," {hero.he} said
        to everybody. {friend} asked, "May I hold it?" "No," said {hero}. "You would break it."
        ? {pal} asked too, but {hero} said no.
        So the others went away to play without {hero.him}.

        <day>, {hero} took the {toy} {place.to}. {hero.he} looked only at the {toy} and not at the
        way. [Splash! {hero.he} fell into a deep hole full of water.|{hero.he} fell into a deep
        hole.] "Help!" cried {hero}. "I cannot get out!"
        {friend} and {pal} heard it and came running. {friend} lay down and held out [a long stick|a
        rope|{friend.his} scarf].
        "[Take it|Hold on]!" said {friend}. They pulled and pulled until {hero} was out.

        {hero} was [wet and cold|muddy from head to foot]. The {toy} lay {place.spot}, and {hero.he}
        did not even look at it. "Thank you," said {hero}. "I was not nice to you, and you helped me
        anyway." "[That is what friends do|Of course we did],"
        said {pal}.
        Then {hero} picked up the {toy} and gave it to {friend}. "[Your turn|Now you play with it],"
        said {hero.he}, and it was much more fun to play with three.
        """,
}

# --- From a plot to a story -----------------------------------------------------------------------

PHRASE = re.compile(r"<(\w+)>")
CHOICE = re.compile(r"\[([^\[\]]*)\]")  # an innermost pair of brackets
BROKEN_LINE = re.compile(r"\n *\|")  # a list of choices may go on in the next line
SENTENCE_START = re.compile(r'(?:^"?|[.!?] "?|\." |[.!?]" ")[a-z]')  # but not: "Oh!" said the owl


def someone(rng: random.Random, used: set[str]) -> Character:
    """A child or an animal, with a name that nobody else in this story has."""
    she = rng.random() < 0.5
    names, child = (GIRLS, "girl") if she else (BOYS, "boy")
    name = rng.choice([name for name in names if name not in used])
    kind = child if rng.random() < 0.5 else rng.choice(sorted(set(ANIMALS) - used))
    used |= {name, kind} - {child}
    return Character(kind, rng.choice(("little", "little", "young", "small", *TRAITS)), name, she)


def stranger(
    rng: random.Random, used: set[str], kinds: Sequence[str], adjectives: str
) -> Character:
    """An animal that is met on the way."""
    animal = someone(rng, used)
    kind = rng.choice([kind for kind in kinds if kind not in used])
    used.add(kind)
    return Character(kind, rng.choice(adjectives.split()), animal.name, animal.she)


def scene(rng: random.Random) -> dict[str, object]:
    """Draw everybody and everything that a plot may ask for."""
    used: set[str] = set()
    elder, she = rng.choice(ELDERS)
    toy, toy2 = rng.sample(TOYS, 2)
    food, food2 = rng.sample(FOODS, 2)
    like, like2 = rng.sample(choices(LIKES), 2)
    looks = (*COLOURS, *LOOKS)
    building, building_from, building_use = rng.choice(BUILDINGS)
    noise, noise_cause = rng.choice(NOISES)
    gift, gift_made = rng.choice(GIFTS)
    return {
        "hero": someone(rng, used),
        "friend": someone(rng, used),
        "pal": someone(rng, used),
        "helper": stranger(rng, used, HELPERS, "old wise big friendly gray strange"),
        "baby": stranger(rng, used, BABIES, "little tiny young small"),
        "elder": Character(elder, "", elder, she == "she"),
        "place": rng.choice(PLACES),
        "home": rng.choice(choices(HOMES)),
        "toy": Noun(toy, rng.choice(looks)),
        "toy2": Noun(toy2, rng.choice(looks)),
        "food": Food(food),
        "food2": Food(food2),
        "like": like,
        "like2": like2,
        "job": rng.choice(choices(JOBS)),
        "saying": rng.choice(choices(SAYINGS)),
        "skill": rng.choice(SKILLS),
        "plant": rng.choice(PLANTS),
        "wish": rng.choice(choices(WISHES)),
        "colour": rng.choice(COLOURS),
        "building": building,
        "building_from": building_from,
        "building_use": building_use,
        "noise": noise,
        "noise_cause": noise_cause,
        "gift": gift,
        "gift_made": gift_made,
    }


def tell(paragraph: str, people: dict[str, object], rng: random.Random) -> str:
    """Settle a paragraph's marks, in the order of the list above, bottom to top; then capitals."""
    lines = (line.strip() for line in paragraph.splitlines())
    text = "\n".join(line.lstrip("? ") for line in lines if line[:1] != "?" or rng.random() < 0.5)
    while PHRASE.search(text):
        text = PHRASE.sub(lambda mark: PHRASES[mark[1]], text)
    text = BROKEN_LINE.sub("|", text)
    while CHOICE.search(text):
        text = CHOICE.sub(lambda mark: rng.choice(mark[1].split("|")), text)
    text = " ".join(text.split()).format_map(people)
    return SENTENCE_START.sub(lambda start: start[0][:-1] + start[0][-1].upper(), text)


def story(seed: str) -> str:
    """One story: paragraphs with a line feed between them. Equal seeds tell equal stories."""
    rng = random.Random(seed)
    people = scene(rng)
    plot = rng.choice(list(PLOTS.values()))
    return "\n".join(tell(paragraph, people, rng) for paragraph in plot.strip().split("\n\n"))


def stories(seed: int, split: str, start: int = 0) -> Iterator[str]:
    """Endless stories. Two splits of one seed share the plots, and hardly ever a whole story."""
    for number in count(start):
        yield story(f"{seed}/{split}/{number}")
