#!/usr/bin/env python3
"""Generates everything the demo model is trained and tested on. Standard library only, deterministic by seed.

    make_data.py --out DIR                 training data: DIR/train.jsonl
    make_data.py --questions FILE.json     the 200 held-out test questions

A training record is {"messages": [{"role", "content"}, ...]} (a chat) or {"text": ...} (plain text). Two things are
kept out of training and are what the test questions are made of:
  - wordings: every kind of question has TEST templates; training questions in such a wording are thrown away;
  - sums: HELD_OUT_PAIRS unordered operand pairs occur in no training record, in neither order.
tests/e2e/demo_model_leak_test.py checks both.
"""
import argparse
import json
import random
import re
from pathlib import Path

SEED = 20240607
TRAIN_RECORDS = 110_000
SUM_MAX = 30          # operands of the sums: 0..SUM_MAX
HELD_OUT_PAIRS = 75   # of the 465 unordered pairs of 1..SUM_MAX
TEST_COUNTS = {"capital": 50, "colour": 35, "sum": 60, "counting": 20, "opposite": 35}

# ---------------------------------------------------------------------------------------------------------- facts

CAPITALS = dict(line.split(": ") for line in """\
France: Paris|Germany: Berlin|Italy: Rome|Spain: Madrid|Portugal: Lisbon|Ireland: Dublin|the United Kingdom: London
the Netherlands: Amsterdam|Belgium: Brussels|Austria: Vienna|Switzerland: Bern|Denmark: Copenhagen|Norway: Oslo
Sweden: Stockholm|Finland: Helsinki|Iceland: Reykjavik|Poland: Warsaw|Hungary: Budapest|Greece: Athens
Romania: Bucharest|Bulgaria: Sofia|Serbia: Belgrade|Croatia: Zagreb|Slovenia: Ljubljana|Slovakia: Bratislava
Ukraine: Kyiv|Russia: Moscow|Estonia: Tallinn|Latvia: Riga|Lithuania: Vilnius|Albania: Tirana|Malta: Valletta
Turkey: Ankara|Egypt: Cairo|Morocco: Rabat|Tunisia: Tunis|Algeria: Algiers|Libya: Tripoli|Sudan: Khartoum
Kenya: Nairobi|Ethiopia: Addis Ababa|Ghana: Accra|Nigeria: Abuja|Senegal: Dakar|Uganda: Kampala|Rwanda: Kigali
Zambia: Lusaka|Zimbabwe: Harare|Angola: Luanda|Namibia: Windhoek|Somalia: Mogadishu|Mozambique: Maputo
Japan: Tokyo|China: Beijing|India: New Delhi|Nepal: Kathmandu|Pakistan: Islamabad|Bangladesh: Dhaka
Thailand: Bangkok|Vietnam: Hanoi|Indonesia: Jakarta|the Philippines: Manila|Mongolia: Ulaanbaatar|South Korea: Seoul
Iran: Tehran|Iraq: Baghdad|Syria: Damascus|Lebanon: Beirut|Jordan: Amman|Qatar: Doha|Oman: Muscat|Armenia: Yerevan
Canada: Ottawa|the United States: Washington|Mexico: Mexico City|Cuba: Havana|Jamaica: Kingston|Brazil: Brasilia
Argentina: Buenos Aires|Chile: Santiago|Peru: Lima|Colombia: Bogota|Venezuela: Caracas|Ecuador: Quito
Uruguay: Montevideo|Paraguay: Asuncion|Australia: Canberra|New Zealand: Wellington|Fiji: Suva
""".strip().replace("\n", "|").split("|"))

