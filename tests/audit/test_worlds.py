"""Worlds: rows depend on the key alone; pools are the same however they are made, stopped and resumed."""

import os
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
from centroids import Again, AgainMany, Centroids, Nothing
from worlds import TableLearner, records

from expunge.audit import jobs, making, store, worlds
from expunge.audit.battery.games import area
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION
from expunge.audit.scene import scene
from expunge.audit.signals import margins
from expunge.audit.worlds import Making, Numbers, pools_of
from expunge.core.errors import BadData, BadInput, Interrupted, UnknownRecord, Unsupported
from expunge.core.policy import AuditPolicy
from expunge.core.seeds import Key

N, J = 6, 4
NUMBERS = Numbers(N, J)
KEY = Key.public("audit")


def scene_of(learner=None, data=None, **more):
    return scene(data or records(80, 1), learner or Centroids(), KEY, n_population=20, **more)


def contents(pools):
    every = [(p.world, p) for p in pools.pools] + sorted(pools.controls.items())
    return [(name, p.phi.tobytes(), p.roles.tobytes(), p.pairs.tobytes(), p.seeds) for name, p in every]


@pytest.fixture(scope="module")
def expected():
    return contents(pools_of(scene_of(), {"again": Again()}, NUMBERS)["again"])


# rows


def test_half_are_members_and_a_fifth_of_them_is_forgotten():
    roles = scene(records(4000, 1), Centroids(), KEY).roles(range(16))
    drawn = roles[:, roles[0] != POPULATION]
    assert (roles == POPULATION).all(axis=0).sum() == (roles == POPULATION).any(axis=0).sum() == 250
    assert abs((drawn != NEVER).mean() - 0.5) < 0.01
    assert abs((drawn[drawn != NEVER] == FORGOTTEN).mean() - 0.2) < 0.01
    together = np.corrcoef((drawn != NEVER).astype(float))
    assert abs(together[~np.eye(16, dtype=bool)]).max() < 0.08


def test_a_row_depends_on_the_key_its_number_and_the_owner_alone():
    whole = scene_of()
    assert np.array_equal(whole.roles(range(8))[3:5], whole.roles([3, 4]))
    fewer = scene_of(data=records(80, 1).take(np.arange(40)))
    both = (whole.roles([2])[0][:40] != POPULATION) & (fewer.roles([2])[0] != POPULATION)
    assert both.sum() > 15
    assert np.array_equal(whole.roles([2])[0][:40][both], fewer.roles([2])[0][both])
    turned = records(80, 1).take(np.arange(80)[::-1])
    assert np.array_equal(scene_of(data=turned).roles(range(4))[:, ::-1], whole.roles(range(4)))
    assert not np.array_equal(replace(whole, key=Key.public("x"), words=whole.words + np.uint64(1)).roles([0]), [])


def test_owners_are_drawn_whole():
    data = records(90, 1, per_owner=3)
    roles = scene_of(data=data).roles(range(8))
    for owner in np.unique(data.subjects):
        assert (roles[:, data.subjects == owner] == roles[:, data.subjects == owner][:, :1]).all()


def test_another_draw_forgets_others_of_the_same_members():
    first = scene_of()
    second = replace(first, draw="b")
    a, b = first.roles(range(8)), second.roles(range(8))
    assert ((a == KEPT) | (a == FORGOTTEN) == (b == KEPT) | (b == FORGOTTEN)).all()
    assert ((a == FORGOTTEN) != (b == FORGOTTEN)).any()
    assert first.originals == second.originals


def test_what_is_asked_for_is_forgotten_wherever_it_was_learnt():
    roles = scene_of(forget=[3, 7, 11]).roles(range(40))
    assert set(np.unique(roles[:, [3, 7, 11]])) == {NEVER, FORGOTTEN}
    assert FORGOTTEN not in np.delete(roles, [3, 7, 11], axis=1)
    assert (roles[:, 3] == FORGOTTEN).sum() in range(10, 31)
    with pytest.raises(UnknownRecord):
        scene_of(forget=[3, 999])
    with pytest.raises(UnknownRecord):
        scene_of(forget=[])


