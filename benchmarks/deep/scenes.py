"""The scenes: data, the network that learns them, what is to be forgotten; left out, with the reason, where absent."""

import lzma
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from expunge.core.dataset import Dataset
from expunge.models import vision
from expunge.models.modules import load_arrays
from expunge.models.network import Network

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
BUILD = Path(__file__).resolve().parents[2] / "build" / "bench" / "deep"
TEN = tuple("0123456789")


@dataclass(frozen=True)
class Setting:
    """What is learnt, and what may be asked to be forgotten.

    Attributes:
        data: the training records.
        learner: the network.
        holdout: records that no model learns; None = drawn from the data.
        kinds: kind of forgetting → seed → ids; None = a drawn fifth of the members.
        n_models: originals of a full run; CI takes fewer.
        said: what it is, in one line for the page.
    """

    data: Dataset
    learner: Network
    holdout: Dataset | None
    kinds: dict[str, Callable[[int], Any] | None]
    n_models: int
    said: str
    n_population: int = 250
    notes: dict[str, Any] = field(default_factory=dict)


def pictures(X: np.ndarray, y: np.ndarray, classes: tuple[str, ...], subjects: Any = None) -> Dataset:
    """Images as rows of uint8 or float32, with declared classes."""
    found = Dataset.from_vectors(X.reshape(len(X), -1), y.astype(str), subjects=subjects)
    return replace(found, classes=classes)


