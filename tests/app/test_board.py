"""The memory that workers write their figures to and others read them from."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from waitroom.core.figures import COUNTS, HELD, REPORTED_MS, STARTS, Figures
from waitroom.serve.board import Board


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.make(2)
    yield made
    made.close()


def test_a_report_is_read_as_it_was_written_and_touches_no_other_slot(board: Board) -> None:
    figures = Figures()
    figures.counts[:] = range(COUNTS)
    figures.gauges[HELD] = 7

    board.write(1, figures)
    first, second = board.read()

    assert (first.counts, first.age_s) == ([0] * COUNTS, None)
    assert (second.counts, second.gauges) == (figures.counts, figures.gauges)
    assert second.age_s is not None
    assert 0 <= second.age_s < 60


def test_of_a_worker_that_ended_the_counts_stay_and_the_next_goes_on_from_them(board: Board) -> None:
    figures = Figures()
    figures.counts[STARTS], figures.gauges[HELD] = 3, 7
    board.write(0, figures)

    board.clear(0)
    report = board.read()[0]

    assert board.counts(0)[STARTS] == 3
    assert (report.counts[STARTS], report.gauges[HELD], report.age_s) == (3, 0, None)


def test_another_process_reads_it_by_its_file_number_and_it_leaves_no_file(board: Board) -> None:
    figures = Figures()
    figures.counts[STARTS] = 2**62
    board.write(1, figures)
    program = f"from waitroom.serve.board import *; print(Board({board.number}).read()[1].counts[{STARTS}])"

    done = subprocess.run(
        [sys.executable, "-c", program], pass_fds=[board.number], capture_output=True, text=True, check=True
    )

    assert int(done.stdout) == 2**62
    assert figures.gauges[REPORTED_MS] > 0
    assert os.fstat(board.number).st_nlink == 0
