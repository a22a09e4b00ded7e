#!/usr/bin/env python3
"""Makes the fixture of a large decode: diffusers' autoencoder on a whole latent with odd sides, on one CPU thread.

    python make_large_decode.py            needs torch, diffusers, safetensors

The model is the one inside the program, its weights widened to float32. The latent is not stored: it comes from the seed of
PyTorch's CPU generator. Of the picture every EVERY-th number is stored, in the order of PyTorch (channels, rows, columns).
"""

import pathlib

import diffusers
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parents[3] / "Sources" / "CEmbeddedModel" / "model"
SEED, HEIGHT, WIDTH, EVERY = 31, 61, 97, 101


def main():
    torch.set_num_threads(1)
    vae = diffusers.AutoencoderKL.from_pretrained(MODEL / "vae", torch_dtype=torch.float32)
    latent = torch.randn(1, 4, HEIGHT, WIDTH, generator=torch.Generator("cpu").manual_seed(SEED))
    with torch.no_grad():
        picture = vae.decode(latent / vae.config.scaling_factor).sample
    made_with = f"diffusers {diffusers.__version__}, torch {torch.__version__}"
    numbers = picture.flatten()[::EVERY].contiguous()
    save_file({"every_101st": numbers}, HERE / "large_decode.safetensors", metadata={"made_with": made_with})


if __name__ == "__main__":
    main()