def test_the_holdout_is_the_population_and_training_records_fill_it_up():
    found = scene_of(holdout=records(15, 2, first=9000))
    assert found.population[80:].all()
    assert found.population[:80].sum() == 5
    enough = scene_of(holdout=records(30, 2, first=9000))
    assert enough.population.sum() == 30
    assert not enough.population[:80].any()
    with pytest.raises(BadData):
        scene_of(data=records(80, 1, per_owner=80))


# pools


def test_pools_are_what_the_models_say(expected):
    """Recomputed by hand, from the roles alone."""
    found = scene_of()
    pools = pools_of(found, {"again": Again()}, NUMBERS)["again"]
    for i in range(N):
        roles = found.roles([i])[0]
        learner, data = found.learner, found.data
        before = learner.fit(data.take((roles == KEPT) | (roles == FORGOTTEN)), found.key_of("before", i))
        after = learner.fit(data.take(roles == KEPT), found.key_of("before", i))
        assert np.array_equal(pools.need("before").logits[i], before.logits(data).astype(np.float16))
        assert np.array_equal(pools.need("after").logits[i], after.logits(data).astype(np.float16))
        if i < J:
            again = learner.fit(data.take(roles == KEPT), found.key_of("reference", i))
            assert np.array_equal(pools.need("reference").logits[i], again.logits(data).astype(np.float16))
            assert not np.array_equal(again.logits(data), after.logits(data))
    assert len(pools.need("reference")) == J
    assert set(pools.controls) == {"retrain 2", "random init"}
    assert len(pools.controls["retrain 2"]) == N
    assert contents(pools) == expected


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_chunks_do_not_change_the_numbers(expected, chunk, tmp_path):
    how = Making(store=tmp_path, chunk=chunk)
    assert contents(pools_of(scene_of(), {"again": Again()}, NUMBERS, how)["again"]) == expected


@pytest.mark.parametrize("n_jobs", [2, 4])
def test_processes_do_not_change_the_numbers(expected, n_jobs, tmp_path):
    how = Making(store=tmp_path, chunk=2, n_jobs=n_jobs)
    assert contents(pools_of(scene_of(), {"again": Again()}, NUMBERS, how)["again"]) == expected


def test_more_models_begin_with_the_same(tmp_path):
    few = pools_of(scene_of(), {"again": Again()}, Numbers(4, 3), Making(tmp_path))["again"]
    learner = Centroids()
    more = pools_of(scene_of(learner), {"again": Again()}, Numbers(N, 3), Making(tmp_path))["again"]
    assert np.array_equal(more.need("after").phi[:4], few.need("after").phi)
    assert len([c for c in learner.calls if c == "fit"]) == 2 + 2  # two originals, two of the second retrained pool


@pytest.mark.parametrize("way", ["one by one", "many at once"])
@pytest.mark.parametrize("worlds_of", [("before", "after:again"), ("reference",)])
def test_a_model_that_would_keep_no_record_is_an_error_and_not_nan(way, worlds_of):
    """Four records of four people: some model is bound to forget all that it learnt."""
    learner = Centroids()
    tiny = scene(records(4, 1), learner, KEY, n_population=0)
    empty = next(row for row in range(200) if not (tiny.roles([row]) == KEPT).any())
    with pytest.raises(BadData, match="would keep no record: 4 records are too few"):
        making.make(making.Task(tiny, worlds_of, {"again": AgainMany()}, range(empty, empty + 1), way))
    with pytest.raises(BadData, match="would keep no record"):
        making.original(tiny, empty, tiny.roles([empty])[0])
    assert learner.calls == []


