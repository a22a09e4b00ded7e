"""Records how far the reference packages' bf16 lies from their own f32, for every golden case that runs a network.

  python deploy/bf16-records.py --oracle DIR --config FILE --embedded DIR --folder DIR --out FILE CASES...

The fixture generator in --oracle makes its cases three times below --folder, with the models of the first CASES and the
environments that its env.sh names (PY_CORE, PY_HI, PY_LORA, PY_CUT): once as it is, and twice with U-Nets and autoencoders
in bf16, the second time with other convolution and attention kernels, which round in another order. --config is the
configuration that made CASES, folders with models/ and cases/. --embedded is the model inside Patchloom. A case gets a record
only if the first run has the inputs and reaches the results of CASES; the others are named, with the reason.

What is bf16 in the later runs: weights and activations of U-Nets, of the autoencoder's encoder and decoder, and the operators
of the kinds hidiffusion_ops and tome_plan. Text encoders, samplers and everything else stay f32, as in Patchloom. PyTorch
adds up in f32 and rounds each layer's result to bf16. The recorded error of a tensor is the larger difference of the two runs
in bf16 from the first: where few numbers carry most of the error, as SDXL's embedding of sizes does, one run is a chance hit.

  rms     its root mean square divided by that of the f32 result
  max     its largest absolute value
  differ  for whole numbers: the share of those that differ
  psnr    for pictures in 8 bits: the ratio in dB
"""
import argparse
import collections
import hashlib
import json
import math
import os
import subprocess
import sys

# Runs by their folders.
RUNS = ("f32", "bf16", "bf16-other-kernels")
# Interpreter, script and kinds of the generator.
PARTS = [
    ("PY_CORE", "cases_core", "unet_forward,vae,txt2img,img2img,inpaint,single_file"),
    ("PY_CORE", "others", ""),
    ("PY_LORA", "cases_core", "lora"),
    ("PY_HI", "cases_hidiffusion", "hidiffusion_ops"),
    ("PY_HI", "cases_hidiffusion", "hidiffusion_block,hidiffusion_unet,hidiffusion_pipeline"),
    ("PY_HI", "cases_tokens", "tome_plan,tome_block,tome_unet,todo_unet,todo_block"),
    ("PY_CUT", "cases_cutdiffusion", "cutdiffusion_pipeline"),
]
# The model inside Patchloom, by its name in cases.
EMBEDDED = "openmoji-24"
# The kinds that compute in the chosen precision. Cases of other kinds need no record.
KINDS = {
    "unet_forward", "vae_decode", "vae_encode", "vae_decode_tiled", "vae_encode_tiled", "single_file", "lora",
    "hidiffusion_ops", "hidiffusion_block", "hidiffusion_unet", "hidiffusion_todo", "hidiffusion_pipeline", "tome_plan",
    "tome_block", "tome_unet", "todo_block", "todo_unet", "txt2img", "img2img", "inpaint", "cutdiffusion_pipeline",
}


# ------------------------------------------------------------------------------------------- one part, in its environment


def narrow_networks(torch, names):
    """Calls modules of these classes in bf16: weights and inputs are rounded before the call, results are widened after it."""
    plain = torch.nn.Module.__call__
    inside = False

    def narrow(value):
        return value.to(torch.bfloat16) if torch.is_tensor(value) and value.is_floating_point() else value

    def widen(value):
        if torch.is_tensor(value):
            return value.float() if value.dtype == torch.bfloat16 else value
        if isinstance(value, tuple):
            return tuple(widen(v) for v in value)
        raise TypeError(f"a network returned {type(value)}")

    def call(module, *arguments, **named):
        nonlocal inside
        if inside or not any(c.__name__ in names for c in type(module).__mro__):
            return plain(module, *arguments, **named)
        # Timesteps and sizes stay: the network embeds them in f32 and rounds the embedding.
        arguments = (narrow(arguments[0]), *arguments[1:])
        if "encoder_hidden_states" in named:
            named["encoder_hidden_states"] = narrow(named["encoder_hidden_states"])
        if named.get("added_cond_kwargs"):
            added = named["added_cond_kwargs"]
            named["added_cond_kwargs"] = added | {"text_embeds": narrow(added["text_embeds"])}
        kept = [(p, p.data) for p in module.parameters() if p.is_floating_point()]
        for parameter, data in kept:
            parameter.data = data.to(torch.bfloat16)
        inside = True
        try:
            return widen(plain(module, *arguments, **named))
        finally:
            inside = False
            for parameter, data in kept:
                parameter.data = data

    torch.nn.Module.__call__ = call


