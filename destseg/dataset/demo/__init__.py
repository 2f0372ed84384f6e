"""The demo's products, rendered: a machined washer (an object) and woven fabric (a texture), with exact masks."""

from destseg.dataset.demo.render import CATEGORIES, DEFECTS, render_batch, render_dataset, render_image

__all__ = ["CATEGORIES", "DEFECTS", "render_batch", "render_dataset", "render_image"]