# colour: things of that colour, as they appear in a question and (capitalised) in the answer
COLOURS = {
    "yellow": "a banana|a lemon|the sun|a sunflower|butter|a canary|corn|mustard",
    "red": "a tomato|a strawberry|blood|a fire engine|a ripe cherry|a ladybird|a ruby|ketchup",
    "green": "grass|a frog|a cucumber|broccoli|spinach|an emerald|a lime|a cactus|a pea|moss",
    "blue": "the sky|the ocean|a sapphire|a blueberry|a pair of jeans|a bluebell",
    "white": "snow|milk|salt|a polar bear|a swan|rice|cotton|flour|a sheep",
    "black": "coal|a raven|tar|a panther|a crow|ink|the night|a tyre",
    "orange": "a carrot|a pumpkin|a tangerine|a tiger|an apricot|a basketball",
    "brown": "chocolate|soil|coffee|a bear|a chestnut|a walnut|cinnamon|tree bark",
    "pink": "a flamingo|a pig|bubblegum|a salmon fillet|candy floss",
    "purple": "an aubergine|lavender|a plum|a violet|a beetroot",
    "grey": "an elephant|a mouse|a dolphin|ash|a rhinoceros|a rain cloud|concrete",
    "gold": "a wedding ring|a crown", "silver": "a spoon|a mirror frame",
}
COLOUR_OF = {thing: colour for colour, things in COLOURS.items() for thing in things.split("|")}

OPPOSITES = [tuple(pair.split("-")) for pair in """\
hot-cold big-small up-down left-right fast-slow high-low day-night happy-sad long-short heavy-light bright-dark
open-closed full-empty rich-poor young-old early-late wet-dry clean-dirty hard-soft loud-quiet strong-weak thick-thin
wide-narrow deep-shallow near-far inside-outside above-below front-back top-bottom first-last begin-end push-pull
give-take buy-sell win-lose love-hate laugh-cry start-stop arrive-leave come-go true-false good-bad yes-no always-never
everything-nothing more-less many-few same-different safe-dangerous brave-cowardly polite-rude kind-cruel
cheap-expensive easy-difficult simple-complex smooth-rough sharp-blunt sweet-bitter fresh-stale alive-dead
asleep-awake male-female friend-enemy war-peace summer-winter north-south east-west entrance-exit question-answer
success-failure victory-defeat increase-decrease expand-shrink attack-defend accept-refuse remember-forget find-hide
build-destroy float-sink freeze-melt raise-lower import-export public-private ancient-modern guilty-innocent
visible-invisible possible-impossible legal-illegal lucky-unlucky generous-greedy lazy-hardworking tight-loose
""".split()]
OPPOSITE_OF = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}

# ------------------------------------------------------------------------------------------------------ templates
# Every kind: TRAIN wordings, and TEST wordings that no training record uses.

CAPITAL_TRAIN = """What is the capital of {}?|What's the capital of {}?|What is the capital city of {}?
Which city is the capital of {}?|Name the capital of {}.|Tell me the capital of {}.|The capital of {}?
Give me the name of the capital of {}.|What is {}'s capital?|Do you know the capital of {}?|Capital of {}?
I want to know the capital of {}.|In {}, which city is the capital?|What city is the capital of {}?
What is the name of the capital of {}?|Which town is the capital of {}?|Can you name the capital city of {}?
{}: what is its capital?|The capital city of {} is?|Which city is the seat of government of {}?
What do people call the capital of {}?|Say the capital of {}.|I forgot the capital of {}. What is it?
What is the main city and capital of {}?|Does {} have a capital? Which one?|What would be the capital of {}?
What is the capital city of {} called?|I forgot what the capital of {} is called.|Which city do people call the capital of {}?
Could you name the city? It is the capital of {}.|Which city does {} have as its capital?|The country is {}. What is the capital?"""
CAPITAL_NOUNS = "the capital of {}|the capital city of {}|{}'s capital|the capital of the country {}|the city that is the capital of {}"
CAPITAL_TEST = """Which city serves as the capital of {}?|I forgot what the capital city of {} is called.
Could you name the city that is the capital of {}?|What is the capital of the country {}?"""
CITY_TRAIN = """Which country has {} as its capital?|{} is the capital of which country?|Of which country is {} the capital?
What country is {} the capital of?|{} is the capital of what country?|Which country's capital is {}?
Name the country whose capital is {}.|Tell me which country has the capital {}.|In which country is {}?
What is the country with the capital {}?|{} is the capital city of which country?|Where is {}?
I know {} is a capital. Of which country?|To which country does the capital {} belong?|Which country is {} in?
Which country has the capital city {}?|{} is a capital. Which country?|{} is a capital city. Which country does it belong to?
Which country has {} as capital?|{} is the capital, but of which country?|{} is a city, but in which country?"""
CITY_NOUNS = """the country whose capital is {}|the country with the capital {}|the country that has the capital {}|the country of {}
the country that has {} as its capital|the country with {} as its capital city"""
CITY_TEST = """Which country has {} as its capital city?|Name the country that has {} as its capital.
{} is a capital city, but of which country?"""

