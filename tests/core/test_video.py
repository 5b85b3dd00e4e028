from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i import Translation, as_generator
from i2i.errors import DataError, OutOfMemoryError, RunError, SettingsError
from i2i.pixels import PixelFormat
from i2i.video import frames_through, is_video, targets, translate_video

RATE = Fraction(30000, 1001)


@pytest.fixture
def make_clip(tmp_path):
    """``make_clip("a.mp4", frames, sound="aac")`` writes frames ``(n, h, w, 3)`` and a tone."""

    def make(name, frames, *, sound=None, codec="libx264", turned=0, times=None):
        path = tmp_path / name
        with av.open(str(path), "w") as out:
            picture = out.add_stream(codec, rate=RATE, options={"crf": "1"})
            picture.height, picture.width = frames.shape[1:3]
            picture.pix_fmt = "yuv444p"
            if times is not None:
                picture.codec_context.time_base = Fraction(1, 1000)
            if turned:
                picture.set_display_rotation(turned)
            tone = out.add_stream(sound, rate=48000, layout="mono") if sound else None
            for index, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                if times is not None:
                    frame.pts, frame.time_base = times[index], Fraction(1, 1000)
                out.mux(picture.encode(frame))
            out.mux(picture.encode())
            if tone is not None:
                wave = np.sin(np.arange(1024 * 30) / 20).astype(np.float32)[None]
                for begin in range(0, wave.shape[1], 1024):
                    chunk = av.AudioFrame.from_ndarray(
                        np.ascontiguousarray(wave[:, begin : begin + 1024]), "fltp", "mono"
                    )
                    chunk.rate, chunk.pts = 48000, begin
                    out.mux(tone.encode(chunk))
                out.mux(tone.encode())
        return path

    return make


def sing(out, tone):
    wave = np.sin(np.arange(1024 * 30) / 20).astype(np.float32)[None]
    for begin in range(0, wave.shape[1], 1024):
        chunk = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[:, begin : begin + 1024]), "fltp", "mono")
        chunk.rate, chunk.pts = 48000, begin
        out.mux(tone.encode(chunk))
    out.mux(tone.encode())


def read(path):
    with av.open(str(path)) as clip:
        picture = clip.streams.video[0]
        return [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in clip.decode(picture)]


def packets(path):
    with av.open(str(path)) as clip:
        sound = clip.streams.audio[0]
        return [(float(p.pts * p.time_base), bytes(p)) for p in clip.demux(sound) if p.size]


def greys(*levels, size=(32, 48)):
    return np.stack([np.full((*size, 3), level, np.uint8) for level in levels])


def inverted(frames):
    return [255 - frame for frame in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
def test_frames_are_translated_at_their_times(make_clip, tmp_path, suffix):
    levels = [20, 60, 100, 140, 180]
    source, out = make_clip("in.mp4", greys(*levels)), tmp_path / f"out{suffix}"
    report = translate_video(inverted, source, out, batch_size=2)
    assert report.frames == 5
    assert report.rate == pytest.approx(float(RATE))
    found = read(out)
    assert [time for time, _ in found] == pytest.approx([i / float(RATE) for i in range(5)], abs=2e-3)
    for level, (_, pixels) in zip(levels, found, strict=True):
        assert np.abs(pixels.astype(int) - (255 - level)).max() <= 4


def test_sound_is_copied_untouched(make_clip, tmp_path):
    source, out = make_clip("in.mp4", greys(*range(10, 200, 10)), sound="aac"), tmp_path / "out.mp4"
    translate_video(inverted, source, out)
    before, after = packets(source), packets(out)
    assert len(before) > 20
    assert [data for _, data in after] == [data for _, data in before]
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=1e-3)


def test_uneven_times_are_kept(make_clip, tmp_path):
    times = [0, 100, 400, 450, 900]
    source = make_clip("in.mkv", greys(10, 50, 90, 130, 170), times=times)
    translate_video(inverted, source, tmp_path / "out.mkv")
    assert [time for time, _ in read(tmp_path / "out.mkv")] == pytest.approx([t / 1000 for t in times], abs=2e-3)


def test_a_turned_video_is_written_upright(make_clip, tmp_path):
    frames = greys(30, 30)
    frames[:, :8, :8] = 220  # a bright corner at the upper left
    source = make_clip("in.mp4", frames, turned=90)
    translate_video(list, source, tmp_path / "out.mp4")
    _, pixels = read(tmp_path / "out.mp4")[0]
    assert pixels.shape == (48, 32, 3)
    assert pixels[-4:, :4].mean() > 200  # a quarter turn counter-clockwise brings it to the lower left
    assert pixels[:8, :8].mean() < 50


