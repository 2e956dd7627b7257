"""The permutation of largest total weight."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfgumbel import _checks


def maximal_matching(weights: Any) -> tf.Tensor:
    """The permutation π that maximises Σ_i weights[i, π_i].

    Shortest augmenting paths (Jonker and Volgenant) for all matrices of the
    batch side by side, in graph ops: nothing calls back to Python, so that it
    runs in a SavedModel and under XLA. Computed in float64; O(n³) operations
    in at most n² steps. Carries no gradient.

    Args:
        weights: Float tensor `[..., n, n]`. As few of -inf as can be are
            chosen, and of those choices the one with the largest finite sum.

    Returns:
        int32 column of each row, `[..., n]`. A matrix with NaN gives some
        permutation.

    Raises:
        TypeError: If the weights are not floating.
        ValueError: If the matrices are not square.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.maximal_matching([[3.0, 2.0], [2.5, 0.0]]).numpy()
    array([1, 0], dtype=int32)

    Reference:
        Jonker, Volgenant. A shortest augmenting path algorithm for dense and
        sparse linear assignment problems. Computing 1987. Crouse. On
        implementing 2D rectangular assignment algorithms. IEEE TAES 2016.
    """
    weights = square_matrices(weights, "weights")
    n = weights.shape[-1]
    cost = tf.stop_gradient(-tf.cast(weights, tf.float64))
    bad = tf.reduce_any(tf.math.is_nan(cost), axis=[-2, -1], keepdims=True)
    cost = _finite(tf.where(bad, tf.zeros_like(cost), cost), n)
    matching = _match(tf.reshape(cost, [-1, n, n]), n)
    matching = tf.reshape(matching, tf.shape(weights)[:-1])
    return tf.ensure_shape(matching, weights.shape[:-1])


def square_matrices(matrices: Any, name: str = "logits") -> tf.Tensor:
    """Returns square matrices `[..., n, n]` as a tensor, checked.

    Where only one of the two sizes is known, it is the other one's, too.
    """
    matrices = _checks.floating_tensor(name, matrices)
    shape = matrices.shape
    sizes = set(shape[-2:] if (shape.rank or 0) >= 2 else ()) - {None}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(
            f"Argument `{name}` must hold square matrices, [..., n, n], with "
            f"n known. Received: {name} of shape {shape}"
        )
    if None in shape[-2:]:
        matrices = tf.ensure_shape(matrices, [*shape[:-2], *sizes, *sizes])
    return matrices


def _finite(cost: tf.Tensor, n: int) -> tf.Tensor:
    """The cost with ±inf farther off than all others together can make up.

    And no farther, so that a sum with it does not lose the others to rounding.
    """
    finite = tf.where(tf.math.is_finite(cost), cost, tf.zeros_like(cost))
    low, high = (
        reduce(finite, axis=[-2, -1], keepdims=True)
        for reduce in (tf.reduce_min, tf.reduce_max)
    )
    reach = n * (high - low) + tf.maximum(high, -low) + 1.0
    return tf.clip_by_value(cost, low - reach, high + reach)


class _State(NamedTuple):
    """A partial matching and its dual variables, for B matrices."""

    row_price: tf.Tensor  # u, [B, n]
    column_price: tf.Tensor  # v, [B, n]
    column_of: tf.Tensor  # of each row, -1 if it is free
    row_of: tf.Tensor  # of each column, -1 if it is free


class _Path(NamedTuple):
    """A shortest-path search from one free row of each matrix."""

    row: tf.Tensor  # where it stands, [B]
    length: tf.Tensor  # so far, [B]
    distance: tf.Tensor  # to each column, [B, n]
    before: tf.Tensor  # the row before each column, [B, n]
    rows_seen: tf.Tensor  # [B, n]
    columns_seen: tf.Tensor
    sink: tf.Tensor  # the free column reached, -1 if none is yet, [B]


def _match(cost: tf.Tensor, n: int) -> tf.Tensor:
    def unfinished(state: _State) -> tf.Tensor:
        return tf.reduce_any(state.column_of < 0)

    def extend(state: _State) -> tuple[_State]:
        start = tf.argmax(
            tf.cast(state.column_of < 0, tf.float32), -1, tf.int32
        )
        idle = tf.reduce_all(state.column_of >= 0, axis=-1)
        path = _search(cost, state, start, idle, n)
        return (_augmented(_repriced(state, path, start), path, start, n),)

    (state,) = tf.while_loop(
        unfinished, extend, (_start(cost, n),), maximum_iterations=n
    )
    return state.column_of


def _start(cost: tf.Tensor, n: int) -> _State:
    """Prices by columns, then rows; each row to its best column, if free."""
    column_price = tf.reduce_min(cost, axis=-2)
    reduced = cost - column_price[:, None, :]
    row_price = tf.reduce_min(reduced, axis=-1)
    choice = tf.argmin(reduced, axis=-1, output_type=tf.int32)
    chosen = tf.one_hot(choice, n, dtype=tf.float32)  # [B, row, column]
    first = tf.argmax(chosen, axis=-2, output_type=tf.int32)
    taken = tf.reduce_max(chosen, axis=-2) > 0
    row_of = tf.where(taken, first, -1)
    winner = tf.gather(row_of, choice, batch_dims=1)
    column_of = tf.where(winner == tf.range(n), choice, -1)
    return _State(row_price, column_price, column_of, row_of)


def _search(
    cost: tf.Tensor,
    state: _State,
    start: tf.Tensor,
    idle: tf.Tensor,
    n: int,
) -> _Path:
    """Dijkstra's algorithm on reduced costs, to the nearest free column."""
    farthest = tf.constant(cost.dtype.max, cost.dtype)

    def unfinished(path: _Path) -> tf.Tensor:
        return tf.reduce_any(path.sink < 0)

    def step(path: _Path) -> tuple[_Path]:
        active = path.sink < 0
        here = tf.one_hot(path.row, n, on_value=True, off_value=False)
        price = tf.gather(state.row_price, path.row, batch_dims=1)
        reduced = tf.gather(cost, path.row, batch_dims=1) - state.column_price
        through = (path.length - price)[:, None] + reduced
        open_ = ~path.columns_seen & active[:, None]
        nearer = open_ & (through < path.distance)
        distance = tf.where(nearer, through, path.distance)
        before = tf.where(nearer, path.row[:, None], path.before)
        candidates = tf.where(path.columns_seen, farthest, distance)
        column = tf.argmin(candidates, axis=-1, output_type=tf.int32)
        length = tf.reduce_min(candidates, axis=-1)
        row = tf.gather(state.row_of, column, batch_dims=1)
        there = tf.one_hot(column, n, on_value=True, off_value=False)
        return (
            _Path(
                tf.where(active & (row >= 0), row, path.row),
                tf.where(active, length, path.length),
                distance,
                before,
                path.rows_seen | (here & active[:, None]),
                path.columns_seen | (there & active[:, None]),
                tf.where(active & (row < 0), column, path.sink),
            ),
        )

    zeros = tf.zeros_like(state.column_of)
    path = _Path(
        start,
        tf.zeros_like(cost[:, 0, 0]),
        tf.fill(tf.shape(zeros), farthest),
        zeros,
        tf.cast(zeros, tf.bool),
        tf.cast(zeros, tf.bool),
        tf.where(idle, 0, -1),
    )
    (path,) = tf.while_loop(unfinished, step, (path,), maximum_iterations=n)
    return path


