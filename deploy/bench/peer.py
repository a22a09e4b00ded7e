"""What others need for the same network on the same cores. deploy/bench.sh calls this.

    peer.py convert  unet|vae --family F --latent L --batch B --cache FILE.xml      for OpenVINO, once for both precisions
    peer.py pytorch  unet|vae --family F --latent L --batch B --precision P --threads T --runs R
    peer.py openvino unet|vae … --cache FILE.xml

The weights are random, because time does not depend on them. The first call is not counted. The two last commands print one
JSON line with the members that the suites of patchloom-bench print (deploy/BENCHES.md).
"""
import argparse
import datetime
import json
import os
import statistics
import sys
import time
import warnings

warnings.filterwarnings("ignore")
# OpenVINO reports its use to its makers if this module is there, with a copy of the whole process for each report.
sys.modules["openvino_telemetry"] = None

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from fullsize import FAMILIES  # noqa: E402  the published configurations

TEXT_TOKENS = 77


def network(suite, family, dtype=torch.float32):
    """The network with random weights, drawn so that activations keep their size."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    kind = UNet2DConditionModel if suite == "unet" else AutoencoderKL
    # Modules would fill their weights themselves, several times slower.
    with torch.device("meta"):
        model = kind(**FAMILIES[family][suite])
    model = model.to(dtype).to_empty(device="cpu").eval()
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() > 1:
                bound = (3 * values.shape[0] / values.numel()) ** 0.5
                values.uniform_(-bound, bound)
            else:
                values.fill_(1.0 if name.endswith("weight") else 0.0)
    return model


class Positional(torch.nn.Module):
    """A network with positional inputs and one output."""

    def __init__(self, suite, model):
        super().__init__()
        self.suite, self.model = suite, model

    def forward(self, x, *others):
        if self.suite == "vae":
            return self.model.decode(x, return_dict=False)[0]
        time, text, *added = others
        added = dict(text_embeds=added[0], time_ids=added[1]) if added else None
        return self.model(x, time, text, added_cond_kwargs=added, return_dict=False)[0]


def inputs(suite, family, latent, batch):
    generator = torch.Generator().manual_seed(7)
    x = [torch.randn(batch, 4, latent, latent, generator=generator)]
    if suite == "vae":
        return x
    config = FAMILIES[family]["unet"]
    x += [torch.tensor(500), torch.randn(batch, TEXT_TOKENS, config["cross_attention_dim"], generator=generator)]
    if "addition_embed_type" in config:
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        x += [torch.randn(batch, pooled, generator=generator), torch.randn(batch, 6, generator=generator)]
    return x


def convert(a):
    """Writes the network in OpenVINO's format, with f32 weights and fixed shapes."""
    import openvino as ov

    x = inputs(a.suite, a.family, a.latent, a.batch)
    with torch.no_grad():
        model = ov.convert_model(Positional(a.suite, network(a.suite, a.family)), example_input=tuple(x))
    model.reshape({port: list(value.shape) for port, value in zip(model.inputs, x)})
    ov.save_model(model, a.cache, compress_to_fp16=False)


def pytorch(a):
    dtype = torch.float32 if a.precision == "f32" else torch.bfloat16
    torch.set_num_threads(a.threads)
    model = Positional(a.suite, network(a.suite, a.family, dtype))
    x = [v.to(dtype) if v.is_floating_point() else v for v in inputs(a.suite, a.family, a.latent, a.batch)]
    with torch.inference_mode():
        return "pytorch " + torch.__version__, timed(a.runs, lambda: model(*x))


def openvino(a):
    import openvino as ov

    settings = {"INFERENCE_PRECISION_HINT": a.precision, "INFERENCE_NUM_THREADS": a.threads, "NUM_STREAMS": 1}
    request = ov.Core().compile_model(a.cache, "CPU", settings).create_infer_request()
    x = [v.numpy() for v in inputs(a.suite, a.family, a.latent, a.batch)]
    return "openvino " + ov.__version__.split("-")[0], timed(a.runs, lambda: request.infer(x))


def timed(runs, call):
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["convert", "pytorch", "openvino"])
    parser.add_argument("suite", choices=["unet", "vae"])
    parser.add_argument("--family", choices=sorted(FAMILIES), default="sd15")
    parser.add_argument("--latent", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache")
    a = parser.parse_args()
    if a.command != "pytorch" and not a.cache:
        parser.error("--cache names the file that convert writes and openvino reads.")
    if a.command == "convert":
        return convert(a)
    peer, seconds = pytorch(a) if a.command == "pytorch" else openvino(a)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    print(json.dumps(dict(
        suite=a.suite, peer=peer, date=now, family=a.family, latent=a.latent, batch=a.batch, precision=a.precision,
        threads=a.threads, runs=a.runs, best=min(seconds), median=statistics.median(seconds), seconds=seconds)))


if __name__ == "__main__":
    main()
