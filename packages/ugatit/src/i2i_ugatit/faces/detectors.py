"""What finds faces: a cascade file of OpenCV's, or a function of the user's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from i2i.errors import PluginError, RunError, SettingsError
from i2i_ugatit.faces.boxes import Box, checked_boxes

NEIGHBOURS = 5
_GROWTH = 1.1  # from one size of face that is looked for to the next
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class FaceDetector(NamedTuple):
    """A function from images to boxes, and where it is from.

    Attributes:
        flag: that named it.
        name: a file, or a reference.
        function: from ``(h, w, 3)``, RGB, to boxes ``(x, y, width, height)``.
    """

    flag: str
    name: str
    function: Callable[[NDArray[np.uint8]], Any]

    @property
    def title(self) -> str:
        """What errors call it."""
        return f"{self.flag} (={self.name})"

    def boxes(self, image: NDArray[np.uint8], source: Path) -> list[Box]:
        """Find the faces of an image, the largest first.

        Args:
            image: ``(h, w, 3)``, RGB; the function gets a copy.
            source: what errors call the image.

        Raises:
            SettingsError: the function fails, or returns something else than boxes within the image.
        """
        try:
            found = self.function(image.copy())
        except Exception as error:  # it is code of the user's
            raise SettingsError(
                f"{self.title} fails on {source} ({_said(error)}); it must take an image, a uint8 array (h, w, 3) in "
                "RGB, and return boxes (x, y, width, height)"
            ) from error
        return checked_boxes(found, (image.shape[1], image.shape[0]), self.title)


def own_detector(reference: str) -> FaceDetector:
    """Import a detector that a user named.

    Args:
        reference: ``"package.module:function"``; the function takes a uint8 array ``(h, w, 3)``, RGB, and returns boxes
            ``(x, y, width, height)`` in pixels.

    Raises:
        SettingsError: there is no such function.

    Example:
        >>> own_detector("builtins:list").title
        '--detector (=builtins:list)'
    """
    from i2i.entries import load_reference

    title = f"--detector (={reference})"
    if not _REFERENCE.fullmatch(reference):
        raise SettingsError(f"{title} is no reference to a function; write package.module:function")
    try:
        function = load_reference(reference, "the command line")
    except PluginError as error:
        raise SettingsError(
            f"{title} cannot be imported ({_said(error.__cause__ or error)}); install it, or name its folder in "
            "PYTHONPATH"
        ) from error
    if not callable(function):
        raise SettingsError(f"{title} is a {type(function).__name__}; name a function from an image to boxes")
    return FaceDetector("--detector", reference, function)


def cascade_detector(path: Path, *, neighbours: int = NEIGHBOURS, smallest: int = 0) -> FaceDetector:
    """Return the detector of a cascade file (Haar or LBP features).

    Args:
        path: the XML file, or the bare name of one that comes with OpenCV.
        neighbours: how many overlapping hits make a face.
        smallest: side in pixels of the smallest face that is looked for.

    Raises:
        RunError: OpenCV is not installed, or is one without cascades (5 and later).
        SettingsError: there is no such file, or it is no cascade.
    """
    cv2 = _opencv()
    title = f"--cascade (={path})"
    found = path if path.is_file() else Path(cv2.data.haarcascades, path)
    if not found.is_file():
        raise SettingsError(
            f"{title} does not exist; those that come with OpenCV, such as haarcascade_frontalface_alt2.xml for "
            f"photographs, lie in {cv2.data.haarcascades}; lbpcascade_animeface.xml, for drawn faces, is a file to "
            "fetch once"
        )
    cascade = _loaded(cv2, found, title)

    def find(image: NDArray[np.uint8]) -> Any:
        grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        return cascade.detectMultiScale(grey, _GROWTH, neighbours, minSize=(smallest, smallest))

    return FaceDetector("--cascade", str(path), find)


def _opencv() -> Any:
    remedy = "pip install 'i2i-ugatit[faces]', or name a --detector of your own"
    try:
        import cv2
    except ImportError as error:
        raise RunError(f"--cascade needs OpenCV ({error}): {remedy}") from error
    if not hasattr(cv2, "CascadeClassifier"):
        raise RunError(f"--cascade needs OpenCV 4, and {cv2.__version__} has no cascades: {remedy}")
    return cv2


def _loaded(cv2: Any, path: Path, title: str) -> Any:
    cascade, reason = cv2.CascadeClassifier(), "it holds no cascade"
    try:
        path.open("rb").close()  # the system says why better than OpenCV does
        cascade.load(str(path))
    except OSError as error:
        reason = str(error.strerror or error)
    except cv2.error as error:
        reason = " ".join(error.err.split())
    if cascade.empty():
        raise SettingsError(
            f"{title} cannot be read as a cascade ({reason}); name an XML file of OpenCV's CascadeClassifier, such as "
            f"those in {cv2.data.haarcascades}"
        )
    return cascade


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
