"""Makes the cases rng/torch-SEED and rng/python-SEED for seeds of 2^63 and more, from PyTorch and Python themselves.

Usage: make_seed_cases.py, beside the folder cases; needs torch, numpy and safetensors.
"""

import json
import pathlib
import random
import sys

import numpy
import safetensors.numpy
import torch

SEEDS = [2**63, 2**63 + 42, 2**64 - 2**31, 2**64 - 1]


def torch_case(seed):
    def new():
        # As diffusers' users make it; a seed beyond 2^64 - 1 is refused there.
        return torch.Generator("cpu").manual_seed(seed)

    expected = {f"randn_{n}": torch.randn(n, generator=new()) for n in (1, 15, 16, 17, 40)}
    generator = new()
    for half in ("first", "second"):
        expected[f"randn_1x4x4x4_{half}"] = torch.randn(1, 4, 4, 4, generator=generator)
    generator = new()
    for name, n in (("a7", 7), ("b20", 20), ("c3", 3)):
        expected[f"randn_mixed_{name}"] = torch.randn(n, generator=generator)
    expected["rand_24"] = torch.rand(24, generator=new())
    generator = new()
    expected["rand1_x8"] = torch.cat([torch.rand(1, generator=generator) for _ in range(8)])
    generator = new()
    expected["randperm_9_x4"] = torch.stack([torch.randperm(9, generator=generator) for _ in range(4)]).int()
    expected["randint_1000_x16"] = torch.randint(0, 1000, (16,), generator=new()).int()
    return {name: tensor.numpy() for name, tensor in expected.items()}


def python_case(seed):
    words, reals, whole = random.Random(seed), random.Random(seed), random.Random(seed)
    return {
        "u32_x16": numpy.array([words.getrandbits(32) for _ in range(16)], dtype=numpy.int64),
        "random_x10_f64": numpy.array([reals.random() for _ in range(10)], dtype=numpy.float64),
        "randint_m16_16": numpy.array([whole.randint(-16, 16) for _ in range(20)], dtype=numpy.int32),
    }


def write(name, stream, seed, expected, made_with):
    folder = pathlib.Path(__file__).parent / "cases" / "rng" / f"{name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(expected, folder / "expected.safetensors")
    case = {
        "kind": "rng", "model": None, "params": {"stream": stream, "seed": seed}, "inputs": None,
        "expected": "expected.safetensors", "tolerance": {"atol": 2e-06, "rtol": 2e-06}, "made_with": made_with,
        "notes": "A seed that needs 64 bits without sign. Made by make_seed_cases.py.",
    }
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")


for seed in SEEDS:
    write("torch", "torch CPU generator", seed, torch_case(seed), f"torch {torch.__version__}")
    write("python", "python random.Random", seed, python_case(seed), f"Python {sys.version.split()[0]}")
