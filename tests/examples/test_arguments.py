"""Bad arguments stop an example in one sentence, before any work."""

import re

import numpy as np
import pytest

from tests.examples.loading import FOLDER, load

NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem[0] != "_")
ALL = [
    "--out FILE",
    "--out FILE/below",
    "--seed -1",
    "--seed 0.5",
]
VERBOSE = ["--verbose 3", "--verbose -1"]
RATES = ("0", "-1", "nan", "inf", "1e-99", "fast")
TRAINING = ["--epochs 0", "--epochs 1.5", *VERBOSE]
TRAINING += [f"--learning-rate {rate}" for rate in RATES]
BAD = {
    "bayesian_logistic_regression": [
        "--estimators pathwise nvil",
        "--steps 0",
        "--samples 0",
        "--samples 1",
        "--batch-size 0",
        "--batch-size 470",
        "--learning-rate nan",
        "--every 0",
        "--draws 1",
    ],
    "belief_network": [
        *TRAINING,
        "--estimators arm",
        "--variables 1 2",
        "--variables 20 none",
        "--samples 0",
        "--gradients 1",
    ],
    "bernoulli_vae": [
        *TRAINING,
        "--estimators zgr",
        "--bits 1",
        "--bits many",
        "--hidden 0",
        "--samples 0",
    ],
    "black_box_cost": [
        *TRAINING,
        "--gradients told",
        "--exploration -0.1",
        "--exploration nan",
        "--hidden 0",
    ],
    "categorical_vae": [
        *TRAINING,
        "--estimator nvil",
        "--mnist FILE",
        "--mnist MISSING",
        "--mnist WITHOUT_IMAGES",
        "--batch-size 0",
        "--latents 0",
        "--classes 1",
        "--hidden 32 0",
        "--temperature 0",
        "--temperature nan",
        "--minimum-temperature 0",
        "--minimum-temperature 2",
        "--kl-warmup 1.5",
        "--kl-warmup nan",
        "--samples 1",
    ],
    "cart_pole": [
        "--seeds 0",
        "--baseline nvil",
        "--updates 0",
        "--batch-size 0",
        "--episodes 0",
        "--discount 0.4",
        "--discount 1.1",
        "--hidden 0",
        *(f"--learning-rate {rate}" for rate in RATES),
    ],
    "subset_vae": [
        *TRAINING,
        "--samplers nvil",
        "--mnist FILE",
        "--mnist MISSING",
        "--mnist WITHOUT_IMAGES",
        "--batch-size 0",
        "--groups 0",
        "--items 1",
        "--k 0",
        "--k 11",
        "--hidden 32 0",
        "--samples 0",
    ],
    "hierarchical_vae": [
        *TRAINING,
        "--runs ladder",
        "--variables 2",
        "--variables 0 2",
        "--hidden 0",
        "--free-bits 0",
        "--free-bits -1",
        "--test-samples 0",
    ],
    "importance_weighted": [
        *TRAINING,
        "--runs nvil",
        "--mnist FILE",
        "--mnist MISSING",
        "--mnist WITHOUT_IMAGES",
        "--batch-size 0",
        "--latents 0",
        "--hidden 32 0",
        "--samples 0",
        "--test-samples 0",
        "--test-images 0",
    ],
    "pruned_network": [
        *TRAINING,
        "--mnist FILE",
        "--mnist MISSING",
        "--mnist WITHOUT_IMAGES",
        "--batch-size 0",
        "--hidden 32 0",
        "--weight -1",
        "--weight nan",
        "--weight 0",
    ],
    "cipher": [
        "--searches luck",
        "--keys 0",
        "--steps 0",
        "--swaps 0",
        "--every 0",
        "--learning-rate nan",
        "--penalty -1",
        "--minimum-temperature 0",
    ],
    "decoding": [
        *TRAINING,
        "--ways none",
        "--hidden 0",
        "--length 7",
        "--length 201",
        "--prompts 1",
        "--passes 0",
        "--batch-size 1",
        "--often 0",
        "--curiosity -1",
        "--temperature 0",
        "--gradients 1",
    ],
    "dirichlet_topics": [
        *TRAINING,
        "--topics 1",
        "--topics 65",
        "--alpha 0",
        "--lda-iterations 0",
        "--samples 0",
    ],
    "explain": [
        *TRAINING,
        "--ways looks",
        "--k 0",
        "--k 65",
        "--hidden 0",
        "--temperature 0",
    ],
    "feature_selection": [
        *TRAINING,
        "--features 0",
        "--features 31",
        "--batch-size 0",
        "--temperature 0",
        "--minimum-temperature 0",
        "--minimum-temperature 11",
        "--subsets 1",
    ],
    "gaussian_vae": [
        *TRAINING,
        "--latents 0",
        "--hidden 0",
        "--batch-size 0",
        "--samples 1",
    ],
    "hard_attention": [
        *TRAINING,
        "--readers blind",
        "--glimpses 0",
        "--size 0",
        "--size 8",
        "--hidden 0",
        "--curiosity -1",
        "--passes 0",
    ],
    "mixture_of_experts": [
        *TRAINING,
        "--gates open",
        "--experts 1",
        "--units 0",
        "--hidden 0",
        "--spread nan",
        "--balance even",
        "--balance-weight -1",
    ],
    "multi_worker": [
        "--workers 0",
        "--workers two",
        "--restarts -1",
        "--estimator nvil",
        "--epochs 0",
        "--steps 0",
        "--save-every 0",
        "--batch-size 0",
        "--batch-size 1498",
        "--batch-size 50 --workers 3",
        "--latents 0",
        "--classes 1",
        "--learning-rate nan",
        "--rate -1",
        "--rate inf",
        "--samples 0",
    ],
    "recurrent_attention": [
        *TRAINING,
        "--readers blind",
        "--mnist FILE",
        "--mnist MISSING",
        "--mnist WITHOUT_IMAGES",
        "--glimpses 0",
        "--deviation 0",
        "--hidden 0",
        "--batch-size 0",
    ],
    "semi_supervised_vae": [
        *TRAINING,
        "--ways none",
        "--labels 0",
        "--labels 5",
        "--labels 35",
        "--labels 2000",
        "--runs 0",
        "--latents 0",
        "--hidden 0",
        "--alpha -1",
    ],
    "sort_digits": [
        "--ways quick",
        "--mnist FILE",
        "--mnist MISSING",
        "--mnist WITHOUT_IMAGES",
        "--n 1",
        "--n 51",
        "--steps 0",
        "--batch-size 1",
        "--hidden 0",
        "--temperature 0",
        "--test 8",
        *VERBOSE,
        *(f"--learning-rate {rate}" for rate in RATES),
    ],
    "structured_prediction": [
        *TRAINING,
        "--bits 0",
        "--samples 0",
        "--test-samples 0",
        "--estimator rloo",
        "--hidden 0",
        "--patience 0",
    ],
    "vq_vae": [
        "--runs best",
        "--mnist FILE",
        "--mnist MISSING",
        "--mnist WITHOUT_IMAGES",
        "--codes 1",
        "--dim 0",
        "--channels 0",
        "--units 0",
        "--scale 0",
        "--weight -1",
        "--steps 0",
        "--prior-steps 0",
        "--batch-size 0",
        *VERBOSE,
        *(f"--learning-rate {rate}" for rate in RATES),
    ],
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Words that stand for paths."""
    folder = tmp_path_factory.mktemp("paths")
    (folder / "file").write_text("neither a folder nor images")
    np.savez(folder / "labels.npz", y_train=np.zeros(3))
    return {
        "FILE": str(folder / "file"),
        "MISSING": str(folder / "missing.npz"),
        "WITHOUT_IMAGES": str(folder / "labels.npz"),
    }


@pytest.mark.parametrize(
    ("name", "bad"),
    [(name, bad) for name in NAMES for bad in (*ALL, *BAD[name])],
)
def test_a_bad_argument_stops_before_any_work(
    name, bad, paths, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    example = load(name)
    for word, path in paths.items():
        bad = re.sub(rf"\b{word}\b", path, bad)

    with pytest.raises(SystemExit) as stop:
        example.main(bad.split())

    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    *_, sentence = printed.err.splitlines()
    option = bad.split()[0]
    assert f": error: argument {option}: " in sentence
    assert not any(tmp_path.iterdir())


class Built(Exception):
    """Carries a parser out of the function that builds it."""


@pytest.fixture(scope="module", params=NAMES)
def parser(request):
    """The parser of an example."""
    example = load(request.param)

    def parse_args(self, argv=None):
        raise Built(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example.Parser, "parse_args", parse_args)
        with pytest.raises(Built) as built:
            example.parse([])
    parser = built.value.args[0]
    parser.prog = request.param
    return parser


def test_every_option_has_a_bad_argument(parser):
    options = {action.option_strings[-1] for action in parser._actions[1:]}
    tried = {word for bad in (*ALL, *BAD[parser.prog]) for word in bad.split()}
    assert options <= tried


def test_help_says_what_each_option_means_and_its_default(parser):
    assert "(default: " in parser.format_help()
    for action in parser._actions[1:]:  # without --help
        meaning, _, default = action.help.partition(" (default: ")
        assert meaning and default.endswith(")"), action.option_strings


def test_a_folder_may_be_new_or_there_and_the_check_leaves_nothing(tmp_path):
    example = load("cipher")
    for out in (tmp_path, tmp_path / "new" / "below"):
        assert example.parse([f"--out={out}"]).out == out
    assert not any(tmp_path.iterdir())
