"""Python's huggingface_hub and @paligemma/hub share a cache: each reads what the other downloaded, without downloading again.

Starts the stand-in of packages/hub/test, lets each side download the repository from it, and the other side read it.
Needs `pnpm install`; prints what it checked.

    python tooling/oracles/hub_cache.py
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
TESTS = ROOT / "packages/hub/test"
NODE = ["node", "--conditions=@paligemma/source", "--import", "tsx"]
SCRIPT = """
import { downloadModel, hubFiles } from "@paligemma/hub/node";
import { createHash } from "node:crypto";
const [endpoint, cache, offline] = process.argv.slice(1);
const files = await hubFiles("owner/model", { endpoint, cache, offline: offline === "offline", environment: {} });
const hashes = {};
if (offline !== "offline") await downloadModel(files);
for (const path of JSON.parse(process.env.PATHS ?? "[]")) {
  const source = await files.open(path);
  hashes[path] = createHash("sha256").update(await source.read(0, source.size)).digest("hex");
}
console.log(JSON.stringify(hashes));
"""


def ours(endpoint, cache, mode="online", paths=()):
    run = subprocess.run(
        [*NODE, "--input-type=module", "-e", SCRIPT, endpoint, cache, mode],
        cwd=TESTS.parent, env=os.environ | {"PATHS": json.dumps(list(paths))}, capture_output=True, text=True,
    )  # fmt: skip
    if run.returncode != 0:
        raise SystemExit(run.stderr)
    return json.loads(run.stdout)


def main():
    server = subprocess.Popen([*NODE, TESTS / "serve.ts"], cwd=TESTS.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    endpoint = server.stdout.readline().strip()
    os.environ["HF_ENDPOINT"] = endpoint
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import hashlib

    import huggingface_hub
    from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download

    def sent():
        server.stdin.write("\n")
        server.stdin.flush()
        return int(server.stdout.readline())

    def digest(path):
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()

    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        print("huggingface_hub", huggingface_hub.__version__)
        # Ours first.
        cache = str(folder / "ours")
        ours(endpoint, cache)
        before = sent()
        snapshot = pathlib.Path(snapshot_download("owner/model", cache_dir=cache, local_files_only=True))
        paths = sorted(str(p.relative_to(snapshot)) for p in snapshot.rglob("*") if p.is_file())
        online = {p: digest(hf_hub_download("owner/model", p, cache_dir=cache)) for p in paths}
        scan = scan_cache_dir(cache)
        assert not scan.warnings, scan.warnings
        (repo,) = scan.repos
        (revision,) = repo.revisions
        assert revision.refs == {"main"} and repo.nb_files == len(paths), scan
        assert sent() == before, "Python downloaded again"
        print(f"Python reads our cache: {len(paths)} files, {repo.size_on_disk} bytes, nothing downloaded again")

        # Python first.
        cache = str(folder / "theirs")
        snapshot_download("owner/model", cache_dir=cache)
        before = sent()
        assert ours(endpoint, cache, "online", paths) == online, "other bytes"
        assert ours(endpoint, cache, "offline", paths) == online, "other bytes offline"
        assert sent() == before, "we downloaded again"
        print(f"We read Python's cache, online and offline: {len(paths)} files, nothing downloaded again")

        # Both in one cache, one after the other, then all of it.
        cache = str(folder / "both")
        hf_hub_download("owner/model", "config.json", cache_dir=cache)
        ours(endpoint, cache)
        snapshot_download("owner/model", cache_dir=cache)
        assert not scan_cache_dir(cache).warnings
        assert ours(endpoint, cache, "offline", paths) == online
        print("Both fill one cache")
    finally:
        server.stdin.close()
        server.wait()
        shutil.rmtree(folder)


main()
