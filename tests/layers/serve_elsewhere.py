"""Loads what `test_serving` saved, as a program that has only TensorFlow.

Run as a script: `serve_elsewhere.py FOLDER`.
"""

import pathlib
import pickle
import re
import sys


class Absent:
    """Makes tfgumbel a package that cannot be imported."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tfgumbel":
            raise ModuleNotFoundError(f"No module named {name!r}")


if __name__ == "__main__":
    sys.meta_path.insert(0, Absent())

import tensorflow as tf  # noqa: E402


def exported(path, batches):
    """What `model.export` serves."""
    loaded = tf.saved_model.load(path)
    return [loaded.serve(tensors(batch)) for batch in batches]


def saved(path, batches):
    """What `tf.saved_model.save(model)` serves."""
    serve = tf.saved_model.load(path).signatures["serving_default"]
    names = in_order(serve.structured_input_signature[1])
    results = []
    for batch in batches:
        outputs = serve(**dict(zip(names, tensors(batch), strict=True)))
        results.append([outputs[name] for name in in_order(outputs)])
    return results


def sampled(path, batches):
    """What the signature "sample" serves, with the size as the seed."""
    loaded = tf.saved_model.load(path)
    return [loaded.sample(tensors(b), len(b[0])) for b in batches]


def in_order(names):
    """Sorts name, name_1, name_2, ..., name_10."""
    return sorted(
        names, key=lambda name: int((re.findall(r"\d+", name) or [0])[0])
    )


def trained(path, batches):
    """Values of the exported training call, and gradients of their sum."""
    loaded = tf.saved_model.load(path)
    return [
        gradients(loaded.train, tensors(batch), loaded.trainable_variables)
        for batch in batches
    ]


def tensors(arrays):
    return [tf.convert_to_tensor(array) for array in arrays]


def gradients(train, inputs, variables):
    sources = [t for t in inputs if t.dtype.is_floating] + list(variables)
    with tf.GradientTape() as tape:
        tape.watch(sources)
        total = train(inputs)
    zero = tf.UnconnectedGradients.ZERO
    found = tape.gradient(total, sources, unconnected_gradients=zero)
    return [total, *map(tf.convert_to_tensor, found)]


WAYS = {
    "export": exported,
    "saved_model": saved,
    "train": trained,
    "sample": sampled,
}


def main(folder):
    batches = pickle.loads((folder / "batches.pickle").read_bytes())
    results = {
        name: way(str(folder / name), batches) for name, way in WAYS.items()
    }
    results = tf.nest.map_structure(lambda tensor: tensor.numpy(), results)
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
