"""Everything from nothing: `python make.py [--minutes M] [--package FOLDER]`. Run again after a kill, it goes on where it was.

mask codec (about 10 minutes on two cores) → tokenizer → scenes (4) → training (8 for the eyes, then --minutes) → package →
evaluation scenes → goldens. Everything in between lies in build/.

--rehearse goes the same road in a few minutes, all of it in build/rehearsal/: a worthless model, to see that the road is open.
"""
import argparse
import glob
import os
import subprocess
import sys
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))


class Plan(NamedTuple):
    build: str
    evaluation: str
    package: str
    codec_steps: int
    shards: int
    eyes_steps: int
    minutes: float


FULL = Plan("build", "evaluation", "../../packages/tiny-shapes/model", 1500, 16, 2500, 84)
REHEARSAL = Plan("build/rehearsal", "build/rehearsal/evaluation", "build/rehearsal/package", 10, 2, 5, 0.5)


def run(script, *arguments, **environment):
    print("==", script, *arguments, flush=True)
    subprocess.run(
        [sys.executable, os.path.join(HERE, script), *map(str, arguments)], check=True, env={**os.environ, **environment}
    )


def make(plan, threads):
    model, codec = f"{plan.build}/model", f"{plan.build}/vae-shapes.npz"
    os.makedirs(model, exist_ok=True)
    if not os.path.exists(codec):
        run("mask_codec.py", plan.codec_steps, threads, codec)
    if not os.path.exists(f"{model}/tokenizer.json"):
        run("tokenizer.py", model)
    if len(glob.glob(f"{plan.build}/data/???.npz")) < plan.shards:
        run("dataset.py", f"{plan.build}/data", plan.shards, CODEC=codec)
    if not os.path.exists(f"{model}/final/config.json"):
        run("train.py", "--data", f"{plan.build}/data", "--model", model, "--minutes", plan.minutes,
            "--eyes-steps", plan.eyes_steps, "--threads", threads)
    run("export.py", f"{model}/final", codec, plan.package)
    run("make_evaluation.py", plan.evaluation, CODEC=codec)
    run("make_goldens.py", plan.package, plan.evaluation, plan.evaluation)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="a few minutes of everything, in build/rehearsal")
    parser.add_argument("--minutes", type=float, help=f"of training on the tasks, by the clock (default {FULL.minutes})")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--package", help=f"where the model goes (default {FULL.package})")
    args = parser.parse_args()
    os.chdir(HERE)
    chosen = {key: value for key in ("minutes", "package") if (value := getattr(args, key)) is not None}
    make((REHEARSAL if args.rehearse else FULL)._replace(**chosen), args.threads)
