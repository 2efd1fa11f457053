"""What a trained model is worth: its figures on pictures that it has not seen.

figures = evaluate(model, held_out, training).figures
figures["mse"], figures["elbo"], figures["slerp_warped"]
"""

from easyvae.evaluation.evaluator import Evaluator, evaluate
from easyvae.evaluation.figures import FIGURES, Evaluation, Figures

__all__ = ["FIGURES", "Evaluation", "Evaluator", "Figures", "evaluate"]
