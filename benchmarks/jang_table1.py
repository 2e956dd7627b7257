"""Table 1 of Jang, Gu & Poole 2017: structured prediction and VAEs on MNIST.

`sbn-bernoulli` and `sbn-categorical` predict the lower half of a digit from
the upper one, through two stochastic layers: 392-200-200-392 bits or
392-(20x10)-(20x10)-392. The loss is -log p(lower | h) at one sample h of
p(h | upper). `vae-bernoulli` and `vae-categorical` are 784-200-784 and
784-(20x10)-784 with a uniform prior. The loss is -ELBO with the KL divergence
in closed form, but for SF, whose learning signal is the whole -ELBO at the
sample. RESULTS.md has the figure that is measured, and what the paper leaves
open. (It prints the mean of the logarithms; with m = 1000 that would be the
training loss, and ARM's rerun of the table has the logarithm of the mean, too.)

50,000 images train, 10,000 validate, in batches of 100 (the paper gives none).
The learning rate is the best of a few on the validation images. `--finish N`
does the last N steps of SGD at a tenth of it; `--optimizer adam` is Adam on a
cosine to 0; `--train-samples m` trains an SBN on -log 1/m sum_i p(lower | h_i).
`benchmarks/_tasks.py` has the estimators, with their temperatures and slopes,
and `benchmarks/_networks.py` their nesting.
"""

from __future__ import annotations

import itertools

import keras
import numpy as np

from benchmarks import _mnist, _networks, _runner, _tasks, _training
from benchmarks._runner import Arguments, Options, Row
from benchmarks._training import Trainer
from tfgumbel.diagnostics.estimates import seeded


def optimizer(options: Options) -> keras.optimizers.Optimizer:
    """The paper's, or ours."""
    rate, schedules = options.learning_rate, keras.optimizers.schedules
    if options.optimizer == "adam":
        return keras.optimizers.Adam(schedules.CosineDecay(rate, options.steps))
    if options.finish:
        rate = schedules.PiecewiseConstantDecay(
            [options.steps - options.finish - 1], [rate, rate / 10]
        )
    return keras.optimizers.SGD(rate, momentum=0.9)


def key(name: str, label: str, seed: int, options: Options) -> str:
    """What tells a run from others."""
    rate, annealing = options.learning_rate, options.annealing
    text = f"{name}/{label}/{options.optimizer} {rate:g}"
    if options.optimizer == "adam":
        text += f" to 0 in {options.steps}"
    if options.finish:
        text += f", {rate / 10:g} from {options.steps - options.finish}"
    anneals = _tasks.schedule(label, _tasks.TASKS[name].kind, annealing)
    if anneals and annealing != _tasks.ANNEALING_RATE:
        text += f"/annealed by {annealing:g}"
    if options.train_samples > 1:
        text += f"/{options.train_samples} samples"
    return f"{text}/seed {seed}"


def run(
    name: str,
    label: str,
    seed: int,
    images: tuple[np.ndarray, np.ndarray],
    options: Options,
) -> Row:
    """One task, one estimator, one seed."""
    task = _tasks.TASKS[name]
    with seeded(seed):
        network = task.network()
        nodes = _tasks.make_nodes(label, network)
    anneal = _tasks.make_annealing(
        label, task.kind, options.annealing, network, nodes
    )
    held_out = len(images[0]) // 6
    training, validation = images[0][:-held_out], images[0][-held_out:]
    test = images[1][: options.test_images]
    controls = [v for node in nodes for v in node.trainable_variables]
    others = [v for node in nodes for v in node.non_trainable_variables]
    made = task, network, nodes, anneal, seed
    trainer = Trainer(
        _tasks.make_loss(*made, options.train_samples),
        _mnist.feed([training], options.batch, seed),
        [
            (optimizer(options), network.weights),
            (keras.optimizers.Adam(1e-3), controls),
        ],
        [*others, network.slope],
        options.xla,
    )
    names = ("optimizer", "learning_rate", "finish", "batch", "train_samples")
    facts = {
        "task": name,
        "estimator": label,
        "seed": seed,
        **{fact: getattr(options, fact) for fact in names},
        "evaluations": options.train_samples * _tasks.evaluations(nodes),
        "treatment": f"fixed binarisation, seed {_mnist.BINARIZATION_SEED}",
        "bound": f"{options.samples}-sample test bound",
    }
    if _tasks.schedule(label, task.kind, options.annealing):
        facts["annealing"] = options.annealing

    def bound(images: np.ndarray, samples: int) -> tuple[float, float]:
        terms, given = task.terms(network), _tasks.halves(task, images)
        return _networks.negative_bound(terms, *given, samples, xla=options.xla)

    def final(curve: Row) -> Row:
        if not options.test_images:
            return {}
        value, error = bound(test, options.samples)
        return {"test": value, "test_se": error, "test_images": len(test)}

    return _training.train(
        trainer,
        key(name, label, seed, options),
        facts,
        options,
        lambda: {"validation": bound(validation, 10)[0]},
        final,
        lambda found: found.get("test_images", 0) >= options.test_images,
    )


def main(arguments: Arguments = None) -> Row:
    """Trains what the JSON does not hold yet."""
    parser = _training.parser(
        "jang_table1", __doc__, _tasks.ESTIMATORS, 500_000, 5000
    )
    add = parser.add_argument
    add("--tasks", nargs="+", choices=_tasks.TASKS, default=list(_tasks.TASKS))
    add("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_defaults(learning_rate=1e-3)
    add("--finish", type=int, default=0, help="of SGD: at a tenth the rate")
    parser.add_defaults(annealing=_tasks.ANNEALING_RATE, batch=100)
    parser.add_defaults(samples=1000, test_images=10_000, train_samples=1)
    options = _runner.parse(parser, arguments)
    if options.finish and options.optimizer != "sgd":
        parser.error("--finish is for SGD; Adam's rate falls to 0 anyway.")
    data, first = _mnist.load(options.mnist), _mnist.BINARIZATION_SEED
    training = _mnist.binarize(data["x_train"], first)
    images = training, _mnist.binarize(data["x_test"], first + 1)
    for seed, name, label in itertools.product(
        options.seeds, options.tasks, options.estimators
    ):
        if _tasks.applicable(label, name):
            run(name, label, seed, images, options)
    return _runner.read(options.out, {})


if __name__ == "__main__":
    main()