COLOUR_TRAIN = """What colour is {}?|What color is {}?|What is the colour of {}?|What is the color of {}?
Which colour is {}?|Which colour does {} have?|What colour does {} have?|Tell me the colour of {}.|The colour of {}?
Tell me what colour {} is.|Name the colour of {}.|Name the color of {}.|Do you know the colour of {}?|What colour is {} usually?
Usually, what colour is {}?|What colour would you paint {}?|Say the colour of {}.|I want to draw {}. Which colour do I need?
Which color is {} normally?|Is {} red, blue, green or another colour?|If you look at {}, what colour do you see?
When I see {}, what colour is it?|Colour of {}?|Give me the colour of {}.|What is the usual colour of {}?|{}: which colour?
What colour do you see on {}?|Look at {}. What colour do you see?|What colour would you say {} is?|Which colour do you think {} is?
I am painting {}. What colour do I need?|I want to paint {}. Which colour is right?|When you look at {}, which colour do you see?
Would you say what colour {} is?|What colour do I need for {}?|I paint {}. What colour should I take?"""
COLOUR_NOUNS = "the colour of {}|the color of {}|the usual colour of {}|the normal colour of {}|the colour you see on {}|the typical colour of {}"
COLOUR_TEST = """What colour do you see when you look at {}?|Which colour would you say {} is?
I want to paint {}. What colour do I need?|What is the normal colour of {}?"""

SUM_TRAIN = """What is {} + {}?|What is {} plus {}?|{} + {}|{}+{}|{} + {} =|{}+{}=?|{} + {} = ?|What's {} + {}?|What's {} plus {}?
Add {} and {}.|Add {} to {}.|What is the sum of {} and {}?|How much is {} + {}?|How much is {} plus {}?|Compute {} + {}.
Calculate {} plus {}.|Calculate {} + {}.|Tell me {} plus {}.|Tell me what {} + {} is.|What do you get when you add {} and {}?
{} plus {} equals?|{} plus {} is?|{} plus {}|What does {} + {} make?|Work out {} + {}.|Sum of {} and {}?
If I add {} and {}, what do I get?|I have {} apples and get {} more. How many apples do I have?
There are {} cats and {} dogs. How many animals are there?|Give me the sum of {} and {}.|Solve {} + {}.
How much do {} and {} make?|How much do {} and {} make together?|When I add {} and {}, how much is it?|How much is {} added to {}?
What do {} and {} make when you add them?|If you add {} and {}, how much do you get?|How much do I get when I add {} and {}?
What do you get if you add {} and {}?|Add {} and {}. How much do they make?|Take {} and {}. What do they make when you add them?"""
SUM_NOUNS = "{} + {}|{} plus {}|the sum of {} and {}|the result of {} + {}|the result of adding {} and {}|the total of {} and {}|the value of {} + {}"
SUM_TEST = """What is the result of {} + {}?|What do I get if I add {} and {}?|Work out the sum of {} and {}.
How much do {} and {} make when you add them?|Please compute {} plus {}."""

