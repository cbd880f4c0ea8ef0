"""The learned mapping, as it is served: the model directory, the LiteRT network, the policies over it."""
