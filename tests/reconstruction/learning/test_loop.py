"""The training loop: what it learns, keeps, and says when it cannot go on."""

import csv
import sys
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from training_bench import Ear, Starved, StepsOn, ToyTask

from configs.errors import ConfigError, ReconstructionError, RunStoreError
from reconstruction.learning.launch import Devices, train, train_in_process
from reconstruction.learning.records import Records, read_state
from reconstruction.learning.task import SCORE
from reconstruction.trained import TrainingFacts
from reconstruction.weights_file import read_fact, read_tensors

CPU = Devices(torch.device("cpu"))


def run(task, folder, **more):
    return train(lambda: task, folder, CPU, **more)


def log(folder):
    with (folder / "log.csv").open(newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


def same_files(one, other):
    for name in ("weights.safetensors", "last.safetensors"):
        mine, theirs = load_file(one / name), load_file(other / name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine), name
    return log(one) == log(other)


def test_it_learns_and_keeps_a_log(tmp_path):
    ear, task = Ear(), ToyTask()
    rows = run(task, tmp_path / "a", make_watcher=lambda: ear)
    assert rows == ear.rows
    assert ear.begun == (0, 4, 24)
    assert [row["epoch"] for row in log(tmp_path / "a")] == [1, 2, 3, 4]
    losses = [row["loss"] for row in log(tmp_path / "a")]
    assert losses[-1] < 0.1 * losses[0]
    assert losses == pytest.approx(torch.tensor(task.losses).reshape(4, 24).mean(1).tolist())
    for row, epoch in zip(rows, range(4), strict=True):  # that of the last step
        assert row["learning_rate"] == pytest.approx(0.01 / (1 + epoch + 23 / 24))
    assert ear.said == []


@pytest.mark.parametrize("stop_in_epoch", [2, 4])
def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path, stop_in_epoch):
    """Weights, moments, dropout, log: as if nothing had happened."""
    run(ToyTask(dropout=0.5), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(
            ToyTask(dropout=0.5),
            tmp_path / "parts",
            origin="from here",
            make_watcher=lambda: Ear(stop_in_epoch),
        )
    state = read_state(tmp_path / "parts")
    assert (state.origin, len(state.rows)) == ("from here", stop_in_epoch - 1)
    torch.manual_seed(99)  # what happened in between does not matter
    ear = Ear()
    run(ToyTask(dropout=0.5), tmp_path / "parts", resume=True, make_watcher=lambda: ear)
    assert ear.begun == (stop_in_epoch - 1, 4, 24)
    assert same_files(tmp_path / "whole", tmp_path / "parts")


def test_the_best_epoch_is_kept(tmp_path):
    rows = run(StepsOn(epochs=3), tmp_path)
    scores = [row[SCORE] for row in rows]
    assert scores[0] == max(scores) > scores[-1]
    tensors, metadata = read_tensors(tmp_path / "weights.safetensors")
    facts = read_fact(TrainingFacts, "training", metadata, tmp_path)
    assert (facts.epoch, facts.epochs_done, facts.epochs_planned) == (1, 3, 3)
    assert facts.examples_done == 3 * 24 * 8
    assert facts.changed(batch=None).examples_done is None
    assert facts.validation == {SCORE: scores[0]}
    assert (facts.seed, facts.software["torch"]) == (5, torch.__version__)
    assert metadata["format"] == "toy"
    again = ToyTask()
    again.network.load_state_dict(tensors)
    assert again.validate(again.network, torch.device("cpu"))[SCORE] == pytest.approx(scores[0])


def test_two_processes_learn_what_one_does(tmp_path):
    """And say in one line what ends them: a batch that is shared goes in no smaller parts."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    ones = run(ToyTask(epochs=2, trace=tmp_path / "one"), tmp_path / "a")
    make_task = partial(Starved, epochs=4, trace=tmp_path / "two")
    with pytest.raises(ReconstructionError, match="a device has too little") as caught:
        train(make_task, tmp_path / "b", Devices(torch.device("cpu"), 2))
    assert "\n" not in str(caught.value)
    other = Records(tmp_path / "b", ToyTask(), "", [])  # as in a process that wrote nothing
    assert other.kept() == "epoch 2 is kept"
    for epoch in range(2):
        whole, alone = torch.load(tmp_path / "one" / f"0-{epoch}.pt")
        shares = [torch.load(tmp_path / "two" / f"{rank}-{epoch}.pt") for rank in range(2)]
        assert torch.equal(torch.stack([shown for shown, _ in shares], 2).flatten(1, 2), whole)
        for mine, theirs, single in zip(
            *(weights for _, weights in shares), alone, strict=True
        ):
            assert torch.equal(mine, theirs)
            torch.testing.assert_close(mine, single, rtol=1e-4, atol=1e-5)
    for one, two in zip(ones, log(tmp_path / "b"), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)


def test_a_diverging_training_stops_and_keeps_the_best(tmp_path):
    with pytest.raises(ReconstructionError, match=r"got nan in epoch 3; epoch 2 is kept"):
        run(task := ToyTask(bad_epoch=2), tmp_path)
    assert len(task.losses) == 2 * 24 + 20  # at the first look
    _, metadata = read_tensors(tmp_path / "weights.safetensors")
    assert read_fact(TrainingFacts, "training", metadata, tmp_path).epoch == 2
    assert len(log(tmp_path)) == 2
    with pytest.raises(ReconstructionError, match="nothing was kept"):
        run(ToyTask(bad_epoch=0), tmp_path / "at once")
    assert not (tmp_path / "at once").exists()


def test_too_little_memory_takes_smaller_parts(tmp_path):
    ear = Ear()
    run(ToyTask(), tmp_path / "whole")
    run(ToyTask(largest=2), tmp_path / "parts", make_watcher=lambda: ear)
    assert ear.said == [
        "out of memory: batches of 8 now go in parts of 4",
        "out of memory: batches of 8 now go in parts of 2",
    ]
    whole = load_file(tmp_path / "whole" / "last.safetensors")
    for name, tensor in load_file(tmp_path / "parts" / "last.safetensors").items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-3, atol=1e-5)
    with pytest.raises(ReconstructionError, match="expected memory for the network"):
        run(ToyTask(largest=0), tmp_path / "none")


def test_no_part_of_an_odd_batch_is_a_single_frame(tmp_path):
    """Of which networks that normalise over a batch learn nothing."""
    ear, task = Ear(), ToyTask(epochs=1, batch=15, largest=7)
    task.network.append(nn.BatchNorm1d(3, affine=False))
    run(task, tmp_path, make_watcher=lambda: ear)
    assert [said[-10:] for said in ear.said] == ["parts of 8", "parts of 4"]


class MoreMemory(Ear):
    """Has a task run out of memory in its second epoch, and gives it some on the spare."""

    def __init__(self):
        super().__init__()
        self.tasks = []

    def make_task(self):
        self.tasks.append(ToyTask())
        return self.tasks[-1]

    def epoch(self, row):
        super().epoch(row)
        if len(self.tasks) == 1:
            self.tasks[0].largest = 0


@pytest.mark.parametrize("has_kept_some", [True, False])
def test_far_too_little_memory_takes_the_cpu(tmp_path, has_kept_some):
    """After the last epoch that was kept, as if nothing had happened."""
    fabric = pytest.importorskip("lightning_fabric").Fabric
    run(ToyTask(), tmp_path / "whole")
    ear = MoreMemory()
    if not has_kept_some:
        first = ear.make_task()
        first.largest = 0
    tasks = iter(ear.tasks[:])
    rows = train_in_process(
        fabric(accelerator="cpu", devices=1),
        spare=fabric(accelerator="cpu", devices=1),
        make_task=lambda: next(tasks, None) or ear.make_task(),
        folder=tmp_path / "parts",
        origin="",
        resume=False,
        make_watcher=lambda: ear,
    )
    assert len(rows) == 4
    assert len(ear.tasks) == 2
    assert ear.begun == (int(has_kept_some), 4, 24)
    *smaller, last = ear.said
    assert [said[-10:] for said in smaller] == ["parts of 4", "parts of 2"]
    assert last == "out of memory: goes on on the CPU, after the last epoch that was kept"
    assert same_files(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_with_far_too_little_memory(tmp_path):
    class Hungry(ToyTask):
        def loss(self, network, batch):
            if batch[0].is_cuda:
                torch.empty(1 << 50, device="cuda")
            return super().loss(network, batch)

    ear = Ear()
    gpu = Devices(torch.device("cuda"))
    rows = train(Hungry, tmp_path / "gpu", gpu, make_watcher=lambda: ear)
    assert ear.said[-1].startswith("out of memory: goes on on the CPU")
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]


def test_mixed_precision_learns_in_coarser_steps(tmp_path):
    mixed = Devices(torch.device("cpu"), precision="bf16-mixed")
    rows = train(ToyTask, tmp_path / "mixed", mixed)
    single = run(ToyTask(), tmp_path / "single")
    losses = [[row["loss"] for row in some] for some in (rows, single)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    kept = load_file(tmp_path / "mixed" / "weights.safetensors")
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}


def test_tensorboard_reads_the_log(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with pytest.raises(KeyboardInterrupt):
        run(ToyTask(), tmp_path, make_watcher=lambda: Ear(3))
    rows = run(ToyTask(), tmp_path, resume=True)
    board = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert set(board.Tags()["scalars"]) == rows[0].keys()
    losses = board.Scalars("loss")
    assert [event.step for event in losses] == [1, 2, 3, 4]
    assert [event.value for event in losses] == pytest.approx([row["loss"] for row in rows])


def test_without_tensorboard_there_is_a_line_instead(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    ear = Ear()
    run(ToyTask(epochs=2), tmp_path, make_watcher=lambda: ear)
    assert ear.said == ["tensorboard is not installed: the log is in log.csv alone"]
    assert len(log(tmp_path)) == 2


def test_a_folder_is_not_overwritten_unasked(tmp_path):
    def files():
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def no_task():
        raise ConfigError("not like this")

    run(ToyTask(epochs=1), tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    before = files()
    with pytest.raises(RunStoreError, match="exists already; go on with --resume"):
        run(ToyTask(), tmp_path)
    with pytest.raises(ConfigError, match="not like this"):
        train(no_task, tmp_path, CPU, overwrite=True)
    assert files() == before
    with pytest.raises(ReconstructionError, match="nothing was kept"):
        run(ToyTask(bad_epoch=0), tmp_path, overwrite=True)
    assert {path.name for path in files()} == {"mine.txt"}
    with pytest.raises(RunStoreError, match="expected a folder to train in"):
        run(ToyTask(), tmp_path / "mine.txt", overwrite=True)


def test_what_cannot_be_written_or_read(tmp_path):
    class Occupant(Ear):
        def begin(self, done, epochs, steps):
            (tmp_path / "last.safetensors").mkdir()

    with pytest.raises(RunStoreError, match=r"cannot write .*last\.safetensors"):
        run(ToyTask(), tmp_path, make_watcher=Occupant)
    with pytest.raises(RunStoreError, match="expected a training, found no last"):
        read_state(tmp_path / "elsewhere")
    (tmp_path / "weights.safetensors").rename(tmp_path / "other")
    (tmp_path / "last.safetensors").rmdir()
    (tmp_path / "other").rename(tmp_path / "last.safetensors")
    with pytest.raises(RunStoreError, match="expected format opticalnet-training-1, got toy"):
        read_state(tmp_path)


def test_devices_that_are_not_there(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"devices: expected 1 to \d+ of kind cpu, got 0"):
        train(ToyTask, tmp_path, Devices(torch.device("cpu"), 0))
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    (tmp_path / "weights.safetensors").write_text("earlier ones")
    with pytest.raises(ConfigError, match=r"Lightning Fabric, it is not installed.*\[train\]"):
        run(ToyTask(), tmp_path, overwrite=True)
    assert (tmp_path / "weights.safetensors").read_text() == "earlier ones"