def narrow_operators(torch, module):
    """HiDiffusion's pooling and resizing outside of a network."""
    functional = module.F

    class Functional:
        def __getattr__(self, name):
            return getattr(functional, name)

        def avg_pool2d(self, x, **named):
            return functional.avg_pool2d(x.to(torch.bfloat16), **named).float()

        def interpolate(self, x, **named):
            return functional.interpolate(x.to(torch.bfloat16), **named).float()

    module.F = Functional()


def narrow_matching(torch, tm):
    """tomesd's matching outside of a network. Inside one its tokens are bf16 already."""
    plain = tm.bipartite_soft_matching_random2d

    def matching(metric, *arguments, **named):
        if metric.dtype == torch.bfloat16:
            return plain(metric, *arguments, **named)
        both = plain(metric.to(torch.bfloat16), *arguments, **named)
        return tuple(lambda x, _call=call, **named: _call(x.to(torch.bfloat16), **named).float() for call in both)

    tm.bipartite_soft_matching_random2d = matching


def keep_attempts(log, path, is_second):
    """The generator draws inputs again until a plan is far from a tie. The second run must end with the same inputs."""
    gaps = json.load(open(path)) if is_second else []
    leave = log.__exit__

    def exit(self, *error):
        leave(self, *error)
        if is_second:
            self.gap = gaps.pop(0)
        else:
            gaps.append(self.gap)
            json.dump(gaps, open(path, "w"))

    log.__exit__ = exit


# Cases that the generator's configuration does not make, with their own inputs.


def tiled_case(core, ctx, folder, case):
    """The autoencoder in diffusers' overlapping tiles."""
    vae = core.load_vae(ctx, case["params"]["model"])
    vae.enable_tiling()
    given = core.load_file(os.path.join(folder, "inputs.safetensors"))
    with core.torch.no_grad():
        if case["kind"] == "vae_decode_tiled":
            made = {"sample": vae.decode(given["latents"] / vae.config.scaling_factor, return_dict=False)[0]}
        else:
            moments = vae.encode(given["sample"]).latent_dist
            made = {"mean": moments.mean, "logvar": moments.logvar}
    ctx.case(case["kind"], os.path.basename(folder), case["params"], given, made)


