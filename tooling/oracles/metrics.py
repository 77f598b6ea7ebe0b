"""What the official evaluations say about crafted and random cases.

Writes packages/metrics/test/fixtures/texts.json, captions.json and coco.json. Functions are taken out of the official files as
they are; their sources are not part of this repository. Give the folder that holds them:

    vqav2.py vqa.py chartqa.py tallyqa.py segmentation.py
                      google-research/big_vision@0127fb6, big_vision/evaluators/proj/paligemma/transfers
    cider_scorer.py   salaniz/pycocoevalcap@ad63453, cider
    donut_util.py     clovaai/donut@4cfcf97, donut/util.py

    python tooling/oracles/metrics.py FOLDER        (needs numpy, Pillow and pycocotools 2.0.11)
"""

import ast
import contextlib
import importlib.metadata
import io
import json
import pathlib
import random
import re
import sys
from typing import Any, Dict, List, Union

import numpy as np
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

OUT = pathlib.Path(__file__).parents[2] / "packages/metrics/test/fixtures"
SEED = 23


def official(folder, file, *names):
    """The named functions, classes and constants of a file, without running the rest of it."""
    tree = ast.parse((pathlib.Path(folder) / file).read_text())
    wanted = [n for n in tree.body if getattr(n, "name", None) in names or (isinstance(n, ast.Assign) and n.targets[0].id in names)]
    scope = dict(np=np, re=re, editdistance=EditDistance, math=__import__("math"), copy=__import__("copy"),
                 defaultdict=__import__("collections").defaultdict, Any=Any, Dict=Dict, List=List, Union=Union)  # fmt: skip
    exec(compile(ast.Module(wanted, []), file, "exec"), scope)
    return [scope[name] for name in names]


class EditDistance:
    """Stands in for the editdistance package: Wagner and Fischer's recurrence over the full table."""

    @staticmethod
    def eval(a, b):
        table = np.arange(len(b) + 1)
        for i, x in enumerate(a, 1):
            row = [i]
            for j, y in enumerate(b, 1):
                row.append(min(row[-1] + 1, int(table[j]) + 1, int(table[j - 1]) + (x != y)))
            table = row
        return int(table[-1])


def texts(folder, rng):
    strip, process, table, punctuation = official(folder, "vqav2.py", "stripspace_vqav2", "postprocess_vqav2_text", "REPLACEMENTS", "PUNCT")
    process.__globals__.update(PUNCT=punctuation, ARTICLES={"a", "an", "the"}, REPLACEMENTS=table)
    (anls,) = official(folder, "vqa.py", "anls_metric")
    to_float, relaxed = official(folder, "chartqa.py", "_to_float", "_relaxed_match")
    relaxed.__globals__["_to_float"] = to_float
    (numerals, word) = official(folder, "tallyqa.py", "REPLACEMENTS", "_number_word_to_numeral")
    word.__globals__["REPLACEMENTS"] = numerals

    strings = list(table) + [w.upper() for w in list(table)[:20]] + [
        "", " ", "The cat.", "a an the", "yes, it is", "1,000", "1,000 (about)", "U.S.A.", "3.5", "v1. 2", "don't", "dont", "red/white",
        "red / white", "T-shirt", "t - shirt", "one two ten eleven", "None", "what?!", "a;b", "é,è", "١,٢", "x\u00a0y", "x\x1cy", "`hi`", "5 o'clock",
        "@home", "<b>", "a\\b", "under_score", "İstanbul", "ΑΣ", "\tnew\nline ", "12:30pm", "$5.00", "50%", "the.", ".5", "5.", "...", "A", "4th",
    ]  # fmt: skip
    alphabet = ["a", "the", "cat", "two", "10", "1,5", "dont", ".", ",", "-", "?", "!", "/", " ", "  ", "isnt", "An", ".5", "'", '"', "_", "ten."]
    strings += ["".join(rng.choice(alphabet) for _ in range(rng.randrange(8))) for _ in range(300)]
    normalised = [[s, process(s)] for s in dict.fromkeys(strings)]

    def vqa(prediction, answers):
        prediction, answers = strip(prediction), [strip(a) for a in answers]
        if len(set(answers)) > 1:
            prediction, answers = process(prediction), [process(a) for a in answers]
        matches = prediction == np.array(answers)
        return float(np.mean([np.clip(np.sum(np.delete(matches, i)) / 3, 0, 1) for i in range(10)]))

    pool = ["yes", "no", "Yes.", "2", "two", "the two", "red", "red.", "dont", "don't", "a cat", "cat\n", " cat", "1,000", "1000"]
    questions = []
    for _ in range(250):
        near = rng.sample(pool, rng.randrange(1, 6))
        answers = [rng.choice(near) for _ in range(10)]
        prediction = rng.choice(near + pool)
        questions.append(dict(prediction=prediction, answers=answers, accuracy=vqa(prediction, answers)))

    words = ["", "a", "ab", "abc", "hello", "helo", "HELLO", "hello world", "1234", "12345678", "é", "e\u0301", "👩‍🚀", "👩", "x" * 30, "x" * 15, "x" * 29]
    distances = []
    for _ in range(250):
        target = rng.choice(words) + rng.choice(["", "", "!", " b"])
        prediction = rng.choice([target, target[:-1], target + "x", target[::-1], rng.choice(words)])
        distances.append([target, prediction, EditDistance.eval(target, prediction), anls(target, prediction), anls(target.lower(), prediction.lower())])

    numbers = ["12", "12%", "0.12", "12.6", "12.61", "0", "0.0", "", "abc", " 12 ", "1e1", "1_0", "1__0", "inf", "-inf", "nan", "+12", "-12", "12.", ".12",
               "12%%", "%", "1,200", "1200", "11.4", "11.39", "e5", "0x10", "INFINITY", "12 %", "100%", "1"]  # fmt: skip
    charts = [[t, p, bool(relaxed(t, p))] for t in numbers for p in numbers]
    counts = [[a, word(a)] for a in ["none", "None", "zero", "ONE", "twenty", "twenty-one", "3", "twelve ", "ten", "Eleven", ""]]
    return dict(normalised=normalised, questions=questions, distances=distances, charts=charts, counts=counts)