def test_odd_sizes_stay_as_they_are(tmp_path, make_clip):
    source = make_clip("in.mp4", greys(10, 200, size=(31, 45)))
    translate_video(inverted, source, tmp_path / "out.mp4")
    assert read(tmp_path / "out.mp4")[0][1].shape == (31, 45, 3)


def test_size_is_the_short_side(tmp_path, make_clip):
    source = make_clip("in.mp4", greys(10, 200, size=(32, 48)))
    translate_video(inverted, source, tmp_path / "out.mp4", size=16)
    assert read(tmp_path / "out.mp4")[0][1].shape == (16, 24, 3)


def test_gif_keeps_durations(tmp_path):
    durations = [40, 100, 200, 70]
    first, *rest = [Image.fromarray(frame) for frame in greys(10, 80, 150, 220)]
    first.save(tmp_path / "in.gif", save_all=True, append_images=rest, duration=durations, loop=0)
    report = translate_video(inverted, tmp_path / "in.gif", tmp_path / "out.gif", batch_size=3)
    assert report.frames == 4
    with Image.open(tmp_path / "out.gif") as made:
        assert made.info["loop"] == 0
        for index, (level, duration) in enumerate(zip([10, 80, 150, 220], durations, strict=True)):
            made.seek(index)
            assert made.info["duration"] == duration
            assert np.abs(np.asarray(made.convert("RGB")).astype(int) - (255 - level)).max() <= 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_the_last_frame_is_shown_for_as_long_as_in_the_source(tmp_path, suffix):
    first, *rest = [Image.fromarray(frame) for frame in greys(10, 80, 150)]
    first.save(tmp_path / "in.gif", save_all=True, append_images=rest, duration=[40, 100, 1000], loop=0)
    translate_video(inverted, tmp_path / "in.gif", tmp_path / f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as made:
        assert made.duration / 1e6 == pytest.approx(1.14, abs=2e-3)


def test_flicker_counts_only_what_stands_still(make_clip, tmp_path):
    frames = greys(100, 100, 100, size=(32, 32))
    frames[1, :16] = 200  # the upper half moves: 100, 200, 100
    shift = iter([0, 6, 0])

    def restless(batch):
        return [(frame + next(shift)).astype(np.uint8) for frame in batch]

    report = translate_video(restless, make_clip("in.mp4", frames), tmp_path / "out.mp4")
    assert report.flicker == pytest.approx(6, abs=0.3)
    assert report.source_flicker == pytest.approx(0, abs=0.3)


def test_nothing_stands_still(make_clip, tmp_path):
    report = translate_video(inverted, make_clip("in.mp4", greys(10, 200)), tmp_path / "out.mp4")
    assert report.flicker is None
    assert report.source_flicker is None


def test_sound_that_does_not_fit_is_an_error_before_any_frame(make_clip, tmp_path):
    source = make_clip("in.mp4", greys(10, 20), sound="aac")
    with pytest.raises(RunError, match=r"\.webm cannot hold the sound of the source \(aac\); use \.mkv"):
        translate_video(inverted, source, tmp_path / "out.webm")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


def test_an_error_leaves_what_was_there(make_clip, tmp_path):
    source, out = make_clip("in.mp4", greys(10, 20, 30)), tmp_path / "out.mp4"
    out.write_bytes(b"before")

    def failing(batch):
        raise DataError("too small")

    with pytest.raises(DataError, match="too small"):
        translate_video(failing, source, out)
    assert out.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_what_cannot_be_written_is_not_blamed_on_the_source(make_clip, tmp_path):
    source = make_clip("in.mp4", greys(10, 20))
    (tmp_path / "file").touch()
    (tmp_path / ".busy.tmp.mp4").mkdir()
    for out in ("file/out.mp4", "busy.mp4"):
        with pytest.raises(RunError, match=f"cannot write .*{out} .*; what was written before is intact"):
            translate_video(inverted, source, tmp_path / out)


BAD = [
    ("text.mp4", "out.mp4", DataError, r"text\.mp4 cannot be read as a video"),
    ("empty.mp4", "out.mp4", DataError, r"empty\.mp4 cannot be read as a video"),
    ("missing.mp4", "out.mp4", DataError, r"missing\.mp4 does not exist"),
    ("tone.mkv", "out.mp4", DataError, r"tone\.mkv has no pictures \(it has: audio\)"),
    ("good.mp4", "out.avi", SettingsError, r"out\.avi as a video; use one of \.mp4"),
    ("good.mp4", "good.mp4", DataError, "would be overwritten"),
]


@pytest.mark.parametrize(("source", "out", "kind", "words"), BAD)
def test_bad_input(make_clip, tmp_path: Path, source, out, kind, words):
    make_clip("good.mp4", greys(10))
    (tmp_path / "text.mp4").write_text("this is no video " * 100)
    (tmp_path / "empty.mp4").touch()
    with av.open(str(tmp_path / "tone.mkv"), "w") as tone:
        sing(tone, tone.add_stream("aac", rate=48000, layout="mono"))
    with pytest.raises(kind, match=words):
        translate_video(inverted, tmp_path / source, tmp_path / out)


def test_a_truncated_video_is_no_half_result(make_clip, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    source = make_clip("in.mkv", noise)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    report = None
    try:
        report = translate_video(inverted, source, tmp_path / "out.mkv")
    except DataError:
        assert not (tmp_path / "out.mkv").exists()
    else:
        assert len(read(tmp_path / "out.mkv")) == report.frames < 12  # containers that end anywhere are read so far


def test_videos_are_known_by_their_suffix():
    assert [is_video(name) for name in ("a.MP4", "b.gif", "c.webm", "d.png", "e")] == [True, True, True, False, False]


class Negative(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.in_channels = self.out_channels = channels

    def forward(self, image):
        return Translation(-image)


def test_a_net_translates_frames():
    frames = list(np.random.default_rng(0).integers(0, 256, (2, 6, 7, 3), dtype=np.uint8))
    colour = frames_through(Negative())(frames)
    np.testing.assert_array_equal(colour, [255 - frame for frame in frames])
    grey = frames_through(Negative(1))(frames)
    expected = [255 - np.asarray(Image.fromarray(frame).convert("L")) for frame in frames]
    np.testing.assert_array_equal(grey, [np.dstack([picture] * 3) for picture in expected])


def test_frames_that_do_not_fit_into_memory_are_said_in_one_line():
    class Greedy(Negative):
        def forward(self, image):
            torch.empty(2**50, dtype=torch.uint8)
            return super().forward(image)

    with pytest.raises(OutOfMemoryError, match="frames of 7x6 pixels: out of memory, .* --tile 512 or less"):
        frames_through(Greedy())([np.zeros((6, 7, 3), np.uint8)])


def test_a_net_of_sixteen_bits_makes_eight_of_a_video():
    net = as_generator(nn.Identity())
    net.reads = net.writes = PixelFormat(depth=16, range=(0, 4095))
    frame = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(frames_through(net)([frame])[0], frame)


def test_chroma_is_completed_by_each_frame():
    class Grey(nn.Module):
        in_channels, out_channels = 1, 2

        def forward(self, image):
            return Translation(torch.zeros_like(image).repeat(1, 2, 1, 1))

    net = Grey()
    net.reads = PixelFormat(channels=1, colours="lightness")
    net.writes = PixelFormat(channels=2, colours="chroma")
    frames = [np.full((4, 4, 3), level, np.uint8) for level in (40, 200)]
    for made, frame in zip(frames_through(net)(frames), frames, strict=True):
        assert np.abs(made.astype(int) - frame).max() <= 1


def test_a_net_of_seven_channels_is_refused():
    with pytest.raises(SettingsError, match="reads 7 channels; a video has 3"):
        frames_through(Negative(7))


def test_targets():
    clip, other = Path("a/clip.mp4"), Path("b/clip.mp4")
    assert targets([clip], Path("x.webm"), alone=True) == {clip: Path("x.webm")}
    assert targets([clip], Path("x.webm"), alone=False) == {clip: Path("x.webm/clip.mp4")}
    assert targets([Path("a/old.AVI"), clip], Path("x"), alone=True) == {
        Path("a/old.AVI"): Path("x/old.mp4"),
        clip: Path("x/clip.mp4"),
    }
    with pytest.raises(DataError, match="x/clip.mp4; translate them into two folders"):
        targets([clip, other], Path("x"), alone=True)


class OneSize(nn.Module):
    """Accepts frames of 6x4 only."""

    size = (4, 6)
    in_channels = 3

    def forward(self, image, condition=None):
        assert image.shape[-2:] == self.size
        return Translation(image)


def test_frames_are_fitted_to_the_only_size_of_a_net():
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 33, 3), dtype=np.uint8)
    made = frames_through(OneSize(), fit=True)(list(frames))
    for frame, found in zip(frames, made, strict=True):
        small = np.asarray(Image.fromarray(frame).resize((6, 4), Image.Resampling.BICUBIC)).astype(np.float32)
        planes = [
            Image.fromarray(plane).resize((33, 20), Image.Resampling.BICUBIC) for plane in np.moveaxis(small, 2, 0)
        ]
        assert np.abs(found - np.stack(planes, 2).clip(0, 255)).max() <= 0.501


def test_frames_of_another_size_are_named():
    with pytest.raises(DataError) as caught:
        frames_through(OneSize())([np.zeros((20, 33, 3), np.uint8)])
    assert str(caught.value) == (
        "each frame is 33x20, but this model was built for 6x4; "
        "use --fit, which brings images to that size and results back"
    )
    with pytest.raises(SettingsError, match="--fit is for models that accept one size only"):
        frames_through(as_generator(nn.Identity()), fit=True)