def embedded_case(core, ctx, folder, case):
    """The model inside Patchloom."""
    spec = case["params"]
    pipe = core.StableDiffusionPipeline.from_pretrained(
        ctx.model(case["model"]), torch_dtype=core.torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    settings = dict(spec["scheduler_config"])
    pipe.scheduler = getattr(core.diffusers, settings.pop("_class_name")).from_config(settings)
    tap = core.Tap(pipe)
    with core.NoiseLog() as log, core.torch.no_grad():
        image = pipe(height=spec["h"] * 8, width=spec["w"] * 8, callback_on_step_end=tap.on_step,
                     generator=core.torch.Generator().manual_seed(spec["seed"]), **core.call_args(spec, False)).images
    core.finish(ctx, "txt2img", os.path.basename(folder), dict(spec, model=case["model"]), pipe, tap, log, {}, image, False,
                {"image_u8": (image * 255).round().to(core.torch.uint8)})


def run_part(precision, name, oracle, kinds, out, config, folders):
    sys.path.insert(0, oracle)
    sys.argv = [name, "--out", out, "--config", config, "--only", kinds]
    import lib

    torch = lib.torch
    plain = lib.Ctx.case

    def case(ctx, group, name, params, inputs, expected, *arguments, **named):
        widened = [{k: v.float() if getattr(v, "dtype", None) == torch.bfloat16 else v for k, v in (t or {}).items()}
                   for t in (inputs, expected)]
        plain(ctx, group, name, params, *widened, *arguments, **named)

    lib.Ctx.case = case
    module = __import__("cases_core" if name == "others" else name)
    is_bf16 = precision != "f32"
    if name == "cases_tokens":
        keep_attempts(module.PlanLog, os.path.join(os.path.dirname(out), "attempts.json"), is_bf16)
    if is_bf16:
        classes = {"UNet2DConditionModel", "Encoder", "Decoder", "BasicTransformerBlock"}
        if kinds == "hidiffusion_ops":
            narrow_operators(torch, module)
            classes.add("Conv2d")
        if name == "cases_tokens":
            narrow_matching(torch, module.tm)
        narrow_networks(torch, classes)
    if name != "others":
        module.main()
        return
    ctx = module.Ctx(module.parse_args(), module.versions("diffusers", "transformers", "torch"))
    for folder in folders:
        case = json.load(open(os.path.join(folder, "case.json")))
        (tiled_case if "tiled" in case["kind"] else embedded_case)(module, ctx, folder, case)


# --------------------------------------------------------------------------------------------------------------- all parts


def case_folders(roots):
    """Kind/name and folder of the cases that compute in the chosen precision. The first root that has a case counts."""
    found = {}
    for root in roots:
        for kind in sorted(KINDS):
            folder = os.path.join(root, "cases", kind)
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
                found.setdefault(f"{kind}/{name}", os.path.join(folder, name))
    return found


def generate(options, cases):
    others = [f for k, f in cases.items() if is_other(f)]
    for precision in RUNS:
        out = os.path.join(options.folder, precision)
        models = os.path.join(out, "models")
        os.makedirs(models, exist_ok=True)
        given = os.path.join(options.cases[0], "models")
        links = {name: os.path.join(given, name) for name in os.listdir(given)} | {EMBEDDED: options.embedded}
        for name, source in links.items():
            if not os.path.lexists(os.path.join(models, name)):
                os.symlink(os.path.abspath(source), os.path.join(models, name))
        for interpreter, name, kinds in PARTS:
            print(f"{precision}: {name} {kinds}", flush=True)
            subprocess.run(
                [os.environ[interpreter], os.path.abspath(__file__), "--part", precision, name,
                 os.path.abspath(options.oracle), kinds, out, os.path.abspath(options.config), *others], check=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
                | ({"ORACLE_OTHER_KERNELS": "1"} if "other" in precision else {}))


def is_other(folder):
    """Whether the generator's configuration does not make a case."""
    case = json.load(open(os.path.join(folder, "case.json")))
    return case["model"] == EMBEDDED or "tiled" in case["kind"]


def up(value, digits=3):
    """Rounded up, so that a record never says less than was measured."""
    if value == 0:
        return 0
    scale = 10 ** (digits - 1 - math.floor(math.log10(value)))
    return float(f"{math.ceil(value * scale) / scale:.{digits}g}")


def error_of(np, f32, bf16, rule):
    """The record of one tensor; None if the two are equal within the case's own tolerance."""
    if f32.shape != bf16.shape:
        raise ValueError("the two precisions give tensors of different shapes")
    if f32.dtype.kind in "iu":
        share = float(np.mean(f32 != bf16))
        if f32.dtype != np.uint8 or share == 0:
            return {"differ": up(share)} if share else None
        squares = float(np.mean((f32.astype(np.float64) - bf16) ** 2))
        return {"psnr": math.floor(1000 * math.log10(255 * 255 / squares)) / 100}
    a, b = f32.astype(np.float64), bf16.astype(np.float64)
    if not np.isfinite(b).all():
        raise ValueError("bf16 gives numbers that are not finite")
    if np.allclose(b, a, rtol=rule["rtol"], atol=rule["atol"]):
        return None
    power = float(np.mean(a * a))
    if power == 0:
        raise ValueError("the f32 result is zero")
    return {"rms": up(math.sqrt(float(np.mean((a - b) ** 2)) / power)), "max": up(float(np.abs(a - b).max()))}


def larger(one, other):
    """The larger of two errors of a tensor; None stands for no error."""
    if not (one and other):
        return one or other
    return {key: (min if key == "psnr" else max)(one[key], other[key]) for key in one}


def record(folder, runs, read, np):
    """A case's record; raises ValueError where the runs do not allow one."""
    case = json.load(open(os.path.join(folder, "case.json")))
    for run in runs:
        if not os.path.exists(os.path.join(run, "case.json")):
            raise ValueError("the generator does not make it with this configuration")

    def tensors(place, name):
        return read(os.path.join(place, name)) if case[name.split(".")[0]] else {}

    own = tensors(folder, "inputs.safetensors")
    for run, title in zip(runs, RUNS):
        inputs = tensors(run, "inputs.safetensors")
        for key, wanted in own.items():
            given = inputs.get(key)
            # Runs in bf16 pool in bf16 what a resize takes.
            close = 2 ** -7 if key == "pooled" else 1e-5
            if given is None or given.shape != wanted.shape or not np.allclose(given, wanted, rtol=close, atol=close):
                raise ValueError(f"its input {key} is another in the {title} run")
    expected, f32, *narrow = (tensors(d, "expected.safetensors") for d in (folder, *runs))
    rules = {key: case["tolerance"].get("per_tensor", {}).get(key, case["tolerance"]) for key in expected}
    for key, wanted in expected.items():
        rule = rules[key]
        if "psnr" not in rule and not np.allclose(f32[key], wanted, rtol=rule["rtol"], atol=rule["atol"] + 1e-12):
            raise ValueError(f"the f32 run does not reach {key} of the case")
    errors = {key: larger(*(error_of(np, f32[key], b[key], rules[key]) for b in narrow)) for key in sorted(expected)}
    with open(os.path.join(folder, case["expected"]), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return {"expected": digest, "errors": {k: e for k, e in errors.items() if e}}


def write(path, made_with, records):
    """One case a line, so that changes can be read."""
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in sorted(records.items()))
    with open(path, "w") as file:
        file.write(f"{{\n \"made_with\": {json.dumps(made_with)},\n \"cases\": {{\n{lines}\n }}\n}}\n")


def main():
    if sys.argv[1:2] == ["--part"]:
        precision, name, oracle, kinds, out, config, *folders = sys.argv[2:]
        run_part(precision, name, oracle, kinds, out, config, folders)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("oracle", "config", "embedded", "folder", "out"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--compare-only", action="store_true", help="use the runs that --folder holds")
    parser.add_argument("cases", nargs="+")
    options = parser.parse_args()
    import numpy as np
    sys.path.insert(0, options.oracle)
    from compare import read

    cases = case_folders(options.cases)
    if not options.compare_only:
        generate(options, cases)
    records, reasons = {}, collections.defaultdict(list)
    for key, folder in cases.items():
        try:
            records[key] = record(folder, [os.path.join(options.folder, r, "cases", key) for r in RUNS], read, np)
        except ValueError as error:
            reasons[str(error)].append(key)
    about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in open("/proc/cpuinfo"))}
    units = [flag for flag in about.get("flags", "").split() if "bf16" in flag]
    made = [json.load(open(os.path.join(options.folder, "bf16", "cases", k, "case.json")))["made_with"] for k in records]
    packages = sorted({package for makers in made for package in makers.split(", ")})
    processor = f"{about.get('model name', 'an unknown CPU')} with {' '.join(units)}"
    write(options.out, f"{', '.join(packages)}; on {processor}", records)
    print(f"{len(records)} of {len(cases)} cases have a record")
    for reason, keys in sorted(reasons.items()):
        print(f"no record, because {reason}: {', '.join(keys)}")


if __name__ == "__main__":
    main()
