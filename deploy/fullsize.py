"""Full-size models with random weights, and what diffusers computes with them. deploy/fullsize.sh calls this.

    fullsize.py make FAMILY ROOT --storage f16|f32 --merges FILE    writes ROOT/models/FAMILY
    fullsize.py forward FAMILY ROOT [--exact]                       writes ROOT/cases/unet_forward/FAMILY
    fullsize.py loading FAMILY ROOT                                 reads ROOT/FAMILY.json, what patchloom render --json said
"""
import argparse
import json
import os
import time

import diffusers
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.utils import logging
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

logging.set_verbosity_error()

# The published configurations: runwayml/stable-diffusion-v1-5, stabilityai/stable-diffusion-2-1,
# stabilityai/stable-diffusion-xl-base-1.0.
CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
UP_CROSS, UP_PLAIN = "CrossAttnUpBlock2D", "UpBlock2D"
UNET = dict(act_fn="silu", center_input_sample=False, downsample_padding=1, flip_sin_to_cos=True, freq_shift=0,
            in_channels=4, layers_per_block=2, mid_block_scale_factor=1, norm_eps=1e-05, norm_num_groups=32, out_channels=4)
FOUR_LEVELS = dict(block_out_channels=[320, 640, 1280, 1280], down_block_types=[CROSS, CROSS, CROSS, PLAIN],
                   up_block_types=[UP_PLAIN, UP_CROSS, UP_CROSS, UP_CROSS])
VAE = dict(act_fn="silu", block_out_channels=[128, 256, 512, 512], down_block_types=["DownEncoderBlock2D"] * 4,
           in_channels=3, latent_channels=4, layers_per_block=2, norm_num_groups=32, out_channels=3,
           up_block_types=["UpDecoderBlock2D"] * 4)
TEXT = dict(attention_dropout=0.0, bos_token_id=0, eos_token_id=2, initializer_factor=1.0, initializer_range=0.02,
            layer_norm_eps=1e-05, max_position_embeddings=77, pad_token_id=1, vocab_size=49408)
VIT_L = dict(TEXT, hidden_act="quick_gelu", hidden_size=768, intermediate_size=3072, num_attention_heads=12,
             num_hidden_layers=12, projection_dim=768)
VIT_H = dict(TEXT, hidden_act="gelu", hidden_size=1024, intermediate_size=4096, num_attention_heads=16,
             num_hidden_layers=23, projection_dim=512)
VIT_BIG_G = dict(TEXT, hidden_act="gelu", hidden_size=1280, intermediate_size=5120, num_attention_heads=20,
                 num_hidden_layers=32, projection_dim=1280)
SCHEDULER = dict(beta_end=0.012, beta_schedule="scaled_linear", beta_start=0.00085, clip_sample=False,
                 num_train_timesteps=1000, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1, trained_betas=None)

FAMILIES = {
    "sd15": dict(
        unet=dict(UNET, **FOUR_LEVELS, attention_head_dim=8, cross_attention_dim=768, sample_size=64),
        vae=dict(VAE, sample_size=512), text=[VIT_L], pads=["<|endoftext|>"],
        scheduler=dict(SCHEDULER, _class_name="PNDMScheduler"), pipeline="StableDiffusionPipeline"),
    "sd21": dict(
        unet=dict(UNET, **FOUR_LEVELS, attention_head_dim=[5, 10, 20, 20], cross_attention_dim=1024, sample_size=96,
                  dual_cross_attention=False, only_cross_attention=False, num_class_embeds=None, upcast_attention=True,
                  use_linear_projection=True),
        vae=dict(VAE, sample_size=768, scaling_factor=0.18215), text=[VIT_H], pads=["!"],
        scheduler=dict(SCHEDULER, _class_name="DDIMScheduler", prediction_type="v_prediction"),
        pipeline="StableDiffusionPipeline"),
    "sdxl": dict(
        unet=dict(UNET, block_out_channels=[320, 640, 1280], down_block_types=[PLAIN, CROSS, CROSS],
                  up_block_types=[UP_CROSS, UP_CROSS, UP_PLAIN], attention_head_dim=[5, 10, 20], cross_attention_dim=2048,
                  sample_size=128, transformer_layers_per_block=[1, 2, 10], use_linear_projection=True,
                  addition_embed_type="text_time", addition_embed_type_num_heads=64, addition_time_embed_dim=256,
                  projection_class_embeddings_input_dim=2816, class_embed_type=None, class_embeddings_concat=False,
                  conv_in_kernel=3, conv_out_kernel=3, cross_attention_norm=None, dual_cross_attention=False,
                  encoder_hid_dim=None, encoder_hid_dim_type=None, mid_block_only_cross_attention=None,
                  mid_block_type="UNetMidBlock2DCrossAttn", num_attention_heads=None, num_class_embeds=None,
                  only_cross_attention=False, resnet_out_scale_factor=1.0, resnet_skip_time_act=False,
                  resnet_time_scale_shift="default", time_cond_proj_dim=None, time_embedding_act_fn=None,
                  time_embedding_dim=None, time_embedding_type="positional", timestep_post_act=None, upcast_attention=None),
        vae=dict(VAE, sample_size=1024, scaling_factor=0.13025, force_upcast=True), text=[VIT_L, VIT_BIG_G],
        pads=["<|endoftext|>", "!"],
        scheduler=dict(SCHEDULER, _class_name="EulerDiscreteScheduler", interpolation_type="linear",
                       prediction_type="epsilon", sample_max_value=1.0, timestep_spacing="leading", use_karras_sigmas=False),
        pipeline="StableDiffusionXLPipeline"),
}