def test_nothing_is_made_twice_and_originals_are_shared(tmp_path):
    learner = Centroids()
    both = {"again": Again(), "nothing": Nothing()}
    how = Making(tmp_path, vectorise=False)
    made = pools_of(scene_of(learner), both, NUMBERS, how)
    assert len(learner.calls) == N + J + N
    assert contents(made["again"])[0] == contents(made["nothing"])[0]
    learner.calls.clear()
    assert contents(pools_of(scene_of(learner), both, NUMBERS, how)["nothing"]) == contents(made["nothing"])
    assert learner.calls == []
    pools_of(scene_of(learner), {"again": Again(), "again 2": Again()}, NUMBERS, how)
    assert learner.calls == []  # the same unlearner by another name
    other = replace(scene_of(learner), draw="b")
    pools_of(other, {"again": Again()}, NUMBERS, how)
    assert len(learner.calls) == N + J + N  # originals are fitted again to be unlearned
    assert store.purge(tmp_path) >= 4


def test_doing_nothing_says_what_the_original_says():
    pools = pools_of(scene_of(), {"nothing": Nothing()}, NUMBERS)["nothing"]
    assert np.array_equal(pools.need("after").logits, pools.need("before").logits)


def test_a_learner_that_gives_losses_or_numbers_gives_phi():
    from worlds import NumberLearner

    found = scene_of(NumberLearner(), records(80, 1, number=True))
    pools = pools_of(found, {"nothing": Nothing()}, NUMBERS)["nothing"]
    assert pools.need("before").given.dtype == np.float32
    assert set(pools.controls) == {"retrain 2"}


def test_too_few_models_are_refused():
    with pytest.raises(BadInput):
        pools_of(scene_of(), {"again": Again()}, Numbers(1, 4))


def test_budgets_are_those_of_the_policy():
    assert [(Numbers.of(AuditPolicy(budget=b)).models, Numbers.of(AuditPolicy(budget=b)).references)
            for b in ("quick", "standard", "full")] == [(16, 16), (64, 32), (128, 128)]  # fmt: skip
    assert Numbers.of(AuditPolicy(budget="standard")).stages() == [16, 32, 64]


# many at once


@pytest.mark.parametrize("unlearner", [Again, AgainMany])
def test_many_at_once_is_the_same_as_one_by_one(expected, unlearner, tmp_path):
    learner, method = Centroids(), unlearner()
    how = Making(tmp_path, vectorise=True, chunk=4)
    pools = pools_of(scene_of(learner), {"again": method}, NUMBERS, how)["again"]
    assert contents(pools) == expected
    assert learner.calls == ["fit_many 4", "fit_many 2", "fit_many 4", "fit_many 4", "fit_many 2"]
    assert set(method.calls) == {"unlearn_many" if unlearner is AgainMany else "unlearn"}


def test_models_that_have_nothing_to_forget_are_left_as_they_are():
    """Few records are asked for, so some models hold none of them."""
    one = pools_of(scene_of(forget=[3]), {"again": AgainMany()}, NUMBERS, Making(vectorise=False))["again"]
    many = pools_of(scene_of(forget=[3]), {"again": AgainMany()}, NUMBERS, Making(vectorise=True))["again"]
    assert contents(one) == contents(many)
    spared = ~one.need("after").has(FORGOTTEN).any(axis=1)
    assert spared.any()
    assert np.array_equal(one.need("after").logits[spared], one.need("before").logits[spared])


def test_an_unlearner_that_cannot_treat_many_is_given_them_one_by_one(expected):
    class Alone(AgainMany):
        def unlearn_many(self, *given):
            raise Unsupported("one at a time")

    method = Alone()
    pools = pools_of(scene_of(), {"again": method}, NUMBERS, Making(vectorise=True))["again"]
    assert contents(pools) == expected
    assert set(method.calls) == {"unlearn"}


def test_methods_that_need_a_holdout_are_given_the_population():
    class Looking(Again):
        needs = ("holdout",)

        def unlearn(self, deployment, request, progress=None):
            self.calls.append(deployment.holdout.ids.tolist())
            return super().unlearn(replace(deployment, holdout=None), request)

    method, found = Looking(), scene_of()
    pools_of(found, {"looking": method}, Numbers(2, 2))
    assert method.calls[0] == found.data.ids[found.population].tolist()


