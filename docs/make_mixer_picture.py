"""Takes the documentation's picture of the mixer: `python docs/make_mixer_picture.py [RUN]`.

The page is the real one, in Chromium, with a model trained on the built-in kittens: that of the
run folder given, or of `easyvae demo`, which it trains first if `easyvae-demo/` has none. In the
documentation it is `easyvae train kittens:12000 --latent 128 --beta 0.2 --epochs 10 --out RUN`,
with the channels 32 64 128 256.
"""

import io
import shutil
import sys
import threading
from pathlib import Path

import torch
from PIL import Image
from playwright.sync_api import sync_playwright

from easyvae import VAE
from easyvae.app import create_app, serve
from easyvae.app.uvicorn_server import listen
from easyvae.cli import main
from easyvae.data import Pictures
from easyvae.kittens import draw_kittens

KITTENS = 5000
MIX = "#a=p7&b=p8&t=500"  # the two kittens, and the middle between them
SIZE = {"width": 1440, "height": 900}
QUALITY = 80
OUT = Path(__file__).parent / "images" / "mixer.jpg"

run = Path(sys.argv[1] if len(sys.argv) > 1 else "easyvae-demo")
if not (run / "model.safetensors").is_file():
    main(["demo", "--out", str(run)])
model = VAE.load(run)
images = torch.from_numpy(draw_kittens(KITTENS, size=model.input_shape[1])[0])
app = create_app({"kittens": model}, Pictures(images, origin="kittens"), title="kittens")
bound = listen("127.0.0.1", 0)
port = bound.getsockname()[1]
threading.Thread(target=serve, args=(app, bound), daemon=True).start()

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=shutil.which("chromium"), args=["--no-sandbox"]
    )
    page = browser.new_page(viewport=SIZE, locale="en-GB")
    page.set_default_timeout(300_000)  # the set is encoded first
    page.goto(f"http://127.0.0.1:{port}/{MIX}")
    page.wait_for_selector("#map-wait", state="hidden")
    page.wait_for_selector("#edits canvas.ready")
    page.wait_for_timeout(1500)  # the last thumbnails of the map
    shot = Image.open(io.BytesIO(page.screenshot()))
    browser.close()
shot.convert("RGB").save(OUT, quality=QUALITY, optimize=True, progressive=True)
print(f"wrote {OUT}")
