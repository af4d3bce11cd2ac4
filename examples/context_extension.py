"""Train a small character model on a CPU, then read beyond its trained length under each scaling.

    python context_extension.py                # under five minutes on two cores
    python context_extension.py --seconds 10   # a glimpse

A miniature of the comparison in the literature: the same weights, only the frequencies replaced, no fine-tuning. The
text is the source of Python's standard library, the model has some 0.8 M weights and sees 128 characters at a time. The
figures hold for this model and this text; nothing was tried on a large one. LongRoPE is not among them: its divisors
come from a search for each model.
"""

import argparse
import math
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, rms_norm, scaled_dot_product_attention

import tightrope
from tightrope.backends.torch import RotaryEmbedding

TRAINED = 128
FACTOR = 4.0
WIDTH, HEADS, LAYERS, BATCH = 128, 4, 4, 32
CONFIG = {
    "model_type": "llama", "hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": LAYERS,
    "max_position_embeddings": TRAINED, "rope_theta": 10000.0,
}  # fmt: skip
SCALINGS = {
    "none": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": FACTOR},
    "ntk": {"rope_type": "ntk", "factor": FACTOR},
    "dynamic": {"rope_type": "dynamic", "factor": FACTOR, "original_max_position_embeddings": TRAINED},
    "yarn": {"rope_type": "yarn", "factor": FACTOR, "original_max_position_embeddings": TRAINED},
    "llama3": {
        "rope_type": "llama3", "factor": FACTOR, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": TRAINED,
    },
}  # fmt: skip


class Block(torch.nn.Module):
    """Attention and a feed-forward layer, each with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = torch.nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = torch.nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = torch.nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor, rope: RotaryEmbedding) -> torch.Tensor:
        """Return x, (batch, seq, width), after this layer."""
        batch, seq, _ = x.shape
        qkv = self.qkv(rms_norm(x, (WIDTH,))).view(batch, seq, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        q, k = rope(qkv[0], qkv[1], seq_len=seq)
        mixed = scaled_dot_product_attention(q, k, qkv[2], is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(torch.nn.functional.gelu(self.up(rms_norm(x, (WIDTH,)))))


class Reader(torch.nn.Module):
    """Predicts the next character."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(characters, WIDTH)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(LAYERS))
        self.head = torch.nn.Linear(WIDTH, characters, bias=False)

    def forward(self, text: torch.Tensor, rope: RotaryEmbedding) -> torch.Tensor:
        """Return the logits of the next character at each place of text, (batch, seq)."""
        x = self.embedding(text)
        for block in self.blocks:
            x = block(x, rope)
        logits: torch.Tensor = self.head(rms_norm(x, (WIDTH,)))
        return logits


def load_text() -> torch.Tensor:
    """Return modules of the standard library as bytes below 128."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))
    return torch.tensor(list(text[:4_000_000])).clamp(max=127)


def windows(text: torch.Tensor, length: int, count: int, seed: int) -> torch.Tensor:
    """Return random stretches of text, (count, length + 1)."""
    starts = torch.randint(len(text) - length - 1, (count,), generator=torch.Generator().manual_seed(seed))
    return torch.stack([text[start : start + length + 1] for start in starts.tolist()])


def train(model: Reader, text: torch.Tensor, rope: RotaryEmbedding, seconds: float) -> Iterator[float]:
    """Yield the loss of each step, until the time is over."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    started, step = time.monotonic(), 0
    while (spent := time.monotonic() - started) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * spent / seconds)))
        chunk = windows(text, TRAINED, BATCH, step)
        loss = cross_entropy(model(chunk[:, :-1], rope).flatten(0, 1), chunk[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        yield loss.item()


@torch.no_grad()
def perplexity(model: Reader, text: torch.Tensor, rope: RotaryEmbedding, length: int) -> float:
    """Return the perplexity of the last quarter of windows of that length: where the context is longest."""
    chunk = windows(text, length, 16, seed=length)
    logits, wanted = model(chunk[:, :-1], rope), chunk[:, 1:]
    last = slice(-length // 4, None)
    return math.exp(cross_entropy(logits[:, last].flatten(0, 1), wanted[:, last].flatten()).item())


def compare(seconds: float) -> dict[str, dict[int, float]]:
    """Train, and return the perplexity by scaling and length."""
    torch.manual_seed(0)
    text = load_text()
    cut = int(0.95 * len(text))
    plain = tightrope.read(CONFIG)
    model = Reader(characters=128)
    losses = list(train(model, text[:cut], RotaryEmbedding(plain), seconds))
    print(f"{len(losses)} steps in {seconds:.0f} s, loss {losses[0]:.2f} → {sum(losses[-20:]) / len(losses[-20:]):.2f}")
    ropes = {name: RotaryEmbedding(plain.replace(scaling=block)) for name, block in SCALINGS.items()}
    lengths = [TRAINED * times for times in (1, 2, 4)]
    return {name: {n: perplexity(model, text[cut:], rope, n) for n in lengths} for name, rope in ropes.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=210.0, help="how long to train [210]")
    found = compare(parser.parse_args().seconds)
    print(f"perplexity per character, trained on {TRAINED}, factor {FACTOR:g}, no fine-tuning")
    print("scaling  " + "".join(f"{length:>9} chars" for length in next(iter(found.values()))))
    for name, row in found.items():
        print(f"{name:<9}" + "".join(f"{value:15.2f}" for value in row.values()))


if __name__ == "__main__":
    main()