def _repriced(state: _State, path: _Path, start: tf.Tensor) -> _State:
    """Prices under which the path costs nothing and no edge less."""
    # What a matched row saves is how much nearer its column was.
    length = path.length[:, None]
    saved = tf.where(
        path.columns_seen,
        length - path.distance,
        tf.zeros_like(path.distance),
    )
    column = tf.maximum(state.column_of, 0)
    of_row = tf.gather(saved, column, batch_dims=1)
    n = state.column_of.shape[-1]
    of_row = tf.where(tf.range(n) == start[:, None], length, of_row)
    of_row = tf.where(path.rows_seen, of_row, tf.zeros_like(of_row))
    return state._replace(
        row_price=state.row_price + of_row,
        column_price=state.column_price - saved,
    )


class _Walk(NamedTuple):
    column: tf.Tensor
    active: tf.Tensor
    column_of: tf.Tensor
    row_of: tf.Tensor


def _augmented(state: _State, path: _Path, start: tf.Tensor, n: int) -> _State:
    """The matching after the path, which is walked back from its sink."""

    def unfinished(walk: _Walk) -> tf.Tensor:
        return tf.reduce_any(walk.active)

    def step(walk: _Walk) -> tuple[_Walk]:
        row = tf.gather(path.before, walk.column, batch_dims=1)
        active = walk.active[:, None]
        at_row = active & (tf.range(n) == row[:, None])
        at_column = active & (tf.range(n) == walk.column[:, None])
        before = tf.gather(walk.column_of, row, batch_dims=1)
        return (
            _Walk(
                tf.where(walk.active & (before >= 0), before, walk.column),
                walk.active & (row != start),
                tf.where(at_row, walk.column[:, None], walk.column_of),
                tf.where(at_column, row[:, None], walk.row_of),
            ),
        )

    walk = _Walk(
        path.sink,
        tf.reduce_any(path.rows_seen, axis=-1),
        state.column_of,
        state.row_of,
    )
    (walk,) = tf.while_loop(unfinished, step, (walk,), maximum_iterations=n)
    return state._replace(column_of=walk.column_of, row_of=walk.row_of)