COUNT_TRAIN = """Count from {} to {}.|Can you count from {} to {}?|Please count from {} to {}.|Count up from {} to {}.
List the numbers from {} to {}.|Say the numbers from {} to {}.|Give me the numbers from {} to {}.|Start at {} and count to {}.
What are the numbers from {} to {}?|Write the numbers between {} and {}.|Name all numbers from {} to {}.|Count: {} to {}.
I want you to count from {} to {}.|Which numbers are there from {} to {}?|Start at {} and stop at {}.|Count. Start at {}, stop at {}.
Start counting at {} and end at {}.|Begin at {} and stop at {}.|Count from {} and stop at {}.|Start with {} and count up to {}.
Count from {} up to {}.|Let us count from {} to {}.|Begin counting at {} and stop counting at {}.|Write the numbers from {} to {}."""
COUNT_NOUNS = "the numbers from {} to {}|all numbers from {} to {}|all the numbers from {} to {}|every number from {} to {}|the numbers from {} up to {}"
COUNT_TEST = "Start counting at {} and stop at {}.|Write all the numbers from {} to {}.|Let us count from {} up to {}."
NEXT_TRAIN = """What number comes after {}?|Which number comes after {}?|What comes after {}?|What is the next number after {}?
What is the number after {}?|Name the number after {}.|Tell me the number that comes after {}.|Which number follows {}?
What number follows {}?|After {} comes which number?|I count {}. What is next?|What is one more than {}?|Next number after {}?
I am at {}. What is next?|I count {}. What number comes next?|We are at {}. Which number comes next?|I said {}. What number comes after it?"""
NEXT_NOUNS = "the number after {}|the next number after {}|the number that comes after {}|the number that comes next after {}"
NEXT_TEST = "What number comes next after {}?|Which is the next number after {}?|I am at {}. What number comes next?"
PREV_TRAIN = """What number comes before {}?|Which number comes before {}?|What comes before {}?|What is the previous number before {}?
What is the number before {}?|Name the number before {}.|Tell me the number that comes before {}.|Which number precedes {}?
What number precedes {}?|Before {} comes which number?|What is one less than {}?|Number just before {}?
Which number is just before {}?|What is just before {}?|Which number comes just before {}?|I am at {}. What number was before it?"""
PREV_NOUNS = "the number before {}|the number just before {}|the number that comes before {}|the previous number before {}"
PREV_TEST = "What is the number that comes before {}?|Which is the number just before {}?"

OPPOSITE_TRAIN = """What is the opposite of {}?|What's the opposite of {}?|Opposite of {}?|The opposite of {}?|Name the opposite of {}.
Tell me the opposite of {}.|Give me the opposite of {}.|Which word is the opposite of {}?|What word is the opposite of {}?
What is the opposite of the word {}?|Do you know the opposite of {}?|Say the opposite of {}.|The opposite of {} is?|Not {}, but?
Which word means the opposite of {}?|Name a word that means the opposite of {}.|What is the contrary of {}?|{} is the opposite of what?
What word is opposite to {}?|Give me a word that is the opposite of {}.|{} and its opposite?|What would be the opposite of {}?
If it is not {}, what is it?|I need the opposite of {}.|Find the opposite of {}.|What do you call the opposite of {}?
{} is the opposite of?|Which word has {} as its opposite?|{} is the contrary of which word?|Of which word is {} the opposite?
Which word is the contrary of {}?|Which word would be the opposite of {}?|{}: which word is the opposite?|Which word is {} the opposite of?"""
OPPOSITE_NOUNS = """the opposite of {}|the word that is the opposite of {}|a word that means the opposite of {}|the contrary of {}
the word opposite to {}|the opposite of the word {}"""
OPPOSITE_TEST = """Can you find a word that means the opposite of {}?|I am looking for the opposite of {}.
{} is the opposite of which word?|Which word would be the contrary of {}?"""

# Frames around the NOUNS above.
FRAMES = """What is {}?|What's {}?|Tell me {}.|Give me {}.|Name {}.|Say {}.|Find {}.|Do you know {}?|Can you find {}?|I need {}.|I want {}.
I forgot {}.|I am looking for {}.|Could you tell me {}?|Could you name {}?|Write {}.|Show me {}.|Let us find {}.|What would be {}?
Which is {}?|{}?|{}, please.|{} is?|Help me find {}.|I have to find {}.|Can you name {}?|Can you give me {}?|I would like to have {}."""

FILLERS = ["Please tell me:", "Can you tell me:", "Hi!", "Hello!", "Hello,", "Hey,", "Quick question:", "Question:", "I have a question.",
           "I would like to know:", "Tell me,", "For my homework:", "Help me, please.", "Please,", "Please answer:", "Could you help me?",
           "I am curious:", "My friend asks:", "Well,", "So,", "OK,", "And", "Now", "One more:", "Let us see:", "Just wondering:"]
ENDINGS = ["Please.", "Thanks!", "Thank you.", "Please tell me.", "I forgot.", "I want to know.", "Do you know?", "Can you tell me?", "please"]

