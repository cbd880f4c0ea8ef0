"""A stand-in of the classic sample: Flask, and a TensorFlow SavedModel called in the worker. Nothing is remembered."""

import os

import numpy as np
import tensorflow as tf
from flask import Flask, jsonify, request

app = Flask("classic")
signature = tf.saved_model.load(os.environ["CLASSIC_MODEL"]).signatures["serving_default"]
width = signature.structured_input_signature[1]["observations"].shape[1]


@app.get("/ping")
def ping():
    return "\n"


@app.post("/invocations")
def invocations():
    demand = request.get_json()["demand"]
    observation = np.full((1, width), demand, np.float32)
    outputs = signature(observations=tf.constant(observation))
    action = float(outputs["actions"].numpy()[0, 0])
    return jsonify({"Prediction": {"num_of_gameservers": max(action * demand, demand), "curr_demand": str(demand)}})
