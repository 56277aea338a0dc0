"""`LoadedModels`: the models an engine draws with, and what is known of each of their lanes.

A model may be loaded several times over, by different backends: the last one that can draw a
request is preferred for it.
"""

from __future__ import annotations

import dataclasses
import logging

from studio.engine.memory import release
from studio.engine.model import Model
from studio.engine.sample import Bucket
from studio.engine.step_times import StepTimes
from studio.errors import GenerationFailed
from studio.request import Request

log = logging.getLogger(__name__)


class LoadedModels:
    """`max_rows` bounds the rows of every lane; with 0 it is the knee of the lane's step times."""

    def __init__(self, max_rows: int = 0) -> None:
        self._max_rows = max_rows
        self._models: dict[tuple[str, str], tuple[Model, StepTimes]] = {}
        self._prepared: set[tuple[str, str, int, int]] = set()

    def add(self, model: Model, times: StepTimes | None = None) -> None:
        """Prefer `model` from now on, where it can draw what is asked."""
        key = (model.card.name, model.backend)
        self._models.pop(key, None)
        self._prepared = {place for place in self._prepared if place[:2] != key}
        self._models[key] = (model, times or StepTimes())

    def backend_for(self, request: Request) -> str:
        """The backend that draws `request`, or "" where its model is not loaded."""
        for (name, backend), (model, _) in reversed(self._models.items()):
            if name == request.model and model.can_draw(request):
                return backend
        return ""

    def of(self, bucket: Bucket) -> Model:
        """The model that draws the samples of a lane.

        Raises:
            GenerationFailed: it is not loaded.
        """
        try:
            return self._models[bucket.model, bucket.backend][0]
        except KeyError:
            raise GenerationFailed(f"The model {bucket.model} is not loaded here.") from None

    def narrow(self, bucket: Bucket) -> Model | None:
        """See that the model of a lane has what it needs for pictures of that size.

        Where it cannot have it, the model as it is from now on: without that size, so that
        `backend_for` names another. What is missing is logged.

        Raises:
            GenerationFailed: see `of`.
        """
        model, size = self.of(bucket), (bucket.height, bucket.width)
        place = (bucket.model, bucket.backend, *size)
        if model.prepare is None or model.plan_sizes is None or place in self._prepared:
            return None
        try:
            model.prepare(size)
        except Exception:  # whatever a backend throws
            log.warning("%s has no %d × %d", bucket.backend, *size, exc_info=True)
        else:
            self._prepared.add(place)
            return None
        release(model.device)  # only here is the error gone, and what its traceback held
        smaller = dataclasses.replace(model, plan_sizes=model.plan_sizes - {size})
        self._models[bucket.model, bucket.backend] = (smaller, self._times(bucket))
        return smaller

    def seconds(self, bucket: Bucket, num_rows: int) -> float:
        """Estimated seconds of one pass of `num_rows` rows."""
        return self._times(bucket).seconds(bucket.height, bucket.width, num_rows)

    def max_rows(self, bucket: Bucket) -> int:
        """Rows of one pass beyond which more do not pay."""
        wanted = self._max_rows or self._times(bucket).knee(bucket.height, bucket.width)
        model, _ = self._models.get((bucket.model, bucket.backend)) or (None, None)
        if model is None or model.most_rows is None:
            return wanted
        return min(wanted, model.most_rows)

    def _times(self, bucket: Bucket) -> StepTimes:
        _, times = self._models.get((bucket.model, bucket.backend)) or (None, StepTimes())
        return times
