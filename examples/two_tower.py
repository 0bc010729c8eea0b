"""A recommender of two towers: what will this user like to read next?

    python examples/two_tower.py [--out FOLDER]

One tower maps users to vectors, the other articles; a product says how well they go together.
Every other article of the batch serves as an example of what was not read, so the loss is a
softmax over the batch.  The baseline recommends to everybody what is read most.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import headrace as hr

USERS, ARTICLES, TOPICS, WIDTH = 600, 400, 8, 16


def readings(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Who read what: user ids, article ids, in order of time; and the topic of each article."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, TOPICS, ARTICLES)
    popular = rng.zipf(1.6, ARTICLES).clip(1, 30)
    users, articles = [], []
    for user in range(USERS):
        liked = rng.permutation(TOPICS)[:2]
        odds = popular * np.where(np.isin(topic, liked), 1.0, 0.02)
        found = rng.choice(ARTICLES, 30, replace=False, p=odds / odds.sum())
        users += [user] * len(found)
        articles += list(found)
    return np.array(users), np.array(articles), topic


@hr.keras.saving.register_keras_serializable("headrace-examples")
class TwoTowers(hr.keras.Model):
    """Users' and articles' vectors; trained on pairs of which each belongs together."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        layers = hr.keras.layers
        self.user_tower = hr.keras.Sequential(
            [layers.StringLookup(vocabulary=[f"user{n}" for n in range(USERS)]),
             layers.Embedding(USERS + 1, WIDTH), layers.Dense(WIDTH)], name="user_tower"
        )  # fmt: skip
        self.article_tower = hr.keras.Sequential(
            [layers.Embedding(ARTICLES, WIDTH), layers.Dense(WIDTH)], name="article_tower"
        )
        self.loss_tracker = hr.keras.metrics.Mean(name="loss")

    def call(self, pair: dict[str, hr.Tensor]) -> hr.Tensor:
        """[users, articles] scores of every user with every article of the batch."""
        users, articles = self.user_tower(pair["user"]), self.article_tower(pair["article"])
        return hr.matmul(users, articles, transpose_b=True)

    def train_step(self, pair: dict[str, hr.Tensor]) -> dict[str, hr.Tensor]:
        """One update; `fit` traces it."""
        with hr.GradientTape() as tape:
            scores = self(pair, training=True)
            # Popular articles stand in many batches: without this they would be pushed down.
            scores -= hr.math.log(pair["odds"])
            same = hr.equal(pair["article"][None, :], pair["article"][:, None])
            labels = hr.cast(same, hr.float32)
            labels /= hr.reduce_sum(labels, axis=1, keepdims=True)
            loss = hr.reduce_mean(hr.nn.softmax_cross_entropy_with_logits(labels, scores))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}

    @property
    def metrics(self) -> list:
        """What `fit` resets at the start of an epoch."""
        return [self.loss_tracker]

    def recommend(self, users: hr.Tensor, seen: list[set[int]], count: int) -> np.ndarray:
        """[users, count] ids of the best articles that each has not read yet."""
        scores = self({"user": users, "article": hr.range(ARTICLES)}).numpy()
        for row, articles in zip(scores, seen, strict=True):
            row[list(articles)] = -np.inf
        return hr.math.top_k(scores, count)[1].numpy()


def main(out: Path) -> None:
    """Trains on each user's first 25 articles, and recommends ten: are the last five there?"""
    out.mkdir(parents=True, exist_ok=True)
    hr.keras.utils.set_random_seed(1)
    users, articles, topic = readings(seed=1)
    late = np.tile(np.arange(30) >= 25, USERS)
    counts = np.bincount(articles[~late], minlength=ARTICLES)
    pairs = {
        "user": np.array([f"user{n}" for n in users[~late]]),
        "article": articles[~late],
        "odds": (counts[articles[~late]] / counts.sum()).astype(np.float32),
    }
    data = hr.data.Dataset.from_tensor_slices(pairs).shuffle(20_000, seed=1)
    data = data.batch(256, drop_remainder=True)

    model = TwoTowers()
    model.compile(hr.keras.optimizers.Adam(0.01))
    model.fit(data, epochs=10, verbose=2)

    everyone = hr.constant([f"user{n}" for n in range(USERS)])
    read = [set(articles[(users == n) & ~late]) for n in range(USERS)]
    later = [set(articles[(users == n) & late]) for n in range(USERS)]

    def recall(recommended: np.ndarray) -> float:
        found = [len(set(r) & wanted) for r, wanted in zip(recommended, later, strict=True)]
        return sum(found) / late.sum()

    found = model.recommend(everyone, read, 10)
    by_count = np.argsort(-counts)
    popular = np.array([[a for a in by_count if a not in seen][:10] for seen in read])
    print(f"recall at ten: most read {recall(popular):.3f}, two towers {recall(found):.3f}")

    # Vectors of articles that the same people read are alike, whatever they are about.
    vectors = hr.math.l2_normalize(model.article_tower(hr.range(ARTICLES)), axis=1).numpy()
    often = np.flatnonzero(counts > 20)
    nearest = (vectors[often] @ vectors[often].T - 2 * np.eye(len(often))).argmax(1)
    alike = np.mean(topic[often] == topic[often][nearest])
    print(f"{alike:.0%} of the articles are nearest to one of their topic; by chance 12 %")
    model.save_weights(out / "towers.weights.h5")
    if recall(found) < 1.5 * recall(popular) or alike < 0.5:
        raise SystemExit("recommendations must be half as good again as the most read")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/two_tower"))
    main(parser.parse_args().out)
