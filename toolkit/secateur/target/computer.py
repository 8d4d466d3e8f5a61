"""Computers of the Raspberry Pi class, which run a .tflite on LiteRT: what they have, and how long a call takes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from secateur.errors import SecateurError
from secateur.records import Range
from secateur.target.work import TERMS, Work

COMPUTER_DTYPES = ("float32", "float16", "dynamic", "int8", "int16x8")
"""What a .tflite for LiteRT can be stored and computed in; see ``export.dtypes``."""


def _known_terms(terms: Mapping[str, float]) -> Mapping[str, float]:
    wrong = sorted(set(terms) ^ set(TERMS))
    if wrong or any(value < 0 for value in terms.values()):
        raise ValueError(
            f"terms are {', '.join(TERMS)}, none negative; wrong or missing: {', '.join(wrong) or 'none'}"
        )
    return MappingProxyType(dict(terms))


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DtypeLatency(_Record):
    """Latency of networks of one dtype: seconds for each unit of work, and how far they can be trusted.

    Attributes:
        seconds: term of ``work.TERMS`` → seconds, on one thread.
        parallel: share of all terms but ``call`` and ``operator`` that is divided among threads.
        fork_s: of each operator, for dividing it among threads and waiting for the last; none on one thread.
        macs_low, macs_high: of the networks that the coefficients were fitted to.
        low, high: factors of the prediction between which measurements fell, for networks of that size.
        beyond_low, beyond_high: the same for smaller and larger networks.
        points: measurements that the coefficients were fitted to; 0 where they were derived.
        median_error: relative, of predictions for measurements left out of the fit; None where there are none.
        source: of the measurements, or of what the coefficients were derived from.
    """

    seconds: Annotated[Mapping[str, float], AfterValidator(_known_terms)]
    parallel: float = Field(ge=0, le=1)
    fork_s: float = Field(ge=0, default=0.0)
    macs_low: float = Field(ge=0)
    macs_high: float = Field(ge=0)
    low: float = Field(gt=0, le=1)
    high: float = Field(ge=1)
    beyond_low: float = Field(gt=0, le=1)
    beyond_high: float = Field(ge=1)
    points: int = Field(ge=0)
    median_error: float | None = Field(default=None, ge=0)
    source: str

    @model_validator(mode="after")
    def _consistent(self) -> "DtypeLatency":
        if self.macs_low > self.macs_high:
            raise ValueError("macs_low is above macs_high")
        if self.beyond_low > self.low or self.beyond_high < self.high:
            raise ValueError("the interval beyond the fitted networks is narrower than within them")
        if (self.points > 0) != (self.median_error is not None):
            raise ValueError("median_error is stated where points were fitted, and only there")
        return self


class Computer(_Record):
    """A computer with an operating system, which runs a .tflite on LiteRT.

    Attributes:
        name: of its file.
        description, source: what it is; where its figures are from.
        core, architecture: of the processor; ``architecture`` as ``uname -m`` says.
        cores, clock_hz: how many, and how fast.
        ram_bytes: of the smallest board sold under the name; of it the network may have ``network_share``.
        threads: that a call is given unless another number is asked for.
        latency: dtype → its latency model.
        validity: how far the latency model reaches, in words.
    """

    name: str
    description: str
    source: str
    core: str
    architecture: str
    cores: int = Field(ge=1)
    clock_hz: float = Field(gt=0)
    ram_bytes: int = Field(gt=0)
    network_share: float = Field(gt=0, le=1)
    runtime: Literal["litert"]
    threads: int = Field(ge=1, default=1)
    latency: Annotated[Mapping[str, DtypeLatency], AfterValidator(MappingProxyType)]
    validity: str

    @model_validator(mode="after")
    def _known(self) -> "Computer":
        wrong = [name for name in self.latency if name not in COMPUTER_DTYPES]
        if wrong:
            raise ValueError(f"latency is by dtype, {', '.join(COMPUTER_DTYPES)}; {wrong[0]} is none")
        if self.threads > self.cores:
            raise ValueError("threads is above cores")
        return self

    @property
    def network_ram_bytes(self) -> int:
        """RAM that the network may use."""
        return int(self.ram_bytes * self.network_share)

    def middle_s(self, work: Work, dtype: str, threads: int | None = None) -> float:
        """The predicted latency of a call, without its interval."""
        model = self._model(dtype)
        used = min(threads or self.threads, self.cores)
        share = 1 - model.parallel + model.parallel / used
        return (model.fork_s * work.operators if used > 1 else 0.0) + sum(
            model.seconds[term] * amount * (1.0 if term in ("call", "operator") else share)
            for term, amount in work.amounts().items()
        )

    def latency_s(self, work: Work, dtype: str, threads: int | None = None) -> Range:
        """The predicted latency of a call, as the interval that it is expected in.

        Args:
            work: of the network.
            dtype: key of ``latency``.
            threads: of the call; None for the computer's own number.

        Raises:
            SecateurError: no latency model for the dtype.
        """
        model, middle = self._model(dtype), self.middle_s(work, dtype, threads)
        if model.macs_low <= work.macs <= model.macs_high:
            return Range(middle * model.low, middle * model.high)
        return Range(middle * model.beyond_low, middle * model.beyond_high)

    def _model(self, dtype: str) -> DtypeLatency:
        if dtype not in self.latency:
            raise SecateurError(
                "a target states the latency of every dtype it is asked about",
                f"{self.name} has none for {dtype}",
                f"It has {', '.join(self.latency)}; fit others with secateur calibrate.",
            )
        return self.latency[dtype]
