"""Everything from nothing: `python make.py [--minutes M] [--package FOLDER]`. Run again after a kill, it goes on where it was.

mask codec (about 10 minutes on two cores) → tokenizer → scenes (4) → training (8 for the eyes, then --minutes) → package →
evaluation scenes → goldens. Everything in between lies in build/.
"""
import argparse
import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SHARDS = 16


def run(script, *arguments):
    print("==", script, *arguments, flush=True)
    subprocess.run([sys.executable, os.path.join(HERE, script), *map(str, arguments)], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=84, help="of training on the tasks, by the clock")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--package", default="../../packages/tiny-shapes/model")
    args = parser.parse_args()
    os.chdir(HERE)
    os.makedirs("build/model", exist_ok=True)
    codec = os.path.join("build", "vae-shapes.npz")
    if not os.path.exists(codec):
        run("mask_codec.py", 1500, args.threads, codec)
    if not os.path.exists("build/model/tokenizer.json"):
        run("tokenizer.py", "build/model")
    if len(glob.glob("build/data/???.npz")) < SHARDS:
        run("dataset.py", "build/data", SHARDS)
    if not os.path.exists("build/model/final/config.json"):
        run("train.py", "--data", "build/data", "--model", "build/model", "--minutes", args.minutes, "--threads", args.threads)
    run("export.py", "build/model/final", codec, args.package)
    run("make_evaluation.py", "evaluation")
    run("make_goldens.py", args.package, "evaluation", "evaluation")