def test_the_code_of_what_is_given_to_a_learner_counts(tmp_path):
    """A learner's repr may leave out a function that it was given; its file decides, too."""
    found = scene_of(replace(Centroids(), calls=[]))
    assert worlds._facts(found, "before") == worlds._facts(scene_of(), "before")
    from dataclasses import dataclass

    @dataclass(frozen=True, repr=False)
    class Given(Centroids):
        factory: object = None

        def __repr__(self):
            return "Centroids(memory=1.0)"

    plain, ours, other = (worlds._facts(scene_of(Given(factory=f)), "before") for f in (None, scene_of, np.stack))
    assert plain["code"] != ours["code"] != other["code"]


def test_asking_for_what_cannot_be_is_refused():
    with pytest.raises(Unsupported, match="at once"):
        pools_of(scene_of(TableLearner("memory")), {"n": Nothing()}, NUMBERS, Making(vectorise=True))
    refusing = Centroids(refuse=True)
    assert making.faster(scene_of(refusing)) == "one by one"


def test_the_way_is_decided_once_a_store(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "faster", lambda scene: "many at once")
    first = Centroids()
    pools_of(scene_of(first), {"again": Again()}, NUMBERS, Making(tmp_path))
    assert any(call.startswith("fit_many") for call in first.calls)
    monkeypatch.setattr(making, "faster", lambda scene: "one by one")
    second = Centroids()
    pools_of(scene_of(second), {"again": Again()}, NUMBERS, Making(tmp_path))
    assert second.calls == []


def test_every_process_gets_work(tmp_path):
    how = Making(tmp_path, n_jobs=3, vectorise=False)
    pools_of(scene_of(), {"again": Again()}, Numbers(N, 2, second=False), how)
    names = {p.name for p in tmp_path.rglob("rows-*.npz")}
    assert names == {f"rows-000000{i}-000000{j}.npz" for i, j in ((0, 2), (2, 4), (4, 6), (0, 1), (1, 2))}


def test_a_chunk_fits_the_memory():
    learner = Centroids()
    each = making.weight(scene_of(learner))
    learner.calls.clear()
    pools_of(scene_of(learner), {"a": AgainMany()}, NUMBERS, Making(vectorise=True, memory_bytes=each * 3))
    assert [c for c in learner.calls if c != "fit"] == ["fit_many 3", "fit_many 3", "fit_many 3", "fit_many 1"] + [
        "fit_many 3"
    ] * 2


def test_ray_says_that_it_is_missing():
    if "ray" in sys.modules:
        pytest.skip("ray is installed")
    with pytest.raises(Unsupported, match="ray"):
        list(jobs.spread(abs, [1, 2], 2, "ray"))


# looks


def test_an_audit_stops_at_the_look_that_says_so():
    seen = []

    def look(n, pools):
        seen.append((n, len(pools["again"].need("after")), len(pools["again"].need("reference"))))
        return n >= 4

    numbers = Numbers(N, 3, looks=(2, 4, 8))
    pools = pools_of(scene_of(), {"again": Again()}, numbers, look=look)["again"]
    assert seen == [(2, 2, 2), (4, 4, 3)]
    assert len(pools.need("after")) == 4
    whole = pools_of(scene_of(), {"again": Again()}, numbers, look=lambda n, pools: False)["again"]
    assert len(whole.need("after")) == N


def test_progress_counts_to_the_end(tmp_path):
    ticks = []
    how = Making(tmp_path, chunk=2, progress=lambda done, total: ticks.append((done, total)))
    pools_of(scene_of(), {"again": Again()}, NUMBERS, how)
    total = 2 * N + J + N
    assert ticks[0] == (0, total)
    assert ticks[-1] == (total, total)
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)
    ticks.clear()
    pools_of(scene_of(), {"again": Again()}, NUMBERS, how)
    assert ticks == [(total, total)]


# interruption and damage


