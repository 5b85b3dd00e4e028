from __future__ import annotations

from i2i.policy import Policy, Turn
from i2i.recording import Recording


def test_without_a_recording_everything_happens_at_once():
    turn, said = Turn(Policy(), 7), []
    turn.host(said.append)
    turn.only_while(lambda now: False)
    turn.no_graph("of no use")
    assert (said, turn.static(lambda: 3)) == ([7], 3)


def test_work_is_done_while_it_listens_and_left_out_in_the_capture():
    recording, said = Recording(10), []
    turn = Turn(Policy(), 10, recording=recording)
    turn.host(said.append)
    recording.listening = False
    turn.host(said.append)
    assert said == [10]
    recording.prepare(12)
    assert said == [10, 12]


def test_stages_count_from_their_own_start():
    recording, said = Recording(10), []
    inner = Turn(Policy(), 10, recording=recording)._replace(now=4)
    inner.host(said.append)
    inner.only_while(lambda now: now < 6)
    recording.prepare(11)
    assert said == [4, 5]
    assert [recording.holds(now) for now in (10, 11, 12)] == [True, True, False]


def test_what_was_made_is_given_again_in_order():
    recording = Recording(0)
    made = [recording.static(lambda k=k: [k]) for k in range(3)]
    recording.listening = False
    for _ in range(2):
        assert all(recording.static(list) is each for each in made)


def test_the_first_refusal_counts():
    recording = Recording(0)
    recording.refuse("one")
    recording.refuse("two")
    assert recording.refused == "one"