def noisy_labels(y: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which a share is replaced by uniform ones, and which records were."""
    draw = np.random.default_rng(seed)
    chosen = draw.random(len(y)) < share
    return np.where(chosen, draw.integers(0, 10, len(y)), y), chosen


def stack(seed: int = 0) -> Setting:
    """`stack` of the specification: digits, 15 % of labels replaced, a perceptron that learns them by heart."""
    X, y = load_digits(return_X_y=True)
    told, chosen = noisy_labels(y, 0.15, seed)
    wrong = np.flatnonzero(chosen & (told != y))
    data = pictures((X / 16).astype(np.float32), told, TEN)
    learner = Network((128,), epochs=60, batch=64, optimiser="sgd", rate=0.05, form="plain")
    kinds: dict[str, Any] = {
        "random": None,
        "mislabelled": lambda s: data.ids[wrong].tolist(),
        "class": lambda s: data.ids[told == 8].tolist(),
        "stream": None,
    }
    said = "scikit-learn digits, 15 % of the labels replaced at random; perceptron 64-128-10, 60 epochs"
    return Setting(data, learner, None, kinds, 64, said, 297)


def _unpacked(path: Path) -> np.ndarray:
    with lzma.open(path) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def mnist(seed: int = 0) -> Setting:
    """The first 3,000 training images of MNIST, a small convolutional net."""
    folder = SHARED / "mnist"
    if not folder.is_dir():
        raise FileNotFoundError("mnist is not beside the checkout")
    y = np.load(folder / "labels.npz", allow_pickle=False)["train"][:4000].astype(int)
    X = _unpacked(folder / "train_images.npy.xz")[:4000]
    told, chosen = noisy_labels(y, 0.1, seed)
    wrong = np.flatnonzero((chosen & (told != y))[:3000])
    data, holdout = pictures(X[:3000], told[:3000], TEN), pictures(X[3000:], y[3000:], TEN)
    holdout = replace(holdout, ids=holdout.ids + 3000, subjects=holdout.subjects + 3000)
    learner = Network(
        module="small_cnn", shape=(1, 28, 28), epochs=15, batch=64, optimiser="sgd", rate=0.05, form="plain"
    )
    kinds: dict[str, Any] = {
        "random": None,
        "mislabelled": lambda s: data.ids[wrong].tolist(),
        "class": lambda s: data.ids[told[:3000] == 3].tolist(),
    }
    said = "3,000 images of MNIST, 10 % of the labels replaced at random; small convolutional net, 15 epochs"
    return Setting(data, learner, holdout, kinds, 16, said)


def faces(seed: int = 0) -> Setting:
    """ORL: 40 people, ten pictures each, at a quarter of the resolution; who it is."""
    path = SHARED / "orl_faces" / "orl_faces.npz"
    if not path.is_file():
        raise FileNotFoundError("orl_faces is not beside the checkout")
    arrays = np.load(path, allow_pickle=False)
    X, people = arrays["images"][:, ::4, ::4], arrays["subject"].astype(int)
    classes = tuple(sorted(set(people.astype(str).tolist())))
    data = pictures(np.ascontiguousarray(X), people, classes)
    learner = Network((64,), epochs=60, batch=32, optimiser="sgd", rate=0.02, form="plain")
    person = sorted(set(people.tolist()))[7]
    kinds: dict[str, Any] = {"random": None, "subject": lambda s: data.ids[people == person].tolist()}
    said = "ORL faces, 28 × 23 pixels, who it is of 40 people; perceptron 644-64-40, 60 epochs"
    return Setting(data, learner, None, kinds, 32, said, 80)


def adult(seed: int = 0) -> Setting:
    """4,000 records of Adult, a perceptron over the encoded table."""
    from benchmarks.scenes import adult as load

    _, whole = load()
    rows = np.random.default_rng(0).permutation(len(whole))[:5000]
    data, holdout = whole.take(np.sort(rows[:4000])), whole.take(np.sort(rows[4000:]))
    learner = Network((64,), epochs=30, batch=64, optimiser="sgd", rate=0.05, form="scaled")
    kinds: dict[str, Any] = {"random": None}
    said = "4,000 records of Adult; perceptron with 64 hidden units, 30 epochs"
    return Setting(data, learner, holdout, kinds, 32, said)


MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What the published ResNet-20 weights were trained with."""


class Normalised(torch.nn.Module):
    """Rows of 3,072 numbers from 0 to 1 as images, normalised as the published weights expect."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("spread", torch.tensor(SPREAD).reshape(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.reshape(-1, 3, 32, 32) - self.mean) / self.spread


def resnet20(width: int, outputs: int) -> torch.nn.Module:
    """ResNet-20 with batch normalisation behind the published normalisation."""
    return torch.nn.Sequential(Normalised(), vision.resnet20((3, 32, 32), outputs, "batch"))


def published() -> torch.nn.Module:
    """ResNet-20 with the published weights: tensors in the order of the file's layers."""
    from safetensors.numpy import load_file

    path = SHARED / "resnet_cifar10_weights" / "resnet20.safetensors"
    given = load_file(path)
    module = resnet20(3072, 10)
    ours = [n for n in module.state_dict() if not n.startswith("0.") and not n.endswith("num_batches_tracked")]
    theirs = sorted(given, key=_place)
    if len(ours) != len(theirs):
        raise ValueError(f"{len(theirs)} tensors in the file, {len(ours)} in the network")
    arrays = {n: a.numpy() for n, a in module.state_dict().items()}
    return load_arrays(module, arrays | {a: given[b] for a, b in zip(ours, theirs, strict=True)})


ORDER = ("weight", "bias", "running_mean", "running_var")


def _place(name: str) -> tuple[Any, ...]:
    """Where a tensor of the file comes in ours: stem, then the blocks, convolution before normaliser, head last."""
    parts = name.split(".")
    last = ORDER.index(parts[-1])
    if parts[0] in ("conv1", "bn1"):
        return (0, 0, 0, parts[0] == "bn1", last)
    if parts[0].startswith("layer"):
        number = int(parts[2][-1])
        return (int(parts[0][-1]), int(parts[1]), number, parts[2].startswith("bn"), last)
    return (9, 0, 0, 0, last)


def cifar_images(n_train: int = 50_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """CIFAR-10 as (n, 3, 32, 32) uint8 and labels: training images in the official order, and the test part."""
    from PIL import Image

    folder = SHARED / "cifar10_lossless"
    if not folder.is_dir():
        raise FileNotFoundError("cifar10_lossless is not beside the checkout")

    def sheets(part: str, n: int) -> np.ndarray:
        found = []
        for path in sorted(folder.glob(f"{part}_*.webp"))[: -(-n // 1000)]:
            grid = np.asarray(Image.open(path).convert("RGB"))
            rows = grid.reshape(25, 32, 40, 32, 3).transpose(0, 2, 4, 1, 3).reshape(1000, 3, 32, 32)
            found.append(rows)
        return np.concatenate(found)[:n] if found else np.empty((0, 3, 32, 32), np.uint8)

    labels = np.load(folder / "labels.npz", allow_pickle=False)
    train, test = labels["train"].astype(int), labels["test"].astype(int)
    return sheets("train", n_train), train[:n_train], sheets("test", 10_000), test


def cifar_features(n: int, module: torch.nn.Module) -> np.ndarray:
    """What the published ResNet-20 makes of the first n test images, before its head: (n, 64) float32, kept on disk."""
    path = BUILD / f"cifar_features_{n}.npy"
    if path.is_file():
        return np.asarray(np.load(path, allow_pickle=False))
    images = cifar_images(0)[2][:n]
    body = torch.nn.Sequential(*module[:-1], *list(module[-1].children())[:-1]).eval()
    with torch.inference_mode():
        found = [body(torch.tensor(images[i : i + 250] / np.float32(255))).flatten(1) for i in range(0, n, 250)]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, torch.cat(found).numpy())
    return cifar_features(n, module)


def cifar_head(seed: int = 0) -> Setting:
    """A head on the published ResNet-20, learnt from 4,000 test images of CIFAR-10, which its weights never saw."""
    _, _, _, t = cifar_images(0)
    X = cifar_features(5000, published())
    told, chosen = noisy_labels(t[:5000], 0.1, seed)
    wrong = np.flatnonzero((chosen & (told != t[:5000]))[:4000])
    data, holdout = pictures(X[:4000], told[:4000], TEN), pictures(X[4000:], t[4000:5000], TEN)
    holdout = replace(holdout, ids=holdout.ids + 4000, subjects=holdout.subjects + 4000)
    learner = Network((128,), epochs=100, batch=64, optimiser="sgd", rate=0.1, form="plain")
    kinds: dict[str, Any] = {
        "random": None,
        "mislabelled": lambda s: data.ids[wrong].tolist(),
        "class": lambda s: data.ids[told[:4000] == 3].tolist(),
    }
    said = (
        "CIFAR-10 through the published ResNet-20, frozen: a perceptron 64-128-10 on its features, learnt from "
        "4,000 of the test images, 10 % of the labels replaced at random, 100 epochs"
    )
    return Setting(data, learner, holdout, kinds, 32, said)


def cifar(seed: int = 0) -> Setting:
    """CIFAR-10 and ResNet-20 trained from the start; wants a graphics processor (EXPUNGE_DEVICE=cuda)."""
    if os.environ.get("EXPUNGE_DEVICE", "cpu") == "cpu":
        raise FileNotFoundError("cifar wants a graphics processor: set EXPUNGE_DEVICE=cuda where there is one")
    X, y, Z, t = cifar_images()
    data, holdout = pictures(X, y, TEN), pictures(Z, t, TEN)
    holdout = replace(holdout, ids=holdout.ids + 50_000, subjects=holdout.subjects + 50_000)
    learner = Network.of(
        resnet20, "resnet20-cifar", epochs=24, batch=256, optimiser="sgd", rate=0.2, decay=5e-4, schedule="peak",
        form="plain", device="cuda", precision="bfloat16",
    )  # fmt: skip
    kinds: dict[str, Any] = {"random": None, "class": lambda s: data.ids[y == 3].tolist()}
    return Setting(data, learner, holdout, kinds, 16, "CIFAR-10; ResNet-20, 24 epochs, on a graphics processor")


SETTINGS = {"stack": stack, "mnist": mnist, "faces": faces, "adult": adult, "cifar-head": cifar_head, "cifar": cifar}