# The golden set's for one U-Net call: 5e-5, or an eightfold of the reference's own rounding where that is known.
TOLERANCE_MIN, TOLERANCE_MAX, TOLERANCE_FACTOR = 5e-5, 5e-4, 8


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=2)


# ---------------------------------------------------------------------------------------------------------------- models

def save(folder, name, config, model):
    """Configuration and weights of one network. Weights are saved in the type that they have."""
    os.makedirs(folder)
    write_json(os.path.join(folder, "config.json"), config)
    tensors = {k: v.contiguous() for k, v in model.state_dict().items() if not k.endswith("position_ids")}
    save_file(tensors, os.path.join(folder, name + ".safetensors"), metadata={"format": "pt"})
    return sum(v.numel() for v in tensors.values())


def text_encoder(config, projects):
    kind = CLIPTextModelWithProjection if projects else CLIPTextModel
    model = kind(CLIPTextConfig(**config))
    state = model.state_dict()
    if not any(k.startswith("text_model.") for k in state):
        # Newer transformers leave out the level that all published files have.
        renamed = {(k if k.startswith("text_projection") else "text_model." + k): v for k, v in state.items()}
        model.state_dict = lambda: renamed
    return model


def tokenizer(folder, merges_file, pad):
    """CLIP's vocabulary is a function of its merges: bytes, bytes that end a word, merged pairs, the two marks."""
    os.makedirs(folder)
    with open(merges_file, encoding="utf-8") as file:
        text = file.read()
    merges = [line for line in text.split("\n")[1:] if line]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    words = letters + [c + "</w>" for c in letters] + ["".join(m.split()) for m in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    assert len(words) == len(set(words)) == 49408, f"{merges_file} is not CLIP's list of merges"
    write_json(os.path.join(folder, "vocab.json"), {word: i for i, word in enumerate(words)})
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write(text)
    special = dict(bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token=pad)
    write_json(os.path.join(folder, "special_tokens_map.json"), special)
    write_json(os.path.join(folder, "tokenizer_config.json"),
               dict(special, add_prefix_space=False, do_lower_case=True, errors="replace", model_max_length=77,
                    tokenizer_class="CLIPTokenizer"))


def make(family, root, storage, merges):
    spec = FAMILIES[family]
    folder = os.path.join(root, "models", family)
    os.makedirs(folder)
    torch.manual_seed(20261126)
    # Weights are drawn in the type that is stored: f32 weights of SDXL and their f16 copy would take 15 GB.
    torch.set_default_dtype(torch.float16 if storage == "f16" else torch.float32)
    counts = {}
    index = {"_class_name": spec["pipeline"], "_diffusers_version": "0.42.1"}
    for part, cls, file in (("unet", UNet2DConditionModel, "diffusion_pytorch_model"),
                            ("vae", AutoencoderKL, "diffusion_pytorch_model")):
        config = dict(spec[part], _class_name=cls.__name__, _diffusers_version="0.42.1")
        counts[part] = save(os.path.join(folder, part), file, config, cls(**spec[part]))
        index[part] = ["diffusers", cls.__name__]
    for number, (config, pad) in enumerate(zip(spec["text"], spec["pads"])):
        suffix, projects = ("", False) if number == 0 else ("_2", True)
        kind = "CLIPTextModelWithProjection" if projects else "CLIPTextModel"
        published = dict(config, architectures=[kind], model_type="clip_text_model")
        counts["text_encoder" + suffix] = save(
            os.path.join(folder, "text_encoder" + suffix), "model", published, text_encoder(config, projects))
        tokenizer(os.path.join(folder, "tokenizer" + suffix), merges, pad)
        index["text_encoder" + suffix] = ["transformers", kind]
        index["tokenizer" + suffix] = ["transformers", "CLIPTokenizer"]
    os.makedirs(os.path.join(folder, "scheduler"))
    write_json(os.path.join(folder, "scheduler", "scheduler_config.json"), spec["scheduler"])
    index["scheduler"] = ["diffusers", spec["scheduler"]["_class_name"]]
    write_json(os.path.join(folder, "model_index.json"), index)
    print(f"{family}: {storage} weights, parameters " + ", ".join(f"{k} {v:,}" for k, v in counts.items()))


# ------------------------------------------------------------------------------------------------------------- reference

def inputs(unet):
    config = unet.config
    generator = torch.Generator().manual_seed(7)
    randn = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float32)
    side = config.sample_size
    x = {"sample": randn(1, config.in_channels, side, side), "timestep": torch.tensor([601.0]),
         "encoder_hidden_states": randn(1, 77, config.cross_attention_dim)}
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        x["text_embeds"] = randn(1, pooled)
        x["time_ids"] = torch.tensor([[side * 8, side * 8, 0, 0, side * 8, side * 8]], dtype=torch.float32)
    return x


