"""The applications of the paper, as functions of a trained model."""
