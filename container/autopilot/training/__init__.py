"""Training: networks, learners, export, verdict. TensorFlow only here."""