def run(unet, x, dtype):
    added = {k: x[k].to(dtype) for k in ("text_embeds", "time_ids") if k in x} or None
    with torch.no_grad():
        return unet(x["sample"].to(dtype), int(x["timestep"][0]), encoder_hidden_states=x["encoder_hidden_states"].to(dtype),
                    added_cond_kwargs=added, return_dict=False)[0]


def widen_while_used(unet):
    """Every layer computes in f64, and holds its weights in f64 only while it does: all of SDXL's would take 20 GB."""
    for module in unet.modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(lambda m, _: m.to(torch.float64) and None)
            module.register_forward_hook(lambda m, _, __: m.to(torch.float32) and None)


def rounding_of(unet, x, y):
    """How far the f32 result y is from the same call in f64."""
    widen_while_used(unet)
    exact = run(unet, x, torch.float64)
    assert exact.dtype == torch.float64
    return float((y.double() - exact).abs().max())


def forward(family, root, exact):
    torch.set_default_dtype(torch.float32)
    unet = UNet2DConditionModel.from_pretrained(os.path.join(root, "models", family, "unet"), torch_dtype=torch.float32).eval()
    x = inputs(unet)
    start = time.time()
    y = run(unet, x, torch.float32)
    seconds = time.time() - start
    assert torch.isfinite(y).all()
    print(f"{family}: diffusers' forward took {seconds:.1f} s; standard deviation {float(y.std()):.4f}, "
          f"largest {float(y.abs().max()):.4f}")
    case = {"kind": "unet_forward", "model": "models/" + family, "params": {}, "inputs": "inputs.safetensors",
            "expected": "expected.safetensors", "made_with": f"diffusers {diffusers.__version__}, torch {torch.__version__}"}
    tolerance = TOLERANCE_MIN
    if exact:
        case["reference_f32_vs_f64"] = rounding_of(unet, x, y)
        tolerance = min(TOLERANCE_MAX, max(tolerance, TOLERANCE_FACTOR * case["reference_f32_vs_f64"]))
        print(f"{family}: its own rounding is {case['reference_f32_vs_f64']:.2e}, so the tolerance is {tolerance:.2e}")
    case["tolerance"] = {"atol": tolerance, "rtol": tolerance}
    folder = os.path.join(root, "cases", "unet_forward", family)
    os.makedirs(folder)
    save_file({k: v.contiguous() for k, v in x.items()}, os.path.join(folder, "inputs.safetensors"))
    save_file({"sample": y.contiguous()}, os.path.join(folder, "expected.safetensors"))
    write_json(os.path.join(folder, "case.json"), case)


def loading(family, root):
    """With one worker, what is neither computing nor moving bytes is starting processes and loading weights."""
    with open(os.path.join(root, family + ".json")) as file:
        times = json.loads(file.read().strip().split("\n")[0])["timings"]
    rest = times["total_s"] - sum(times[k] for k in ("compute_s", "merge_s", "png_s", "wire_s"))
    print(f"{family}: {rest:.1f} s of {times['total_s']:.1f} s to start processes and load weights")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make", "forward", "loading"])
    parser.add_argument("family", choices=sorted(FAMILIES))
    parser.add_argument("root")
    parser.add_argument("--storage", choices=["f16", "f32"], default="f16")
    parser.add_argument("--exact", action="store_true", help="also in f64, which shows the reference's own rounding")
    parser.add_argument("--merges", help="CLIP's merges.txt")
    arguments = parser.parse_args()
    if arguments.action == "make":
        make(arguments.family, arguments.root, arguments.storage, arguments.merges)
    elif arguments.action == "forward":
        forward(arguments.family, arguments.root, arguments.exact)
    else:
        loading(arguments.family, arguments.root)


if __name__ == "__main__":
    main()