def fields(folder, rng):
    """Donut's evaluator has methods; they are taken out as functions of a stand-in object."""
    tree = ast.parse((pathlib.Path(folder) / "donut_util.py").read_text())
    evaluator = next(n for n in tree.body if getattr(n, "name", "") == "JSONParseEvaluator")
    evaluator.body = [n for n in evaluator.body if getattr(n, "name", "") in ("flatten", "normalize_dict", "cal_f1")]
    scope = dict(Any=Any, Dict=Dict, List=List, Union=Union)
    exec(compile(ast.Module([evaluator], []), "donut_util.py", "exec"), scope)
    f1 = scope["JSONParseEvaluator"]().cal_f1

    def value(depth):
        kind = rng.randrange(8 if depth < 3 else 3)
        if kind < 3:
            return rng.choice(["a", "b", " a ", "", "5.00", 7, 0])
        if kind < 6:
            return {rng.choice("abcd"): value(depth + 1) for _ in range(rng.randrange(4))}
        return [value(depth + 1) for _ in range(rng.randrange(4))]

    def changed(v):
        if isinstance(v, dict):
            return {k: changed(x) for k, x in v.items() if rng.random() < 0.85}
        if isinstance(v, list):
            return [changed(x) for x in v if rng.random() < 0.85]
        return v if rng.random() < 0.8 else rng.choice(["a", "b", 7])

    cases = []
    while len(cases) < 120:
        truths = [{k: value(0) for k in "abc"} for _ in range(rng.randrange(1, 4))]
        predictions = [changed(t) for t in truths]
        with contextlib.suppress(ZeroDivisionError):
            cases.append(dict(predictions=predictions, truths=truths, f1=f1(predictions, truths)))
    return cases


def captions(folder, rng):
    (scorer,) = official(folder, "cider_scorer.py", "CiderScorer")
    scorer.compute_cider.__globals__.update(dict(zip(["precook", "cook_refs", "cook_test"], official(folder, "cider_scorer.py", "precook", "cook_refs", "cook_test"))))
    scorer.compute_cider.__globals__["cook_refs"].__globals__["precook"] = scorer.compute_cider.__globals__["precook"]
    scorer.compute_cider.__globals__["cook_test"].__globals__["precook"] = scorer.compute_cider.__globals__["precook"]
    words = ["a", "man", "dog", "red", "on", "the", "street", "with", "hat", "and", "runs", "two"]
    corpora = []
    for images in (1, 2, 7, 40):
        corpus = []
        for _ in range(images):
            base = [rng.choice(words) for _ in range(rng.randrange(1, 14))]
            near = lambda: " ".join(w for w in base if rng.random() < 0.8) + rng.choice(["", " dog", " a hat"])
            corpus.append(dict(prediction=rng.choice([near(), near(), "", "unseen words only", " ".join(base * 2)]),
                               references=[near() for _ in range(rng.randrange(1, 6))]))  # fmt: skip
        score = scorer(n=4, sigma=6.0)
        for example in corpus:
            score += (example["prediction"], example["references"])
        mean, scores = score.compute_score()
        corpora.append(dict(examples=corpus, mean=float(mean), scores=scores.tolist()))
    return corpora