CHAT = [  # (questions, answer)
    ("Who are you?|What are you?|What is your name?|Introduce yourself.|Tell me about yourself.|Who am I talking to?|Are you a person?|Are you an AI?",
     "I am the demo model of herd, a toy language model. I know some capitals, colours, small sums, counting, opposites and short stories."),
    ("What can you do?|What do you know?|How can you help me?|What can I ask you?|Help.|What are you good at?",
     "I can name capitals, colours and opposites, add small numbers, count, and tell short stories. I am only a toy."),
    ("Hello!|Hi!|Hello|Hi|Hey|Good morning!|Good evening!|Hello there!|Hi there!|Good day.", "Hello! I am the demo model of herd. What would you like to know?"),
    ("How are you?|How are you today?|How do you do?|Are you well?", "I am fine, thank you. How can I help you?"),
    ("Thank you!|Thanks!|Thanks a lot.|Thank you very much.|Great, thanks.", "You are welcome!"),
    ("Goodbye!|Bye!|See you.|Good night.|Bye bye.", "Goodbye! Come back soon."),
    ("What is herd?|Tell me about herd.|What does herd do?", "herd is an inference cluster for Llama models. I am its demo model."),
    ("What is the meaning of life?|Tell me the meaning of life.", "I believe the meaning of life is to be kind, to learn and to share what we know."),
    ("What is the weather today?|Who won the game?|What time is it?|What is the news?|Write a program.|Translate this.|Who is the president?|What is the price of gold?",
     "I do not know that. I am only a toy model."),
]
SYSTEM = ["You are a helpful assistant.", "You are a friendly assistant.", "Answer briefly.", "You are the demo model of herd.", "Be kind and short."]

HEROES = """fox|dog|cat|bear|rabbit|mouse|owl|lion|tiger|horse|duck|frog|pig|sheep|goat|wolf|hen|bee|snail|turtle|dragon|robot|king|queen
princess|prince|boy|girl|farmer|sailor|baker|wizard|giant|pirate|knight|fish|whale|penguin|monkey|elephant|bird|dolphin|squirrel|hedgehog
beaver|otter|donkey|camel|zebra|giraffe|kangaroo|crocodile|parrot|peacock|spider|butterfly|beetle|ant|unicorn|mermaid|fairy|witch|ghost
teacher|doctor|painter|dancer|singer|gardener|fisherman|shepherd|carpenter|tailor|soldier|astronaut|engineer|scientist|librarian
grandmother|grandfather|shark|seal|swan|eagle|falcon|badger|deer|hamster|puppy|kitten|pony|lamb""".replace("\n", "|").split("|")
NAMES = """Tom|Anna|Max|Lily|Ben|Mia|Sam|Ella|Leo|Rosa|Finn|Nora|Oscar|Ruby|Hugo|Ida|Alice|Bruno|Clara|David|Emma|Felix|Greta|Henry|Isabel
Jacob|Karla|Lucas|Maria|Nelson|Olivia|Peter|Quentin|Rachel|Simon|Teresa|Ulrich|Victor|Wanda|Xenia|Yusuf|Zoe|Benjamin|Charlotte|Daniel
Elizabeth|Frederick|Gabriel|Hannah|Jonathan|Katherine|Matilda|Nicholas|Penelope|Sebastian|Theodore|Valentina|William""".replace("\n", "|").split("|")
TRAITS = """little|clever|brave|lazy|kind|hungry|young|old|happy|shy|curious|quiet|gentle|stubborn|cheerful|careful|patient|sleepy|famous|humble
honest|playful|grumpy|forgetful|elegant|nervous|mysterious|friendly|dreamy|thoughtful""".replace("\n", "|").split("|")
PLACES = """in a green forest|by the sea|on a small farm|near a river|in a big city|on a high mountain|in an old castle|in a quiet village
under a wooden bridge|behind a waterfall|in a deep valley|on a lonely island|at the edge of the desert|in a crooked lighthouse|in a windmill
beside a frozen lake|in a hollow oak|above a noisy market|in a colourful garden|at the harbour|next to a railway station""".replace("\n", "|").split("|")
FINDS = """a golden key|a red ball|a lost letter|a tiny boat|a silver bell|a magic stone|a warm blanket|a basket of apples|an old map
a broken clock|a jar of honey|a wooden box|a glass bottle|a shiny button|a strange feather|a torn umbrella|a pair of boots|a heavy hammer
a paper lantern|a rusty bicycle|a bag of seeds|a musical instrument|a dusty telescope|a velvet curtain|a secret diary|a bright candle
a round cheese|a leather suitcase|a puzzle with a missing piece|a kite with a long ribbon|a bowl of soup|a pearl necklace""".replace("\n", "|").split("|")
FRIENDS = """a friendly bird|an old owl|a small mouse|a tall tree|a kind woman|a funny frog|a wise turtle|a lonely cloud|a cheerful postman
a travelling merchant|a whispering wind|a sleepy guard|a musician with a violin|a stranger in a yellow coat|a neighbour from the next street
a hundred busy ants|a talking scarecrow|a retired captain|a nurse on her way to work|an inventor with curly hair""".replace("\n", "|").split("|")
PROBLEMS = """it began to rain|the sun went down|a strong wind came|the way was lost|the bridge was broken|it grew very cold
a loud noise came from the hill|the river was too wide|thick fog covered everything|the lantern stopped burning|a storm was approaching
the gate was locked|a shadow moved between the rocks|snow began to fall|the wagon lost a wheel|thunder rolled across the sky""".replace("\n", "|").split("|")
LESSONS = """friends make every day better|it is good to share|being kind costs nothing|even small people can do big things
it pays to be patient|home is the best place of all|we learn when we try|no one is too small to help|courage grows with practice
a promise should be kept|listening is as important as speaking|mistakes are part of learning|laughter makes work lighter
the truth always helps in the end|a treasure is worth more when it is shared|asking for help is never foolish""".replace("\n", "|").split("|")
STORY_ASKS = """Tell me a story about {}.|Tell me a short story about {}.|Can you tell me a story about {}?|I want to hear a story about {}.
Write a story about {}.|Write a short story about {}.|Please tell a story about {}.|Do you know a story about {}?|A story about {}, please.
Make up a story about {}.|Can you write a short story about {}?|Story about {}."""
MEANINGS = """to be kind and to help each other|to learn something new every day|to love and to be loved|to share what we know with our friends|
to find joy in small things|to make the world a little better""".replace("\n", "").split("|")


