"""The learners of the menu."""

from __future__ import annotations

from expunge.catalog.entry import Entry

LEARNERS: tuple[Entry, ...] = (
    Entry("learner", "forest", "expunge.models.forest.learner:Forest", "A random forest, for classes or a number."),
    Entry(
        "learner",
        "boosting",
        "expunge.models.boosting.learner:Boosting",
        "Gradient boosting, for classes and for numbers.",
    ),
    Entry("learner", "ridge", "expunge.models.linear.ridge:Ridge", "Ridge regression, for numbers and for classes."),
    Entry(
        "learner",
        "discriminant",
        "expunge.models.linear.discriminant:Discriminant",
        "Linear discriminants, for classes.",
    ),
    Entry("learner", "components", "expunge.models.linear.components:PrincipalComponents", "Principal components."),
    Entry("learner", "bayes", "expunge.models.bayes.naive:NaiveBayes", "Naive Bayes on integer counts, for classes."),
    Entry("learner", "sum-bayes", "expunge.models.bayes.sums:SumBayes", "Gaussian and other naive Bayes, for classes."),
    Entry("learner", "neighbours", "expunge.models.neighbours:Neighbours", "Neighbours, for classes and numbers."),
    Entry("learner", "clusters", "expunge.models.clusters.kmeans:KMeans", "Clusters by k-means; needs no target."),
    Entry(
        "learner",
        "divided-clusters",
        "expunge.models.clusters.divided:DividedKMeans",
        "Clusters by k-means of the centres of parts, so that no deletion costs more than its part; needs no target.",
    ),
    Entry("learner", "index", "expunge.models.index.flat:FlatIndex", "Nearest vectors, all of them; needs no target."),
    Entry(
        "learner",
        "hashed-index",
        "expunge.models.index.flat:HashedIndex",
        "Nearest vectors among those in keyed buckets; needs no target.",
    ),
    Entry(
        "learner",
        "graph-index",
        "expunge.models.index.graph:GraphIndex",
        "Nearest vectors by small graphs that are built anew, never marked; needs no target.",
        needs="index",
    ),
    Entry(
        "learner",
        "ease",
        "expunge.models.recommenders.items:Ease",
        "Recommendations by linear weights; needs interactions.",
    ),
    Entry(
        "learner",
        "item-neighbours",
        "expunge.models.recommenders.items:ItemNeighbours",
        "Recommendations by what is taken together; needs interactions.",
    ),
    Entry(
        "learner",
        "als",
        "expunge.models.recommenders.als:ImplicitAls",
        "Recommendations by factors, in shards of users; needs interactions.",
    ),
    Entry("learner", "sgc", "expunge.models.graph.sgc:Sgc", "A linear classifier of the nodes of a graph."),
    Entry(
        "learner",
        "sharded",
        "expunge.models.sharded.learner:Sharded",
        "Any learner in shards, for classes and numbers.",
    ),
    Entry(
        "learner",
        "class-sharded",
        "expunge.models.sharded.classes:ClassSharded",
        "A one-class model a class, in slices, for classes.",
    ),
    Entry(
        "learner",
        "network",
        "expunge.models.network:Network",
        "A neural network, for classes and numbers; forgets by learning again, or inside `sharded`.",
        needs="torch",
    ),
    Entry(
        "learner",
        "logistic",
        "expunge.models.logistic.learner:Logistic",
        "Logistic regression with noise, for classes.",
    ),
    Entry(
        "learner",
        "stepped-logistic",
        "expunge.models.heads.stepped:SteppedLogistic",
        "Logistic regression by full gradient steps, published with noise, for classes.",
    ),
    Entry(
        "learner",
        "langevin-logistic",
        "expunge.models.heads.langevin:LangevinLogistic",
        "Logistic regression by projected noisy steps, for classes.",
    ),
    Entry(
        "learner",
        "private-logistic",
        "expunge.models.heads.private:PrivateLogistic",
        "Logistic regression with differential privacy, for classes.",
    ),
    Entry(
        "learner",
        "ledgered-network",
        "expunge.models.ledgered:LedgeredNetwork",
        "A neural network that learns nothing of the records but its weights, and keeps a ledger, for classes.",
        needs="torch",
    ),
    Entry(
        "learner",
        "watched-network",
        "expunge.models.watched:WatchedNetwork",
        "A neural network that remembers of each record where its weights would be without it, for classes.",
        needs="torch",
    ),
    Entry(
        "learner",
        "checkpointed-network",
        "expunge.models.checkpointed:CheckpointedNetwork",
        "A neural network that keeps its weights of before the last epochs, to go back to, for classes.",
        needs="torch",
    ),
    Entry(
        "learner",
        "trailed-network",
        "expunge.models.trailed:TrailedNetwork",
        "A neural network that remembers weights and slope of each of its full gradient steps, for classes.",
        needs="torch",
    ),
    Entry(
        "learner",
        "logged-network",
        "expunge.models.logged:LoggedNetwork",
        "A neural network that remembers by how much each batch moved its weights, for classes.",
        needs="torch",
    ),
)