def scene(rng, images, categories, crowd, tie, kind):
    """COCO annotations and results; boxes on whole pixels, so ties of overlap happen too."""
    side = 240
    truths, found = [], []
    for image in range(1, images + 1):
        for _ in range(int(rng.integers(0, 7))):
            w, h = (int(v) for v in rng.choice([3, 8, 20, 31, 32, 33, 60, 96, 110], 2))
            x, y = int(rng.integers(0, side - w)), int(rng.integers(0, side - h))
            category = int(rng.integers(1, categories + 1))
            truth = dict(image_id=image, category_id=category, bbox=[x, y, w, h], iscrowd=int(rng.random() < crowd))
            truth["area"] = w * h if rng.random() < 0.8 else int(rng.integers(1, 20000))
            truths.append(dict(id=len(truths) + 1, **truth))
            for _ in range(int(rng.integers(0, 4))):
                dx, dy, dw, dh = (int(v) for v in rng.integers(-4, 5, 4))
                wrong = rng.random() < 0.15
                found.append(dict(image_id=image, category_id=int(rng.integers(1, categories + 1)) if wrong else category,
                                  bbox=[max(0, x + dx), max(0, y + dy), max(1, w + dw), max(1, h + dh)],
                                  score=float(rng.integers(1, tie + 1)) / tie))  # fmt: skip
        for _ in range(int(rng.integers(0, 3))):
            w, h = (int(v) for v in rng.integers(2, 100, 2))
            found.append(dict(image_id=image, category_id=int(rng.integers(1, categories + 1)),
                              bbox=[int(rng.integers(0, side - w)), int(rng.integers(0, side - h)), w, h], score=float(rng.integers(1, tie + 1)) / tie))  # fmt: skip
    if kind == "segm":
        for item in truths + found:
            canvas = np.zeros((side, side), np.uint8, order="F")
            x, y, w, h = item["bbox"]
            canvas[y : y + h, x : x + w] = 1
            if rng.random() < 0.5:
                canvas[y + h // 3 : y + h // 2, x : x + w // 2] = 0
            counts, inside, run = [], 0, 0
            for v in canvas.ravel("F"):
                if v != inside:
                    counts.append(run)
                    inside, run = v, 0
                run += 1
            item["segmentation"] = dict(size=[side, side], counts=counts + [run])
    return truths, found


def evaluate(images, categories, truths, found, kind):
    def packed(items):
        items = [dict(item) for item in items]
        for item in items:
            if "segmentation" in item:
                item["segmentation"] = masks.frPyObjects(item["segmentation"], *item["segmentation"]["size"])
        return items

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(images=[dict(id=i, height=240, width=240) for i in range(1, images + 1)], annotations=packed(truths),
                            categories=[dict(id=c) for c in range(1, categories + 1)])  # fmt: skip
        coco.createIndex()
        results = COCO()
        results.dataset = dict(coco.dataset)
        annotations = packed(found)
        for i, item in enumerate(annotations, 1):
            area = float(masks.area(item["segmentation"])) if kind == "segm" else item["bbox"][2] * item["bbox"][3]
            item.update(id=i, iscrowd=0, area=area)
        results.dataset["annotations"] = annotations
        results.createIndex()
        run = COCOeval(coco, results, kind)
        run.evaluate()
        run.accumulate()
        run.summarize()
    precision = run.eval["precision"][:, :, :, 0, 2]
    per = {str(c): float(precision[:, :, c - 1].mean()) for c in range(1, categories + 1) if (precision[:, :, c - 1] > -1).any()}
    return dict(stats=[float(v) for v in run.stats], perCategory=per)


def coco():
    rng = np.random.default_rng(SEED)
    cases = []
    plans = [(1, 1, 0, 100, "bbox"), (4, 1, 0.2, 3, "bbox"), (12, 3, 0.1, 1000, "bbox"), (8, 12, 0.1, 2, "bbox"), (10, 2, 0.5, 10, "bbox"),
             (3, 1, 1.0, 10, "bbox"), (5, 2, 0.2, 20, "segm"), (30, 4, 0.05, 50, "bbox")]  # fmt: skip
    for images, categories, crowd, tie, kind in plans:
        truths, found = scene(rng, images, categories, crowd, tie, kind)
        if (images, kind) == (4, "bbox"):
            found += [dict(found[0], bbox=[i % 200, i // 2, 20, 20], score=0.5) for i in range(130)]
        for name, t, f in [("", truths, found), ("nothing found", truths, []), ("nothing there", [], found)]:
            if name and images != 12:
                continue
            cases.append(dict(name=f"{images} images, {categories} categories, {kind} {name}".strip(), images=images, kind=kind,
                              truths=t, found=f, **evaluate(images, categories, t, f, kind)))  # fmt: skip
    return cases


def main(folder):
    rng = random.Random(SEED)
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "pycocotools")}
    head = dict(script="tooling/oracles/metrics.py", seed=SEED, versions=versions)
    OUT.mkdir(parents=True, exist_ok=True)
    write = lambda name, data: (OUT / name).write_text(json.dumps({**head, **data}, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    write("texts.json", dict(**texts(folder, rng), fields=fields(folder, rng)))
    write("captions.json", dict(corpora=captions(folder, rng)))
    write("coco.json", dict(cases=coco()))


main(sys.argv[1])