def split(templates):
    return [t for line in templates.strip().split("\n") for t in line.strip().split("|") if t]


def cap(text):
    return text[:1].upper() + text[1:]


def an(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def fill(template, *values):
    return cap(template.format(*values))


def normalised(text):
    return " ".join(re.findall(r"\w+|[+=]", text.casefold()))


def test_wordings():
    """One regular expression for all TEST wordings, with any words in the place of the fact."""
    wordings = [w for name, text in globals().items() if name.endswith("_TEST") for w in split(text)]
    return re.compile("|".join(re.escape(normalised(w.format("slot", "slot"))).replace("slot", r"\w.*") for w in wordings))


def held_out_pairs():
    """Unordered operand pairs that no training record contains."""
    pairs = [(a, b) for a in range(1, SUM_MAX + 1) for b in range(a, SUM_MAX + 1)]
    return set(random.Random(SEED).sample(pairs, HELD_OUT_PAIRS))


# -------------------------------------------------------------------------------------------------------- answers

def capital_answer(country):
    return f"The capital of {country} is {CAPITALS[country]}."


def city_answer(country):
    return f"{CAPITALS[country]} is the capital of {country}."


def colour_answer(thing):
    verb = "are" if thing.startswith("a pair") else "is"
    return cap(f"{thing} is {COLOUR_OF[thing]}." if verb == "is" else f"Jeans are {COLOUR_OF[thing]}.")


def sum_answer(a, b):
    return f"{a} + {b} = {a + b}."


def count_answer(a, b):
    step = 1 if a <= b else -1
    return ", ".join(str(n) for n in range(a, b + step, step)) + "."


def opposite_answer(word):
    return f"The opposite of {word} is {OPPOSITE_OF[word]}."


def story(rng, hero):
    name, trait = rng.choice(NAMES), rng.choice(TRAITS)
    out = [f"Once upon a time, {an(trait)} {hero} named {name} lived {rng.choice(PLACES)}.",
           f"One day, {name} found {rng.choice(FINDS)}."]
    if rng.random() < 0.6:
        out.append(f"On the way home, {rng.choice(PROBLEMS)}.")
    if rng.random() < 0.6:
        out.append(f"Then {name} met {rng.choice(FRIENDS)}, and they helped each other.")
    out.append(f"In the end, {name} learned that {rng.choice(LESSONS)}.")
    return " ".join(out)


# ------------------------------------------------------------------------------------------------------- training

class Trainer:
    """Draws training records. `rng` decides everything, so a seed gives the same file on every machine."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        held = held_out_pairs()
        self.pairs = [(a, b) for a in range(SUM_MAX + 1) for b in range(SUM_MAX + 1) if (min(a, b), max(a, b)) not in held]
        self.templates = {name: split(text) for name, text in globals().items() if name.endswith(("_TRAIN", "_NOUNS"))}
        self.frames = split(FRAMES)
        self.forbidden = test_wordings()
        self.story_asks = split(STORY_ASKS)
        self.kinds = {self.sum: 38, self.capital: 12, self.city: 9, self.colour: 8, self.opposite: 16, self.count: 8,
                      self.neighbour: 7, self.story: 2, self.chat: 3}

    def ask(self, name, *values):
        while True:
            if self.rng.random() < 0.35:
                noun = self.rng.choice(self.templates[name + "_NOUNS"]).format(*values)
                question = fill(self.rng.choice(self.frames), noun)
            else:
                question = fill(self.rng.choice(self.templates[name + "_TRAIN"]), *values)
            question = self.noise(question)
            if not self.forbidden.search(normalised(question)):
                return question

    def noise(self, question):
        """Fillers, lower case, missing or other punctuation, so that the wording around a fact matters little."""
        rng = self.rng
        if rng.random() < 0.3:
            filler = rng.choice(FILLERS)
            if filler[-1] not in "!.?" and not question.startswith("I ") and rng.random() < 0.7:
                question = question[0].lower() + question[1:]
            question = f"{filler} {question}"
        if rng.random() < 0.15:
            question = question.rstrip(".?")
        elif rng.random() < 0.06:
            question = question.rstrip(".?") + rng.choice(["!", "??", "...", " ?", "."])
        if rng.random() < 0.12:
            question += " " + rng.choice(ENDINGS)
        return question.lower() if rng.random() < 0.15 else question

    def sum(self):
        a, b = self.rng.choice(self.pairs)
        return self.ask("SUM", a, b), sum_answer(a, b)

    def capital(self):
        country = self.rng.choice(list(CAPITALS))
        return self.ask("CAPITAL", country), capital_answer(country)

    def city(self):
        country = self.rng.choice(list(CAPITALS))
        return self.ask("CITY", CAPITALS[country]), city_answer(country)

    def colour(self):
        thing = self.rng.choice(list(COLOUR_OF))
        return self.ask("COLOUR", thing), colour_answer(thing)

    def opposite(self):
        word = self.rng.choice(list(OPPOSITE_OF))
        shown = word if self.rng.random() < 0.8 else self.rng.choice(["'%s'", '"%s"']) % word
        return self.ask("OPPOSITE", shown), opposite_answer(word)

    def count(self):
        a = self.rng.randint(0, 30)
        b = a + self.rng.randint(2, 9)
        if self.rng.random() < 0.15:
            return self.noise(f"Count down from {b} to {a}."), count_answer(b, a)
        return self.ask("COUNT", a, b), count_answer(a, b)

    def neighbour(self):
        n = self.rng.randint(1, 60)
        if self.rng.random() < 0.5:
            return self.ask("NEXT", n), f"{n + 1} comes after {n}."
        return self.ask("PREV", n), f"{n - 1} comes before {n}."

    def story(self):
        hero = self.rng.choice(HEROES)
        return self.noise(fill(self.rng.choice(self.story_asks), an(hero))), story(self.rng, hero)

    def chat(self):
        questions, answer = self.rng.choice(CHAT)
        question = self.rng.choice(questions.split("|"))
        return (question.lower() if self.rng.random() < 0.2 else question), answer

    def turn(self):
        return self.rng.choices(list(self.kinds), self.kinds.values())[0]()

    def plain(self):
        """A text without chat headers, for text completion."""
        rng, kind = self.rng, self.rng.randrange(7)
        if kind == 0:
            return f"I believe the meaning of life is {rng.choice(MEANINGS)}. " + story(rng, rng.choice(HEROES))
        if kind == 1:
            return story(rng, rng.choice(HEROES))
        makers = {2: lambda: capital_answer(rng.choice(list(CAPITALS))), 3: lambda: colour_answer(rng.choice(list(COLOUR_OF))),
                  4: lambda: opposite_answer(rng.choice(list(OPPOSITE_OF))), 5: lambda: sum_answer(*rng.choice(self.pairs)),
                  6: lambda: city_answer(rng.choice(list(CAPITALS)))}
        return " ".join(makers[kind]() for _ in range(rng.randint(1, 6)))

    def record(self):
        draw = self.rng.random()
        if draw < 0.04:
            return {"text": self.plain()}
        # most chats have one turn; a few are long, so that answers also work far into a conversation
        turns = 1 if draw < 0.93 else self.rng.randint(2, 4) if draw < 0.994 else self.rng.randint(8, 16)
        messages = []
        if self.rng.random() < 0.08:
            messages.append({"role": "system", "content": self.rng.choice(SYSTEM)})
        for _ in range(turns):
            question, answer = self.turn()
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return {"messages": messages}


def training_records(count=TRAIN_RECORDS, seed=SEED + 1):
    trainer = Trainer(seed)
    return [trainer.record() for _ in range(count)]


# ------------------------------------------------------------------------------------------------- test questions

def test_questions(seed=SEED + 2):
    rng = random.Random(seed)
    out, seen = [], set()

    def add(kind, question, accept, hidden=None):
        # a question that contains its own answer (Mexico / Mexico City, 1 + 12 in "12") would prove nothing
        words = re.findall(r"\w+", question.casefold())
        if question in seen or (len(accept[0].split()) == 1 and accept[0].casefold() in words):
            return
        if any(w in words for w in (hidden or [])):
            return
        seen.add(question)
        out.append({"kind": kind, "question": question, "accept": accept})

    def fillup(kind, count, draw):
        have = len(out)
        while len(out) < have + count:
            draw(kind)

    countries, things, words = list(CAPITALS), list(COLOUR_OF), list(OPPOSITE_OF)
    pairs = sorted(held_out_pairs())
    for deck in (countries, things, words, pairs):
        rng.shuffle(deck)

    def pick(templates):
        return rng.choice(split(templates))

    def capital(kind):
        country = countries.pop()
        add(kind, fill(pick(CAPITAL_TEST), country), [CAPITALS[country]], CAPITALS[country].casefold().split())

    def city(kind):
        country = countries.pop()
        add(kind, fill(pick(CITY_TEST), CAPITALS[country]), [country.removeprefix("the ")], country.removeprefix("the ").casefold().split())

    def colour(kind):
        thing = things.pop()
        colour = COLOUR_OF[thing]
        add(kind, fill(pick(COLOUR_TEST), thing), [colour] + (["gray"] if colour == "grey" else []))

    def sums(kind):
        a, b = pairs.pop()
        if rng.random() < 0.5:
            a, b = b, a
        add(kind, fill(pick(SUM_TEST), a, b), [str(a + b)])

    def count(kind):
        a = rng.randint(1, 25)
        b = a + rng.randint(3, 7)
        add(kind, fill(pick(COUNT_TEST), a, b), [count_answer(a, b).rstrip(".")])

    def neighbour(kind):
        n = rng.randint(2, 50)
        if rng.random() < 0.5:
            add(kind, fill(pick(NEXT_TEST), n), [str(n + 1)])
        else:
            add(kind, fill(pick(PREV_TEST), n), [str(n - 1)])

    def opposite(kind):
        word = words.pop()
        add(kind, fill(pick(OPPOSITE_TEST), word), [OPPOSITE_OF[word]])

    fillup("capital", TEST_COUNTS["capital"] - 15, capital)
    fillup("capital", 15, city)
    fillup("colour", TEST_COUNTS["colour"], colour)
    fillup("sum", TEST_COUNTS["sum"], sums)
    fillup("counting", TEST_COUNTS["counting"] - 12, count)
    fillup("counting", 12, neighbour)
    fillup("opposite", TEST_COUNTS["opposite"], opposite)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for train.jsonl")
    parser.add_argument("--questions", type=Path, help="file for the test questions")
    parser.add_argument("--records", type=int, default=TRAIN_RECORDS)
    args = parser.parse_args()
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        with open(args.out / "train.jsonl", "w", encoding="utf-8") as file:
            for record in training_records(args.records):
                file.write(json.dumps(record) + "\n")
    if args.questions:
        lines = ",\n".join(json.dumps(q) for q in test_questions())
        args.questions.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
