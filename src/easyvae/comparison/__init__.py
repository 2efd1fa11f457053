"""Several models side by side: one data set, one split, one seed, the same held-out pictures.

found = compare("cats.zip", betas=[2, 1, 0.5, 0.05, 0.005], latent=500, out="report")
print(found)
found.save()
"""

from easyvae.comparison.result import Comparison, Result
from easyvae.comparison.run import compare

__all__ = ["Comparison", "Result", "compare"]
