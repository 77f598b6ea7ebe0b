"""Mask VQ-VAE with the exact parameter layout of PaliGemma's vae-oid.npz, trained on the synthetic shapes' masks."""
import random, sys, time
import numpy as np, torch
from torch import nn
import torch.nn.functional as F
from PIL import Image
from scenes import scene

class Res(nn.Module):
    def __init__(s, d):
        super().__init__(); s.net = nn.Sequential(nn.Conv2d(d, d, 3, padding=1), nn.ReLU(), nn.Conv2d(d, d, 3, padding=1), nn.ReLU(), nn.Conv2d(d, d, 1))
    def forward(s, x): return x + s.net(x)

class Codec(nn.Module):
    def __init__(s):
        super().__init__()
        c = lambda i, o: [nn.Conv2d(i, o, 4, 2, 1), nn.ReLU()]
        t = lambda i, o: [nn.ConvTranspose2d(i, o, 4, 2, 1), nn.ReLU()]
        s.encoder = nn.Sequential(*c(1, 16), *c(16, 32), *c(32, 64), *c(64, 128), Res(128), Res(128), nn.Conv2d(128, 512, 1))
        s.decoder = nn.Sequential(nn.Conv2d(512, 128, 1), nn.ReLU(), Res(128), Res(128), *t(128, 128), *t(128, 64), *t(64, 32), *t(32, 16), nn.Conv2d(16, 1, 1))
        s.register_buffer("book", torch.randn(128, 512)); s.register_buffer("ema_n", torch.ones(128)); s.register_buffer("ema_w", s.book.clone())
    def codes(s, x):
        z = s.encoder(x).permute(0, 2, 3, 1).reshape(-1, 512)
        d = z.pow(2).sum(1, keepdim=True) - 2 * z @ s.book.T + s.book.pow(2).sum(1)
        return z, d.argmin(1)
    def decode(s, ids): return s.decoder(s.book[ids].reshape(-1, 4, 4, 512).permute(0, 3, 1, 2))
    def forward(s, x):
        z, ids = s.codes(x); q = s.book[ids]
        if s.training:
            with torch.no_grad():
                one = F.one_hot(ids, 128).float()
                s.ema_n.mul_(0.98).add_(one.sum(0), alpha=0.02); s.ema_w.mul_(0.98).add_(one.T @ z, alpha=0.02)
                n = (s.ema_n + 1e-5) / (s.ema_n.sum() + 128e-5) * s.ema_n.sum(); s.book.copy_(s.ema_w / n[:, None])
                dead = s.ema_n < 0.05
                if dead.any():
                    pick = z[torch.randint(len(z), (int(dead.sum()),))]; s.book[dead] = pick; s.ema_w[dead] = pick; s.ema_n[dead] = 1
        st = (z + (q - z).detach()).reshape(-1, 4, 4, 512).permute(0, 3, 1, 2)
        return s.decoder(st), F.mse_loss(z, q.detach())

def crop64(mask, box):
    h, w = mask.shape; y0, x0, y1, x1 = [round(v * s) for v, s in zip(box, (h, w, h, w))]
    m = Image.fromarray((mask[y0:max(y1, y0 + 1), x0:max(x1, x0 + 1)] * 255).astype(np.uint8)).resize((64, 64), Image.BILINEAR)
    return np.asarray(m, np.float32) / 127.5 - 1

def save_npz(m, path):
    out = {"_vq_vae._embedding": m.book, "_vq_vae._ema_cluster_size": m.ema_n, "_vq_vae._ema_w": m.ema_w}
    for k, v in m.state_dict().items():
        if k.startswith(("encoder.", "decoder.")): out[k] = v
    np.savez(path, **{k: v.detach().numpy() for k, v in out.items()})

def load(path):
    m = Codec(); z = np.load(path); m.book.copy_(torch.from_numpy(z["_vq_vae._embedding"]))
    m.load_state_dict({k: torch.from_numpy(z[k]) for k in z.files if k[0] != "_"}, strict=False); return m.eval()

@torch.no_grad()
def encode(m, crops):
    """crops [n, 64, 64] in [-1, 1] -> codes [n, 16]"""
    rows = [m.codes(torch.from_numpy(crops[i : i + 256])[:, None])[1].reshape(-1, 16).numpy() for i in range(0, len(crops), 256)]
    return np.concatenate(rows)

if __name__ == "__main__":
    torch.manual_seed(0); torch.set_num_threads(int(sys.argv[2])); rng = random.Random(7); m = Codec().train()
    pool = []
    t0 = time.time()
    for i in range(5000):
        _, things = scene(rng)
        for t in things:
            c = crop64(t.mask, t.box); pool.append(c)
    pool = torch.from_numpy(np.stack(pool))[:, None]; print("pool", pool.shape, time.time() - t0, flush=True)
    steps = int(sys.argv[1]); opt = torch.optim.Adam(m.parameters(), 1e-3); sch = torch.optim.lr_scheduler.OneCycleLR(opt, 1.5e-3, steps, pct_start=0.05)
    for i in range(steps):
        x = pool[torch.randint(len(pool), (64,))]
        if random.random() < 0.5: x = x.flip(3)
        y, commit = m(x); loss = F.mse_loss(y, x) + 0.25 * commit
        opt.zero_grad(); loss.backward(); opt.step(); sch.step()
        if i % 100 == 0:
            iou = (((y > 0) & (x > 0)).sum() / ((y > 0) | (x > 0)).sum()).item()
            print(i, f"loss {loss.item():.4f} iou {iou:.4f} used {int((m.ema_n > .2).sum())} {time.time()-t0:.0f}s", flush=True)
    m.eval(); save_npz(m, sys.argv[3])
