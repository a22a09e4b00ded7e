#!/usr/bin/env python3
"""Makes the golden case of the model inside the program: prompt and seed to picture, with diffusers on one CPU thread.

    python make_embedded_case.py            needs torch, diffusers, transformers, safetensors

Weights are widened to float32. The latent is not stored: the case begins at the seed of PyTorch's CPU generator.
"""

import json
import pathlib

import diffusers
import numpy as np
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parents[3] / "Sources" / "CEmbeddedModel" / "model"
CASE = HERE / "cases" / "txt2img" / "openmoji-24-red-apple"
PROMPT = "a red apple on a blue background"
SEED, STEPS, GUIDANCE, SIDE = 7, 25, 5.0, 16


def main():
    torch.set_num_threads(1)
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    embeds, latents = [], []
    encode_prompt = pipe.encode_prompt

    def encode(*positional, **named):
        embeds.append(encode_prompt(*positional, **named))
        return embeds[-1]

    def after_step(_pipe, _step, _time, tensors):
        latents.append(tensors["latents"].clone())
        return {}

    pipe.encode_prompt = encode
    with torch.no_grad():
        image = pipe(
            PROMPT, height=SIDE * 8, width=SIDE * 8, num_inference_steps=STEPS, guidance_scale=GUIDANCE, output_type="np",
            generator=torch.Generator("cpu").manual_seed(SEED), callback_on_step_end=after_step,
        ).images
    ids = pipe.tokenizer([PROMPT, ""], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    expected = {
        "input_ids": ids.int(),
        "prompt_embeds": embeds[0][0],
        "negative_prompt_embeds": embeds[0][1],
        "latents_steps": torch.stack(latents),
        "timesteps": pipe.scheduler.timesteps.float(),
        "image_u8": torch.from_numpy((image * 255).round().astype(np.uint8)).permute(0, 3, 1, 2),
    }
    scheduler = {key: value for key, value in dict(pipe.scheduler.config).items() if not key.startswith("_")}
    scheduler["_class_name"] = type(pipe.scheduler).__name__
    case = {
        "kind": "txt2img",
        "model": "openmoji-24",
        "params": {
            "prompt": PROMPT, "steps": STEPS, "guidance": GUIDANCE, "h": SIDE, "w": SIDE, "seed": SEED,
            "scheduler_config": scheduler,
        },
        "inputs": None,
        "expected": "expected.safetensors",
        "tolerance": {"atol": 1e-3, "rtol": 1e-3, "per_tensor": {"image_u8": {"psnr": 45}}},
        "made_with": f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}",
        "notes": "model: the one inside the program. No latent is stored: noise comes from PyTorch's CPU generator with this seed. "
                 "image_u8: the picture in 8 bits, NCHW; its tolerance is a peak signal-to-noise ratio in dB that must be reached.",
    }
    CASE.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in expected.items()}, CASE / "expected.safetensors")
    (CASE / "case.json").write_text(json.dumps(case, indent=1) + "\n")


if __name__ == "__main__":
    main()