def test_ctrl_c_keeps_what_is_done(expected, tmp_path):
    def stop(done, total):
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="in the store"):
        pools_of(scene_of(), {"again": Again()}, NUMBERS, Making(tmp_path, chunk=2, progress=stop))
    learner = Centroids()
    how = Making(tmp_path, chunk=2)
    assert contents(pools_of(scene_of(learner), {"again": Again()}, NUMBERS, how)["again"]) == expected
    assert len(learner.calls) == N + J + N - 2
    with pytest.raises(Interrupted, match="lost"):
        pools_of(scene_of(), {"again": Again()}, NUMBERS, Making(chunk=2, progress=stop))


def test_ctrl_c_stops_the_processes_and_keeps_what_is_done(expected, tmp_path):
    def stop(done, total):
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="in the store"):
        pools_of(scene_of(), {"again": Again()}, NUMBERS, Making(tmp_path, n_jobs=2, chunk=2, progress=stop))
    assert list(tmp_path.rglob("*.npz"))
    how = Making(tmp_path, n_jobs=2, chunk=2)
    assert contents(pools_of(scene_of(), {"again": Again()}, NUMBERS, how)["again"]) == expected


def folders(root):
    """Every chunk by its bytes, and every line of the journals but for the seconds."""
    files = {p.relative_to(root): p.read_bytes() for p in root.rglob("*.npz")}
    lines = {
        (p.parent.name, c.sha256, c.start, c.stop, c.seeds)
        for p in root.rglob("chunks.jsonl")
        for c in store.Signals(p.parent).chunks()
    }
    return files, lines


def make_and_die(root, at):
    """In a process of its own: make the pools, and be killed at the n-th moment at which something is written."""
    moments, sync, swap = [0], os.fsync, type(root).replace

    def tick(real):
        def call(*given):
            moments[0] += 1
            if moments[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given)

        return call

    os.fsync, type(root).replace = tick(sync), tick(swap)
    pools_of(scene_of(), {"again": Again()}, NUMBERS, Making(root, chunk=2, vectorise=False))


def test_killed_at_any_moment_and_resumed_the_store_is_the_same(tmp_path, expected):
    whole = tmp_path / "whole"
    pools_of(scene_of(), {"again": Again()}, NUMBERS, Making(whole, chunk=2, vectorise=False))
    moments = np.linspace(1, 55, 20).astype(int).tolist()
    killed = 0
    for at in moments:
        root = tmp_path / f"at-{at}"
        root.mkdir()
        child = os.fork()
        if child == 0:
            try:
                make_and_die(root, at)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        how = Making(root, chunk=2, vectorise=False)
        assert contents(pools_of(scene_of(), {"again": Again()}, NUMBERS, how)["again"]) == expected
        assert folders(root) == folders(whole), at
    assert killed == len(moments)


def test_a_flipped_byte_costs_its_own_chunk_alone(tmp_path, expected):
    how = Making(tmp_path, chunk=2, vectorise=False)
    pools_of(scene_of(), {"again": Again()}, NUMBERS, how)
    path = sorted(tmp_path.rglob("rows-0000002-0000004.npz"))[0]
    body = path.read_bytes()
    path.write_bytes(body[:200] + bytes([body[200] ^ 4]) + body[201:])
    learner = Centroids()
    with pytest.warns(RuntimeWarning, match="made again"):
        found = pools_of(scene_of(learner), {"again": Again()}, NUMBERS, how)["again"]
    assert contents(found) == expected
    assert len(learner.calls) == 2
    assert path.read_bytes() == body


def test_half_precision_changes_no_auc_by_more_than_two_thousandths():
    """Spec section 8: float16 logits change an AUC by at most 0.002."""
    found = scene_of(Centroids(0.4), records(400, 3))
    roles = found.roles([0])[0]
    model = found.learner.fit(found.data.take((roles == KEPT) | (roles == FORGOTTEN)), found.key_of("before", 0))
    pools = pools_of(found, {"again": Again()}, Numbers(2, 2))["again"]
    member = np.isin(roles, (KEPT, FORGOTTEN))
    exact, kept = margins(model.logits(found.data), found.truth), pools.need("before").phi[0]
    assert not np.array_equal(exact, kept)
    assert abs(area(exact[member], exact[~member]) - area(kept[member], kept[~member])) <= 0.002
