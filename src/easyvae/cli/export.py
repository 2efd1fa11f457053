"""Write a model as ONNX files, for programs without torch and for browsers."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae export`."""
    parser.add_argument("model", metavar="MODEL", help="a .safetensors file or a run folder")
    parser.add_argument("--out", default="onnx", metavar="DIR", help="the folder to write to")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> None:
    """Exports, and prints the names of the two files."""
    from easyvae.export import export_onnx
    from easyvae.model import VAE

    done = export_onnx(VAE.load(args.model), args.out)
    if args.json:
        files = {"encoder": str(done.encoder), "decoder": str(done.decoder)}
        print(json.dumps({**files, "difference": done.difference}))
    else:
        print(done.encoder, done.decoder, sep="\n")
