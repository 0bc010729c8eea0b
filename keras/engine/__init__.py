"""The machinery under the Keras interface: layers, graphs of layers, models, training."""
