"""What the official caption evaluation makes of captions before CIDEr counts their words.

Writes packages/metrics/test/fixtures/caption-tokens.json: 3,000 captions made here by rule, and their words. They are made from
other words, names and signs, and with another seed, than those of `--development FILE`, which writes 3,000 to look at while
working on our tokeniser; the fixture is for measuring only.

The words come from running the tokeniser of Stanford CoreNLP (GPL) as pycocoevalcap runs it, then dropping the 17 signs that
pycocoevalcap drops. CoreNLP is only executed: nothing of it is in this repository, and our tokeniser was written from what it
answers. JAR is stanford-corenlp-3.4.1.jar of pycocoevalcap, or, as in the run recorded in the fixture, the class PTBTokenizer
compiled with the lexer of the day of that release (27 August 2014, stanfordnlp/CoreNLP as kept in automenta/corenlp@ce306c84e).

    python tooling/oracles/caption_tokens.py JAR [--development FILE]        (needs java)
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

OUT = pathlib.Path(__file__).parents[2] / "packages/metrics/test/fixtures/caption-tokens.json"
COUNT = 3000
# https://github.com/salaniz/pycocoevalcap, tokenizer/ptbtokenizer.py
DROPPED = {"''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"}

PARTS = {
    "development": dict(
        seed=101,
        noun="man woman dog cat bench kitchen street train bus pizza skateboard umbrella giraffe clock laptop vase".split(),
        people="men women dogs cats children players riders birds".split(),
        adjective="red old wooden large small black snowy busy well-lit two-story long-haired half-eaten brightly-colored".split(),
        verb="sits stands runs rides looks jumps waits sleeps".split(),
        name="John Mary O'Brien James McDonald's Coca-Cola Wendy's Boston Thomas AT&T".split(),
        where=["in the U.S.", "at 5:30 p.m.", "near St. Louis", "on Main St.", "in Washington, D.C.", "on 5th Ave.", "at 10:00am", "around 7 a.m."],
        sign=["STOP", "No Parking", "Don't Walk", "50% off", "Open 24/7", "Exit 12-B", "Welcome!", "25 mph", "Sale: $5.99", "#1 Dad"],
        amount=["3", "1,000", "2.5", "1/2", "12-inch", "50%", "$20", "$4.50", "1st", "4x4", "3/4", "10ft", "1970s", "'90s"],
        short=["don't", "it's", "there's", "isn't", "can't", "they're", "he'll", "I'm", "we've", "didn't", "who's", "that's", "cannot", "gonna"],
        mark=["&", "w/", "and/or", "black/white", "--", "...", " - ", ":", ";", "..", "!!", "?!", "/", "+", "@", "#", "=", "*", "~"],
        foreign=["café", "naïve", "jalapeño", "São", "façade"],
    ),
    "held out": dict(
        seed=202,
        noun="boy girl horse elephant table bathroom beach airplane truck sandwich surfboard kite zebra tower phone bowl mirror fence".split(),
        people="boys girls horses sheep skiers tourists friends planes".split(),
        adjective="blue young metal huge tiny white grassy crowded dimly-lit three-tiered short-sleeved freshly-baked multi-colored".split(),
        verb="lies walks flies plays eats leans poses surfs".split(),
        name="Peter Anna O'Neil Charles Wendy's Dunkin' Pepsi-Cola Macy's Chicago Jones B&O Levi's".split(),
        where=["in the U.K.", "at 6:45 a.m.", "near Mt. Rainier", "on Elm St.", "in Portland, OR", "on Park Blvd.", "at 9:15pm", "around 11 p.m.", "in N.Y."],
        sign=["YIELD", "Do Not Enter", "Can't Stop", "30% off", "Open 9-5", "Gate 4-A", "Thanks!", "55 mph", "Only: $3.49", "#2 Pencil"],
        amount=["7", "2,500", "6.5", "1/4", "9-foot", "75%", "$15", "$8.25", "2nd", "2x4", "2/3", "6ft", "1980s", "'80s", "1,234,567", "3-4"],
        short=["doesn't", "he's", "here's", "wasn't", "won't", "you're", "she'll", "I've", "we'd", "couldn't", "what's", "let's", "aren't", "wanna", "I'd"],
        mark=["&", "w/", "and/or", "red/blue", "--", "...", " - ", ":", ";", "....", "!!!", "??", "/", "+", "@", "#", "=", "*", "_"],
        foreign=["crème", "piñata", "Zürich", "brûlée", "déjà"],
    ),
}


def caption(rng, w):
    pick = lambda key: rng.choice(w[key])
    a = lambda: f"a {pick('adjective')} {pick('noun')}" if rng.random() < 0.6 else f"a {pick('noun')}"
    kinds = [
        lambda: f"{a()} {pick('verb')} next to {a()}",
        lambda: f"{a()}, {a()}, and {a()} on a {pick('noun')}",
        lambda: f"two {pick('people')} and {a()} with a {pick('adjective')} {pick('noun')}",
        lambda: f"{pick('short')} {a()} with {pick('amount')} {pick('people')}",
        lambda: f"the {pick('noun')}'s {pick('noun')} {pick('verb')} by the {pick('people')}' {pick('noun')}",
        lambda: f"{pick('name')} {pick('verb')} {pick('where')}",
        lambda: f"{a()} {pick('verb')} {pick('where')} and {pick('short')} {pick('adjective')}",
        lambda: f'a sign that says {rng.choice(QUOTES).format(pick("sign"))} on {a()}',
        lambda: f"{pick('amount')} {pick('people')} ({a()}) {pick('verb')}",
        lambda: f"{a()} {pick('mark')} {a()}",
        lambda: f"{a()}{pick('mark')}{a()}",
        lambda: f"{pick('name')}'s {pick('foreign')} {pick('noun')}: {pick('amount')} {pick('people')}",
        lambda: f"this is {a()}.{rng.choice(['', ' ', '  '])}it {pick('verb')} {pick('where')}",
        lambda: f"{pick('sign')} {pick('sign')} {a()}",
        lambda: f"{pick('noun')},{pick('noun')} and {pick('noun')}{rng.choice([' .', '..', '...', ' ,', '!', '?'])}",
        lambda: f"what {pick('short')} {a()} doing {pick('where')}?",
    ]  # fmt: skip
    # The first three kinds, plain sentences, are half of all, as they are more than half of real captions.
    text = rng.choice(kinds[:3])() if rng.random() < 0.5 else rng.choice(kinds)()
    text = rng.choice([str.capitalize, str.capitalize, str, str.upper])(text) if rng.random() < 0.7 else text[:1].upper() + text[1:]
    return text + rng.choice([".", ".", ".", "", "", " .", "!", ". "])


QUOTES = ['"{}"', "'{}'", "“{}”", "{}", "``{}''", '"{}."', "‘{}’", '"{},"']


def captions(part):
    w = PARTS[part]
    rng = random.Random(w["seed"])
    found = {}
    while len(found) < COUNT:
        found[caption(rng, w)] = None
    return list(found)


def words(jar, texts):
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(texts))
        file.flush()
        command = ["java", "-Dfile.encoding=UTF-8", "-cp", jar, "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", file.name]
        lines = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\n")
    assert len(lines) >= len(texts), (len(lines), len(texts))
    return [" ".join(t for t in line.rstrip().split(" ") if t not in DROPPED) for line in lines[: len(texts)]]


def main(jar, development=None):
    part = "development" if development else "held out"
    texts = captions(part)
    pairs = list(zip(texts, words(jar, texts)))
    fixture = dict(script="tooling/oracles/caption_tokens.py", seed=PARTS[part]["seed"],
                   tokeniser="Stanford CoreNLP, PTBTokenizer of 2014-08-27 (3.4.1), -preserveLines -lowerCase", captions=pairs)  # fmt: skip
    text = json.dumps(fixture, ensure_ascii=False, indent=0).replace("[\n", "[").replace("\n]", "]").replace('",\n"', '", "')
    pathlib.Path(development or OUT).write_text(text + "\n", encoding="utf-8")
    print(len(pairs), "captions of", part)


main(sys.argv[1], *(sys.argv[3:4] if len(sys.argv) > 2 else []))
